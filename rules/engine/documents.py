"""YAML files read with the line of every value, so that a problem can be shown where it is.

Only the plain scalars of YAML 1.2 are resolved: `off`, `yes` and `2027-06-30` stay strings, because a rule
mode called `off` that turns into `False` is a fault nobody would look for. A key given twice is a problem,
not a silent overwrite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import jsonschema
import yaml

from rules.engine.errors import Problem

__all__ = ["Document", "Path", "read_document", "read_text", "schema_problems"]

Path = tuple[str | int, ...]


# What a plain scalar may be besides a string: pattern, first characters, and how it is read.
_SCALARS: Mapping[str, tuple[str, str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:bool": (r"true|false", "tf", "true".__eq__),
    "tag:yaml.org,2002:null": (r"null|~|", "n~", lambda text: None),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]+", "-+0123456789", int),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
        float,
    ),
}
_STRING = "tag:yaml.org,2002:str"


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {"": []}
    for tag, (pattern, first, _) in _SCALARS.items():
        for character in first:
            found.setdefault(character, []).append((tag, re.compile(f"^(?:{pattern})$")))
    found[""] = found["~"]  # an empty scalar is null
    return found


_RESOLVERS = _resolvers()


class Document:
    """One parsed file: its text, plain data, the line of each value and key, and the problems met while
    reading.
    """

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self.text = text
        self.data: Any = None
        self.problems: list[Problem] = []
        self._values: dict[Path, int] = {(): 1}
        self._keys: dict[Path, int] = {}

    def line(self, path: Path = ()) -> int:
        """Line of the value at `path`, or of the nearest enclosing value that exists."""
        return _nearest(self._values, path)

    def key_line(self, path: Path) -> int:
        """Line of the key (or list item) that leads to `path`."""
        return self._keys.get(path) or self.line(path)

    def problem(self, code: str, message: str, path: Path = ()) -> Problem:
        return Problem(self.name, self.key_line(path), code, message)

    def place(self, path: Path, line: int) -> None:
        self._values[path] = line

    def place_key(self, path: Path, line: int) -> None:
        self._keys[path] = line


def _nearest(lines: Mapping[Path, int], path: Path) -> int:
    while path not in lines:
        path = path[:-1]
    return lines[path]


def read_document(file: FilePath, name: str) -> Document:
    """Read `file`, reporting it as `name`. Unreadable or broken files give a Document with problems and no
    data.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        document = Document(name)
        document.problems.append(document.problem("R001", "file cannot be read as UTF-8 text"))
        return document
    return read_text(text, name)


def read_text(text: str, name: str) -> Document:
    """Parse YAML text into a Document; `name` is used in its problems."""
    document = Document(name, text)
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(
            text
        )  # libyaml's parser where it is there: six times faster
        loader.yaml_implicit_resolvers = _RESOLVERS
        root = loader.get_single_node()
        if root is not None:
            document.data = _build(root, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.problems.append(
            Problem(name, line, "R001", f"not valid YAML: {error.problem or error.context}")
        )
    except yaml.YAMLError:
        document.problems.append(
            document.problem("R001", "not valid YAML: a character that YAML does not allow")
        )
    return document


def _build(node: yaml.Node, path: Path, document: Document) -> Any:
    document.place(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return dict(_members(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), document) for index, item in enumerate(node.value)]
    if node.tag == _STRING:
        if isinstance(node, yaml.ScalarNode) and node.style in (
            "|",
            ">",
        ):  # the text of a block starts on the next line
            document.place(path, node.start_mark.line + 2)
        return node.value
    if node.tag not in _SCALARS:
        raise yaml.MarkedYAMLError(
            problem=f"the tag {node.tag} is not used here", problem_mark=node.start_mark
        )
    return _SCALARS[node.tag][2](node.value)


def _members(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = key_node.start_mark.line + 1
        if key in seen:
            document.problems.append(Problem(document.name, line, "R001", f"key '{key}' is given twice"))
        seen.add(key)
        yield key, _build(value_node, (*path, key), document)
        document.place_key((*path, key), line)


def schema_problems(document: Document, schema: Mapping[str, Any]) -> list[Problem]:
    """What the JSON Schema says against the document, each at the line of the offending key."""
    validator = jsonschema.Draft202012Validator(schema)
    found: list[Problem] = []
    for error in validator.iter_errors(document.data):
        leaf = _deepest(error)
        path: Path = tuple(leaf.absolute_path)
        if leaf.validator == "additionalProperties" and leaf.validator_value is False:
            found += [_complaint(document, "no such key here", (*path, key)) for key in _extra_keys(leaf)]
        elif leaf.validator == "pattern":
            found.append(
                _complaint(document, f"{leaf.instance!r} does not have the form {leaf.validator_value}", path)
            )
        else:
            found.append(_complaint(document, leaf.message, path))
    return found


def _deepest(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Of the branches of a failed `anyOf`, the complaint of the branch that got furthest; of equals, the
    last.
    """
    while error.context:
        error = max(reversed(error.context), key=lambda e: (len(e.absolute_path), e.validator != "type"))
    return error


def _extra_keys(error: jsonschema.ValidationError) -> list[str]:
    allowed = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
    return (
        sorted(key for key in error.instance if key not in allowed)
        if isinstance(error.instance, dict)
        else []
    )


def _complaint(document: Document, message: str, path: Path) -> Problem:
    where = ".".join(map(str, path)) or "the file"
    return document.problem("R002", f"{where}: {message}", path)
