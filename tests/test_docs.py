"""The pages people read: generated ones current, links that lead somewhere, names that exist, examples that
work. What a page tells to run is run in tests/docs/test_examples.py.
"""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import msgspec
import pytest
import typer
import yaml

from hooks import OVERRIDE_REASONS, Card
from rules.engine import list_rules
from service import cli
from service.canary import series
from service.cards import FINDINGS
from service.docs import pages
from service.errors import catalogue
from service.metrics import Metrics
from service.settings import table
from service.trust.clientfile import read_clients
from tests.deploy import alerts_page
from tests.docs.blocks import anchors, blocks, documents, links, snippets
from tests.files import globbed
from tests.rules.bundles import bundled
from tests.service.terminal import tocsin
from tests.service.trust.signing import jwks

GENERATED = ("api", "commands", "errors", "facts", "metrics", "rules", "settings", "value-sets")
Terminal = pytest.CaptureFixture[str]

# Words after `tocsin` that make up a command line, up to what a shell would take for itself.
_CALL = re.compile(r"(?<![\w/.=:-])(?:\.venv/bin/)?tocsin ((?:[^\n|;&>`#]|<\w+>)+)")
_SETTING = re.compile(r"\bTOCSIN_[A-Z_]*[A-Z]\b")
# Files and keys whose names are like those of metrics.
_NO_METRICS = {f"tocsin_{row.field}" for row in table()}


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


@pytest.fixture(scope="module")
def texts(repository: Path) -> dict[Path, str]:
    """Every page, by its path."""
    return {page: page.read_text("utf-8") for page in documents(repository)}


# -- generated pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_current(repository: Path, made: dict[str, str], name: str) -> None:
    on_disk = (repository / "docs/reference" / f"{name}.md").read_text("utf-8")
    assert on_disk == made[f"reference/{name}.md"], "run `tocsin docs write`"
    assert on_disk.startswith("<!-- Written by `tocsin docs write`")


def test_the_pages_are_complete(made: dict[str, str]) -> None:
    described = {name for name, _, _, _ in Metrics().described()}
    rows = {
        "rules": [f"\n## {row.id}\n" for row in list_rules(bundled())],
        "facts": [f"| `{spec.name}` |" for spec in bundled().vocabulary],
        "value-sets": [f"| `{name}` |" for name in bundled().codes.titles],
        "settings": [f"| `{row.name}` |" for row in table()],
        "errors": [f"| `{row.code}` | {row.status} |" for row in catalogue()],
        "commands": [f"\n## {called}\n" for called in ("tocsin serve", *_families())],
        "api": ["| `POST /cds-services/{service_id}` |", "\n### patient-view\n", "\n### `conditions`\n"],
        "metrics": [f"| `{name}` |" for name in described],
    }
    assert sorted(rows) == list(GENERATED)
    assert {f"reference/{name}.md" for name in rows} == made.keys()
    missing = {
        name: [row for row in wanted if row not in made[f"reference/{name}.md"]]
        for name, wanted in rows.items()
    }
    assert missing == {name: [] for name in rows}


def _families() -> Iterator[str]:
    return (f"tocsin {name}" for name in cli.FAMILIES)


def test_metrics_are_described_as_prometheus_shows_them(made: dict[str, str]) -> None:
    exposed = dict(re.findall(r"^# TYPE (tocsin_\S+) (\S+)$", Metrics().render().decode(), re.MULTILINE))
    described = {name: kind for name, kind, _, _ in Metrics().described()}
    assert described == exposed
    page = made["reference/metrics.md"]
    assert "| `tocsin_cards_total` | counter | `rule_id`, `mode`, `indicator` |" in page


def test_commands_are_described_with_what_they_take(made: dict[str, str]) -> None:
    page = made["reference/commands.md"]
    assert "| `--port` | `TOCSIN_PORT` | `8000` | TCP port to listen on. |" in page
    assert "| `--format` | `table or json or csv or html` | `table` |" in page
    assert "| `FOLDER` |  | `docs` | The folder of the pages. |" in page
    assert "```text\ntocsin db COMMAND\n```" in page
    assert "```text\ntocsin demo [OPTIONS] [ID]\n```" in page


