"""`tocsin source-attributes`: the source attributes of HTI-1 for the rules on this machine."""

from enum import StrEnum
from typing import Annotated

import typer

from service.attributes import SourceAttributes, source_attributes, to_csv, to_json
from service.tables import markdown_table
from service.workbench import local_knowledge

__all__ = ["app"]

app = typer.Typer()


class Format(StrEnum):
    MARKDOWN = "markdown"
    JSON = "json"
    CSV = "csv"


@app.callback(invoke_without_command=True)
def attributes(
    as_format: Annotated[Format, typer.Option("--format", help="How to print them.")] = Format.MARKDOWN,
) -> None:
    """Print who made each rule, from what, and what it reads of a person (45 CFR 170.315(b)(11)(iv))."""
    found = source_attributes(local_knowledge().bundle)
    if as_format is Format.JSON:
        typer.echo(to_json(found).decode())
    elif as_format is Format.CSV:
        typer.echo(to_csv(found), nl=False)
    else:
        typer.echo(_markdown(found), nl=False)


def _markdown(found: SourceAttributes) -> str:
    parts = [
        f"# Source attributes: {found.product} {found.version}, rules {found.bundle}",
        f"{found.regulation}. {found.classification}",
    ]
    for rule in found.rules:
        rows = ((str(one.n), one.title, one.says) for one in rule.attributes)
        table = markdown_table(("No.", "Attribute", "Answer"), rows)
        parts.append(f"## {rule.rule}\n\n{rule.title}, version {rule.version}\n\n{table}".rstrip())
    for group in found.predictive:
        rows = ((str(one.n), one.title, one.says) for one in group.attributes)
        table = markdown_table(("No.", "Attribute", "Answer"), rows)
        parts.append(f"## All rules: {group.title}\n\n{table}".rstrip())
    return "\n\n".join(parts) + "\n"
