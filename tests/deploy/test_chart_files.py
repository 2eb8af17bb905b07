"""What the chart mounts, and that a change starts new pods where the service does not read it anew."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from rules.engine import bundled_root
from rules.engine.archive import Archive, assemble, pack
from service.canary import PROBES, Signature, probe_all
from service.packing import pack_rules
from service.signing import make_keys, read_private, read_public, sign
from tests.conftest import REPOSITORY
from tests.deploy.conftest import Tool
from tests.deploy.engine import call, free_port
from tests.deploy.rendering import (
    CANARY,
    ISSUER,
    PUBLIC_KEY,
    Values,
    environment,
    merged,
    of_kind,
    pod_of,
    refused,
    rendered,
)
from tests.service.trust.signing import ec_key, jwks

OTHER = "https://other.example.org"
SITE = {"schema_version": 1, "site": "example"}
ONE_OFF = {**SITE, "rules": {"failed-conservative-care": {"mode": "off"}}}
IN_CONFIGMAP = {"configMap": "tocsin-rules", "publicKeys": [PUBLIC_KEY]}
GIVEN: dict[str, Any] = {**CANARY, "site": SITE, "rules": IN_CONFIGMAP}
NO_RELOAD = {"settings": {"public_url": "https://cds.example.org", "reload_seconds": 0}}


def volume(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The source of a volume, which is mounted read-only and without subPath."""
    spec = pod_of(objects)["spec"]
    (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == name]
    assert mount["readOnly"] is True
    assert "subPath" not in mount
    (found,) = [one for one in spec["volumes"] if one["name"] == name]
    return {"at": mount["mountPath"], **found}


# -- the archive of rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ({"configMap": "tocsin-rules"}, {"configMap": {"name": "tocsin-rules"}}),
        (
            {"existingSecret": "tocsin-rules"},
            {"secret": {"secretName": "tocsin-rules", "defaultMode": 0o440}},
        ),
        (
            {"volume": {"persistentVolumeClaim": {"claimName": "rules", "readOnly": True}}},
            {"persistentVolumeClaim": {"claimName": "rules", "readOnly": True}},
        ),
    ],
    ids=["configMap", "existingSecret", "volume"],
)
def test_an_archive_may_be_in_three_places(
    helm: Tool, chart: Path, tmp_path: Path, place: Values, source: Values
) -> None:
    rules = {**place, "file": "approved.tar.gz", "publicKeys": [PUBLIC_KEY]}
    objects = rendered(helm, chart, tmp_path, {"rules": rules})
    assert volume(objects, "rules") == {"name": "rules", "at": "/etc/tocsin-rules", **source}
    env = environment(objects)
    assert env["TOCSIN_RULES_BUNDLE"] == "/etc/tocsin-rules/approved.tar.gz"
    assert env["TOCSIN_RULES_KEY"] == "/etc/tocsin/rules-1.pem"


def test_keys_are_files_the_service_reads(helm: Tool, chart: Path, tmp_path: Path) -> None:
    keys = [PUBLIC_KEY, f"\n{make_keys()[1].decode()}\n\n"]
    objects = rendered(helm, chart, tmp_path, {"rules": {**IN_CONFIGMAP, "publicKeys": keys}})
    paths = environment(objects)["TOCSIN_RULES_KEY"].split(",")
    assert volume(objects, "config")["at"] == "/etc/tocsin"
    data = of_kind(objects, "ConfigMap")["data"]
    assert sorted(Path(path).name for path in paths) == sorted(data.keys() - {"clients.yaml"})
    for path, key in zip(paths, keys, strict=True):
        file = tmp_path / Path(path).name
        file.write_text(data[file.name])
        given = tmp_path / "given.pem"
        given.write_text(key.strip())
        assert read_public(file) == read_public(given)


