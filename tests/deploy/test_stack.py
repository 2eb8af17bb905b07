"""The compose file, up: TLS, signed calls that reach the database and outlive a restart, Prometheus."""

import json
import re
import shutil
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import demo_call, tool_named
from tests.deploy.engine import IMAGE, Engine, call, free_port
from tests.service.trust.signing import ISSUER, JKU, ec_key, jwks, signed

PATH = "/cds-services/red-flags"


@dataclass(frozen=True)
class Stack:
    """The compose file of a copy of deploy/, brought up with images that stand in for the public ones."""

    engine: Engine
    folder: Path
    https: int
    prometheus: int

    @property
    def base(self) -> str:
        return f"https://localhost:{self.https}"

    def ask(self, path: str, body: Mapping[str, Any] | None = None, token: str = "") -> tuple[int, bytes]:
        """Status and body of an answer through Caddy. Its certificate is of an authority of its own."""
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection("localhost", self.https, timeout=20, context=unchecked)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        method = "GET" if body is None else "POST"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def signed(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """The same with a token of the client, made for this call."""
        now = int(time.time())
        sound = {"iss": ISSUER, "aud": f"{self.base}{PATH}", "iat": now, "exp": now + 240}
        token = signed({**sound, "jti": str(uuid.uuid4())}).decode()
        status, text = self.ask(path, body, token)
        return status, json.loads(text)

    def up(self) -> None:
        self.engine.compose(self.folder, "up", "--detach")
        if not self.engine.wait(self._ready, 90):
            raise RuntimeError(self.engine.compose(self.folder, "logs", "--tail=20", "tocsin"))

    def _ready(self) -> bool:
        try:
            return self.ask("/cds-services")[0] == 200
        except OSError:
            return False

    def inside(self, *command: str) -> str:
        return self.engine.inside(f"{self.folder.parent.name}_tocsin_1", *command)

    def counts(self) -> dict[str, int]:
        """Rows of each table, as the service's own account sees them."""
        lines = self.inside("python", "-c", COUNT).splitlines()
        return {name: int(number) for name, number in (line.split() for line in lines)}


COUNT = """
import pathlib, psycopg
url = pathlib.Path("/run/secrets/tocsin_database_url").read_text()
with psycopg.connect(url) as connection:
    for table in ("calls", "cards", "feedback", "answers"):
        print(table, connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
"""


@pytest.fixture(scope="module")
def stack(connected: Engine, deploy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tool_named("podman-compose")
    copy = tmp_path_factory.mktemp("stack") / f"tocsin-test-{free_port()}"
    shutil.copytree(deploy, copy, ignore=shutil.ignore_patterns("secrets", ".env"))
    folder = copy / "compose"
    engine = connected
    stack = Stack(engine, folder, free_port(), free_port())
    others = engine.build_others()
    variables = {
        "SERVICE_IMAGE": IMAGE,
        **others,
        "HTTPS_PORT": stack.https,
        "PROMETHEUS_PORT": stack.prometheus,
        "PUBLIC_URL": stack.base,
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    client = {"id": "test-ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(ec_key())}
    (folder / "clients.yaml").write_text(yaml.safe_dump({"clients": [client]}))
    engine.run("sh", str(folder / "secrets.sh"))
    try:
        stack.up()
        yield stack
    finally:
        engine.compose(folder, "down", "--volumes")
        engine.forget(*others.values())


def test_tls_leads_to_the_hooks_and_to_nothing_else(stack: Stack) -> None:
    status, text = stack.ask("/cds-services")
    assert status == 200
    assert json.loads(text)["services"]
    for path in ("/metrics", "/readyz", "/docs", "/decisions/explain", "/switches"):
        assert stack.ask(path)[0] == 404, path
    assert stack.ask(PATH, demo_call()) == (401, b"")


def test_calls_and_feedback_outlive_a_restart(stack: Stack) -> None:
    status, answer = stack.signed(PATH, demo_call())
    assert status == 200, answer
    feedback = {"card": answer["cards"][0]["uuid"], "outcome": "accepted", "acceptedSuggestions": []}
    feedback["outcomeTimestamp"] = "2026-11-23T12:00:00Z"
    assert stack.signed(f"{PATH}/feedback", {"feedback": [feedback]}) == (200, {})
    recorded = {"calls": 1, "feedback": 1}
    assert stack.engine.wait(lambda: recorded.items() <= stack.counts().items(), 20), stack.counts()
    before = stack.counts()
    stack.engine.compose(stack.folder, "down")
    stack.up()
    assert stack.counts() == before
    assert re.search(
        r"^Level \d+, 1 calls, 0 problems\.$", stack.inside("tocsin", "db", "check"), re.MULTILINE
    )


def test_prometheus_scrapes_the_service_and_has_loaded_the_rules(stack: Stack) -> None:
    api = f"http://127.0.0.1:{stack.prometheus}/api/v1"

    def healthy() -> bool:
        status, found = call(f"{api}/targets")
        return status == 200 and [one["health"] for one in found["data"]["activeTargets"]] == ["up"]

    assert stack.engine.wait(healthy, 60)
    _, found = call(f"{api}/rules")
    rules = [rule for group in found["data"]["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    text = (stack.folder.parent / "observability/alerts.yaml").read_text("utf-8")
    written = {
        rule["alert"]
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == written
    _, found = call(f"{api}/query?query=tocsin_build_info")
    assert len(found["data"]["result"]) == 1
