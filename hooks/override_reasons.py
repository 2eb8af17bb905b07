"""Reasons offered for dismissing a card, in the order in which they are shown.

The reasons are those of clinical.md 3.4. Where a code of HL7's Non-Adherence Reason Codes (CDS Hooks 3.0
ballot) means the same, that code is used, so that overrides can be compared between sites; otherwise the
code is ours. `display` is our own wording, written for the clinician who picks it.
"""

from hooks.cards import OverrideReason

__all__ = ["NON_ADHERENCE", "OVERRIDE_REASONS", "TOCSIN"]

NON_ADHERENCE = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
TOCSIN = "https://tocsin.org/CodeSystem/override-reason"

OVERRIDE_REASONS: tuple[OverrideReason, ...] = (
    OverrideReason("indication-order-exists", NON_ADHERENCE, "Already known and being managed"),
    OverrideReason("action-completed", NON_ADHERENCE, "Imaging or tests already done elsewhere"),
    OverrideReason("not-clinically-likely", TOCSIN, "Examined: not clinically likely"),
    OverrideReason("patient-refuses", NON_ADHERENCE, "Patient declined"),
    OverrideReason("does-not-align-preferences", NON_ADHERENCE, "Not in line with the goals of care"),
    OverrideReason("record-wrong", TOCSIN, "A diagnosis or history on the list is wrong"),
    OverrideReason("reassess-later", TOCSIN, "Will reassess on a later date"),
    OverrideReason("test-record", TOCSIN, "Test or training record"),
)