def test_without_an_archive_the_rules_of_the_image_count(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, {})
    assert not environment(objects).keys() & {"TOCSIN_RULES_BUNDLE", "TOCSIN_RULES_KEY", "TOCSIN_SITE"}
    assert "rules" not in [one["name"] for one in pod_of(objects)["spec"]["volumes"]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rules": {"configMap": "a"}}, "rules.publicKeys: an archive is taken only when one of these keys"),
        ({"rules": {"publicKeys": [PUBLIC_KEY]}}, "the public keys are for an archive; say where it is"),
        ({"rules": {**IN_CONFIGMAP, "existingSecret": "b"}}, "name one of configMap, existingSecret"),
        ({"rules": {**IN_CONFIGMAP, "volume": {"nfs": {}}}}, "name one of configMap, existingSecret"),
        ({"site": SITE, "siteConfigMap": "tocsin-site"}, "the site file comes from one of them"),
    ],
    ids=["no key", "no archive", "two places", "two others", "two site files"],
)
def test_files_that_contradict_each_other_are_refused(
    helm: Tool, chart: Path, tmp_path: Path, values: Values, said: str
) -> None:
    assert said in refused(helm, chart, tmp_path, values)


def test_a_configmap_of_the_site_s_own(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, {"siteConfigMap": "tocsin-site"})
    assert volume(objects, "site") == {
        "name": "site",
        "at": "/etc/tocsin-site",
        "configMap": {"name": "tocsin-site"},
    }
    assert environment(objects)["TOCSIN_SITE"] == "/etc/tocsin-site/site.yaml"
    assert "site.yaml" not in of_kind(objects, "ConfigMap")["data"]


# -- which change starts new pods ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "restarts"),
    [
        ({"site": ONE_OFF}, False),
        ({"rules": {"publicKeys": [make_keys()[1].decode()]}}, False),
        ({"networkPolicy": {"egressPorts": [443]}}, False),
        ({"canary": {"budgetMs": 500}}, False),
        ({"rules": {"publicKeys": [PUBLIC_KEY, make_keys()[1].decode()]}}, True),
        ({"clients": {"clients": CANARY["clients"]["clients"][1:]}}, True),
        ({"settings": {"public_url": "https://cds.example.org", "timezone": "Europe/London"}}, True),
        ({"site": None}, True),
        ({"image": {"tag": "0.1.1"}}, True),
        ({"caBundle": {"configMap": "hospital-ca"}}, True),
    ],
    ids=[
        "site",
        "another key",
        "network",
        "canary",
        "one key more",
        "clients",
        "settings",
        "no site",
        "image",
        "authorities",
    ],
)
def test_pods_start_anew_only_for_what_is_read_once(
    helm: Tool, chart: Path, tmp_path: Path, over: Values, restarts: bool
) -> None:
    before, after = (pod_of(rendered(helm, chart, tmp_path, one)) for one in (GIVEN, merged(GIVEN, over)))
    assert (before != after) is restarts


@pytest.mark.parametrize(
    "over", [{"site": ONE_OFF}, {"rules": {"publicKeys": [make_keys()[1].decode()]}}], ids=["site", "key"]
)
def test_where_nothing_is_read_anew_every_change_starts_new_pods(
    helm: Tool, chart: Path, tmp_path: Path, over: Values
) -> None:
    given = merged(GIVEN, NO_RELOAD)
    before, after = (pod_of(rendered(helm, chart, tmp_path, one)) for one in (given, merged(given, over)))
    assert before != after


