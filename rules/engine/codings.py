"""Which code system a URI names, and the one spelling in which its codes are compared.

Senders write the same system in several ways (URI, OID, SNOMED edition, `|version`) and the same ICD code in
more (`M54.5`, `m545`, `M54.5-`, `C79.5†`, `C61 G`). Two codings are the same here when `Codings.place` puts
them in the same place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

__all__ = ["PREFIX_TABLES", "Codings", "System"]

PREFIX_TABLES = frozenset({"icd-10", "icd-10-cm", "icd-9-cm", "atc"})
"""Tables whose codes are hierarchical by spelling, so that a row may stand for everything below it."""

_SNOMED_EDITIONS = "http://snomed.info/sct/"
_GERMAN = "icd-10-gm"
_MARKS = str.maketrans("", "", "†*!+")
_ICD_10 = re.compile(r"[A-Z][0-9][0-9A-Z][0-9A-Z]{0,4}")
_ICD_9 = re.compile(r"(?:[0-9]{3}|V[0-9]{2}|E[0-9]{3})[0-9]{0,2}")
_ATC = re.compile(r"[A-Z](?:[0-9]{2}(?:[A-Z](?:[A-Z](?:[0-9]{2})?)?)?)?")
_SHAPES = {
    "snomed": re.compile(r"[0-9]{6,18}"),
    "loinc": re.compile(r"[A-Z]{0,2}[0-9]{1,7}-[0-9]"),
    "rxnorm": re.compile(r"[0-9]{1,8}"),
    "atc": _ATC,
    **dict.fromkeys(("icd-10", "icd-10-cm"), _ICD_10),
    "icd-9-cm": _ICD_9,
}
# An ICD-10-GM code has no letter after its first, so a last letter can only be the certainty of the
# diagnosis.
_CERTAINTY = re.compile(r"([A-Z][0-9]{2}\.?[0-9]{0,2}[-.†*!+]*)([AGVZ])")


class System(msgspec.Struct, frozen=True):
    """One row of `systems.csv`: `uri` names `system`, whose codes are looked up in the rows of `reads`."""

    uri: str
    system: str
    reads: str


def _plain(code: str) -> str:
    return code.strip()


def _snomed(code: str) -> str:
    # `279039007 |Low back pain|` is the concept; a post-coordinated expression is not, and matches nothing.
    return code.split("|", 1)[0].strip()


def _upper(code: str) -> str:
    return code.strip().upper()


def _icd(shape: re.Pattern[str]) -> Callable[[str], str]:
    def spell(code: str) -> str:
        text = "".join(code.upper().translate(_MARKS).split()).rstrip(".-").replace(".", "", 1)
        return text if shape.fullmatch(text) else ""

    return spell


def _atc(code: str) -> str:
    text = _upper(code)
    return text if _ATC.fullmatch(text) else ""


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "snomed": _snomed,
    "icd-10-cm": _icd(_ICD_10),
    "icd-10": _icd(_ICD_10),
    "icd-9-cm": _icd(_ICD_9),
    "loinc": _upper,
    "rxnorm": _plain,
    "atc": _atc,
}


class Codings:
    """Finds the place of a coding. Built from `systems.csv`; systems it does not know keep their URI."""

    __slots__ = ("_systems", "_uris")

    def __init__(self, systems: Iterable[System]) -> None:
        self._systems: dict[str, System] = {}
        self._uris: dict[str, str] = {}
        for system in systems:
            self._systems[_tidy(system.uri)] = system
            self._uris.setdefault(system.system, system.uri)

    def place(self, uri: str, code: str) -> tuple[str, str]:
        """The table a coding is looked up in and its spelling there; the spelling is empty when the text
        cannot be a code of that system (a range such as `C00-C14`, for one).
        """
        tidy = _tidy(uri)
        system = self._systems.get(tidy)
        if system is None:
            return tidy, code.strip()
        if system.system == _GERMAN:
            code = _split_certainty(code)[0]
        return system.reads, self.spell(system.reads, code)

    @staticmethod
    def spell(table: str, code: str) -> str:
        """The spelling of `code` in `table`; empty when it cannot be a code of that system."""
        return _SPELLINGS.get(table, _plain)(code)

    def standard(self, uri: str, code: str) -> tuple[str, str] | None:
        """The place of a coding of a published terminology whose text can be a code of it; None for all else,
        such as a system of one EHR, or an identifier in place of a code.
        """
        table, spelled = self.place(uri, code)
        shape = _SHAPES.get(table)
        return (table, spelled) if shape is not None and shape.fullmatch(spelled) else None

    def certainty(self, uri: str, code: str) -> str:
        """The certainty letter at the end of an ICD-10-GM code: `A` excluded, `G` confirmed, `V` suspected,
        `Z` history; empty for every other code and system.
        """
        system = self._systems.get(_tidy(uri))
        return _split_certainty(code)[1] if system is not None and system.system == _GERMAN else ""

    def uri(self, system: str) -> str | None:
        """The first URI listed for a system's short name; None for a name that is not listed."""
        return self._uris.get(system)


def _tidy(uri: str) -> str:
    text = uri.strip().split("|", 1)[0].rstrip("/").lower()
    if text.startswith("https://"):
        text = "http://" + text.removeprefix("https://")
    return _SNOMED_EDITIONS.rstrip("/") if text.startswith(_SNOMED_EDITIONS) else text


def _split_certainty(code: str) -> tuple[str, str]:
    found = _CERTAINTY.fullmatch("".join(code.upper().split()))
    return (found[1], found[2]) if found else (code, "")
