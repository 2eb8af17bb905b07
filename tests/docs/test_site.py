"""The built site: strict, whole, nothing from elsewhere, readable and searchable from a disk."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Request

from tests.files import globbed
from tests.service.pages.browser import browser

# Tags that make a browser load something, with the attributes that name it.
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
ELSEWHERE = re.compile(r"(?:https?:)?//")
SEARCHED = "cauda equina"


class Loads(HTMLParser):
    """What a page loads by itself, links not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if tag == "link" and said.get("rel") == "canonical":
            return
        name = LOADING.get(tag)
        if name is not None and said.get(name):
            self.found.append(str(said[name]))


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    # The theme advertises at each start unless told otherwise.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*command, "--site-dir", str(site)], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(repository / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(repository: Path, site: Path) -> None:
    docs = repository / "docs"
    wanted = {page.relative_to(docs).with_suffix(".html") for page in globbed(docs, "**/*.md")}
    assert {page for page in wanted if not (site / page).is_file()} == set()
    assert not list(site.rglob("*.py"))


def test_a_page_that_nobody_can_reach_breaks_the_build(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Start\n", encoding="utf-8")
    (tmp_path / "docs/lost.md").write_text("# Lost\n", encoding="utf-8")
    settings = (repository / "mkdocs.yml").read_text("utf-8")
    whole = yaml.safe_load(settings)
    config = {"site_name": "x", "nav": [{"Start": "index.md"}], "validation": whole["validation"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "lost.md" in done.stderr


def test_links_out_of_the_pages_become_paths_and_examples_stay_whole(site: Path) -> None:
    deploy = (site / "how-to/deploy.html").read_text("utf-8")
    assert "alerts (<code>deploy/observability/alerts.yaml</code>)" in deploy
    review = (site / "how-to/security-review.html").read_text("utf-8")
    assert "<code>ARCHITECTURE.md</code>" in review
    assert "../../" not in re.sub(r'(?:src|href)="[^"]*"', "", review)
    tutorial = (site / "tutorials/first-card.html").read_text("utf-8")
    assert "sh run" not in tutorial
    assert "text expected" not in tutorial


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in globbed(site, "**/*.html"):
        parser = Loads()
        parser.feed(page.read_text("utf-8"))
        assert parser.found
        assert [target for target in parser.found if ELSEWHERE.match(target)] == [], page.name
    for style in globbed(site, "**/*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text("utf-8")) == []


def test_it_is_read_and_searched_from_a_disk(site: Path) -> None:
    asked: list[str] = []
    told: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            asked.append(request.url)

    with browser() as chromium:
        page = chromium.new_page()
        page.on("request", note)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.get_by_role("link", name="your first card", exact=True).click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("Your first card")
        page.keyboard.press("/")
        page.keyboard.type(SEARCHED)
        found = page.locator(".md-search-result__item").first
        found.wait_for()
        assert SEARCHED in found.inner_text().lower()
    assert (asked, told) == ([], [])
