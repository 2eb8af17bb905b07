"""The settings: one typed table that also makes the reference page and the options of `tocsin serve`.

Each field of Settings is one row: name, type, default, help, group, example, and the version it came with.
Values come from environment variables with the prefix TOCSIN_; an empty variable counts as not set, and a
file in SECRETS named after it in lower case is read instead. All that is wrong is reported together, and no
report repeats a value.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.cautions import conflicts
from service.errors import SettingProblem, SettingsError
from service.options import Row, markdown, rows, setting
from service.values import (
    MOST_WORKERS,
    BaseUrl,
    BaseUrls,
    DatabaseUrl,
    ExistingFile,
    ExistingFiles,
    HttpUrl,
    Networks,
    Origins,
    Secrets,
    TimeZone,
    Words,
    Workers,
)

__all__ = ["PREFIX", "SECRETS", "Settings", "examine", "load", "settings_markdown", "table"]

PREFIX = "TOCSIN_"
SECRETS = Path("/run/secrets")
"""Where container engines put secrets: /run/secrets/tocsin_patient_key stands for TOCSIN_PATIENT_KEY."""
# Read by one command and never by the service: the access token of `tocsin try`.
_NO_SETTING = f"{PREFIX}TRY_TOKEN"
# Kubernetes gives each pod the addresses of Services; those of a Service named "tocsin" share our prefix.
_SERVICE_LINK = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))")


class Settings(BaseSettings):
    """What an operator decides. Immutable; made by `load`, or in tests with keyword arguments."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = setting("127.0.0.1", "Address to listen on.", group="server", example="0.0.0.0")
    port: int = setting(8000, "TCP port to listen on.", group="server", example="8000", ge=1, le=65535)
    workers: Workers = setting(
        1,
        "Worker processes; `cores` starts one for each core, or fewer where the container has little memory.",
        group="server",
        example="cores",
        ge=1,
        le=MOST_WORKERS,
    )
    public_url: BaseUrl | None = setting(
        None,
        "URL under which EHRs reach the service. It is the audience that signed calls must name.",
        group="server",
        example="https://cds.example.org",
    )
    profile: Literal["sandbox", "production"] = setting(
        "sandbox",
        "production: no explanations, demo patients, CORS for all, or public URL without TLS.",
        group="server",
        example="production",
    )
    auth: bool = setting(
        True, "Accept only calls signed by a client in CLIENTS.", group="trust", example="on"
    )
    clients: ExistingFile | None = setting(
        None, "YAML file of the EHRs that may call.", group="trust", example="/etc/tocsin/clients.yaml"
    )
    fhir_allow: BaseUrls = setting(
        (),
        "FHIR base URLs that unsigned calls may name; signed calls have their own list in CLIENTS.",
        group="trust",
        example="https://fhir.example.org/r4",
    )
    cors_origins: Origins = setting(
        (),
        "Web origins whose pages may call, for browser-based test tools.",
        group="trust",
        example="https://sandbox.example.org",
    )
    trust_sandbox: bool = setting(
        False,
        "Trust the published key of the public CDS Hooks Sandbox. Anyone can sign with it: for trials only.",
        group="trust",
        example="on",
    )
    state_dir: Path | None = setting(
        None,
        "Folder for what workers share, such as the memory of used tokens.",
        group="trust",
        example="/var/lib/tocsin",
    )
    replay_on_failure: Literal["accept", "refuse"] = setting(
        "accept",
        "What happens to calls while the memory of used tokens cannot be read.",
        group="trust",
        example="refuse",
    )
    mtls_header: str = setting(
        "",
        "Header in which a trusted proxy passes the subject of the client certificate.",
        group="trust",
        example="X-Client-Subject",
    )
    trusted_proxies: Words = setting(
        (), "Addresses of the proxies whose headers count.", group="trust", example="10.0.0.5,10.1.0.0/16"
    )
    site: ExistingFile | None = setting(
        None,
        "YAML overlay of the site: thresholds, wording, contacts, rule modes, local codes.",
        group="rules",
        example="/etc/tocsin/site.yaml",
    )
    rules_bundle: ExistingFile | None = setting(
        None,
        "Archive of rules made by `tocsin bundle build`. Not set: the rules that came with the code.",
        group="rules",
        example="/etc/tocsin-rules/rules.tar.gz",
    )
    rules_key: ExistingFiles = setting(
        (),
        "Public keys (PEM, Ed25519), one of which must have signed RULES_BUNDLE.",
        group="rules",
        example="/etc/tocsin/rules.pem",
    )
    reload_seconds: int = setting(
        5,
        "Seconds between looks at RULES_BUNDLE, its keys and SITE, which are loaded again when they have "
        "changed; 0 is never. A SIGHUP looks at once.",
        group="rules",
        example="5",
        ge=0,
        le=3600,
    )
    snomed_extension: bool = setting(
        True,
        "Use the SNOMED CT codes outside the IPS free set. Off where there is no SNOMED CT licence.",
        group="rules",
        example="on",
    )
    critical_rules: bool = setting(
        True,
        "Run the rules of urgency critical. Off where regulation does not allow them yet.",
        group="rules",
        example="on",
    )
    timezone: TimeZone = setting(
        "UTC", "Time zone of dates that come without one.", group="rules", example="Europe/London"
    )
    database_url: DatabaseUrl | None = setting(
        None,
        "Where decisions and feedback are kept: memory:, sqlite:///PATH or postgresql://... "
        "Not set: a SQLite file in STATE_DIR, and in memory without one.",
        group="memory",
        example="postgresql://tocsin@db.example.org/tocsin",
    )
    durability: Literal["async", "commit", "fsync"] = setting(
        "async",
        "async: a crash loses the records of the last 50 ms. commit: an answer waits for its record. "
        "fsync: and that for the disk. Feedback is always committed before it is acknowledged.",
        group="memory",
        example="commit",
    )
    retention_days: int = setting(
        365,
        "Age in days at which records are deleted, by the service once a day.",
        group="memory",
        example="90",
        ge=31,
        le=3650,
    )
    patient_key: Secrets | None = setting(
        None,
        "Secret that patients are hashed with; at least 16 bytes. To rotate it, put the new one first: "
        "new,old. Not set: one is made in STATE_DIR.",
        group="memory",
        example="a-long-random-text",
    )
    quiet_per: Literal["patient", "clinician"] = setting(
        "patient",
        "Whose answer keeps a card quiet: anyone's for the patient, or only the same clinician's.",
        group="memory",
        example="clinician",
    )
    cards_per_clinician_day: int = setting(
        0,
        "Most cards for one clinician in 24 hours; 0 is no limit. Critical cards always come.",
        group="memory",
        example="30",
        ge=0,
        le=1000,
    )
    cards_per_encounter: int = setting(
        0,
        "Most cards in one encounter; 0 is no limit. Critical cards always come.",
        group="memory",
        example="6",
        ge=0,
        le=1000,
    )
    admin_token: Secrets | None = setting(
        None,
        "Bearer token for GET /decisions/{hookInstance} and the kill switches. They are off without it "
        "and without ADMIN_HEADER.",
        group="administration",
        example="a-long-random-text",
    )
    admin_header: str = setting(
        "",
        "Header in which a proxy that people sign in to (OpenID Connect) passes who they are.",
        group="administration",
        example="X-Forwarded-Email",
    )
    admin_proxies: Networks = setting(
        (),
        "Addresses of that proxy. Never those of the proxy that EHRs come through.",
        group="administration",
        example="10.0.0.7",
    )
    admin_users: Words = setting(
        (),
        "People who may administer, as ADMIN_HEADER names them.",
        group="administration",
        example="j.smith@example.org,a.jones@example.org",
    )
    admin_groups: Words = setting(
        (),
        "Groups whose members may administer, as ADMIN_GROUPS_HEADER names them.",
        group="administration",
        example="tocsin-admins",
    )
    admin_groups_header: str = setting(
        "X-Forwarded-Groups",
        "Header in which that proxy passes the groups, with commas or bars between them.",
        group="administration",
        example="X-Auth-Request-Groups",
    )
    max_body_bytes: int = setting(
        8 * 2**20, "Largest body of a call, in bytes.", group="limits", example="8388608", ge=2**10, le=2**28
    )
    budget_ms: int = setting(
        500, "Time for one answer, in milliseconds.", group="limits", example="500", ge=50, le=60_000
    )
    fetch_budget_ms: int = setting(
        350,
        "Part of BUDGET_MS that reading from FHIR servers may take, in milliseconds.",
        group="limits",
        example="350",
        ge=10,
        le=60_000,
    )
    explain: Literal["auto", "on", "off"] = setting(
        "auto",
        "Serve POST /decisions/explain, in the sandbox profile the playground too. auto: only in that one.",
        group="output",
        example="on",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least level of the log lines on standard output.", group="output", example="info"
    )
    traces: bool = setting(
        False,
        "Send OpenTelemetry traces of hook calls. Needs the packages of the extra `traces`.",
        group="output",
        example="on",
    )
    traces_endpoint: HttpUrl | None = setting(
        None,
        "OTLP collector (HTTP), without /v1/traces. Not set: as OTEL_EXPORTER_OTLP_ENDPOINT says.",
        group="output",
        example="http://otel-collector.example.org:4318",
    )
    traces_percent: int = setting(
        1,
        "Calls in a hundred that are traced, beside those whose caller traces them.",
        group="output",
        example="1",
        ge=0,
        le=100,
    )
    demo: bool = setting(
        False, "Load the made-up patients and the lines to try them.", group="output", example="off"
    )

    @property
    def store_url(self) -> str:
        """Where decisions are kept: DATABASE_URL, else what its help says."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.state_dir / 'tocsin.sqlite'}" if self.state_dir is not None else "memory:"

    @property
    def plays(self) -> bool:
        """Whether the playground is served: it takes no token, so never in production."""
        return self.explains and self.profile == "sandbox"

    @property
    def explains(self) -> bool:
        """Whether POST /decisions/explain is served."""
        return self.explain == "on" or (self.explain == "auto" and self.profile == "sandbox")

    @property
    def base_url(self) -> str:
        """The URL callers know us under: PUBLIC_URL, else where we listen."""
        if self.public_url is not None:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of dates that come without one."""
        return ZoneInfo(self.timezone)


