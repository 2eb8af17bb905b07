"""A card's detail on a page is paragraphs, lists and emphasis, whatever stands in it."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dialects import DETAIL_TYPE
from service.pages.markup import breakable, detail_html

HTML = {DETAIL_TYPE: "text/html"}
TAG = re.compile(r"<[^>]*>")
OURS = re.compile(r'</?(?:p|ul|ol|li|b|strong|em|i)>|<ol start="\d+">|<br ?/?>|<p class="plain">')


def card(detail: str, **extension: str) -> dict[str, Any]:
    return {"detail": detail, "extension": extension}


def test_the_markdown_of_cards_is_rendered() -> None:
    assert str(detail_html(card("**Now.**\n\n- one\n- two \\*three\\*"), "generic")) == (
        "<p><strong>Now.</strong></p>\n<ul>\n<li>one</li>\n<li>two *three*</li>\n</ul>\n"
    )


def test_epics_html_is_kept_as_far_as_it_is_ours() -> None:
    detail = (
        '<p><b>Now.</b> a &lt; b<br><a href="https://e.org">x</a><img src=x onerror=run()></p>'
        "<script>run()</script>"
    )
    assert str(detail_html(card(detail, **HTML), "epic")) == (
        "<p><b>Now.</b> a &lt; b<br>&lt;a href=&quot;https://e.org&quot;&gt;x&lt;/a&gt;"
        "&lt;img src=x onerror=run()&gt;</p>&lt;script&gt;run()&lt;/script&gt;"
    )


def test_plain_text_stays_plain() -> None:
    assert str(detail_html(card("**a**\n<b>"), "oracle")) == '<p class="plain">**a**\n&lt;b&gt;</p>'


def test_a_card_without_detail_has_none() -> None:
    assert detail_html({}, "generic") == ""


@pytest.mark.parametrize("profile", ["generic", "oracle", "epic"])
@given(
    st.text(
        st.sampled_from("<>/=\"'&;#!-[]()*_`\\ \nabpscriptonerx:.") | st.characters(codec="utf-8"),
        max_size=80,
    )
)
def test_nothing_becomes_any_other_tag(profile: str, detail: str) -> None:
    extension = HTML if profile == "epic" else {}
    shown = str(detail_html(card(detail, **extension), profile))
    assert [tag for tag in TAG.findall(shown) if not OURS.fullmatch(tag)] == []


def test_a_name_may_break_behind_its_dots_and_is_escaped() -> None:
    assert str(breakable("labs.crp.<b>")) == "labs.<wbr>crp.<wbr>&lt;b&gt;"
