"""How a setting is described."""

from typing import Literal

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from service.options import rows, setting


class Sample(BaseSettings):
    """Settings of every kind that is described differently."""

    wide: int = setting(3, "How wide.", group="size", example="4", ge=1, le=9)
    kind: Literal["a", "b"] = setting("a", "Which.", group="size", example="b", since="0.2.0")
    names: tuple[str, ...] = setting((), "Names.", group="size", example="x,y")
    quiet: bool = setting(False, "Whether.", group="size", example="on")
    password: SecretStr | None = setting(None, "Secret.", group="trust", example="...")


class Bare(BaseSettings):
    """A setting that says nothing about itself."""

    wide: int = 3


def test_each_kind_is_described_in_words() -> None:
    described = {row.field: (row.name, row.type, row.default) for row in rows(Sample, "X_")}
    assert described == {
        "wide": ("X_WIDE", "integer from 1 to 9", "3"),
        "kind": ("X_KIND", "a or b", "a"),
        "names": ("X_NAMES", "list with commas", "(none)"),
        "quiet": ("X_QUIET", "on or off", "off"),
        "password": ("X_PASSWORD", "secret", "(not set)"),
    }


def test_current_values_are_shown_and_secrets_masked() -> None:
    sample = Sample(wide=5, names=("x", "y"), quiet=True, password=SecretStr("hush"))
    shown = {row.field: row.value for row in rows(Sample, "X_", sample)}
    assert shown == {"wide": "5", "kind": "a", "names": "x,y", "quiet": "on", "password": "**********"}


def test_the_version_a_setting_came_with_is_kept() -> None:
    assert [row.since for row in rows(Sample, "X_")][:2] == ["0.1.0", "0.2.0"]


def test_a_setting_without_a_description_is_refused() -> None:
    with pytest.raises(TypeError, match="wide"):
        rows(Bare, "X_")
