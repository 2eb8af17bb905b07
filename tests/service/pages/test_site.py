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


async def test_every_page_keeps_to_itself() -> None:
    async with visitor() as client:
        for path in PAGES:
            answer = await client.get(path)
            page = Seen(answer)
            assert answer.headers["content-security-policy"] == POLICY
            assert answer.headers["cache-control"] == "no-store"
            assert page.loads
            assert [to for to in page.loads if "//" in to or to.startswith("data:")] == [], path
            assert "style" not in page.tags
            assert [name for _, name, _ in page.attributes if name == "style" or name.startswith("on")] == []
            assert page.values("script", "src") == ["./static/playground.js"] * path.startswith("/playground")
            ours = ("./", "../", "#", "https://doi.org/")
            assert [link for link in page.links if not link.startswith(ours)] == [], path


async def test_every_page_has_its_landmarks_and_labels() -> None:
    async with visitor() as client:
        for path in PAGES:
            page = Seen(await client.get(path))
            assert [page.tags.count(tag) for tag in ("h1", "main", "header", "footer", "title")] == [1] * 5
            assert page.values("html", "lang") == ["en"]
            assert page.values("a", "class")[0] == "skip"
            fields = [value for tag in ("input", "select", "textarea") for value in page.values(tag, "id")]
            assert set(fields) == set(page.values("label", "for")), path
            ids = [value for _, name, value in page.attributes if name == "id"]
            assert len(ids) == len(set(ids)), path


async def test_every_way_from_a_page_leads_somewhere() -> None:
    base = httpx.URL("http://tocsin")
    async with visitor() as client:
        ways = set()
        for path in PAGES:
            page = Seen(await client.get(path))
            relative = [link.partition("#")[0] for link in (*page.links, *page.loads) if link[:1] == "."]
            ways |= {str(base.join(path).join(link)) for link in relative}
        assert len(ways) > len(PAGES)
        for way in sorted(ways):
            assert (await client.get(way)).status_code == 200, way


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
