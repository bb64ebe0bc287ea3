"""Plain text: one section, as it is."""

from __future__ import annotations

from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed, Section


def parse(source: Source) -> list[Parsed]:
    """One section of the whole text."""
    text = source.text().strip("\n").rstrip()
    return [source.document(Section(headings=(), text=text)) if text else source.document()]


FORMAT = Format(media_types=("text/plain",), suffixes=(".txt", ".text", ".log"), parse=parse)
