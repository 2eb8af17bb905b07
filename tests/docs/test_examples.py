"""What a page tells its reader to run is run, in a checkout of its own, and prints what the page says."""

from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.blocks import blocks, documents
from tests.docs.checkout import Checkout, is_run, unlike

PAGES = [
    page.relative_to(REPOSITORY).as_posix()
    for page in documents(REPOSITORY)
    if any(map(is_run, blocks(page.read_text("utf-8"))))
]


def test_both_tutorials_are_run() -> None:
    assert {"docs/tutorials/first-card.md", "docs/tutorials/first-rule.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_page_does_what_it_says(repository: Path, tmp_path: Path, page: str) -> None:
    with Checkout(repository, tmp_path) as checkout:
        assert checkout.follow((repository / page).read_text("utf-8")) == []


def test_a_page_that_says_something_wrong_is_noticed(repository: Path, tmp_path: Path) -> None:
    told = "```sh run\necho one two three\n```\n\n```text expected\none … three\ntwo\n```\n"
    page = f"{told}\n```sh run\nfalse\n```\n"
    with Checkout(repository, tmp_path) as checkout:
        missing, ended = checkout.follow(page)
    assert missing == "line 5: not printed: two"
    assert ended.startswith("line 10 ended with 1")


def test_expected_lines_come_in_order() -> None:
    assert unlike("a\nb\n", "a  \nx\nb\n") == []
    assert unlike("b\na\n", "a\nb\n") == ["a"]
    assert unlike("a … c (1)\n", "a b c (1)\n") == []
