"""Why new rules were not taken while those loaded before go on answering: for the log, /readyz and metrics.

What is said names the file without its folder, and nothing of its content but places in rule files.
"""

import datetime as dt

import msgspec

from rules.engine import ArchiveError, BundleError

__all__ = ["Refusal", "Reloads", "refusal_of"]

BROKEN = "rules-broken"
FAULT = "rules-fault"


class Refusal(msgspec.Struct, frozen=True):
    """`code` is stable. `since` is when new rules were first refused, in seconds since 1970."""

    code: str
    says: str
    since: float

    def __str__(self) -> str:
        since = dt.datetime.fromtimestamp(self.since, dt.UTC).isoformat(timespec="seconds")
        return f"{self.code}: new rules are refused since {since}, those before stay in force. {self.says}"


class Reloads(msgspec.Struct):
    """How the rules in force stand to the files: `refusal` while newer files are refused."""

    refusal: Refusal | None = None

    def warnings(self) -> list[str]:
        return [str(self.refusal)] if self.refusal is not None else []


def refusal_of(error: Exception, file: str, since: float) -> Refusal:
    """What is told of an error that loading ended with. `file` is the name of the bundle, or of the site's
    file.
    """
    if isinstance(error, ArchiveError):
        return Refusal(error.code, f"{file}: {error.message} {error.action}", since)
    if isinstance(error, BundleError):
        first, count = error.problems[0], len(error.problems)
        others = f" and {count - 1} more" if count > 1 else ""
        return Refusal(BROKEN, f"{first.path}:{first.line}: {first.code}{others}.", since)
    return Refusal(FAULT, f"{file}: loading failed; the log has the place.", since)
