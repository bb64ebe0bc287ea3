"""Files and folders to parsed sources: which files are read, by which format, and within which limit."""

# ruff: noqa: PTH110, PTH112, PTH113 -- os.path says no where Path raises: below a folder that is closed to us
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import JsonValue

from memsdk.errors import IngestError
from memsdk.ingest import code, docx, html, jsons, markdown, pdf, plain, rst, tables
from memsdk.ingest.decoding import storable
from memsdk.ingest.source import Format, Source
from memsdk.models import Metadata
from memsdk.ports import Message, Parsed, Section

FORMATS = (
    plain.FORMAT, markdown.FORMAT, html.FORMAT, rst.FORMAT, pdf.FORMAT, docx.FORMAT, tables.FORMAT,
    jsons.JSON, jsons.JSON_LINES, *code.FORMATS,
)  # fmt: skip
MAX_BYTES = 200 * 2**20
_SKIPPED_FOLDERS = frozenset(("node_modules", "__pycache__"))


def installed_formats() -> tuple[Format, ...]:
    """The built-in formats, then those of other packages (entry point group `memsdk.readers`).

    Raises IngestError for a plug-in that can't be loaded.
    """
    plugins = []
    for entry in entry_points(group="memsdk.readers"):
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            raise IngestError(
                f"the reader plug-in {entry.value!r} can't be loaded ({error}); update or uninstall it"
            ) from error
        if not isinstance(found, Format):
            kind = type(found).__name__
            raise IngestError(
                f"the reader plug-in {entry.value!r} is a {kind}, not a memsdk.ingest.source.Format; update it"
            )
        plugins.append(found)
    return (*FORMATS, *plugins)


class FileReader:
    """Reads files by their suffix, and texts by their media type. Implements the port `Reader`."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, formats: Iterable[Format] | None = None) -> None:
        """Read files up to `max_bytes`; of two formats for one suffix the later wins."""
        self._max_bytes = max_bytes
        self._by_suffix: dict[str, Format] = {}
        self._by_media_type: dict[str, Format] = {}
        for known in installed_formats() if formats is None else formats:
            self._by_suffix.update(dict.fromkeys(known.suffixes, known))
            self._by_media_type.update(dict.fromkeys(known.media_types, known))

    @property
    def suffixes(self) -> Mapping[str, str]:
        """The suffixes that are read, each with its media type."""
        return {suffix: known.media_types[0] for suffix, known in self._by_suffix.items()}

    def sources(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Every readable file under the paths, folder by folder, sorted, each once.

        Inside folders, what is hidden, `node_modules`, `__pycache__` and unknown suffixes are left out; a
        file that is named itself is always given. Links are followed, each real folder once. Raises IngestError
        for a path that does not exist and for a folder that can't be listed.
        """
        seen: set[Path] = set()
        for path in map(Path, paths):
            if os.path.isdir(path):
                found = self._under(path, seen)
            elif os.path.lexists(path):
                found = iter((path,))
            else:
                raise IngestError(
                    f"{path}: no such file or folder, or none that may be seen; check the spelling"
                )
            for file in found:
                if (real := _real(file)) not in seen:
                    seen.add(real)
                    yield file

    def read(self, path: Path) -> list[Parsed]:
        """Parse one file: one source, or one a conversation. An empty file gives one without sections.

        Raises IngestError (MissingExtraError where a parser is not installed), always naming the file.
        """
        data = self._bytes(path)
        suffix = path.suffix.lower()
        known = self._by_suffix.get(suffix, plain.FORMAT)
        media_type = "text/tab-separated-values" if suffix == ".tsv" else known.media_types[0]
        source = Source(key=_key(path), name=str(path), title=path.stem, media_type=media_type, data=data)
        return _parsed(source, known)

    def read_text(
        self, text: str, *, title: str, media_type: str = "text/plain", key: str | None = None
    ) -> list[Parsed]:
        """Parse a text as if it were a file of that media type; its key is the title unless given.

        Raises IngestError for an unknown media type.
        """
        known = self._by_media_type.get(media_type)
        if known is None:
            raise IngestError(
                f"media type {media_type!r} can't be read; there are {', '.join(sorted(self._by_media_type))}"
            )
        data = storable(text).encode()
        return _parsed(
            Source(key=key or title, name=title, title=title, media_type=media_type, data=data), known
        )

    def _under(self, folder: Path, seen: set[Path]) -> Iterator[Path]:
        stack = [folder]
        while stack:
            folder = stack.pop()
            real = _real(folder)
            if real in seen:
                continue
            seen.add(real)
            entries = [entry for entry in _listed(folder) if not entry.name.startswith(".")]
            yield from (entry for entry in entries if self._wanted(entry))
            stack += [
                entry
                for entry in reversed(entries)
                if os.path.isdir(entry) and entry.name not in _SKIPPED_FOLDERS
            ]

    def _wanted(self, file: Path) -> bool:
        """A link to nowhere is wanted too: reading it tells what is wrong."""
        return file.suffix.lower() in self._by_suffix and (
            os.path.isfile(file) or (file.is_symlink() and not os.path.exists(file))
        )

    def _bytes(self, path: Path) -> bytes:
        try:
            if path.exists() and not path.is_file():
                raise IngestError(f"{path}: is not a regular file; give a file, or a folder to `sources`")
            size = path.stat().st_size
            if size > self._max_bytes:
                raise IngestError(
                    f"{path}: has {size} bytes, more than the {self._max_bytes} that are read; split it up"
                )
            return path.read_bytes()
        except OSError as error:
            raise IngestError(
                f"{path}: can't be read: {error.strerror or error}; check the file and its permissions"
            ) from error
        except ValueError as error:  # a NUL in the path
            raise IngestError(f"{str(path)!r}: is no usable path ({error})") from error


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise IngestError(
            f"{folder}: can't be listed: {error.strerror or error}; check its permissions"
        ) from error


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path.absolute()


def _key(path: Path) -> str:
    r"""The file's absolute path; bytes of its name that are no text are written as `\xe9`."""
    return _real(path).as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


def _parsed(source: Source, known: Format) -> list[Parsed]:
    if not source.data.strip():
        return [source.document()]
    return [_storable(parsed) for parsed in known.parse(source)]


def _storable(parsed: Parsed) -> Parsed:
    """What formats such as JSON can smuggle in, taken out in one place."""
    return replace(
        parsed,
        title=storable(parsed.title),
        sections=tuple(
            Section(headings=tuple(map(storable, section.headings)), text=storable(section.text))
            for section in parsed.sections
        ),
        messages=tuple(_storable_message(message) for message in parsed.messages),
        metadata=_storable_metadata(parsed.metadata),
        tools=tuple(map(_storable_json, parsed.tools)),
        examples=tuple(
            {storable(key): _storable_json(value) for key, value in row.items()} for row in parsed.examples
        ),
    )


def _storable_json(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable_json(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): _storable_json(item) for key, item in value.items()}
    return value


def _storable_message(message: Message) -> Message:
    return replace(
        message,
        content=storable(message.content),
        name=message.name and storable(message.name),
        id=message.id and storable(message.id),
        session_id=message.session_id and storable(message.session_id),
        metadata=_storable_metadata(message.metadata),
    )


def _storable_metadata(metadata: Metadata) -> Metadata:
    return {
        storable(key): storable(value) if isinstance(value, str) else value for key, value in metadata.items()
    }
