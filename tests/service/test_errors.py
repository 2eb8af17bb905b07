"""The error tree, its catalogue, and the answers made from it."""

import re
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from hypothesis import given
from hypothesis import strategies as st

from hooks.errors import ContextFieldMissing, ContextMissing, HookError, HookMismatch
from service import errors
from service.errors import (
    CODE_SYSTEM,
    BadJson,
    CallError,
    CatalogueRow,
    DataUnavailable,
    HookRefused,
    InternalError,
    MemberInvalid,
    MethodNotAllowed,
    RateLimited,
    SettingProblem,
    SettingsError,
    TocsinError,
    Unauthorised,
    answer,
    catalogue,
    operation_outcome,
)
from service.logs import FIELDS

# http://hl7.org/fhir/ValueSet/issue-type, R4.
ISSUE_TYPES = {
    "invalid",
    "structure",
    "required",
    "value",
    "invariant",
    "security",
    "login",
    "unknown",
    "expired",
    "forbidden",
    "suppressed",
    "processing",
    "not-supported",
    "duplicate",
    "multiple-matches",
    "not-found",
    "deleted",
    "too-long",
    "code-invalid",
    "extension",
    "too-costly",
    "business-rule",
    "conflict",
    "transient",
    "lock-error",
    "no-store",
    "exception",
    "timeout",
    "incomplete",
    "throttled",
    "informational",
}

HOOK_ERRORS = (HookMismatch("order-sign"), ContextMissing(), ContextFieldMissing("patientId", "order-sign"))
ERRORS: tuple[CallError, ...] = (
    *(
        kind()
        for kind in errors.__dict__.values()
        if isinstance(kind, type)
        and kind.__base__ is CallError
        and kind not in (HookRefused, Unauthorised, RateLimited)
    ),
    Unauthorised("token-expired"),
    RateLimited(3),
    *map(HookRefused, HOOK_ERRORS),
)


def body(error: Exception) -> Any:
    return orjson.loads(answer(error).body)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_is_a_valid_operation_outcome(error: CallError) -> None:
    outcome = OperationOutcome.model_validate_json(operation_outcome(error))
    (issue,) = outcome.issue
    assert issue.code == error.issue
    assert issue.code in ISSUE_TYPES
    assert issue.severity == ("fatal" if error.status >= 500 else "error")
    assert issue.model_dump()["details"] == {
        "coding": [{"system": CODE_SYSTEM, "code": error.code}],
        "text": error.text,
    }
    assert issue.diagnostics == error.action


@pytest.mark.parametrize("row", catalogue(), ids=lambda row: row.code)
def test_every_code_has_one_sentence_and_a_next_step(row: CatalogueRow) -> None:
    assert re.fullmatch(r"[a-z][a-z-]+[a-z]", row.code)
    assert 400 <= row.status <= 599
    for text in (row.message, row.action):
        assert re.fullmatch(r"[A-Za-z][^\n{}]+\.", text)
    assert ". " not in row.message


def test_codes_are_unique_and_all_in_the_catalogue() -> None:
    codes = [row.code for row in catalogue()]
    assert len(set(codes)) == len(codes)
    assert {error.code for error in ERRORS} <= set(codes)


def test_the_tree_has_one_root_and_is_public() -> None:
    for error in ERRORS:
        assert isinstance(error, TocsinError)
        assert type(error).__name__ in errors.__all__


@pytest.mark.parametrize("error", HOOK_ERRORS, ids=lambda error: error.code)
def test_errors_of_the_protocol_package_keep_their_code_and_words(error: HookError) -> None:
    given_answer = answer(error)
    issue = orjson.loads(given_answer.body)["issue"][0]
    assert (given_answer.status, given_answer.code) == (400, error.code)
    assert (issue["details"]["text"], issue["diagnostics"]) == (error.message, error.action)
    assert issue["code"] == ("required" if error.code.endswith("-missing") else "invalid")


def test_names_the_error_is_about_are_in_the_sentence() -> None:
    text = body(DataUnavailable("conditions", "labs"))["issue"][0]["details"]["text"]
    assert text.endswith("from a FHIR server: conditions, labs.")
    assert MemberInvalid("hookInstance").text.endswith(": hookInstance.")
    assert BadJson(25).text == "The body is not a JSON object in UTF-8: byte 25."
    assert BadJson().text == "The body is not a JSON object in UTF-8."


def test_pf_19_a_412_says_why_in_words_of_ours() -> None:
    error = DataUnavailable("labs", reasons=["deadline", "", "Jane Roe", "unauthorised", "deadline"])
    assert error.reasons == ("deadline", "unauthorised")
    diagnostics = body(error)["issue"][0]["diagnostics"]
    assert diagnostics == (
        f"{error.action} Reasons: deadline (there was no time left), "
        "unauthorised (the FHIR server did not accept the access token)."
    )
    assert body(DataUnavailable("labs"))["issue"][0]["diagnostics"] == error.action


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (DataUnavailable("labs", reasons=["deadline"]), {"keys_failed": ("labs",), "reasons": ("deadline",)}),
        (MemberInvalid("hookInstance"), {"about": ("hookInstance",)}),
        (MemberInvalid("Jane Roe"), {}),
        (BadJson(25), {"byte": 25}),
        (BadJson(), {}),
        (Unauthorised("token-expired"), {"reason": "token-expired"}),
        (ContextFieldMissing("patientId", "order-sign"), {"about": ("patientId", "order-sign")}),
        (ContextMissing(), {}),
        (RateLimited(3), {}),
        (ValueError("Jane Roe"), {}),
    ],
)
def test_what_the_log_says_of_an_error_is_made_of_its_fields(error: Exception, logged: Any) -> None:
    found = answer(error).logged
    assert found == logged
    assert all(FIELDS[name](value) for name, value in found.items())


@given(st.text(max_size=80))
def test_nothing_but_a_name_gets_into_an_answer(text: str) -> None:
    told = DataUnavailable("labs", text).text
    is_name = re.fullmatch(r"[A-Za-z$][A-Za-z0-9_.$\[\]-]{0,63}", text) is not None
    assert told.endswith(f": labs, {text}." if is_name else ": labs.")


def test_an_unexpected_exception_tells_the_caller_nothing() -> None:
    given_answer = answer(ValueError("Jane Roe 1950-01-01"))
    assert (given_answer.status, given_answer.code) == (500, "internal-error")
    assert given_answer.body == operation_outcome(InternalError())


def test_sec_14_an_unauthorised_answer_is_bare_and_the_reason_stays_inside() -> None:
    given_answer = answer(Unauthorised("token-expired"))
    assert (given_answer.status, given_answer.body) == (401, b"")
    assert given_answer.reason == "token-expired"
    assert given_answer.headers == {"WWW-Authenticate": "Bearer"}


def test_answers_carry_the_headers_their_status_asks_for() -> None:
    assert answer(MethodNotAllowed("GET", "HEAD")).headers == {"Allow": "GET, HEAD"}
    assert answer(RateLimited(7)).headers == {"Retry-After": "7"}
    assert answer(RateLimited(0)).headers == {"Retry-After": "1"}
    assert answer(errors.Overloaded()).headers == {"Retry-After": "1"}
    assert answer(BadJson()).headers == {}


def test_setting_problems_are_told_one_a_line() -> None:
    error = SettingsError(
        [SettingProblem("A", "Is wrong.", "Do this."), SettingProblem("B", "Too.", "That.")]
    )
    assert str(error) == "A: Is wrong. Do this.\nB: Too. That."
