"""`tocsin doctor` looks at a store of each kind without changing it."""

import datetime as dt
import ssl
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr

from service.doctor_local import check_database
from service.doctor_scene import Dates, Finding, Scene
from service.memory.store import Store
from service.settings import Settings
from service.trust import Clients
from service.wire import Wire
from tests.service.memory.conftest import store_at

Look = Callable[[], list[Finding]]


@pytest.fixture
def look(store_url: str) -> Look:
    dates = Dates(httpx.AsyncHTTPTransport())
    scene = Scene(
        settings=Settings(auth=False, database_url=SecretStr(store_url), patient_key=SecretStr("k" * 32)),
        problems=(),
        clients=Clients(()),
        wire=Wire(dates),
        dates=dates,
        tls=ssl.create_default_context(),
        now=dt.datetime.now(dt.UTC),
        token=b"",
        offline=True,
    )
    return lambda: check_database(scene)


def test_a_store_before_and_after_its_schema_is_made(store_url: str, look: Look) -> None:
    (before,) = look()
    (again,) = look()
    assert before == again
    store: Store = store_at(store_url)
    store.open()
    store.close()
    (after,) = look()
    assert after.state == "ok"
    if store_url != "memory:":
        assert before.says != after.says
        assert "its schema is current" in after.says
