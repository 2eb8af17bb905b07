"""New rules while serving: taken whole and at once, or refused with the last good ones answering."""

import asyncio
import datetime as dt
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from rules.engine.archive import Archive, pack
from service import app as application
from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.refusals import FAULT
from service.reload import Reloader, Stamps, stamps_of
from service.settings import Settings
from tests.rules.bundles import bundled
from tests.service.archives import SITE_TEXT, plain, public_key, signed, with_site, written
from tests.service.calls import call_body
from tests.service.facts import codes
from tests.service.facts.build import Json, bundle, condition, patient

HOOK = "/cds-services/red-flags"
CALL: Json = call_body(
    {
        "patient": patient(),
        "conditions": bundle(
            condition(codes.LOW_BACK_PAIN, onset=21), condition(codes.BREAST_CANCER, onset=2200)
        ),
    }
)


class Site:
    """A service over HTTP whose rules come from a signed archive."""

    def __init__(self, file: Path, settings: Settings, client: httpx.AsyncClient, reloader: Reloader) -> None:
        self.file = file
        self.settings = settings
        self.client = client
        self.reloader = reloader

    def put(self, content: bytes) -> None:
        draft = self.file.with_name("draft")
        draft.write_bytes(content)
        os.replace(draft, self.file)

    async def look(self, content: bytes | Archive) -> str:
        """Put a file there and look at it: the code of the refusal, or nothing."""
        self.put(content if isinstance(content, bytes) else pack(content))
        await self.reloader.look()
        refusal = self.reloader.desk.reloads.refusal
        return refusal.code if refusal is not None else ""

    async def cards(self) -> int:
        reply = await self.client.post(HOOK, json=CALL)
        assert reply.status_code == 200, reply.text
        return len(reply.json()["cards"])

    async def ready(self) -> Any:
        return (await self.client.get("/readyz")).json()

    async def metrics(self) -> dict[str, float]:
        text = (await self.client.get("/metrics")).text
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("tocsin_rules_")]
        return {name: float(value) for name, _, value in lines}


@pytest_asyncio.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    made: list[Reloader] = []

    class Quick(Reloader):
        def __init__(self, desk: Desk, seen: Stamps) -> None:
            super().__init__(desk, seen, rest_s=0.0)
            made.append(self)

    monkeypatch.setattr(application, "Reloader", Quick)
    file = written(tmp_path, signed(plain()))
    settings = Settings(auth=False, rules_bundle=file, rules_key=(public_key(tmp_path),), log_level="error")
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Site(file, settings, client, made[0])
    await made[0].desk.aclose()


# -- over HTTP ---------------------------------------------------------------------------------------


async def test_new_rules_are_taken_and_everything_follows_them(site: Site) -> None:
    before = await site.ready()
    assert (before["bundle"]["file"], before["bundle"]["archive"]) == ("rules.tar.gz", plain().digest)
    assert await site.cards() == 1
    assert await site.look(signed(with_site())) == ""
    # The rule that had its say is off in the site file of the new archive.
    assert await site.cards() == 0
    after = await site.ready()
    assert after["bundle"]["archive"] == with_site().digest != before["bundle"]["archive"]
    assert after["bundle"]["digest"] != before["bundle"]["digest"]
    assert after["bundle"]["signed_by"] == before["bundle"]["signed_by"] != ""
    for path in ("/status", "/rules", "/docs", "/source-attributes.json"):
        assert (await site.client.get(path)).status_code == 200
    assert after["bundle"]["digest"] in (await site.client.get("/status")).text
    assert after["bundle"]["digest"] in (await site.client.get("/docs")).text
    explained = (await site.client.post("/decisions/explain", json=CALL)).json()
    assert after["bundle"]["digest"] in orjson.dumps(explained).decode()
    counted = await site.metrics()
    assert counted['tocsin_rules_reloads_total{result="loaded"}'] == 1
    in_use = {name: value for name, value in counted.items() if name.startswith("tocsin_rules_bundle_info")}
    assert sorted(in_use.values()) == [0, 1]
    assert [after["bundle"]["digest"] in name for name, value in in_use.items() if value] == [True]


