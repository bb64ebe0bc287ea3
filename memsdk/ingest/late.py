"""A reader whose parsers are imported when a file is first read: a command that recalls needs none of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from memsdk.ports import Parsed, Reader


class LateReader:
    """Implements Reader by `memsdk.ingest.files.FileReader`."""

    @cached_property
    def _reader(self) -> Reader:
        from memsdk.ingest.files import FileReader  # BeautifulSoup and the like: a fifth of a store's opening

        return FileReader()

    def sources(self, paths: Iterable[Path]) -> Iterator[Path]:
        """See `Reader.sources`."""
        return self._reader.sources(paths)

    def read(self, path: Path) -> list[Parsed]:
        """See `Reader.read`."""
        return self._reader.read(path)

    def read_text(
        self, text: str, *, title: str, media_type: str = "text/plain", key: str | None = None
    ) -> list[Parsed]:
        """See `Reader.read_text`."""
        return self._reader.read_text(text, title=title, media_type=media_type, key=key)
