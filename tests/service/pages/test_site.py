"""What holds for every page: policy, own addresses only, no inline code, errors in words."""

import httpx
import pytest

from service.pages.site import POLICY
from service.settings import Settings
from tests.service.pages.visits import Seen, form, visitor

PAGES = (
    "/",
    "/status",
    "/rules",
    "/rules?q=no+such+words",
    "/rules/mscc-cancer-neuro-signs",
    "/rules/nothing-of-the-kind",
    "/value-sets/thoracic-back-pain",
    "/source-attributes",
    "/playground",
    "/playground?patient=demo-cord",
    "/playground?patient=demo-quiet&rule=cauda-equina-red-flags",
    "/playground?patient=nobody",
)


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_keeps_to_itself(path: str) -> None:
    async with visitor() as client:
        answer = await client.get(path)
        page = Seen(answer)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"
        assert page.loads
        for address in page.loads:
            assert "//" not in address
            assert not address.startswith("data:")
        assert "style" not in page.tags
        assert not [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")]
        assert page.values("script", "src") == ["./static/playground.js"] * path.startswith("/playground")
        for link in page.links:
            assert link.startswith(("./", "../", "#", "https://doi.org/"))


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_its_landmarks_and_labels(path: str) -> None:
    async with visitor() as client:
        page = Seen(await client.get(path))
    assert [page.tags.count(tag) for tag in ("h1", "main", "header", "footer", "title")] == [1] * 5
    assert page.values("html", "lang") == ["en"]
    assert page.values("a", "class")[0] == "skip"
    labelled = set(page.values("label", "for"))
    named = [*page.values("input", "id"), *page.values("select", "id"), *page.values("textarea", "id")]
    assert set(named) == labelled
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", [path for path in PAGES if "q=" not in path])
async def test_every_way_from_a_page_leads_somewhere(path: str) -> None:
    async with visitor() as client:
        page = Seen(await client.get(path))
        ways = {link.partition("#")[0] for link in (*page.links, *page.loads)}
        for way in sorted(way for way in ways if way.startswith(".")):
            found = await client.get(httpx.URL(f"http://tocsin{path}").join(way))
            assert found.status_code == 200, way


@pytest.mark.parametrize(
    ("path", "root"),
    [("/rules", "./"), ("/rules/", "../"), ("//rules", "../"), ("/rules/cauda-equina-red-flags", "../")],
)
async def test_addresses_are_relative_to_the_path_as_it_was_typed(path: str, root: str) -> None:
    async with visitor() as client:
        page = Seen(await client.get(f"http://tocsin{path}"))
    assert page.values("link", "href")[0] == f"{root}static/tocsin.css"


async def test_an_error_is_told_in_words() -> None:
    async with visitor() as client:
        answer = await client.get("/rules/<script>alert(1)")
        page = Seen(answer)
        assert answer.status_code == 404
        assert "Nothing is served at this path." in page.text
        assert "path-unknown" in page.text
        assert "script" not in page.tags
        metrics = await client.get("/metrics")
    assert "path-unknown" in metrics.text


async def test_too_large_a_form_is_refused() -> None:
    async with visitor(Settings(auth=False, log_level="error", max_body_bytes=2048)) as client:
        answer = await client.post("/playground", **form(data="x" * 4096))
    assert answer.status_code == 413


async def test_other_methods_are_refused() -> None:
    async with visitor() as client:
        answer = await client.post("/rules")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
