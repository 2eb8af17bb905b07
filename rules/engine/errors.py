"""The exception tree of the rule engine, and the one shape in which content problems are reported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

__all__ = [
    "ArchiveError",
    "BundleError",
    "DecisionError",
    "ExpressionError",
    "FactError",
    "Problem",
    "RulesError",
]


class RulesError(Exception):
    """Root of every error the rule engine raises on purpose."""


class FactError(RulesError):
    """A fact was named, or given a value, that the vocabulary does not allow."""


class DecisionError(RulesError):
    """An outcome was moved in a way that would make the Decision contradict itself."""


class ExpressionError(RulesError):
    """A CEL expression is outside the language rules may use.

    `code` is the id of the lint check that reports it; `line` and `column` count from 1 inside the
    expression's own text.
    """

    def __init__(self, code: str, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column


class ArchiveError(RulesError):
    """An archive of rules cannot be used, or not here. `code` is stable and searchable, `message` one
    sentence, `action` what to do next. Neither holds a path.
    """

    def __init__(self, code: str, message: str, action: str) -> None:
        super().__init__(f"{code}: {message} {action}")
        self.code = code
        self.message = message
        self.action = action


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong in a content file. Sorts by place, prints as `path:line: code: message`. `line` counts
    from 1; it is 0, and not printed, when the path names no file.
    """

    path: str
    line: int
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        mark = "" if self.severity == "error" else "warning: "
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.code}: {mark}{self.message}"


class BundleError(RulesError):
    """Content files cannot be used. `problems` holds every one found, in order of place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
