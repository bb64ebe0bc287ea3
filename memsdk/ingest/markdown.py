"""Markdown: cut at its headings by markdown-it; the text between them stays as it was written."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from pydantic import JsonValue

from memsdk.ingest.outline import Outline
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_MARKUP = re.compile(r"[*_`\[\]<>&\\!#]")
_SETTING = re.compile(r"^([A-Za-z][\w-]*):[ \t]*(\S.*)$", re.MULTILINE)


def parse(source: Source) -> list[Parsed]:
    """A section for each heading's text. Simple front matter becomes metadata."""
    text, metadata = _front_matter(source.text())
    lines = text.split("\n")  # as markdown-it counts them
    outline = Outline()
    below = 0
    tokens = _blocks().parse(text)
    for token, inline in pairwise(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        outline.add("\n".join(lines[below : token.map[0]]))
        outline.heading(int(token.tag[1:]), _words(inline.content))
        below = token.map[1]
    outline.add("\n".join(lines[below:]))
    named = metadata.get("title")
    title, sections = outline.finish(known=named if isinstance(named, str) else None)
    return [source.document(*sections, title=title, metadata=metadata)]


@cache
def _blocks() -> MarkdownIt:
    """A parser of block structure alone; link definitions would only cost time."""
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.block.ruler.disable("reference")
    return parser


@cache
def _inline() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _words(heading: str) -> str:
    """A heading without its markup."""
    if _MARKUP.search(heading) is None:
        return heading
    children = _inline().parseInline(heading)[0].children or []
    return "".join(child.content or (" " if child.type == "softbreak" else "") for child in children).strip(
        "# "
    )


def _front_matter(text: str) -> tuple[str, dict[str, JsonValue]]:
    match = _FRONT_MATTER.match(text)
    if match is None:
        return text, {}
    settings: dict[str, JsonValue] = {
        key: value.strip().strip("\"'") for key, value in _SETTING.findall(match[1] or "")
    }
    return (text[match.end() :], settings) if settings else (text, {})


FORMAT = Format(media_types=("text/markdown",), suffixes=(".md", ".markdown", ".mdx", ".qmd"), parse=parse)
