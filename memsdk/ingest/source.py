"""What a format's parser is given, and what names a format. Third parties build a `Format` from these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from memsdk.errors import IngestError
from memsdk.ingest.decoding import decode
from memsdk.models import Metadata
from memsdk.ports import Message, Parsed, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file (or one text) on its way to a parser.

    Attributes:
        key: what identifies it when it is ingested again: an absolute path, or the caller's name for it.
        name: what error messages call it.
        title: its title unless the content has a better one.
    """

    key: str
    name: str
    title: str
    media_type: str
    data: bytes

    def text(self) -> str:
        """The content decoded, with plain newlines. Raises IngestError for what is not text."""
        return decode(self.data, name=self.name)

    def error(self, problem: str, *, line: int | None = None) -> IngestError:
        """An error that names this source (and line); `problem` says what is wrong and what to do."""
        return IngestError(f"{self.name}{'' if line is None else f', line {line}'}: {problem}")

    def document(
        self, *sections: Section, title: str | None = None, metadata: Metadata | None = None
    ) -> Parsed:
        """What a document's parser returns; an empty title leaves the source's own."""
        return Parsed(
            key=self.key, title=title or self.title, media_type=self.media_type,
            sections=sections, metadata=metadata or {},
        )  # fmt: skip

    def chat(self, *messages: Message, title: str | None = None, part: str | None = None) -> Parsed:
        """What a chat's parser returns; `part` tells apart the conversations of one file."""
        key = self.key if part is None else f"{self.key}#{part}"
        return Parsed(key=key, title=title or self.title, media_type=self.media_type, messages=messages)


Parse = Callable[[Source], list[Parsed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A file format: how its files are named, and the function that reads them.

    A package adds one by naming a `Format` in the entry point group `memsdk.readers`; it wins over ours.

    Attributes:
        media_types: the first is what documents of this format are filed under.
        suffixes: lower case, with the dot.
        parse: raises IngestError (best made with `Source.error`) for what it can't read.
    """

    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    parse: Parse = field(repr=False)
