"""The Helm chart: its schema is the settings table's, and what it renders is what the service needs."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import jsonschema
import pytest
import yaml

from service import __version__
from service.settings import table
from tests.deploy.conftest import Tool, failed_checks
from tests.deploy.engine import IMAGE, Engine, call
from tests.deploy.rendering import (
    CANARY,
    FULL,
    Values,
    environment,
    merged,
    of_kind,
    pod_of,
    refused,
    rendered,
    template,
    written,
)
from tests.deploy.values_schema import OF_THE_CHART, SECRET, schema_text
from tests.files import globbed
from tests.service.trust.signing import ec_key

WRONG: dict[str, dict[str, Any]] = {
    "an unknown value": {"replicaCount": 2},
    "an unknown setting": {"settings": {"public_url": "https://cds.example.org", "budget": 500}},
    "a number as text": {"settings": {"public_url": "https://cds.example.org", "budget_ms": "500"}},
    "a number out of bounds": {"settings": {"public_url": "https://cds.example.org", "budget_ms": 10}},
    "a word that is not offered": {
        "settings": {"public_url": "https://cds.example.org", "log_level": "loud"}
    },
    "a bare on, which YAML reads as true": {
        "settings": {"public_url": "https://cds.example.org", "explain": True}
    },
    "a secret in the open": {"settings": {"public_url": "https://cds.example.org", "patient_key": "x" * 32}},
    "a profile of one's own": {"settings": {"public_url": "https://cds.example.org", "profile": "sandbox"}},
    "a secret that is none": {"secrets": {"keys": ["budget_ms"]}},
    "a digest that is none": {"image": {"digest": "sha256:123"}},
    "no client": {"clients": {"clients": []}},
    "no worker": {"workers": 0},
    "a setting that files are mounted for": {
        "settings": {
            "public_url": "https://cds.example.org",
            "rules_bundle": "/etc/tocsin-rules/rules.tar.gz",
        }
    },
    "an archive in a folder of its own": {"rules": {"file": "2026/rules.tar.gz"}},
    "a private key where a public one belongs": {
        "rules": {"publicKeys": ["-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"]}
    },
    "the name of a file where a key belongs": {"rules": {"publicKeys": ["tocsin-rules.pem"]}},
    "a volume of two kinds": {"rules": {"volume": {"nfs": {}, "persistentVolumeClaim": {}}}},
    "root": {"runAsUser": 0},
    "a canary nobody has heard of": {"canary": {"patients": ["nobody"]}},
    "a canary of a place that is no URL": {"canary": {"url": "cds.example.org"}},
    "a canary without patience": {"canary": {"budgetMs": 0}},
    "no DNS": {"networkPolicy": {"dnsPorts": []}},
    "a port too high": {"networkPolicy": {"egressPorts": [70000]}},
}

# What the scan finds and why it stays:
#   CKV_K8S_11  no CPU limit: it throttles a pod in the middle of a call, and answers have a time limit
#   CKV_K8S_21  no namespace: helm install --namespace gives it
# and, as long as values name no digest, which only a site's own registry has (image.digest):
#   CKV_K8S_15  the image is not pulled at each start: the tag of a release is never moved
#   CKV_K8S_43  a tag
OF_A_TAG = {"CKV_K8S_15", "CKV_K8S_43"}
ARGUED = {"CKV_K8S_11", "CKV_K8S_21"} | OF_A_TAG


@pytest.fixture(scope="module")
def values(chart: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((chart / "values.yaml").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def schema(chart: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((chart / "values.schema.json").read_text("utf-8"))
    return found


def test_the_schema_is_current(chart: Path) -> None:
    written = (chart / "values.schema.json").read_text("utf-8")
    assert written == schema_text(), "run: python -m tests.deploy.values_schema"


def test_every_setting_has_exactly_one_place(schema: dict[str, Any]) -> None:
    offered = schema["properties"]["settings"]["properties"].keys()
    fields = [row.field for row in table()]
    assert sorted([*offered, *OF_THE_CHART, *SECRET]) == sorted(fields)
    masked = {row.field for row in table() if row.type == "secret"}
    assert set(SECRET) == masked


def test_the_default_values_fit(schema: dict[str, Any], values: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema, jsonschema.Draft7Validator)
    jsonschema.validate(merged(values, FULL), schema, jsonschema.Draft7Validator)


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_are_refused(schema: dict[str, Any], values: dict[str, Any], what: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(values, WRONG[what]), schema, jsonschema.Draft7Validator)


@pytest.mark.parametrize("what", WRONG)
def test_helm_refuses_wrong_values(helm: Tool, chart: Path, tmp_path: Path, what: str) -> None:
    done = template(helm, chart, tmp_path, WRONG[what])
    assert done.returncode != 0
    assert "schema" in done.stderr


def test_templates_use_only_values_that_exist(chart: Path, values: dict[str, Any]) -> None:
    for path in globbed(chart / "templates", "*"):
        for name in re.findall(r"\.Values\.([\w.]+)", path.read_text("utf-8")):
            found: Any = values
            for part in name.split("."):
                assert part in found, f"{path.name} reads {name}"
                found = found[part]


def test_what_the_templates_set_is_a_setting(chart: Path) -> None:
    text = (chart / "templates/deployment.yaml").read_text("utf-8")
    named = set(re.findall(r"\{name: TOCSIN_([A-Z_]+),", text))
    assert named
    assert {name.lower() for name in named} <= set(OF_THE_CHART)


def test_the_version_is_the_program_s(chart: Path) -> None:
    assert yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))["appVersion"] == __version__


@pytest.mark.parametrize("given", [{}, FULL], ids=["default", "full"])
def test_lint_finds_nothing(helm: Tool, chart: Path, tmp_path: Path, given: Values) -> None:
    done = helm("lint", "--strict", str(chart), "--values", str(written(tmp_path, given)))
    assert done.returncode == 0, done.stdout


def test_the_pod_is_restricted(helm: Tool, chart: Path, tmp_path: Path) -> None:
    pod = pod_of(rendered(helm, chart, tmp_path, {}))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("subPath" in mount for mount in container["volumeMounts"])
    drain = 30
    assert pod["terminationGracePeriodSeconds"] > 5 + drain


def test_full_values_reach_the_pod(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, FULL)
    assert of_kind(objects, "Deployment")["spec"]["replicas"] == 3
    pod = pod_of(objects)["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example/tocsin@sha256:{'0' * 64}"
    env = environment(objects)
    assert env["TOCSIN_CORS_ORIGINS"] == "https://a.example.org,https://b.example.org"
    assert env["TOCSIN_MAX_BODY_BYTES"] == "16777216"
    assert env["TOCSIN_CRITICAL_RULES"] == "off"
    assert env["TOCSIN_SITE"] == "/etc/tocsin/site.yaml"
    assert env.keys() <= {row.name for row in table()} | {"SSL_CERT_FILE"}
    secret = next(one["secret"] for one in pod["volumes"] if one["name"] == "secrets")
    assert {item["path"] for item in secret["items"]} == {f"tocsin_{name}" for name in SECRET}
    config = of_kind(objects, "ConfigMap")["data"]
    assert yaml.safe_load(config["site.yaml"]) == {"schema_version": 1, "site": "example"}
    paths = of_kind(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert [one["path"] for one in paths] == ["/cds-services"]
    assert "HorizontalPodAutoscaler" not in {one["kind"] for one in objects}
    policy = of_kind(objects, "NetworkPolicy", "t-tocsin")["spec"]
    assert policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]


def test_an_ingress_without_tls_is_refused(helm: Tool, chart: Path, tmp_path: Path) -> None:
    assert "needs TLS" in refused(helm, chart, tmp_path, {"ingress": {"enabled": True}})


def test_a_key_that_yaml_has_spoilt_is_refused(helm: Tool, chart: Path, tmp_path: Path) -> None:
    key = dict(ec_key().as_dict(private=False))
    clients = [{"id": "ehr", "issuer": "https://ehr.example.org", "jwks": {"keys": [key]}}]
    assert template(helm, chart, tmp_path, {"clients": {"clients": clients}}).returncode == 0
    key["true"] = key.pop("y")
    assert 'write "y"' in refused(helm, chart, tmp_path, {"clients": {"clients": clients}})


def test_a_platform_may_choose_the_user(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, {**CANARY, "runAsUser": None})
    for kind in ("Deployment", "CronJob"):
        said = pod_of(objects, kind)["spec"]["securityContext"]
        assert said["runAsNonRoot"] is True
        assert not said.keys() & {"runAsUser", "runAsGroup", "fsGroup"}


def test_own_authorities_are_where_python_looks(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, FULL)
    for kind in ("Deployment", "CronJob"):
        spec = pod_of(objects, kind)["spec"]
        (container,) = spec["containers"]
        assert {"name": "SSL_CERT_FILE", "value": "/etc/tocsin-ca/ca-bundle.pem"} in container["env"]
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "ca"]
        assert mount["mountPath"] == "/etc/tocsin-ca"
        assert {"name": "ca", "configMap": {"name": "hospital-ca"}} in spec["volumes"]


def test_prometheus_finds_the_service_under_the_job_of_the_alerts(
    helm: Tool, chart: Path, tmp_path: Path, deploy: Path
) -> None:
    objects = rendered(helm, chart, tmp_path, FULL)
    monitor = of_kind(objects, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    service = of_kind(objects, "Service")
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    alerts = (deploy / "observability/alerts.yaml").read_text("utf-8")
    assert f'job="{labels[monitor["spec"]["jobLabel"]]}"' in alerts
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("given", [{}, FULL], ids=["default", "full"])
def test_kubernetes_knows_every_field(helm: Tool, chart: Path, tmp_path: Path, given: Values) -> None:
    program = shutil.which("kubernetes-validate")
    if program is None:
        pytest.skip("needs kubernetes-validate, which is not installed here")
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(rendered(helm, chart, tmp_path, given)))
    command = [program, "--kubernetes-version", "1.33.0", "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("given", [{}, FULL], ids=["default", "full"])
def test_a_scan_finds_only_what_is_argued(
    helm: Tool, checkov: Tool, chart: Path, tmp_path: Path, given: Values
) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(rendered(helm, chart, tmp_path, given)))
    found = failed_checks(checkov, "kubernetes", file)
    assert found == (ARGUED - OF_A_TAG if given else ARGUED)


def test_a_scan_finds_a_privileged_pod(helm: Tool, checkov: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, {})
    pod_of(objects)["spec"]["containers"][0]["securityContext"]["privileged"] = True
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    assert "CKV_K8S_16" in failed_checks(checkov, "kubernetes", file)


def test_the_rendered_deployment_runs(connected: Engine, helm: Tool, chart: Path, tmp_path: Path) -> None:
    engine = connected
    name, _, tag = IMAGE.rpartition(":")
    image = {"repository": name, "tag": tag, "pullPolicy": "Never"}
    given = {"image": image, "autoscaling": {"enabled": False}, "replicas": 1}
    kinds = ("ConfigMap", "Deployment")
    objects = [one for one in rendered(helm, chart, tmp_path, given) if one["kind"] in kinds]
    # The engine would open a named port on every address of this machine.
    del pod_of(objects)["spec"]["containers"][0]["ports"]
    file = tmp_path / "play.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    pod, container = "t-tocsin-pod-0", "t-tocsin-pod-0-tocsin"
    engine.run("podman", "play", "kube", str(file))
    try:
        asked = ("podman", "pod", "inspect", "--format={{.InfraContainerID}}", pod)
        infra = json.loads(engine.run("podman", "inspect", engine.run(*asked)))[0]
        networks = infra["NetworkSettings"]["Networks"]
        url = f"http://{next(iter(networks.values()))['IPAddress']}:8000"
        assert engine.wait(lambda: call(f"{url}/readyz")[0] == 200, 60), engine.run(
            "podman", "logs", container
        )
        assert call(f"{url}/cds-services")[1]["services"]
        with pytest.raises(HTTPError, match="401"):
            call(f"{url}/cds-services/red-flags", {})
        assert engine.inside(container, "id", "-u") == "65532"
        with pytest.raises(RuntimeError, match="Read-only file system"):
            engine.inside(container, "touch", "/opt/tocsin/x")
        assert engine.stop(container) == 0
    finally:
        engine.run("podman", "play", "kube", "--down", str(file))
        engine.run("podman", "volume", "rm", "--force", "t-tocsin")
