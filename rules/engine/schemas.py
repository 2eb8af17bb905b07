"""The published JSON Schemas of the content files (rules/schemas)."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Literal

__all__ = ["schema"]


@cache
def schema(name: Literal["evidence", "facts", "orders", "rule", "site", "tests"]) -> dict[str, Any]:
    """The schema of one kind of file, read once."""
    text = resources.files("rules").joinpath("schemas", f"{name}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