def test_the_api_page_says_who_may_call_and_what_is_refused(made: dict[str, str]) -> None:
    page = made["reference/api.md"]
    (call,) = [line for line in page.splitlines() if line.startswith("| `POST /cds-services/{service_id}` |")]
    assert "| signed |" in call
    assert "`unauthorised`" in call
    (alive,) = [line for line in page.splitlines() if line.startswith("| `GET /livez` |")]
    assert alive.endswith("| open | `method-not-allowed` |")
    assert "| `context.draftOrders` | Bundle or resources | yes |" in page
    assert "```text\nPatient/{{context.patientId}}\n```" in page


def test_the_page_of_alerts_is_current(repository: Path) -> None:
    on_disk = (repository / alerts_page.PAGE).read_text("utf-8")
    assert on_disk == alerts_page.page(), "run `python -m tests.deploy.alerts_page`"


def test_value_sets_count_their_codes_by_system(made: dict[str, str]) -> None:
    lines = made["reference/value-sets.md"].splitlines()
    (row,) = [line for line in lines if line.startswith("| `bone-modifying-agent` |")]
    assert "atc 3" in row
    assert "3 for review" in row


def test_check_and_write(tmp_path: Path, made: dict[str, str], capsys: Terminal) -> None:
    folder = str(tmp_path)
    code, out, _ = tocsin(capsys, "docs", "check", folder)
    assert code == 1
    assert out.count("is not current: run `tocsin docs write`") == len(made)
    assert tocsin(capsys, "docs", "write", folder)[0] == 0
    written = {file.relative_to(tmp_path).as_posix(): file for file in tmp_path.rglob("*.md")}
    assert {name: file.read_text("utf-8") for name, file in written.items()} == made
    (tmp_path / "reference/errors.md").write_text("old", encoding="utf-8")
    code, out, _ = tocsin(capsys, "docs", "check", folder)
    assert (code, out.count("\n")) == (1, 1)
    code, out, _ = tocsin(capsys, "docs", "write", folder)
    assert (code, out) == (0, f"{tmp_path / 'reference/errors.md'} written\n")
    assert tocsin(capsys, "docs", "check", folder)[:2] == (0, "")


# -- links and names ---------------------------------------------------------------------------------


def test_internal_links_lead_somewhere(texts: dict[Path, str]) -> None:
    broken = []
    for page, text in texts.items():
        for target in links(text):
            if ":" in target.partition("#")[0]:
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_anchors_are_those_of_github() -> None:
    text = "# One two\n\n## `three`, *four*\n\n```sh\n# not a heading\n```\n\n### 4. Map what differs\n"
    assert anchors(text) == {"one-two", "three-four", "4-map-what-differs"}


def test_commands_and_options_the_pages_name_exist(texts: dict[Path, str]) -> None:
    named, unknown = set(), []
    for page, text in texts.items():
        for call in _CALL.findall("\n".join(snippets(text)).replace("\\\n", " ")):
            problem = _unknown(call.split())
            named.add(call.split()[0])
            if problem:
                unknown.append(f"{page.name}: tocsin {call.strip()}: {problem}")
    assert {"serve", "demo", "rules", "site", "db", "report"} <= named
    assert unknown == []


