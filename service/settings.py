"""The settings: one typed table that also makes the reference page and the options of `tocsin serve`.

Each field of Settings is one row: name, type, default, help, group, example, and the version it came with.
Values come from environment variables with the prefix TOCSIN_; an empty variable counts as not set. All that
is wrong is reported together, and no report repeats a value.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.addresses import InvalidBase, parse_base
from service.errors import SettingProblem, SettingsError
from service.options import Row, rows, setting
from service.tables import markdown_table

__all__ = ["PREFIX", "Settings", "examine", "load", "settings_markdown", "table", "warnings"]

PREFIX = "TOCSIN_"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Kubernetes gives each pod the addresses of Services; those of a Service named "tocsin" share our prefix.
_SERVICE_LINK = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))")


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)


def _base_url(text: str) -> str:
    try:
        return parse_base(text).url
    except InvalidBase as error:
        raise ValueError(
            "A URL is not https (http is for loopback only), or has credentials, a query or a fragment."
        ) from error


def _origin(text: str) -> str:
    if text == "*":
        return text
    url = _base_url(text)
    if url.count("/") > 2:
        raise ValueError("An origin is only scheme, host and port, without a path.")
    return url


def _base_urls(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_base_url(text) for text in texts)


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_origin(text) for text in texts)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("There is no file at the path.")
    return path


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("It is not the name of an IANA time zone.") from error
    return name


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
BaseUrls = Annotated[Words, AfterValidator(_base_urls)]
Origins = Annotated[Words, AfterValidator(_origins)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
TimeZone = Annotated[str, AfterValidator(_timezone)]


class Settings(BaseSettings):
    """What an operator decides. Immutable; made by `load`, or in tests with keyword arguments."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = setting("127.0.0.1", "Address to listen on.", group="server", example="0.0.0.0")
    port: int = setting(8000, "TCP port to listen on.", group="server", example="8000", ge=1, le=65535)
    workers: int = setting(
        1, "Worker processes; as many as cores serves best.", group="server", example="2", ge=1, le=64
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
    max_body_bytes: int = setting(
        8 * 2**20, "Largest body of a call, in bytes.", group="limits", example="8388608", ge=2**10, le=2**28
    )
    max_json_depth: int = setting(
        64, "Deepest nesting of JSON in a body.", group="limits", example="64", ge=16, le=512
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
        "Serve POST /decisions/explain. auto means on in the sandbox profile only.",
        group="output",
        example="on",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least level of the log lines on standard output.", group="output", example="info"
    )
    demo: bool = setting(
        False, "Load the made-up patients and the lines to try them.", group="output", example="off"
    )

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
    """Settings from the environment. Raises SettingsError with every problem in them."""
    settings, problems = examine()
    if problems:
        raise SettingsError(problems)
    return settings


def examine() -> tuple[Settings, tuple[SettingProblem, ...]]:
    """Settings from the environment, and every problem in them; a default stands in for what is broken."""
    problems = list(_unknown_names(os.environ))
    broken: set[str] = set()
    try:
        settings = Settings()
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            field = str(detail["loc"][0])
            broken.add(field)
            problems.append(_problem(field, detail["type"], detail["msg"]))
        settings = Settings(**{name: Settings.model_fields[name].default for name in broken})
    problems += [problem for fields, problem in _conflicts(settings) if not broken & fields]
    return settings, tuple(sorted(problems))


def warnings(settings: Settings) -> tuple[str, ...]:
    """What the operator must be told at start although it is allowed."""
    told = []
    if not settings.auth:
        told.append(
            "Authentication is OFF: anyone who reaches this port can call. Never send real patient data."
        )
        if settings.host not in _LOOPBACK:
            told.append("Unsigned calls are taken from other machines, because TOCSIN_HOST is not loopback.")
    elif settings.clients is None and not settings.trust_sandbox:
        told.append("No EHR can call: authentication is on and TOCSIN_CLIENTS lists none.")
    if not settings.critical_rules:
        told.append("Critical rules are OFF: cord compression, cauda equina and infection raise no card.")
    return tuple(told)


def table(settings: Settings | None = None) -> tuple[Row, ...]:
    """Every setting in order. `value` is the default without `settings`."""
    return rows(Settings, PREFIX, settings)


def settings_markdown() -> str:
    """The reference page's tables, one for each group."""
    parts = []
    for group in dict.fromkeys(row.group for row in table()):
        cells = (
            (f"`{row.name}`", row.type, f"`{row.default}`", row.help, f"`{row.example}`", row.since)
            for row in table()
            if row.group == group
        )
        head = ("Name", "Type", "Default", "What it does", "Example", "Since")
        parts.append(f"## {group.capitalize()}\n\n{markdown_table(head, cells)}")
    return "\n".join(parts)


def _problem(field: str, kind: str, message: str) -> SettingProblem:
    row = next(row for row in table() if row.field == field)
    # The messages of our own validators name no value; those of pydantic may.
    said = message.removeprefix("Value error, ") if kind == "value_error" else f"It is not: {row.type}."
    hint = " In Kubernetes, set enableServiceLinks: false for the pod." if field == "port" else ""
    return SettingProblem(row.name, said, f"Example: {row.name}={row.example}{hint}")


def _unknown_names(environ: Mapping[str, str]) -> Iterator[SettingProblem]:
    known = [row.name for row in table()]
    for name in environ:
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.match(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`tocsin settings` lists the names."
            yield SettingProblem(name, "There is no such setting.", hint)


def _conflicts(settings: Settings) -> Iterator[tuple[set[str], SettingProblem]]:
    """Settings that do not go together, with the fields that must be sound for the verdict to hold."""
    if settings.profile == "production":
        yield from _not_for_production(settings)
    if settings.fetch_budget_ms >= settings.budget_ms:
        yield (
            {"fetch_budget_ms", "budget_ms"},
            SettingProblem(
                "TOCSIN_FETCH_BUDGET_MS",
                "It leaves no time for the rules.",
                "Set it well below TOCSIN_BUDGET_MS.",
            ),
        )
    if settings.auth and settings.workers > 1 and settings.state_dir is None:
        yield (
            {"auth", "workers", "state_dir"},
            SettingProblem(
                "TOCSIN_STATE_DIR",
                "Several workers need one to remember used tokens together.",
                "Set a folder that survives restarts.",
            ),
        )
    if bool(settings.mtls_header) != bool(settings.trusted_proxies):
        yield (
            {"mtls_header", "trusted_proxies"},
            SettingProblem(
                "TOCSIN_MTLS_HEADER", "It goes together with TOCSIN_TRUSTED_PROXIES.", "Set both or neither."
            ),
        )


def _not_for_production(settings: Settings) -> Iterator[tuple[set[str], SettingProblem]]:
    refused = {
        "demo": (settings.demo, "Demo patients are"),
        "trust_sandbox": (settings.trust_sandbox, "The sandbox's published key is"),
        "cors_origins": ("*" in settings.cors_origins, "A CORS origin of * is"),
        "public_url": ((settings.public_url or "").startswith("http:"), "A public URL without TLS is"),
    }
    for field, (used, what) in refused.items():
        if used:
            name = f"{PREFIX}{field.upper()}"
            yield (
                {"profile", field},
                SettingProblem(
                    name, f"{what} refused in production.", "Change it, or set TOCSIN_PROFILE=sandbox."
                ),
            )
