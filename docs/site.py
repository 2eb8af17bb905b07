"""What MkDocs lacks to show docs/ as GitHub does. Named under `hooks` in mkdocs.yml.

Pages are plain CommonMark with relative links. Three things differ in the built site: files outside docs/ are
not in it, words after the language of a code block are not understood, and a pipe in a code span of a table
needs no backslash there.
"""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(?P<start>[ ]*```[\w-]+) .*$", re.MULTILINE)
_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)

    def outside(link: re.Match[str]) -> str:
        """The text of a link that leaves docs/, with the path in the repository; any other link as it is."""
        target = link["target"]
        path = posixpath.normpath(posixpath.join("docs", folder, target.partition("#")[0]))
        if ":" in target or target.startswith("#") or path == "docs" or path.startswith("docs/"):
            return link[0]
        plain = link["text"].strip("`")
        return f"`{path}`" if plain == path else f"{link['text']} (`{path}`)"

    text = _LINK.sub(outside, _FENCE.sub(r"\g<start>", markdown))
    return _ROW.sub(lambda row: _CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), text)
