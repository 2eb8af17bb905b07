"""The chart's CronJob of canaries: off unless asked for, hardened, and with calls that the service takes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from service.canary import PROBES
from service.settings import Settings
from tests.deploy.conftest import Tool, failed_checks
from tests.deploy.rendering import CANARY, FULL, ISSUER, Values, merged, of_kind, pod_of, refused, rendered
from tests.service.pages.browser import served
from tests.service.terminal import tocsin
from tests.service.trust.signing import ec_key

PUBLIC = "https://cds.example.org"
KEY = "/etc/tocsin-canary/canary-private.json"


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = pod_of(objects, "CronJob")["spec"]["containers"]
    return dict(found)


def test_there_is_none_unless_asked_for(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, {})
    assert "CronJob" not in {one["kind"] for one in objects}
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "NetworkPolicy"] == ["t-tocsin"]


def test_it_may_do_no_more_than_the_service(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, FULL)
    mine, service = (pod_of(objects, kind)["spec"] for kind in ("CronJob", "Deployment"))
    same = ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets")
    assert {name: mine[name] for name in same} == {name: service[name] for name in same}
    assert mine["securityContext"]["runAsNonRoot"] is True
    (its,) = service["containers"]
    for name in ("securityContext", "image", "imagePullPolicy"):
        assert container(objects)[name] == its[name]
    assert container(objects)["securityContext"]["readOnlyRootFilesystem"] is True
    assert all(mount["readOnly"] for mount in container(objects)["volumeMounts"])
    # No secret of the service is in its pod.
    assert [one["secret"]["secretName"] for one in mine["volumes"] if "secret" in one] == ["canary-key"]


def test_no_call_of_an_ehr_ends_at_it(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, CANARY)
    labels = pod_of(objects, "CronJob")["metadata"]["labels"]
    selectors = [of_kind(objects, "Service")["spec"]["selector"]]
    selectors += [
        of_kind(objects, kind)["spec"]["selector"] for kind in ("Deployment", "PodDisruptionBudget")
    ]
    for selector in selectors:
        assert not selector.get("matchLabels", selector).items() <= labels.items()


def test_a_wrong_round_is_a_failed_job(helm: Tool, chart: Path, tmp_path: Path) -> None:
    job = of_kind(rendered(helm, chart, tmp_path, CANARY), "CronJob")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert (
        pod_of([{"kind": "CronJob", "metadata": {"name": ""}, "spec": job}], "CronJob")["spec"][
            "restartPolicy"
        ]
        == "Never"
    )
    # Each patient waits ten seconds at most, and so does the look at /readyz afterwards.
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 10 * (len(PROBES) + 1)
    assert "command" not in container(rendered(helm, chart, tmp_path, CANARY))


def test_it_reaches_the_service_and_nothing_else(helm: Tool, chart: Path, tmp_path: Path) -> None:
    objects = rendered(helm, chart, tmp_path, merged(FULL, {"service": {"port": 8080}}))
    assert "--url=http://t-tocsin:8080" in container(objects)["args"]
    labels = pod_of(objects, "CronJob")["metadata"]["labels"]
    own = of_kind(objects, "NetworkPolicy", "tocsin-canary-t")["spec"]
    assert own["podSelector"]["matchLabels"].items() <= labels.items()
    assert own["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in own
    dns, service = own["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert service["ports"] == [{"port": 8000, "protocol": "TCP"}]
    (to,) = service["to"]
    assert to["podSelector"]["matchLabels"].items() <= pod_of(objects)["metadata"]["labels"].items()
    callers = of_kind(objects, "NetworkPolicy", "t-tocsin")["spec"]["ingress"][0]["from"]
    assert own["podSelector"] in [one["podSelector"] for one in callers if "podSelector" in one]


def test_the_public_url_is_reached_by_the_ports_that_are_open(
    helm: Tool, chart: Path, tmp_path: Path
) -> None:
    given = merged(CANARY, {"canary": {"url": PUBLIC}, "networkPolicy": {"egressPorts": [8443]}})
    objects = rendered(helm, chart, tmp_path, given)
    assert f"--url={PUBLIC}" in container(objects)["args"]
    own = of_kind(objects, "NetworkPolicy", "tocsin-canary-t")["spec"]
    assert own["egress"][1] == {"ports": [{"port": 8443, "protocol": "TCP"}]}
    given = merged(given, {"networkPolicy": {"egressPorts": []}})
    own = of_kind(rendered(helm, chart, tmp_path, given), "NetworkPolicy", "tocsin-canary-t")["spec"]
    assert all(rule["ports"] for rule in own["egress"])
    assert len(own["egress"]) == 1


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"canary": {"issuer": ""}}, "canary.issuer: calls are signed here"),
        ({"canary": {"issuer": "https://ehr.example.org"}}, "no client with canary: true has this issuer"),
        ({"canary": {"existingSecret": ""}}, "canary.existingSecret: the Secret with the private key"),
        (
            {"clients": {"clients": [{"id": "canary", "issuer": ISSUER, "canary": False}]}},
            "no client with canary: true has this issuer",
        ),
    ],
    ids=["no issuer", "an EHR's issuer", "no key", "a client that is no canary"],
)
def test_a_canary_that_would_not_be_known_is_refused(
    helm: Tool, chart: Path, tmp_path: Path, over: Values, said: str
) -> None:
    assert said in refused(helm, chart, tmp_path, merged(CANARY, over))


def test_without_authentication_it_needs_no_key(helm: Tool, chart: Path, tmp_path: Path) -> None:
    settings = {"public_url": PUBLIC, "auth": False}
    objects = rendered(helm, chart, tmp_path, {"settings": settings, "canary": {"enabled": True}})
    assert container(objects)["args"] == ["canary", "--json", "--url=http://t-tocsin:80", "--budget-ms=1000"]
    assert not container(objects).keys() & {"volumeMounts", "env"}


def test_names_of_jobs_are_short_enough_and_known_to_the_alert(
    helm: Tool, chart: Path, tmp_path: Path, deploy: Path
) -> None:
    alerts = (deploy / "observability/alerts.yaml").read_text("utf-8")
    patterns = set(re.findall(r'kube_cronjob_\w+\{cronjob=~"([^"]+)"\}', alerts))
    assert patterns
    for release in ("t", "tocsin", "a-release-with-a-name-that-is-quite-long-indeed-0123"):
        name = of_kind(rendered(helm, chart, tmp_path, CANARY, release), "CronJob")["metadata"]["name"]
        # Kubernetes puts 11 characters behind it and takes no more than 63.
        assert len(name) <= 52
        assert all(re.fullmatch(pattern, name) for pattern in patterns)


def test_the_schedule_is_as_often_as_the_alert_wants(chart: Path, deploy: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text("utf-8"))
    (minutes,) = re.findall(r"^\*/(\d+) \* \* \* \*$", values["canary"]["schedule"])
    alerts = (deploy / "observability/alerts.yaml").read_text("utf-8")
    (age,) = re.findall(r"kube_cronjob_created.*?> (\d+)", alerts, re.DOTALL)
    # One round that is missed must not be enough, or a moment's trouble would page somebody.
    assert 2 * int(minutes) * 60 <= int(age)


def test_a_round_as_rendered_is_right_and_leaves_no_record(
    helm: Tool, chart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = rendered(helm, chart, tmp_path, merged(CANARY, {"canary": {"budgetMs": 10_000}}))
    config = of_kind(objects, "ConfigMap")["data"]
    (tmp_path / "clients.yaml").write_text(config["clients.yaml"])
    key = tmp_path / "canary-private.json"
    key.write_bytes(orjson.dumps(ec_key().as_dict(private=True)))
    settings = Settings(
        clients=tmp_path / "clients.yaml", public_url=PUBLIC, state_dir=tmp_path / "state", log_level="error"
    )
    (tmp_path / "state").mkdir()
    inside = "--url=http://t-tocsin:80"
    with served(settings) as url:
        given = container(objects)["args"]
        assert inside in given
        assert f"--client-key={KEY}" in given
        arguments = [one.replace(inside, f"--url={url}").replace(KEY, str(key)) for one in given]
        code, said, _ = tocsin(capsys, *arguments)
        assert (code, json.loads(said)["right"]) == (0, True)
        code, said, _ = tocsin(capsys, *arguments, "--silent")
        assert (code, json.loads(said)["right"]) == (1, False)
    capsys.readouterr()


def test_a_site_chooses_its_patients(helm: Tool, chart: Path, tmp_path: Path) -> None:
    given = merged(CANARY, {"canary": {"patients": ["cord", "quiet"], "silent": True}})
    args = container(rendered(helm, chart, tmp_path, given))["args"]
    assert args[-3:] == ["--patient=cord", "--patient=quiet", "--silent"]


def test_kubernetes_would_tell_of_a_wrong_field(helm: Tool, chart: Path, tmp_path: Path) -> None:
    program = shutil.which("kubernetes-validate")
    if program is None:
        pytest.skip("needs kubernetes-validate, which is not installed here")
    objects = rendered(helm, chart, tmp_path, CANARY)
    of_kind(objects, "CronJob")["spec"]["concurencyPolicy"] = "Forbid"
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    command = [program, "--kubernetes-version", "1.33.0", "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "concurencyPolicy" in done.stdout + done.stderr


def test_a_scan_finds_a_canary_with_rights(helm: Tool, checkov: Tool, chart: Path, tmp_path: Path) -> None:
    objects = [of_kind(rendered(helm, chart, tmp_path, CANARY), "CronJob")]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    assert "CKV_K8S_16" not in failed_checks(checkov, "kubernetes", file)
    container(objects)["securityContext"]["privileged"] = True
    file.write_text(yaml.safe_dump_all(objects))
    assert "CKV_K8S_16" in failed_checks(checkov, "kubernetes", file)
