"""One application for the tests that need no other, with a caller."""

import os
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.contract.corpus import client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def caller() -> AsyncIterator[httpx.AsyncClient]:
    """A caller of an application with default settings and without authentication."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
            patch.delenv(name)
        async with client() as opened:
            yield opened
