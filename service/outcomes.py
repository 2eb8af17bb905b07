"""How each prefetch key of a call ended, and that in plain words."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["WORDS", "Outcome", "State"]


class State(StrEnum):
    """given; empty (null, or a search without hits); error (the EHR reports that its query failed, or sent
    something else); fetched by us; failed to be fetched; refused (no request could be sent).
    """

    GIVEN = "given"
    EMPTY = "empty"
    ERROR = "error"
    FETCHED = "fetched"
    FAILED = "failed"
    REFUSED = "refused"


WORDS: Mapping[str, str] = {
    "address-refused": "the FHIR server's name leads to a forbidden address",
    "base-insecure": "the FHIR server's URL is not https",
    "base-malformed": "the FHIR server's URL cannot be used",
    "busy": "the FHIR server was busy",
    "deadline": "there was no time left",
    "forbidden": "the FHIR server did not permit it",
    "no-fhir-server": "no FHIR server was named",
    "not-fhir": "the FHIR server's answer was not FHIR JSON",
    "not-found": "the FHIR server does not have it",
    "other-patient": "it is about another patient",
    "outcome": "the query failed",
    "page-elsewhere": "the next page is on another server",
    "page-limit": "there were too many pages",
    "page-loop": "the pages led in a circle",
    "pages": "only the first page was sent",
    "redirected": "the FHIR server pointed to another address",
    "references": "a medicine is only referred to and could not be read",
    "rejected": "the FHIR server rejected the query",
    "server-error": "the FHIR server failed",
    "server-not-listed": "the FHIR server is not on the list for this caller",
    "token-malformed": "the access token cannot be used",
    "token-other-patient": "the access token is for another patient",
    "token-unavailable": "no access token could be had",
    "too-large": "the FHIR server's answer was too large",
    "total": "less was sent than the search found",
    "truncated": "the FHIR server's answer broke off",
    "unauthorised": "the FHIR server did not accept the access token",
    "unexpected": "something else was sent under this key",
    "unreachable": "the FHIR server could not be reached",
    "withheld": "the FHIR server holds more than it gave",
}
# Whatever else makes a list partial cuts off its end, which is the oldest part of a list sorted newest first;
# these may leave out anything.
_GAPS = frozenset({"outcome", "references", "withheld"})


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """`reason` says why there is nothing, `partial` why there is more than was read: keys of WORDS, or empty.

    `count` is the number of resources; `borrowed`: taken from a key this service did not ask for.
    """

    state: State
    reason: str = ""
    partial: str = ""
    count: int = 0
    borrowed: bool = False

    @property
    def had(self) -> bool:
        """Whether the query was answered, be it with nothing."""
        return self.state in (State.GIVEN, State.EMPTY, State.FETCHED)

    def is_whole(self, *, newest_suffices: bool) -> bool:
        """Whether what is not in the answer may be taken for not recorded."""
        return self.had and (not self.partial or (newest_suffices and self.partial not in _GAPS))

    def says(self) -> str:
        """Why something is missing, as a clause; empty when nothing is."""
        return WORDS.get(self.reason or self.partial, "")
