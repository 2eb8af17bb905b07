"""The client list as operators write it (TOCSIN_CLIENTS): YAML to Clients, with every problem at its line.

The form is published as clients.schema.json beside this module. Problems carry these codes:

    C001  not readable as YAML            C005  a URL that cannot be used
    C002  not of the published form       C006  two clients that a call could not be told between
    C003  an id given twice               C007  a key file or key set that cannot be used
    C004  no way to identify the client   C008  a tolerant audience (a warning; without a reason an error)
    C009  a canary that could read patients
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec

from rules.engine.documents import Document, read_document, schema_problems
from rules.engine.errors import Problem
from service.addresses import Base, InvalidBase, parse_base
from service.errors import TocsinError
from service.smart import InvalidKey, Registration, registration
from service.trust.clients import DEFAULT_ALGORITHMS, Audience, CallLimits, Client, Clients
from service.trust.keys import KeysError, KeySet, parse_keys
from service.trust.mtls import normal_subject

__all__ = ["ClientsError", "clients_schema", "read_clients"]

_CODES = {"R001": "C001", "R002": "C002"}
_At = tuple[str | int, ...]


class ClientsError(TocsinError):
    """The client list cannot be used. `problems` holds every one found, in order of place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


@cache
def clients_schema() -> dict[str, Any]:
    """The published JSON Schema of the client list."""
    text = resources.files("service.trust").joinpath("clients.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def read_clients(file: Path) -> tuple[Clients, tuple[Problem, ...]]:
    """Read the client list; the second part are warnings. Raises ClientsError.

    Paths in it are relative to its folder. No problem repeats the content of a key.
    """
    document = read_document(file, file.name)
    document.data = _listed(document.data)
    problems = [*document.problems]
    if not problems:
        problems += schema_problems(document, clients_schema())
    if problems:
        raise ClientsError(
            msgspec.structs.replace(problem, code=_CODES.get(problem.code, problem.code))
            for problem in problems
        )
    reader = _Reader(document, file.parent)
    clients = [reader.client(index, entry) for index, entry in enumerate(document.data["clients"])]
    reader.compare(clients)
    warnings = tuple(problem for problem in reader.problems if problem.severity == "warning")
    if len(warnings) < len(reader.problems):
        raise ClientsError(reader.problems)
    return Clients(clients), warnings


class _Reader:
    """Turns entries that have the published form into clients; what cannot be used is noted and left out."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._folder = folder

    def client(self, index: int, entry: dict[str, Any]) -> Client:
        at: _At = ("clients", index)
        plain = ("id", "issuer", "fhir_version", "profile", "hooks_version", "selection_behavior")
        client = Client(
            **{name: entry[name] for name in plain if name in entry},
            jku=entry.get("jku", ""),
            jwks=self._keys(entry, at),
            tenants=frozenset(entry.get("tenants", ())),
            audience=self._audience(entry.get("audience", {}), (*at, "audience")),
            algorithms=tuple(entry.get("algorithms", DEFAULT_ALGORITHMS)),
            mtls_subject=normal_subject(entry.get("mtls_subject", "")),
            fhir_servers=tuple(self._bases(_each(entry.get("fhir_servers")), (*at, "fhir_servers"))),
            cors_origins=self._origins(_each(entry.get("cors_origins")), (*at, "cors_origins")),
            limits=CallLimits(**entry.get("limits", {})),
            smart=self._smart(entry.get("smart"), (*at, "smart")),
            canary=entry.get("canary", False),
        )
        self._canary(entry, at)
        self._identity(entry, at)
        return client

    def compare(self, clients: Sequence[Client]) -> None:
        """Note clients that have an id, a certificate or all of issuer, jku and tenant in common."""
        for (_, one), (index, other) in combinations(enumerate(clients), 2):
            at: _At = ("clients", index)
            if one.id == other.id:
                self._note("C003", "this id is given to an earlier client too", (*at, "id"))
            if _mistakable(one, other):
                self._note("C006", f"a call could belong to this client or to {one.id!r}", at)

    def _note(self, code: str, message: str, at: _At) -> None:
        self.problems.append(self._document.problem(code, message, at))

    def _identity(self, entry: dict[str, Any], at: _At) -> None:
        has_keys = not {"jku", "jwks", "jwks_file"}.isdisjoint(entry)
        if "jku" in entry:
            self._base(entry["jku"], (*at, "jku"))
        if "issuer" not in entry and "mtls_subject" not in entry:
            self._note("C004", "give issuer, or mtls_subject, or both", at)
        elif "issuer" in entry and not has_keys:
            self._note("C004", "tokens of this issuer cannot be checked: give jku or jwks", at)
        elif "issuer" not in entry and has_keys:
            self._note("C004", "keys without an issuer are never used: give issuer too", at)

    def _canary(self, entry: dict[str, Any], at: _At) -> None:
        """A canary brings its made-up patients along; what leaves no record must not reach real ones."""
        for name in ("fhir_servers", "smart", "cors_origins"):
            if entry.get("canary") and entry.get(name):
                self._note(
                    "C009", "a canary reads no FHIR server and has no web page: leave this out", (*at, name)
                )

    def _keys(self, entry: dict[str, Any], at: _At) -> Path | KeySet | None:
        name = "jwks" if "jwks" in entry else "jwks_file"
        given, at = entry.get(name), (*at, name)
        if given is None:
            return None
        path = None if isinstance(given, dict) else self._folder / given
        try:
            keys = parse_keys(given if path is None else path.read_bytes())
        except KeysError as error:
            self._note("C007", f"no keys can be read from here ({error.reason})", at)
            return None
        except OSError:
            self._note("C007", "the file cannot be read", at)
            return None
        if not any(map(keys.serves, entry.get("algorithms", DEFAULT_ALGORITHMS))):
            self._note("C007", "none of these keys is for one of the client's algorithms", at)
        return path or keys

    def _audience(self, given: str | list[str] | dict[str, Any], at: _At) -> Audience:
        if not isinstance(given, dict):
            return Audience(bases=tuple(map(_base_of, _each(given))), named=_each(given))
        audience = Audience(
            bases=tuple(base.url for base in self._bases(given.get("bases", ()), (*at, "bases"))),
            tolerant=given.get("tolerant", False),
            reason=given.get("reason", ""),
            service_url_at_feedback=given.get("service_url_at_feedback", True),
        )
        if audience.tolerant and not audience.reason:
            self._note("C008", "say in `reason` why the audience must be tolerant", (*at, "tolerant"))
        elif audience.tolerant:
            problem = self._document.problem(
                "C008", f"tolerant audience: {audience.reason}", (*at, "tolerant")
            )
            self.problems.append(msgspec.structs.replace(problem, severity="warning"))
        return audience

    def _smart(self, given: dict[str, Any] | None, at: _At) -> Registration | None:
        if given is None:
            return None
        try:
            key = (self._folder / given["key_file"]).read_bytes()
            return registration(given["token_url"], given["client_id"], key, given["scopes"])
        except OSError:
            self._note("C007", "the file cannot be read", (*at, "key_file"))
        except InvalidKey as error:
            self._note("C007", str(error), (*at, "key_file"))
        except InvalidBase as error:
            self._note("C005", _plain(error), (*at, "token_url"))
        return None

    def _origins(self, given: Sequence[str], at: _At) -> frozenset[str]:
        bases = list(self._bases(given, at))
        for index, base in enumerate(bases):
            if base.path:
                self._note("C005", "an origin is only scheme, host and port", (*at, index))
        return frozenset(base.url for base in bases)

    def _bases(self, given: Sequence[str], at: _At) -> Iterator[Base]:
        for index, text in enumerate(given):
            base = self._base(text, (*at, index))
            if base is not None:
                yield base

    def _base(self, text: str, at: _At) -> Base | None:
        try:
            return parse_base(text)
        except InvalidBase as error:
            self._note("C005", _plain(error), at)
            return None


def _listed(data: Any) -> Any:
    """The short forms of the list in the long one: clients without the word, or by their ids."""
    if isinstance(data, list):
        data = {"clients": data}
    clients = data.get("clients") if isinstance(data, dict) else None
    if isinstance(clients, dict):
        named = [{"id": name, **said} for name, said in clients.items() if isinstance(said, dict)]
        return {**data, "clients": named} if len(named) == len(clients) else data
    return data


def _each(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _base_of(audience: str) -> str:
    """The base URL in an audience that names a service below it."""
    return audience.partition("/cds-services")[0].rstrip("/")


def _plain(error: InvalidBase) -> str:
    return "not https, and not http on loopback" if error.reason == "base-insecure" else "not a plain URL"


def _mistakable(one: Client, other: Client) -> bool:
    if not one.issuer and not other.issuer:
        return one.mtls_subject == other.mtls_subject != ""
    if one.issuer != other.issuer:
        return False
    tenants_apart = bool(one.tenants and other.tenants) and one.tenants.isdisjoint(other.tenants)
    jkus_apart = bool(one.jku and other.jku) and one.jku != other.jku
    return not tenants_apart and not jkus_apart