def load() -> Settings:
    """Settings from the environment and from SECRETS. Raises SettingsError with every problem in them."""
    settings, problems = examine()
    if problems:
        raise SettingsError(problems)
    return settings


def examine() -> tuple[Settings, tuple[SettingProblem, ...]]:
    """Settings from the environment, and every problem in them; a default stands in for what is broken."""
    unreadable = list(_unreadable_secrets())
    problems = [*_unknown_names(os.environ), *unreadable]
    broken: set[str] = set()
    try:
        settings = Settings(**_secrets_folder(usable=not unreadable))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            field = str(detail["loc"][0])
            broken.add(field)
            problems.append(_problem(field, detail["type"], detail["msg"]))
        settings = Settings(**{name: Settings.model_fields[name].default for name in broken})
    problems += [problem for fields, problem in conflicts(settings) if not broken & fields]
    return settings, tuple(sorted(problems))


def table(settings: Settings | None = None) -> tuple[Row, ...]:
    """Every setting in order. `value` is the default without `settings`."""
    return rows(Settings, PREFIX, settings)


def settings_markdown() -> str:
    """The reference page's tables, one for each group."""
    return markdown(table())


def _problem(field: str, kind: str, message: str) -> SettingProblem:
    row = next(row for row in table() if row.field == field)
    # The messages of our own validators name no value; those of pydantic may.
    said = message.removeprefix("Value error, ") if kind == "value_error" else f"It is not: {row.type}."
    hint = " In Kubernetes, set enableServiceLinks: false for the pod." if field == "port" else ""
    return SettingProblem(row.name, said, f"Example: {row.name}={row.example}{hint}")


def _unknown_names(environ: Mapping[str, str]) -> Iterator[SettingProblem]:
    known = [row.name for row in table()]
    for name in environ:
        if name in known or name == _NO_SETTING:
            continue
        if name.startswith(PREFIX) and not _SERVICE_LINK.match(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`tocsin settings` lists the names."
            yield SettingProblem(name, "There is no such setting.", hint)


def _secrets_folder(*, usable: bool) -> dict[str, Any]:
    """The argument of pydantic-settings that names SECRETS; it warns of a folder that is not there."""
    return {"_secrets_dir": SECRETS} if usable and SECRETS.is_dir() else {}


def _unreadable_secrets() -> Iterator[SettingProblem]:
    for row in table():
        path = SECRETS / row.name.lower()
        if path.exists() and not (path.is_file() and os.access(path, os.R_OK)):
            yield SettingProblem(row.name, f"{path} cannot be read.", "Let the user of the process read it.")
