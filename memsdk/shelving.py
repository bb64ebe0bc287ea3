"""What `documents.ingest` found to be tools or solved examples, put on their own shelves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memsdk.examples import drafts_of_rows
from memsdk.models import Metadata, Scope
from memsdk.ports import Parsed, Written
from memsdk.toolformats.openapi import is_openapi
from memsdk.toolformats.reading import read_tools
from memsdk.tools import drafts_of_tools

if TYPE_CHECKING:
    from memsdk.memory import Memory


def shelve(memory: Memory, parsed: Parsed, *, scope: Scope, metadata: Metadata) -> list[Written]:
    """Add a file's tools (their source is the file's title, or the API's own) or its examples.

    Raises InvalidInputError where one of them can't be used; then none is added.
    """
    if parsed.tools:
        source = None if all(map(is_openapi, parsed.tools)) else parsed.title
        drafts = drafts_of_tools(
            read_tools(list(parsed.tools)), scope=scope, source=source, metadata=metadata
        )
    else:
        drafts = drafts_of_rows(parsed.examples, task=None, scope=scope, metadata=metadata)
    return memory._parts.writer.add(drafts)  # noqa: SLF001 -- a room of Memory
