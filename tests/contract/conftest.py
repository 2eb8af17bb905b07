"""One application for all contract tests, with a caller."""

import json
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator, FormatChecker

from tests.contract.corpus import Faults


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def templates(caller: httpx.AsyncClient) -> dict[str, dict[str, str]]:
    """Our prefetch templates by hook and key, as discovery gives them."""
    services = (await caller.get("/cds-services")).json()["services"]
    return {one["hook"]: one["prefetch"] for one in services}


@pytest.fixture(scope="session")
def faults(shared: Path) -> Faults:
    """What the strict schema of an answer objects to."""
    file = shared / "reference" / "cds-hooks" / "response-emit-strict.schema.json"
    validator = Draft202012Validator(json.loads(file.read_bytes()), format_checker=FormatChecker())
    return lambda body: [error.message for error in validator.iter_errors(body)]
