"""The error tree: one root, stable codes, sentences that name members and never values."""

import re
from collections.abc import Iterator

import pytest

from hooks import errors
from hooks.errors import CardError, HookError, ProtocolError


def kinds(kind: type[ProtocolError] = ProtocolError) -> Iterator[type[ProtocolError]]:
    for child in kind.__subclasses__():
        yield child
        yield from kinds(child)


def test_all_names_the_whole_tree() -> None:
    assert {kind.__name__ for kind in kinds()} | {"ProtocolError"} == set(errors.__all__)


def test_every_code_is_used_once_and_reads_like_a_code() -> None:
    codes = [kind.code for kind in kinds() if kind is not HookError]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", code) for code in codes)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_is_one_sentence_and_a_next_step(kind: type[ProtocolError]) -> None:
    error = kind(*("patientId" for _ in range(kind.message.count("{}"))))
    assert error.message.endswith(".")
    assert "{" not in error.message
    assert error.action.endswith(".")
    assert str(error) == f"{error.code}: {error.message} {error.action}"


def test_a_defect_of_ours_is_no_fault_of_the_caller() -> None:
    assert not issubclass(CardError, HookError)
