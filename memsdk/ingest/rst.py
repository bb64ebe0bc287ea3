"""reStructuredText by docutils (extra `documents`); directives that read files or run code are off."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from memsdk.errors import MissingExtraError
from memsdk.ingest.outline import Outline, fenced, table
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed

if TYPE_CHECKING:
    from docutils import nodes

_SAFE = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 3,  # errors stay in the tree: below an unknown directive's error is its text
    "halt_level": 5,
    "smart_quotes": False,
    "syntax_highlight": "none",
    "doctitle_xform": False,
}


def parse(source: Source) -> list[Parsed]:
    """A section for each heading's text. What an unknown directive (Sphinx) holds is kept as written."""
    try:
        from docutils.core import publish_doctree
    except ImportError as error:
        raise MissingExtraError(
            what=f"reading {source.name} (reStructuredText)", extra="documents"
        ) from error
    try:
        tree = publish_doctree(source.text(), settings_overrides={**_SAFE, "warning_stream": io.StringIO()})
        outline = Outline()
        _walk(tree, outline)
    except RecursionError as error:
        raise source.error("is nested too deeply to be read; save it as plain text (.txt)") from error
    title, sections = outline.finish()
    return [source.document(*sections, title=title)]


def _walk(node: nodes.Element, outline: Outline, *, level: int = 1) -> None:
    from docutils import nodes

    for child in node.children:
        if isinstance(child, nodes.section):
            outline.heading(level, child[child.first_child_matching_class(nodes.title) or 0].astext())
            _walk(child, outline, level=level + 1)
        elif isinstance(child, nodes.table):
            outline.add(
                table([[c.astext() for c in row.findall(nodes.entry)] for row in child.findall(nodes.row)])
            )
        elif isinstance(child, nodes.system_message):
            for block in child.findall(nodes.literal_block):
                outline.add(block.astext())
        elif isinstance(child, nodes.literal_block):
            outline.add(fenced(child.astext()))
        elif isinstance(child, (nodes.bullet_list, nodes.enumerated_list)):
            for item in child.children:
                outline.add(item.astext().replace("\n\n", "\n"), item=True)
        elif isinstance(child, nodes.Element) and not isinstance(child, (nodes.Invisible, nodes.title)):
            outline.add(child.astext())


FORMAT = Format(media_types=("text/x-rst",), suffixes=(".rst", ".rest"), parse=parse)
