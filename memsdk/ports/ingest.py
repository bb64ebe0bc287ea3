"""Reading sources and cutting them into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from memsdk.models import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A stretch of a document under one path of headings."""

    headings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat export."""

    role: str
    content: str
    name: str | None = None
    time: datetime | None = None
    id: str | None = None
    session_id: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a reader made of one source: a document's sections, a chat's messages, a list of tools, or solved examples.

    Attributes:
        tools: what `memory.tools.add` takes, as the file has it.
        examples: rows with an input and an output, as the file has them.
    """

    key: str
    title: str
    media_type: str
    sections: tuple[Section, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[JsonValue, ...] = ()
    examples: tuple[Mapping[str, JsonValue], ...] = ()
    metadata: Metadata = field(default_factory=dict)


class Reader(Protocol):
    """Reads sources. Given a file or folder it yields what it holds, a source at a time."""

    def sources(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Every readable file under the paths, sorted, each once; links that loop are followed once."""

    def read(self, path: Path) -> list[Parsed]:
        """Parse one file. Raises IngestError, MissingExtraError."""

    def read_text(
        self, text: str, *, title: str, media_type: str = "text/plain", key: str | None = None
    ) -> list[Parsed]:
        """Parse a text as if it were a file of that type. Raises IngestError."""


class Chunker(Protocol):
    """Cuts sections to pieces that fit the embedder."""

    def chunk(self, sections: Sequence[Section], *, max_tokens: int) -> list[Section]:
        """Pieces of at most `max_tokens`, cut at paragraphs, sentences, words; together they hold the whole text."""
