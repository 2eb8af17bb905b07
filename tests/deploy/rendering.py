"""What the Helm chart renders, for the tests that look at it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from service.signing import make_keys
from tests.deploy.conftest import Tool
from tests.service.trust.signing import ec_key, jwks

__all__ = [
    "CANARY",
    "FULL",
    "ISSUER",
    "KUBERNETES",
    "PUBLIC_KEY",
    "Values",
    "environment",
    "merged",
    "of_kind",
    "pod_of",
    "refused",
    "rendered",
    "template",
    "written",
]

Values = Mapping[str, Any]
"""Values of the chart, as a file of them reads."""

KUBERNETES = ("--kube-version", "1.30.0")
ISSUER = "https://canary.example.org"
PUBLIC_KEY = make_keys()[1].decode()

EHR = {"id": "our-ehr", "issuer": "https://ehr.example.org", "jku": "https://ehr.example.org/jwks.json"}
CANARY: dict[str, Any] = {
    "clients": {"clients": [EHR, {"id": "canary", "issuer": ISSUER, "jwks": jwks(ec_key()), "canary": True}]},
    "canary": {"enabled": True, "existingSecret": "canary-key", "issuer": ISSUER},
}
"""Values with a canary whose calls are signed, and nothing else."""

FULL: dict[str, Any] = {
    **CANARY,
    "image": {"repository": "registry.example/tocsin", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "settings": {
        "public_url": "https://cds.example.org",
        "cors_origins": ["https://a.example.org", "https://b.example.org"],
        "max_body_bytes": 16777216,
        "critical_rules": False,
        "explain": "off",
    },
    "site": {"schema_version": 1, "site": "example"},
    "rules": {"configMap": "tocsin-rules", "publicKeys": [PUBLIC_KEY]},
    "secrets": {
        "existingSecret": "tocsin",
        "keys": ["database_url", "patient_key", "admin_token"],
        "keysSecret": "tocsin-keys",
    },
    "caBundle": {"configMap": "hospital-ca"},
    "autoscaling": {"enabled": False},
    "replicas": 3,
    "ingress": {"enabled": True, "className": "nginx", "host": "cds.example.org", "tlsSecret": "cds-tls"},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
"""Values in which everything is used."""


def merged(under: Values, over: Values) -> dict[str, Any]:
    """As Helm lays one file of values over another."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)
        result[key] = value
    return result


def written(folder: Path, values: Values) -> Path:
    """A file of values. JSON, because Helm reads the bare `y` of a key as true, and PyYAML writes it bare."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


def template(
    helm: Tool, chart: Path, folder: Path, values: Values, release: str = "t"
) -> "subprocess.CompletedProcess[str]":
    """`helm template` with these values, accepted or not. `folder` is for the file of values."""
    given = ("--values", str(written(folder, values)))
    return helm("template", release, str(chart), *KUBERNETES, *given)


def rendered(
    helm: Tool, chart: Path, folder: Path, values: Values, release: str = "t"
) -> list[dict[str, Any]]:
    """The objects that these values make."""
    done = template(helm, chart, folder, values, release)
    assert done.returncode == 0, done.stderr
    return [part for part in yaml.safe_load_all(done.stdout) if part]


def refused(helm: Tool, chart: Path, folder: Path, values: Values) -> str:
    """What the templates say against these values."""
    done = template(helm, chart, folder, values)
    assert done.returncode != 0
    return done.stderr


def of_kind(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The one object of a kind, or the one of them with this name."""
    (found,) = [one for one in objects if one["kind"] == kind and name in ("", one["metadata"]["name"])]
    return found


def pod_of(objects: list[dict[str, Any]], kind: str = "Deployment") -> dict[str, Any]:
    """The template of the pods of the Deployment or of the CronJob."""
    spec = of_kind(objects, kind)["spec"]
    found: dict[str, Any] = (spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"]
    return found


def environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Variables of the service's container."""
    (container,) = pod_of(objects)["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}
