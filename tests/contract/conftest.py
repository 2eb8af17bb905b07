"""One application for all contract tests, with a caller."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator, FormatChecker

from tests.contract.corpus import Faults, client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def caller() -> AsyncIterator[httpx.AsyncClient]:
    """A caller of an application with default settings and without authentication."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
            patch.delenv(name)
        async with client() as opened:
            yield opened


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