def bit_flipped() -> bytes:
    content = bytearray(pack(signed(with_site())))
    content[len(content) // 2] ^= 1
    return bytes(content)


def other_content() -> Archive:
    """The signature of one archive on the content of another."""
    return plain().signed(signed(with_site()).signature)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (bit_flipped, "bundle-damaged"),
        (other_content, "bundle-signature-wrong"),
        (lambda: signed(with_site(), "theirs"), "bundle-signature-wrong"),
        (with_site, "bundle-unsigned"),
        (lambda: pack(signed(with_site()))[:50_000], "bundle-cut-short"),
        (lambda: b"", "bundle-not-archive"),
    ],
)
async def test_what_is_bad_is_refused_and_the_last_good_rules_answer(
    site: Site, bad: Callable[[], bytes | Archive], code: str
) -> None:
    assert await site.look(bad()) == code
    assert await site.cards() == 1
    ready = await site.ready()
    assert ready["status"] == "ready"
    assert ready["bundle"]["archive"] == plain().digest
    warning = ready["warnings"][0]
    assert warning.startswith(f"{code}: new rules are refused since 20")
    assert "rules.tar.gz: " in warning
    assert str(site.file.parent) not in warning
    assert code in (await site.client.get("/status")).text
    counted = await site.metrics()
    assert counted['tocsin_rules_reloads_total{result="refused"}'] == 1
    assert counted["tocsin_rules_last_reload_successful"] == 0
    # The next good one ends it.
    assert await site.look(signed(with_site())) == ""
    assert await site.cards() == 0
    assert (await site.metrics())["tocsin_rules_last_reload_successful"] == 1
    assert code not in str((await site.ready())["warnings"])


async def test_a_refusal_tells_since_when_the_first_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.reload.time.time", lambda: 1_795_000_000.0)
    await site.look(b"")
    monkeypatch.setattr("service.reload.time.time", lambda: 1_795_009_999.0)
    assert await site.look(with_site()) == "bundle-unsigned"
    assert "since 2026-11-18T11:06:40+00:00" in (await site.ready())["warnings"][0]


async def test_a_file_that_is_gone_changes_nothing_until_it_is_back(site: Site) -> None:
    site.file.unlink()
    await site.reloader.look()
    assert (await site.ready())["warnings"][0].startswith("bundle-unreadable: ")
    assert await site.cards() == 1
    assert await site.look(signed(plain())) == ""


async def test_a_call_under_way_ends_with_the_rules_it_began_with(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    gather = Desk._gather

    async def slow(self: Desk, *given: Any) -> Any:
        reached.set()
        await go_on.wait()
        return await gather(self, *given)

    monkeypatch.setattr(Desk, "_gather", slow)
    early = asyncio.create_task(site.cards())
    await reached.wait()
    assert await site.look(signed(with_site())) == ""
    go_on.set()
    assert await early == 1
    assert await site.cards() == 0


async def test_no_call_fails_while_rules_are_exchanged(site: Site) -> None:
    answers: list[int] = []
    done = asyncio.Event()

    async def keep_calling() -> None:
        while not done.is_set():
            answers.append(await site.cards())
            await asyncio.sleep(0)

    callers = [asyncio.create_task(keep_calling()) for _ in range(3)]
    for number in range(4):
        await site.look(signed(with_site() if number % 2 == 0 else plain()))
    done.set()
    await asyncio.gather(*callers)
    assert set(answers) == {0, 1}


async def test_decisions_are_recorded_with_the_digest_they_were_made_by(site: Site) -> None:
    await site.cards()
    await site.look(signed(with_site()))
    await site.cards()
    memory = site.reloader.desk.memory
    assert await memory.settle(5.0)
    with memory.store.reading() as cursor:
        cursor.execute("SELECT bundle FROM calls ORDER BY at")
        kept = [row[0] for row in cursor.fetchall()]
    assert len(set(kept)) == 2
    assert kept[1] == (await site.ready())["bundle"]["digest"]


# -- the files ---------------------------------------------------------------------------------------


Loads = Callable[[Settings, dt.date], Knowledge]


@pytest_asyncio.fixture
async def over_site_file(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Reloader]]]:
    opened: list[Desk] = []

    async def make(text: str = "schema_version: 1\nsite: one\n", **options: Any) -> Reloader:
        file = tmp_path / "site.yaml"
        file.write_text(text)
        settings = Settings(auth=False, site=file, **options.pop("settings", {}))
        seen = stamps_of(settings)
        desk = Desk(settings, Knowledge.load(settings, dt.date(2026, 11, 25)))
        opened.append(desk)
        return Reloader(desk, seen, rest_s=0.0, **options)

    yield make
    for desk in opened:
        await desk.aclose()


Make = Callable[..., Awaitable[Reloader]]


