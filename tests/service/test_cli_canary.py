"""`tocsin canary` against services on ports of this machine, signed and unsigned."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from service.memory.killswitch import FILE
from service.settings import Settings
from tests.service.pages.browser import served
from tests.service.terminal import tocsin
from tests.service.trust.signing import ec_key, jwks, rsa_key

Terminal = pytest.CaptureFixture[str]
PUBLIC = "https://cds.example.org"
ISSUER = "https://canary.example.org"


@pytest.fixture(scope="module")
def open_service() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    found = {"ES384": tmp_path / "ec.json", "RS384": tmp_path / "rsa.json"}
    found["ES384"].write_bytes(orjson.dumps(ec_key().as_dict(private=True)))
    found["RS384"].write_bytes(orjson.dumps(rsa_key().as_dict(private=True)))
    return found


def signed_service(folder: Path, **members: object) -> Settings:
    listed = {"id": "canary", "issuer": ISSUER, "jwks": jwks(ec_key(), rsa_key()), **members}
    (folder / "clients.yaml").write_text(json.dumps({"clients": [listed]}))
    return Settings(clients=folder / "clients.yaml", public_url=PUBLIC, state_dir=folder, log_level="error")


def test_all_right_is_told_and_ends_with_zero(open_service: str, capsys: Terminal) -> None:
    code, said, wrong = tocsin(capsys, "canary", "--url", open_service, "--budget-ms", "10000")
    assert (code, wrong) == (0, "")
    lines = said.splitlines()
    assert lines[0].split() == ["Patient", "Result", "Milliseconds", "What"]
    assert lines[1].split()[:2] == ["cord", "right"]
    assert lines[-1].endswith("6 of 6 right.")


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_calls_are_signed_for_a_service_that_wants_it(
    algorithm: str, keys: dict[str, Path], tmp_path: Path, capsys: Terminal
) -> None:
    with served(signed_service(tmp_path, canary=True)) as url:
        options = ("--issuer", ISSUER, "--audience", PUBLIC, "--budget-ms", "10000")
        signed = ("canary", "--url", url, "--client-key", str(keys[algorithm]), *options)
        assert tocsin(capsys, *signed)[0] == 0
        code, said, _ = tocsin(capsys, "canary", "--url", url, "--patient", "cord")
        assert code == 1
        assert "refused" in said
        assert "HTTP 401." in said


def test_json_and_metrics(open_service: str, tmp_path: Path, capsys: Terminal) -> None:
    file = tmp_path / "tocsin.prom"
    chosen = ("--patient", "quiet", "--patient", "cord", "--json", "--metrics", str(file), "--silent")
    code, said, _ = tocsin(capsys, "canary", "--url", open_service, "--budget-ms", "10000", *chosen)
    found = json.loads(said)
    assert (code, found["right"]) == (1, False)
    assert [(one["patient"], one["problem"]) for one in found["patients"]] == [
        ("cord", "wrong-cards"),
        ("quiet", ""),
    ]
    assert 'tocsin_canary_success{patient="cord"} 0.0' in file.read_text()


def test_a_kill_switch_is_named(tmp_path: Path, capsys: Terminal) -> None:
    (tmp_path / FILE).write_text("- {kind: service, who: J. Smith, why: a drill}\n")
    with served(Settings(auth=False, log_level="error", state_dir=tmp_path)) as url:
        code, said, _ = tocsin(capsys, "canary", "--url", url, "--patient", "cord", "--budget-ms", "10000")
    assert code == 1
    assert "wrong-cards" in said
    assert "The service warns: Switched off: service" in said


def test_it_goes_on_until_it_is_stopped(open_service: str, capsys: Terminal) -> None:
    handlers = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    stop = threading.Timer(2.5, os.kill, (os.getpid(), signal.SIGTERM))
    stop.start()
    try:
        began = time.monotonic()
        options = ("--every", "1s", "--patient", "quiet", "--json", "--budget-ms", "10000")
        code, said, _ = tocsin(capsys, "canary", "--url", open_service, *options)
    finally:
        stop.cancel()
        for name, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(name, handler)
    assert code == 0
    assert len(said.splitlines()) >= 2
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--patient", "nobody"), "No canary is called nobody. There are cord, cauda"),
        (("--issuer", "x"), "--issuer goes together with --client-key."),
        (("--client-key", "ec.json"), "--client-key goes together with --issuer"),
        (("--client-key", "absent.json", "--issuer", "x"), "--client-key cannot be read."),
        (("--client-key", "broken.json", "--issuer", "x"), "cannot be used: the key is not a JWK."),
        (("--every", "5"), "--every is written 30s, 5m or 1h."),
        (("--ca", "broken.json"), "--ca cannot be read as certificates in PEM."),
        (("--metrics", "nowhere/t.prom", "--patient", "quiet"), "--metrics cannot be written"),
    ],
)
def test_a_wrong_command_is_told(
    options: tuple[str, ...],
    said: str,
    keys: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Terminal,
) -> None:
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    code, _, wrong = tocsin(capsys, "canary", "--url", "http://127.0.0.1:1", *options)
    assert code == 2
    assert said in wrong


@pytest.mark.parametrize("url", ["http://[", "cds.example.org", "ftp://cds.example.org", "http://"])
def test_an_address_that_is_none(url: str, capsys: Terminal) -> None:
    code, _, wrong = tocsin(capsys, "canary", "--url", url)
    assert (code, wrong) == (2, "--url is no URL of http or https.\n")
