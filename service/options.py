"""What a setting declares beside its type and default, and how that is shown to people."""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from service.tables import markdown_table

__all__ = ["Row", "markdown", "rows", "setting"]


class Row(msgspec.Struct, frozen=True):
    """One setting as people see it: `field` is the attribute, `name` the environment variable."""

    field: str
    name: str
    type: str
    default: str
    value: str
    help: str
    group: str
    example: str
    since: str


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    example: str,
    since: str = "0.1.0",
    ge: int | None = None,
    le: int | None = None,
) -> Any:
    """A field of a settings class. An integer needs both bounds; `since` is the version it came with."""
    return Field(
        default,
        description=help,
        examples=[example],
        json_schema_extra={"group": group, "since": since},
        ge=ge,
        le=le,
    )


def rows(model: type[BaseSettings], prefix: str, values: BaseSettings | None = None) -> tuple[Row, ...]:
    """One row for each field of `model`. `value` is the default without `values`; secrets are masked."""
    return tuple(_row(name, field, prefix, values) for name, field in model.model_fields.items())


def markdown(listed: Sequence[Row]) -> str:
    """Rows as tables of a reference page, one for each group."""
    parts = []
    for group in dict.fromkeys(row.group for row in listed):
        cells = (
            (f"`{row.name}`", row.type, f"`{row.default}`", row.help, f"`{row.example}`", row.since)
            for row in listed
            if row.group == group
        )
        head = ("Name", "Type", "Default", "What it does", "Example", "Since")
        parts.append(f"## {group.capitalize()}\n\n{markdown_table(head, cells)}")
    return "\n".join(parts)


def _row(name: str, field: FieldInfo, prefix: str, values: BaseSettings | None) -> Row:
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        raise TypeError(f"the setting {name} was not declared with setting()")
    return Row(
        field=name,
        name=f"{prefix}{name.upper()}",
        type=_type(field),
        default=_shown(field.default),
        value=_shown(field.default if values is None else getattr(values, name)),
        help=field.description or "",
        group=str(extra["group"]),
        example=str((field.examples or [""])[0]),
        since=str(extra["since"]),
    )


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    while get_origin(kind) in (UnionType, Union, Annotated):
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if kind is int:
        low, high = (
            next(getattr(bound, name) for bound in field.metadata if hasattr(bound, name))
            for name in ("ge", "le")
        )
        return f"integer from {low} to {high}"
    names: dict[Any, str] = {bool: "on or off", Path: "path of a file", SecretStr: "secret"}
    return "list with commas" if get_origin(kind) is tuple else names.get(kind, "text")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "(none)"
    return "(not set)" if value is None else str(value)
