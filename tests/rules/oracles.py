"""Other CEL engines, asked the same question: cel-python's interpreter, and cel-expr-python where it is
installed.

An unknown fact is a missing map key there, so that an answer which needs it is an evaluation error: our
unknown.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from rules.engine.facts import FactSet

Oracle = Callable[[Mapping[str, Any]], bool | None]

HAS_CEL_EXPR = importlib.util.find_spec("cel_expr_python") is not None


def nested(facts: FactSet, params: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as CEL sees them: one map per namespace, with a key for each known fact."""
    tree: dict[str, Any] = {"params": dict(params)}
    for fact in facts.all_facts():
        *spaces, last = fact.name.split(".")
        level = tree
        for space in spaces:
            level = level.setdefault(space, {})
        if fact.known:
            level[last] = fact.value
    return tree


def cel_python(text: str) -> Oracle:
    environment = celpy.Environment(runner_class=celpy.InterpretedRunner)
    program = environment.program(environment.compile(text))

    def ask(tree: Mapping[str, Any]) -> bool | None:
        try:
            return bool(program.evaluate({name: json_to_cel(value) for name, value in tree.items()}))
        except CELEvalError:
            return None

    return ask


class CelExpr:
    """cel-expr-python over the namespaces of a vocabulary. Its errors come back as values of type ERROR."""

    def __init__(self, namespaces: Iterable[str]) -> None:
        self.cel = importlib.import_module("cel_expr_python.cel")
        space = self.cel.Type.Map(self.cel.Type.STRING, self.cel.Type.DYN)
        self.environment = self.cel.NewEnv(variables=dict.fromkeys((*namespaces, "params"), space))

    def compile(self, text: str) -> Any:
        return self.environment.compile(text)

    def activation(self, tree: Mapping[str, Any]) -> Any:
        return self.environment.Activation(tree)

    def ask(self, program: Any, activation: Any) -> bool | None:
        answer = program.eval(activation)
        return None if answer.type() == self.cel.Type.ERROR else bool(answer.value())
