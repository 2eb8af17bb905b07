"""What Markdown makes of a text: the check that nothing from a record becomes markup."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rich.markdown import Markdown

__all__ = ["markup"]

_OURS = frozenset(
    {"inline", "text", "softbreak"}
    | {
        f"{name}_{end}"
        for name in ("paragraph", "strong", "bullet_list", "list_item")
        for end in ("open", "close")
    }
)
# Links that GitHub's flavour makes without brackets: a scheme, www, an address of mail. A backslash ends it.
_BARE_LINK = re.compile(r"(?:https?|ftp)://|(?<![\w-])www\.|[\w.+-]@|(?:mailto|xmpp):\w", re.IGNORECASE)


def markup(text: str) -> set[str]:
    """Kinds of markup in a card's detail beside the paragraphs, bullets and bold that cards are made of."""
    found = {token.type for token in _all(Markdown(text).parsed)} - _OURS
    return found | {"bare_link" for _ in _BARE_LINK.finditer(text)}


def _all(tokens: Sequence[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())
