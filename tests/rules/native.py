"""Runs single criteria natively, the way the bundle does, for tests."""

from collections.abc import Callable, Mapping
from typing import Any

from rules.engine.cel import compile_expression
from rules.engine.emit import Module
from rules.engine.kleene import RUNTIME
from rules.engine.vocabulary import Vocabulary

Native = Callable[[list[Any]], bool | None]


def native(text: str, vocabulary: Vocabulary, params: Mapping[str, int | float] | None = None) -> Native:
    """The compiled criterion as a function of `FactSet.values`."""
    module = Module()
    expression = compile_expression(text, vocabulary, params or {}, module)
    source = "\n".join([*module.functions, f"def criterion(v):\n    return {expression.code.source}\n"])
    namespace: dict[str, Any] = {**RUNTIME, **module.constants}
    exec(compile(source, "<criterion>", "exec"), namespace)
    run: Native = namespace["criterion"]
    return run
