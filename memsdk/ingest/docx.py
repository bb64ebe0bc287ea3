"""Word's docx by python-docx (extra `documents`): paragraphs and tables in order, under their headings."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING

from memsdk.errors import MissingExtraError
from memsdk.ingest.outline import Outline, table
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph

_OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")  # an encrypted docx is one too
_MAX_UNPACKED_BYTES = 1 << 30
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
# What python-docx raises on damaged files; lxml's XMLSyntaxError is a SyntaxError.
_FAULTS = (
    AttributeError, LookupError, NotImplementedError, OSError, RecursionError, RuntimeError, SyntaxError,
    TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def parse(source: Source) -> list[Parsed]:
    """A section for each heading's text; the style `Title` and the only top heading make the title."""
    try:
        import docx
        from docx.opc.exceptions import OpcError
    except ImportError as error:
        raise MissingExtraError(what=f"reading {source.name} (Word)", extra="documents") from error
    if source.data.startswith(_OLD_OFFICE):
        raise source.error("is encrypted, or in Word's old format; save it as a .docx without a password")
    try:
        _refuse_bomb(source)
        document = docx.Document(io.BytesIO(source.data))
        outline = Outline()
        _walk(document, outline)
        about = document.core_properties.title
    except (OpcError, *_FAULTS) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise source.error(f"is no docx that can be read ({reason}); open it and save it anew") from error
    title, sections = outline.finish()
    return [source.document(*sections, title=title or about.strip())]


def _refuse_bomb(source: Source) -> None:
    with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MAX_UNPACKED_BYTES:
        raise source.error(
            f"unpacks to {size} bytes, more than the {_MAX_UNPACKED_BYTES} that are read; split it up"
        )


def _walk(document: Document, outline: Outline) -> None:
    from docx.text.paragraph import Paragraph

    for block in document.iter_inner_content():
        if isinstance(block, Paragraph):
            _add(block, outline)
        else:
            outline.add(table([_cells([cell.text for cell in row.cells]) for row in block.rows]))


def _add(paragraph: Paragraph, outline: Outline) -> None:
    style = (paragraph.style.name if paragraph.style is not None else "") or ""
    if style == "Title":
        outline.heading(0, paragraph.text)
    elif match := _HEADING.match(style):
        outline.heading(int(match[1]), paragraph.text)
    else:
        outline.add(paragraph.text, item=style.startswith("List"))


def _cells(texts: list[str]) -> list[str]:
    """A row's cells; python-docx repeats a merged cell for each column it spans."""
    return [text for place, text in enumerate(texts) if place == 0 or not text or text != texts[place - 1]]


FORMAT = Format(
    media_types=("application/vnd.openxmlformats-officedocument.wordprocessingml.document",),
    suffixes=(".docx",),
    parse=parse,
)
