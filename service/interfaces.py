"""The reference pages of what others call: commands, HTTP API, metrics. Each is made from the code itself."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import typer
import yaml

from hooks import REGISTRY, Hook
from rules.engine import Bundle
from service import cli
from service.answering import POLICY_FACTS
from service.metrics import Metrics
from service.openapi import errors_of
from service.options import Row
from service.queries import plan
from service.settings import table
from service.tables import markdown_table

__all__ = ["api", "commands", "metrics"]

_COMMANDS = """\
# Command line

`tocsin --help` and `tocsin COMMAND --help` say the same. A command ends with 0 when it did what it was asked,
with 1 when something it looked at is wrong, and with 2 when it was called wrongly or a setting is wrong.
Commands that decide on this machine read the settings of the group *Rules* ([settings](settings.md)).
"""
_API = """\
# HTTP API

`/docs` of a running service shows the same with examples, `/openapi.json` is the OpenAPI 3.1 document for
programs. Errors are in the [error table](errors.md), the members of a card in [cards](card.md).

*signed*: a JWT of a client in `TOCSIN_CLIENTS`, unless `TOCSIN_AUTH=off`. *admin*: for administrators, and
not there as long as no way to be one is set. *open*: nobody is asked; keep those other than discovery inside
your network.
"""
_HOOKS = """\
## Hooks

One service, `red-flags`, is offered for {count} hooks.
"""
_PREFETCH = """\
## Prefetch

The templates of the bundled rules; a site's own codes lengthen the lists of codes. A key that is not sent is
read from `fhirServer`, when that is on the list of the caller. `null` for a key means that nothing was found,
and is not asked again.
"""
_METRICS = """\
# Metrics

Served at `/metrics` in the text format of Prometheus. No label holds anything of a patient or a user:
`client` is the id in `TOCSIN_CLIENTS`. Alert rules and dashboards are in `deploy/observability/`.
"""
_SERVE = "tocsin serve"
Command = Any  # typer's own copy of click, which it does not export


# -- commands ----------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Every command with its arguments and options, in the order of `tocsin --help`."""
    yield _COMMANDS
    main = typer.main.get_command(cli.application(""))
    for name, command in _members(main):
        if name in cli.FAMILIES:
            command = dict(_members(typer.main.get_command(cli.application(name))))[name]
        yield from _command(f"tocsin {name}", command)


def _members(group: Command) -> list[tuple[str, Command]]:
    return list(getattr(group, "commands", {}).items())


def _command(called: str, command: Command) -> Iterator[str]:
    members = _members(command)
    usage = " ".join([called, *("COMMAND" for _ in members[:1]), *_usage(command)])
    yield f"## {called}\n\n{_prose(command.help)}\n\n```text\n{usage}\n```\n"
    rows = [_parameter(one) for one in command.params if not one.hidden and one.name != "help"]
    if called == _SERVE:
        yield markdown_table(("Option", "Setting", "Default", "What it does"), map(_setting, table()))
    elif rows:
        yield markdown_table(("Argument or option", "Takes", "Default", "What it does"), rows)
    for name, member in members:
        yield from _command(f"{called} {name}", member)


def _usage(command: Command) -> Iterator[str]:
    shown = [one for one in command.params if not one.hidden]
    if any(one.param_type_name == "option" for one in shown):
        yield "[OPTIONS]"
    for one in shown:
        if one.param_type_name == "argument":
            name = _called(one)
            yield name if one.required else f"[{name}]"


def _called(parameter: Command) -> str:
    many = "..." if parameter.nargs == -1 else ""
    return f"{parameter.metavar or parameter.name.upper()}{many}"


def _prose(text: str | None) -> str:
    """Help as paragraphs: typer marks ends of paragraphs with empty lines, as docstrings do."""
    paragraphs = (text or "").replace("\f", "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _parameter(one: Command) -> tuple[str, str, str, str]:
    says = " ".join((one.help or "").split())
    if one.param_type_name == "argument":
        return f"`{_called(one)}`", "", _default(one), says
    name = ", ".join(f"`{option}`" for option in (*one.opts, *one.secondary_opts))
    if one.is_flag:
        return name, "", "", says
    return name, f"`{one.metavar or _choices(one)}`", _default(one), says


def _setting(row: Row) -> tuple[str, str, str, str]:
    """An option of `tocsin serve`, which has one for each setting."""
    return f"`--{row.field.replace('_', '-')}`", f"`{row.name}`", f"`{row.default}`", row.help


def _default(one: Command) -> str:
    if one.required:
        return "required"
    value = getattr(one.default, "value", one.default)
    return "" if value in (None, "", (), []) else f"`{value}`"


def _choices(one: Command) -> str:
    """What typer shows for an option without a name for its value: its choices, or its type."""
    shown: str = one.display_type(None)
    return shown.strip("<>").replace("|", " or ")


# -- the HTTP API ------------------------------------------------------------------------------------


def api(bundle: Bundle) -> Iterator[str]:
    """Every path with its errors, then each hook with its context fields and prefetch templates."""
    yield _API
    paths = yaml.safe_load((files("service") / "openapi.yaml").read_text("utf-8"))["paths"]
    rows = (
        (f"`{method.upper()} {path}`", one["summary"], _access(one), _errors(one))
        for path, members in paths.items()
        for method, one in members.items()
        if method in ("get", "post")
    )
    yield markdown_table(("Path", "What it does", "Who", "Errors"), rows)
    yield _HOOKS.format(count=len(REGISTRY))
    for hook in REGISTRY.values():
        yield f"### {hook.name}\n\n{_context(hook)}"
    yield _PREFETCH
    yield from _prefetch(bundle)


def _access(operation: dict[str, Any]) -> str:
    if operation.get("x-admin"):
        return "admin"
    return "signed" if operation.get("x-signed") else "open"


def _errors(operation: dict[str, Any]) -> str:
    signed = {"unauthorised"} if _access(operation) != "open" else set()
    known = {row.code for row in errors_of(operation)} | signed
    return ", ".join(f"`{code}`" for code in sorted(known))


def _context(hook: Hook) -> str:
    rows = (
        (f"`context.{field.name}`", field.kind.value, "yes" if field.required and field.enforced else "no")
        for field in hook.fields
    )
    return markdown_table(("Context field", "Kind", "Required"), rows)


def _prefetch(bundle: Bundle) -> Iterator[str]:
    """Each key once, with its template and the hooks that ask for it."""
    hooks: dict[tuple[str, str], list[str]] = {}
    for name in REGISTRY:
        for query in plan(bundle, name, POLICY_FACTS):
            asked = query.template()
            hooks.setdefault((asked.key, asked.query), []).append(name)
    for (key, template), names in hooks.items():
        asking = "every hook" if len(names) == len(REGISTRY) else ", ".join(names)
        yield f"### `{key}`\n\nFor {asking}.\n\n```text\n{template}\n```\n"


# -- metrics -----------------------------------------------------------------------------------------


def metrics() -> Iterator[str]:
    """Every metric of ours, by name."""
    yield _METRICS
    rows = (
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), says)
        for name, kind, says, labels in sorted(Metrics().described())
    )
    yield markdown_table(("Metric", "Kind", "Labels", "What it counts"), rows)
