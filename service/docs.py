"""The generated pages of docs/reference/: rules, facts, value sets, settings, errors, and those of
interfaces.py. Each says how to renew it.

What is shown is the bundled content, whatever the settings of the machine that writes the pages.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from rules.engine import Bundle, FactSpec, bundled_root, list_rules, load, severity
from rules.engine.codetables import Code, Tables, read_tables
from service.errors import catalogue
from service.interfaces import api, commands, metrics
from service.outcomes import WORDS
from service.settings import settings_markdown
from service.sheets import sheet
from service.tables import markdown_table

__all__ = ["errors_table", "pages"]

_HEAD = "<!-- Written by `tocsin docs write`; change what it is made from instead. -->\n"
_RULES = """\
# Rules

Version {version} of the catalogue: {count} rules.

A rule is about the people under *For*. A criterion can be true, false or unknown; a rule whose criteria
cannot be decided ends as `not-enough-data`, never as if nothing were there. The files are in
`rules/catalogue/<id>/`. To change them: [a threshold](../how-to/change-threshold.md),
[a rule](../how-to/add-rule.md). How a rule is decided: [decisions](../explanation/decision.md).
"""
_FACTS = """\
# Facts

What rules may read: {count} facts.

Every fact has a value or is **unknown**. *Nothing found* says what the fact is when the data were read and
held nothing about it; when the data could not be had it is unknown, whatever stands there. The declarations
are in `rules/facts.yaml`.
"""
_SETS = """\
# Value sets

{count} sets of codes. The codes are in `rules/codes/*.csv`.

A code in a set is also in each set under *also in*. An exclusion takes the sets under *removes* away.
*Strength* says how far real records can be expected to hold the codes. Codes that nobody has seen in a source
are kept for review and never matched.
"""
_SETTINGS = """\
# Settings

Environment variables, read at the start; `tocsin serve` has an option for each (`--fhir-allow` for
`TOCSIN_FHIR_ALLOW`). `tocsin settings` prints them with the values in force and everything that is wrong with
them. An unknown name that starts with `TOCSIN_` is an error. `tocsin site lint` checks the file of
`TOCSIN_SITE`.
"""
_ERRORS = """\
# Errors

Every error is answered with a FHIR OperationOutcome. `issue.details.coding.code` is the stable code of this
table, `issue.details.text` the sentence, `issue.diagnostics` what to do. A 401 has no body. No answer repeats
what was sent: a sentence may name a member of CDS Hooks, a prefetch key or the byte where JSON breaks off.
"""
_REASONS = """\
## Reasons

Why data could not be had, or not all of it: in `issue.diagnostics` of `data-unavailable`, as `reasons` in the
log line of that call, and with each key in `/decisions/explain`.
"""
_ABSENCE = {"unknown": "unknown", "false": "no", "none": "none"}


def pages() -> dict[str, str]:
    """Every generated page, its path under docs/ to text ending in a newline."""
    bundle = load()
    texts: Mapping[str, Callable[[], Iterator[str]]] = {
        "rules.md": lambda: _rules(bundle),
        "facts.md": lambda: _facts(bundle),
        "value-sets.md": lambda: _value_sets(read_tables(bundled_root() / "codes")),
        "settings.md": _settings,
        "errors.md": _errors,
        "commands.md": commands,
        "api.md": lambda: api(bundle),
        "metrics.md": metrics,
    }
    return {f"reference/{name}": "\n".join([_HEAD, *parts()]) for name, parts in texts.items()}


def errors_table() -> str:
    """Every error a caller can get, as a Markdown table."""
    head = ("Code", "Status", "What it means", "What to do")
    rows = ((f"`{kind.code}`", str(kind.status), kind.message, kind.action) for kind in catalogue())
    return markdown_table(head, rows)


# -- rules -------------------------------------------------------------------------------------------


def _rules(bundle: Bundle) -> Iterator[str]:
    yield _RULES.format(version=bundle.version, count=len(bundle.programs))
    rules = bundle.rules
    rows = sorted(list_rules(bundle), key=lambda row: (severity(rules[row.id].urgency), row.id))
    head = ("Rule", "What it finds", "Urgency", "Hooks")
    yield markdown_table(
        head, ((f"[{row.id}](#{row.id})", row.title, row.urgency, ", ".join(row.hooks)) for row in rows)
    )
    for row in rows:
        yield sheet(bundle, row.id, heading="##")


# -- facts -------------------------------------------------------------------------------------------


def _facts(bundle: Bundle) -> Iterator[str]:
    yield _FACTS.format(count=len(bundle.vocabulary))
    for name, specs in groupby(sorted(bundle.vocabulary, key=_namespace), key=_namespace):
        head = ("Fact", "Type", "What it says", "Nothing found", "Looks back", "Read from")
        yield f"## {name}\n\n{markdown_table(head, map(_fact, specs))}"
    yield _records(bundle)


def _namespace(spec: FactSpec) -> str:
    return spec.name.partition(".")[0]


def _fact(spec: FactSpec) -> tuple[str, ...]:
    kind = f"`{spec.type}`, {spec.unit}" if spec.unit not in ("", "1") else f"`{spec.type}`"
    values = f" ({', '.join(spec.values)})" if spec.values else ""
    window = f"{spec.window_days} days" if spec.window_days else ""
    origin = "the engine, after the first rules ran" if spec.engine else spec.origin
    return (f"`{spec.name}`", kind, f"{spec.says}{values}", _ABSENCE[spec.absence], window, origin)


def _records(bundle: Bundle) -> str:
    rows = (
        (f"`{record}`", f"`{field}`", f"`{spec.type}`", ", ".join(spec.values))
        for record, fields in bundle.vocabulary.records.items()
        for field, spec in fields.items()
    )
    table = markdown_table(("Record", "Field", "Type", "Values"), rows)
    return f"## Records in lists\n\nA field that is left out is unknown.\n\n{table}"


# -- value sets --------------------------------------------------------------------------------------


def _value_sets(tables: Tables) -> Iterator[str]:
    yield _SETS.format(count=len(tables.sets))
    names = {system.uri: system.system for system in reversed(tables.systems)}
    head = ("Set", "What is in it", "Strength", "Also in", "Removes", "Codes")
    rows = (
        (
            f"`{one.name}`",
            f"{one.title}. {one.note}" if one.note else one.title,
            one.strength,
            ", ".join(one.broader),
            ", ".join(one.overrules),
            _counts([code for code in tables.codes if code.set == one.name], names),
        )
        for _, one in sorted(tables.sets.items())
    )
    yield markdown_table(head, rows)


def _counts(codes: list[Code], names: Mapping[str, str]) -> str:
    """How many codes of each system are matched, and how many only wait for review."""
    matched = Counter(names.get(code.system, code.system) for code in codes if code.verified != "no")
    waiting = sum(code.verified == "no" for code in codes)
    parts = [f"{system} {count}" for system, count in sorted(matched.items())]
    return ", ".join([*parts, f"{waiting} for review"] if waiting else parts)


# -- settings and errors -----------------------------------------------------------------------------


def _settings() -> Iterator[str]:
    yield _SETTINGS
    yield settings_markdown()


def _errors() -> Iterator[str]:
    yield _ERRORS
    yield errors_table()
    yield _REASONS
    yield markdown_table(("Reason", "Meaning"), ((f"`{reason}`", words) for reason, words in WORDS.items()))