class Mounted:
    """A folder as Kubernetes fills it from a ConfigMap or a Secret: a change exchanges one link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)

    def fill(self, files: Mapping[str, bytes]) -> None:
        content = self._folder / f"..{uuid.uuid4().hex}"
        content.mkdir()
        for name, data in files.items():
            (content / name).write_bytes(data)
            if not (self._folder / name).is_symlink():
                (self._folder / name).symlink_to(f"..data/{name}")
        link = self._folder / "..new"
        link.symlink_to(content.name)
        os.replace(link, self._folder / "..data")


def wait(ready: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ready():
            return True
        time.sleep(0.1)
    return False


@contextmanager
def running(env: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The service under the variables of the pod, with its folders below this one. Gives its address."""
    port = free_port()
    placed = {
        name: value.replace("/etc/", f"{folder}/etc/").replace("/var/lib/", f"{folder}/")
        for name, value in env.items()
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    placed |= {"TOCSIN_HOST": "127.0.0.1", "TOCSIN_PORT": str(port), "TOCSIN_LOG_LEVEL": "error"}
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=kept | placed, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait(lambda: call(f"{url}/readyz")[0] == 200, 60.0)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def signed(archive: Archive, private: bytes, folder: Path) -> bytes:
    key = folder / "private.pem"
    key.write_bytes(private)
    return pack(msgspec.structs.replace(archive, signature=sign(read_private(key), archive.manifest_bytes)))


def approved_later(archive: Archive) -> Archive:
    """The same rules in another archive."""
    manifest = archive.manifest
    return assemble(
        archive.files,
        version=manifest.version,
        digest=manifest.digest,
        at_least=manifest.at_least,
        below=manifest.below,
        created="2027-01-01T00:00:00Z",
    )


def is_known(url: str, issuer: str) -> bool:
    """Whether a call signed with the key of the canary, or of the client that came later, is answered."""
    key = ec_key() if issuer == ISSUER else ec_key("later")
    signature = Signature(json.dumps(key.as_dict(private=True)).encode(), issuer, "https://cds.example.org")
    with httpx.Client(base_url=url) as client:
        (seen,) = probe_all(
            client, PROBES[-1:], today=datetime.now(UTC).date(), budget_s=10.0, signature=signature
        )
    return seen.problem != "refused"


def test_what_the_chart_holds_to_be_read_anew_is_and_the_rest_is_not(
    helm: Tool, chart: Path, tmp_path: Path
) -> None:
    private, public = make_keys()
    first = pack_rules(bundled_root(), None, "")
    settings = {"public_url": "https://cds.example.org", "reload_seconds": 1}
    given = merged(GIVEN, {"rules": {"publicKeys": [public.decode()]}, "settings": settings})
    config, rules = Mounted(tmp_path / "etc/tocsin"), Mounted(tmp_path / "etc/tocsin-rules")
    (tmp_path / "tocsin").mkdir()

    def change(over: Values) -> dict[str, str]:
        """As `helm upgrade` does, where pods go on running: the ConfigMap alone is exchanged."""
        objects = rendered(helm, chart, tmp_path, merged(given, over))
        config.fill({name: text.encode() for name, text in of_kind(objects, "ConfigMap")["data"].items()})
        return environment(objects)

    env = change({})
    rules.fill({"rules.tar.gz": signed(first, private, tmp_path)})
    later = {"id": "later", "issuer": OTHER, "jwks": jwks(ec_key("later")), "canary": True}
    changed = {"site": ONE_OFF, "clients": {"clients": [*CANARY["clients"]["clients"], later]}}
    with running(env, tmp_path) as url:

        def bundle() -> dict[str, str]:
            return dict(call(f"{url}/readyz")[1]["bundle"])

        before = bundle()
        assert before["archive"] == first.digest
        assert is_known(url, ISSUER)
        change(changed)
        assert wait(lambda: bundle()["digest"] != before["digest"])
        assert not is_known(url, OTHER)

        second = approved_later(first)
        rules.fill({"rules.tar.gz": signed(second, private, tmp_path)})
        assert wait(lambda: bundle()["archive"] == second.digest)

        change({**changed, "rules": {"publicKeys": [make_keys()[1].decode()]}})
        assert wait(lambda: "bundle-signature-wrong" in str(call(f"{url}/readyz")[1]["warnings"]))
        assert bundle()["archive"] == second.digest
        assert is_known(url, ISSUER)
    change(changed)
    with running(env, tmp_path) as url:
        assert is_known(url, OTHER)