async def test_a_site_file_is_watched_where_a_link_leads(over_site_file: Make, tmp_path: Path) -> None:
    """As Kubernetes exchanges a ConfigMap: the folder behind a link is another one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "site.yaml").write_text(f"schema_version: 1\nsite: {name}\n")
    (tmp_path / "data").symlink_to("one")
    settings = Settings(auth=False, site=tmp_path / "data" / "site.yaml")
    seen = stamps_of(settings)
    desk = Desk(settings, Knowledge.load(settings, dt.date(2026, 11, 25)))
    reloader = Reloader(desk, seen, rest_s=0.0)
    await reloader.look()
    assert reloader.desk is desk
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "data")
    await reloader.look()
    assert reloader.desk.knowledge.bundle.overlay.site == "two"
    await desk.aclose()


async def test_a_broken_site_file_is_refused_with_its_place(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file()
    (tmp_path / "site.yaml").write_text("schema_version: 1\n")
    await reloader.look()
    refusal = reloader.desk.reloads.refusal
    assert refusal is not None
    assert (refusal.code, refusal.says) == ("rules-broken", "site.yaml:1: R002.")
    assert reloader.desk.knowledge.bundle.overlay.site == "one"


async def test_a_fault_of_ours_is_a_refusal_too(
    over_site_file: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(settings: Settings, today: dt.date) -> Knowledge:
        raise KeyError("Xyzzyplugh")

    reloader = await over_site_file(load=fails)
    (tmp_path / "site.yaml").write_text(SITE_TEXT)
    await reloader.look()
    refusal = reloader.desk.reloads.refusal
    assert refusal is not None
    assert refusal.code == FAULT
    assert "Xyzzyplugh" not in str(refusal)


async def test_a_file_is_read_when_it_is_no_longer_written(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file()
    file = tmp_path / "site.yaml"
    file.write_text("schema_version: 1\n")
    waits = []

    async def write_on(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            file.write_text("schema_version: 1\nsite: whole\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.reload.asyncio.sleep", write_on)
        await reloader.look()
    assert len(waits) == 2
    assert reloader.desk.knowledge.bundle.overlay.site == "whole"


async def test_a_file_that_never_rests_is_read_all_the_same(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file()
    file = tmp_path / "site.yaml"
    count = 0

    async def write_on(seconds: float) -> None:
        nonlocal count
        count += 1
        file.write_text(f"schema_version: 1\nsite: number {'x' * count}\n")

    file.write_text("schema_version: 1\nsite: new\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.reload.asyncio.sleep", write_on)
        await reloader.look()
    assert count == 20
    assert reloader.desk.knowledge.bundle.overlay.site.startswith("number")


async def test_the_daily_look_at_trials_follows_the_rules(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file()
    rule = "missing-baseline-bloods: {mode: silent, until: '2026-01-01'}"
    (tmp_path / "site.yaml").write_text(f"schema_version: 1\nsite: two\nrules: {{{rule}}}\n")
    await reloader.look()
    assert reloader.desk.memory._daily == reloader.desk._tell_overdue


# -- watching ----------------------------------------------------------------------------------------


async def until(held: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not held():
            await asyncio.sleep(0.02)


async def test_a_change_is_seen_without_being_told(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file(settings={"reload_seconds": 1})
    async with reloader.watching():
        (tmp_path / "site.yaml").write_text("schema_version: 1\nsite: seen\n")
        await until(lambda: reloader.desk.knowledge.bundle.overlay.site == "seen")


async def test_with_0_only_the_signal_counts(over_site_file: Make, tmp_path: Path) -> None:
    reloader = await over_site_file(settings={"reload_seconds": 0})
    async with reloader.watching():
        (tmp_path / "site.yaml").write_text("schema_version: 1\nsite: asked\n")
        await asyncio.sleep(0.1)
        assert reloader.desk.knowledge.bundle.overlay.site == "one"
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: reloader.desk.knowledge.bundle.overlay.site == "asked")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_the_signal_loads_again_though_nothing_has_changed() -> None:
    desk = Desk(Settings(auth=False), Knowledge.load(Settings(auth=False), dt.date(2026, 11, 25)))
    reloader = Reloader(desk, (), rest_s=0.0)
    async with reloader.watching():
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: reloader.desk is not desk)
    assert reloader.desk.knowledge.bundle.digest == bundled().digest
    await desk.aclose()


async def test_when_the_terminal_is_gone_the_server_is_asked_to_stop(
    over_site_file: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloader = await over_site_file()
    sent: list[int] = []
    monkeypatch.setattr("service.reload.signal.raise_signal", sent.append)
    monkeypatch.setattr(reloader._hangup, "ends", lambda: True)
    reloader._hung_up()
    assert sent == [signal.SIGTERM]


def test_in_a_thread_no_signal_is_heard(tmp_path: Path) -> None:
    settings = Settings(auth=False)
    heard: list[bool] = []

    async def run() -> None:
        desk = Desk(settings, Knowledge.load(settings, dt.date(2026, 11, 25)))
        async with Reloader(desk, ()).watching():
            heard.append(signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL)
        await desk.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    assert heard == [False]
