"""HTML by BeautifulSoup: headings, paragraphs, lists, tables, code; what no reader sees is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from memsdk.ingest.outline import Outline, fenced, table
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed

_UNSEEN = frozenset(
    "title script style template noscript svg head nav iframe object canvas "  # noqa: SIM905
    "math select button".split()
)
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label "  # noqa: SIM905
    "mark q s samp small span strike strong sub sup time tt u var wbr".split()
)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml.{0,200}?\?>", re.DOTALL)  # bs4 would warn of it
_HEADINGS = {f"h{level}": level for level in range(1, 7)}


def parse(source: Source) -> list[Parsed]:
    """Sections by h1 to h6. The title is the only top heading, else the page's <title>."""
    text = _XML_DECLARATION.sub("", source.text(), count=1)
    page = BeautifulSoup(
        f"<html>{text}", "html.parser"
    )  # a root at once: bs4 warns of texts that look like a path
    walk = _Walk()
    walk.through(page)
    title, sections = walk.outline.finish()
    if title is None and page.title is not None:
        title = " ".join(page.title.get_text(" ").split())
    return [source.document(*sections, title=title)]


class _Walk:
    """One pass over the tree with a stack of its own: pages nest deeper than Python may recurse."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._words: list[str] = []
        self._item = False  # the next words begin a list item

    def through(self, page: BeautifulSoup) -> None:
        """Fill the outline from the page."""
        stack: list[tuple[Iterator[PageElement], bool]] = [(iter(page.contents), True)]
        while stack:
            children, is_block = stack[-1]
            element = next(children, None)
            if element is None:
                stack.pop()
                if is_block:
                    self._break()
            elif isinstance(element, Tag):
                if (descend := self._enter(element)) is not None:
                    stack.append(descend)
            elif isinstance(element, NavigableString) and not isinstance(element, PreformattedString):
                self._words.append(element)
        self._break()

    def _enter(self, tag: Tag) -> tuple[Iterator[PageElement], bool] | None:
        """What to walk next; None where the tag is dealt with."""
        if tag.name in _UNSEEN:
            return None
        if tag.name in _INLINE:
            return iter(tag.contents), False
        self._break()
        if tag.name in _HEADINGS:
            self.outline.heading(_HEADINGS[tag.name], tag.get_text())
        elif tag.name == "table" and tag.find("table") is None:  # nested tables are layout
            self.outline.add(
                table([[c.get_text(" ") for c in row.find_all(["th", "td"])] for row in tag.find_all("tr")])
            )
        elif tag.name == "pre":
            self.outline.add(fenced(tag.get_text()))
        else:
            if tag.name == "li":
                self._item = True
            return iter(tag.contents), True
        return None

    def _break(self) -> None:
        words = " ".join("".join(self._words).split())
        self._words = []
        if words:
            self.outline.add(words, item=self._item)
            self._item = False


FORMAT = Format(
    media_types=("text/html", "application/xhtml+xml"), suffixes=(".html", ".htm", ".xhtml"), parse=parse
)
