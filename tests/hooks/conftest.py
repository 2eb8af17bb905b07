"""Reference files that the protocol tests compare with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker


@pytest.fixture(scope="session")
def protocol(shared: Path) -> Path:
    """The folder with schemas, vectors and the table of hooks."""
    return shared / "reference" / "cds-hooks"


@pytest.fixture(scope="session")
def vectors(protocol: Path) -> dict[str, list[dict[str, Any]]]:
    """Bodies with the verdict of each schema, by kind."""
    loaded: dict[str, list[dict[str, Any]]] = json.loads((protocol / "vectors.json").read_text("utf-8"))
    assert loaded
    assert all(loaded.values())
    return loaded


@pytest.fixture(scope="session")
def faults(protocol: Path) -> Callable[[str, object], list[str]]:
    """faults(schema, body): what a schema of the reference folder objects to."""
    validators: dict[str, Draft202012Validator] = {}

    def check(schema: str, body: object) -> list[str]:
        if schema not in validators:
            loaded = json.loads((protocol / f"{schema}.schema.json").read_text("utf-8"))
            validators[schema] = Draft202012Validator(loaded, format_checker=FormatChecker())
        return [error.message for error in validators[schema].iter_errors(body)]

    return check