def _unknown(words: list[str]) -> str:
    """What of a call does not exist, empty when all does. Words of no group are arguments."""
    if words[0].startswith("-") or words[0] == "COMMAND":
        return ""
    command: Any = typer.main.get_command(cli.application(words[0]))
    options = {"--help"}
    for word in words:
        members = getattr(command, "commands", {})
        if word.startswith("--"):
            if word.partition("=")[0] not in options:
                return f"no option {word}"
        elif word in members:
            command = members[word]
            options |= {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        elif members and word not in ("COMMAND", "…"):
            return f"no command {word}"
    return ""


def test_a_page_that_starts_a_service_asks_it(texts: dict[Path, str]) -> None:
    """Without --url a patient is tried in a process of its own, and a stopped service goes unnoticed."""
    told = {page: text for page, text in texts.items() if any(one.info == "sh serve" for one in blocks(text))}
    calls = [
        (page.name, call)
        for page, text in told.items()
        for block in blocks(text)
        for call in _CALL.findall(block.text)
        if re.match(r"demo demo-", call) and "--json" not in call
    ]
    assert {"README.md", "first-card.md"} <= {name for name, _ in calls}
    assert [(name, call) for name, call in calls if "--url http://127.0.0.1:8000" not in call] == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert _unknown(["rules", "lint"]) == ""
    assert _unknown(["demo", "demo-esr", "--json"]) == ""
    assert _unknown(["rules", "polish"]) == "no command polish"
    assert _unknown(["paint"]) == "no command paint"
    assert _unknown(["demo", "demo-esr", "--xml"]) == "no option --xml"


def test_settings_the_pages_name_exist(texts: dict[Path, str], made: dict[str, str]) -> None:
    # Besides the settings, what the help of a command names is read by that command.
    known = {row.name for row in table()} | set(_SETTING.findall(made["reference/commands.md"]))
    named = {name for text in texts.values() for name in _SETTING.findall(text)}
    assert len(named) > len(known) / 2
    assert named - known == set()


def test_metrics_the_pages_name_exist(texts: dict[Path, str]) -> None:
    ours = {name for name, _, _, _ in Metrics().described()}
    known = ours | {family.name for family in series([], 0.0).collect()}
    named = {
        page.name: set(re.findall(r"\btocsin_[a-z_]+[a-z]\b", text)) - _NO_METRICS
        for page, text in texts.items()
    }
    assert len(set().union(*named.values())) > len(known) / 2
    assert {page: names - known for page, names in named.items() if names - known} == {}


def test_errors_the_pages_link_to_exist(texts: dict[Path, str]) -> None:
    codes = {row.code for row in catalogue()}
    named = {
        code
        for text in texts.values()
        for code in re.findall(r"\[`([a-z-]+)`\]\([^)]*reference/errors\.md\)", text)
    }
    assert {"data-unavailable", "fhir-version-not-supported"} <= named
    assert named - codes == set()


# -- examples ----------------------------------------------------------------------------------------


def _examples(repository: Path, start: str) -> dict[str, str]:
    """The YAML blocks of the guides that start with a line, by page."""
    found = {}
    for page in globbed(repository / "docs", "**/*.md"):
        for block in blocks(page.read_text("utf-8")):
            if block.info == "yaml" and block.text.startswith(start):
                found[f"{page.stem}:{block.line}"] = block.text
    return found


def test_the_site_files_of_the_guides_work(repository: Path, tmp_path: Path, capsys: Terminal) -> None:
    examples = _examples(repository, "schema_version:")
    assert {name.partition(":")[0] for name in examples} >= {"change-threshold", "modes"}
    for name, text in examples.items():
        file = tmp_path / "site.yaml"
        file.write_text(text, encoding="utf-8")
        assert tocsin(capsys, "site", "lint", str(file))[0] == 0, name
        code, out, _ = tocsin(capsys, "site", "diff", str(file))
        assert (code, "Nothing differs" in out) == (0, False), name


def test_every_member_of_the_site_file_is_named(repository: Path, texts: dict[Path, str]) -> None:
    schema = json.loads((repository / "rules/schemas/site.schema.json").read_text("utf-8"))
    guides = [texts[repository / f"docs/how-to/{name}.md"] for name in ("change-threshold", "modes")]
    named = set(re.findall(r"\w+", " ".join(guides)))
    assert schema["properties"].keys() | schema["$defs"]["rule"]["properties"].keys() <= named


def test_the_clients_files_of_the_guides_work(repository: Path, tmp_path: Path) -> None:
    examples = _examples(repository, "clients:")
    assert {name.partition(":")[0] for name in examples} >= {"connect-ehr", "epic", "oracle-health"}
    for name, text in examples.items():
        file = tmp_path / "clients.yaml"
        file.write_text(text, encoding="utf-8")
        # A public key that an example names by its file.
        for named in re.findall(r"jwks: (\S+\.json)$", text, re.MULTILINE):
            (tmp_path / named).write_text(json.dumps(jwks()), encoding="utf-8")
        clients, warnings = read_clients(file)
        assert (len(clients), warnings) == (1, ()), name


def test_one_client_goes_through_all_pages(
    repository: Path,
    texts: dict[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Terminal,
) -> None:
    """What one page has a reader write, the commands of the others find. A canary is a client beside it."""
    listed = {
        client["id"]
        for text in texts.values()
        for block in blocks(text)
        if block.info == "yaml" and "clients:" in block.text
        for client in _clients(yaml.safe_load(block.text))
    }
    assert listed == {"our-ehr", "canary"}
    (written,) = [text for name, text in _examples(repository, "clients:").items() if "connect-ehr" in name]
    (tmp_path / "clients.yaml").write_text(written, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    calls = [
        line.split()
        for text in texts.values()
        for line in "\n".join(snippets(text)).splitlines()
        if "tocsin" in line and re.search(r"--client\s+\w", line)
    ]
    assert [call[:3] for call in calls] == [["TOCSIN_CLIENTS=clients.yaml", "tocsin", "registration"]]
    for setting, _, *words in calls:
        monkeypatch.setenv(*setting.split("=", 1))
        code, out, err = tocsin(capsys, *words)
        assert (code, err) == (0, "")
        assert "https://ehr.example.org" in out


def _clients(data: Any) -> list[dict[str, Any]]:
    """The client list of an example: a clients file, or the values of the chart that hold one."""
    while isinstance(data, dict):
        data = data.get("clients")
    return data or []


def test_the_card_page_says_what_a_card_has(texts: dict[Path, str], repository: Path) -> None:
    page = texts[repository / "docs/reference/card.md"]
    members = {
        name.partition(".")[0] for name in re.findall(r"^\| `([a-zA-Z.]+)` \| .* \|$", page, re.MULTILINE)
    }
    assert {field.encode_name for field in msgspec.structs.fields(Card)} <= members
    findings = _finding()
    assert set(findings["required"]) <= members
    (example,) = [json.loads(block.text) for block in blocks(page) if block.info == "json"]
    jsonschema.validate(example[FINDINGS], {"type": "array", "items": findings})
    assert {one["rule"] for one in example[FINDINGS]} <= bundled().rules.keys()
    reasons = page[page.index("## Override reasons") :]
    listed = re.findall(r"^\| `([a-z-]+)` \| [^|]* \| ([^|]*) \|$", reasons, re.MULTILINE)
    assert listed == [(reason.code, reason.display) for reason in OVERRIDE_REASONS]


def _finding() -> Any:
    """The schema of one finding, as the API describes it."""
    document = yaml.safe_load((files("service") / "openapi.yaml").read_text("utf-8"))
    extension = document["components"]["schemas"]["Card"]["properties"]["extension"]
    return extension["properties"][FINDINGS]["items"]


def test_the_rule_format_page_names_every_member(texts: dict[Path, str], repository: Path) -> None:
    named = set(re.findall(r"\w+", texts[repository / "docs/reference/rule-format.md"]))
    for file in ("rule.schema.json", "tests.schema.json"):
        schema = json.loads((repository / "rules/schemas" / file).read_text("utf-8"))
        parts = [schema, *(part for part in schema["$defs"].values() if "properties" in part)]
        assert {name for part in parts for name in part["properties"]} - named == set()


def test_the_sandbox_is_opened_with_an_r4_server(texts: dict[Path, str], repository: Path) -> None:
    """Its own default is DSTU2, which shows nothing (users-and-ops.md, finding 4)."""
    for name in ("README.md", "docs/how-to/sandbox.md"):
        (url,) = [link for link in links(texts[repository / name]) if "serviceDiscoveryURL" in link]
        query = parse_qs(urlsplit(url).query)
        (server,), (discovery,) = query["fhirServiceUrl"], query["serviceDiscoveryURL"]
        assert server.endswith("/r4/fhir")
        assert discovery == "http://127.0.0.1:8000/cds-services"
        assert query["hook"] == ["patient-view"]
