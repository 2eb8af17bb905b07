"""Makes deploy/chart/values.schema.json: the values of the chart, with `settings` from the settings table.

Write it again with `python -m tests.deploy.values_schema`.
"""

import json
from pathlib import Path
from typing import Any

from service.canary import PROBES
from service.settings import Settings

__all__ = ["CHART", "OF_THE_CHART", "SECRET", "schema_text"]

CHART = Path(__file__).resolve().parents[2] / "deploy" / "chart"
OF_THE_CHART = (
    "clients",
    "demo",
    "host",
    "port",
    "profile",
    "rules_bundle",
    "rules_key",
    "site",
    "state_dir",
    "workers",
)
"""Settings that the templates decide, or that have a value of their own."""
SECRET = ("admin_token", "database_url", "patient_key")
"""Settings that come from a Secret by reference, never from values."""

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_DOCUMENT = {"type": "object"}
_OBJECTS = {"type": "array", "items": _DOCUMENT}
# A name in a ConfigMap or a Secret, which is the name of a file in the pod.
_FILE = {"type": "string", "pattern": "^[A-Za-z0-9_][-._A-Za-z0-9]{0,252}$"}
_RESOURCES = {"requests": _DOCUMENT, "limits": _DOCUMENT}
# A public key in PEM: whoever pastes the private one is stopped before it gets into a ConfigMap.
_PUBLIC = {
    "type": "string",
    "pattern": "^\\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\\s]+-----END PUBLIC KEY-----\\s*$",
}
_REFERENCE = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", "maxLength": 253}


def schema_text() -> str:
    """The schema as the file holds it. Helm 3 reads JSON Schema draft 7."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart",
        **_values(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _values() -> dict[str, Any]:
    parts = {**_workload(), **_content(), **_surroundings(), **_watch()}
    return _closed(parts, "image", "settings", "clients")


def _workload() -> dict[str, Any]:
    """What runs: image, settings, secrets, size."""
    return {
        "image": _closed(
            {
                "repository": {"type": "string", "minLength": 1},
                "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
                "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            },
            "repository",
        ),
        "imagePullSecrets": _OBJECTS,
        "replicas": _count(0, 100),
        "settings": _closed(_settings(), "public_url"),
        "secrets": _closed(
            {
                "existingSecret": _REFERENCE,
                "keys": {"type": "array", "uniqueItems": True, "items": {"enum": list(SECRET)}},
                "keysSecret": _REFERENCE,
            }
        ),
        "serviceAccount": _closed({"annotations": _TEXTS}),
        "caBundle": _closed({"configMap": _REFERENCE, "key": _FILE}),
        "runAsUser": {"type": ["integer", "null"], "minimum": 1},
        "workers": _count(1, 64),
        "resources": _closed(_RESOURCES),
    }


def _content() -> dict[str, Any]:
    """What it goes by: clients, the site, the rules."""
    return {
        "clients": {"type": "object", "required": ["clients"], "additionalProperties": False}
        | {"properties": {"clients": {"type": "array", "minItems": 1, "items": _DOCUMENT}}},
        "site": _DOCUMENT,
        "siteConfigMap": _REFERENCE,
        "rules": _closed(
            {
                "configMap": _REFERENCE,
                "existingSecret": _REFERENCE,
                "volume": {"type": "object", "maxProperties": 1},
                "file": _FILE,
                "publicKeys": {"type": "array", "uniqueItems": True, "items": _PUBLIC},
            }
        ),
    }


def _surroundings() -> dict[str, Any]:
    """What is around it: scaling, disruption, network, placement."""
    return {
        "autoscaling": _closed(
            {
                "enabled": _FLAG,
                "minReplicas": _count(1, 100),
                "maxReplicas": _count(1, 100),
                "targetCPUUtilizationPercentage": _count(10, 100),
            }
        ),
        "podDisruptionBudget": _closed({"enabled": _FLAG, "maxUnavailable": _count(1, 100)}),
        "service": _closed({"port": _count(1, 65535)}),
        "ingress": _closed(
            {
                "enabled": _FLAG,
                "className": _TEXT,
                "host": _TEXT,
                "tlsSecret": _REFERENCE,
                "annotations": _TEXTS,
            }
        ),
        "networkPolicy": _closed(
            {
                "enabled": _FLAG,
                "from": _OBJECTS,
                "egressPorts": {"type": "array", "items": _count(1, 65535)},
                "dnsPorts": {"type": "array", "minItems": 1, "items": _count(1, 65535)},
            }
        ),
        "podAnnotations": _TEXTS,
        "nodeSelector": _TEXTS,
        "tolerations": _OBJECTS,
        "global": _DOCUMENT,
    }


def _watch() -> dict[str, Any]:
    """What looks after it: Prometheus, the canary."""
    return {
        "serviceMonitor": _closed(
            {
                "enabled": _FLAG,
                "interval": {"type": "string", "pattern": "^[1-9][0-9]*[sm]$"},
                "labels": _TEXTS,
            }
        ),
        "canary": _closed(
            {
                "enabled": _FLAG,
                "schedule": {"type": "string", "minLength": 1},
                "existingSecret": _REFERENCE,
                "key": _FILE,
                "issuer": _TEXT,
                "url": {"type": "string", "pattern": "^(https?://[^\\s]+)?$"},
                "budgetMs": _count(1, 60_000),
                "patients": {
                    "type": "array",
                    "uniqueItems": True,
                    "items": {"enum": [probe.patient for probe in PROBES]},
                },
                "silent": _FLAG,
                "resources": _closed(_RESOURCES),
            }
        ),
    }


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    closed = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**closed, "required": list(required)} if required else closed


def _count(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _settings() -> dict[str, Any]:
    """One property for each setting that values may hold, as the settings table declares it."""
    declared = Settings.model_json_schema()["properties"]
    left_out = {*OF_THE_CHART, *SECRET}
    return {name: _setting(spec) for name, spec in sorted(declared.items()) if name not in left_out}


def _setting(spec: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in spec.get("anyOf", [spec]) if option.get("type") != "null"]
    (option,) = options
    kept = ("type", "enum", "minimum", "maximum", "items")
    return {"description": spec["description"], **{name: option[name] for name in kept if name in option}}


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(schema_text(), encoding="utf-8")
