"""A store as JSON lines and back: all that is needed to rebuild it elsewhere, one object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from memsdk.errors import InvalidInputError, StoreError
from memsdk.inputs import refuse_inside
from memsdk.verification import Progress

if TYPE_CHECKING:
    from memsdk.parts import Parts

FORMAT = "memsdk-export"
VERSION = 1
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import added; what the store had already is not counted."""

    records: int = 0
    documents: int = 0
    recalls: int = 0


def export_jsonl(
    parts: Parts, path: Path, *, users: tuple[str | None, ...] | None, progress: Progress | None = None
) -> int:
    """Write the store, or one user's part of it, to a new file; returns how many lines.

    The file appears under its name only when it is whole.
    """
    refuse_inside(parts.folder, path)
    parts.background.write_log()
    partial = path.with_name(path.name + ".partial")
    total = int(str(parts.store.admin.counts()["records_total"]))
    lines = 0
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as out:
            out.write(json.dumps({"type": "header", "format": FORMAT, "version": VERSION}) + "\n")
            for row in parts.store.transfer.dump(users=users):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                lines += 1
                if progress is not None and lines % BATCH == 0:
                    progress(min(lines, total), total)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"can't write {path}: {error.strerror or error}; choose another file") from error
    return lines


def import_jsonl(parts: Parts, path: Path, *, progress: Progress | None = None) -> Imported:
    """Read an export into this store. It is checked whole before anything is written.

    Raises:
        InvalidInputError: the file is not an export, or a line of it is broken; names file and line.
    """
    total = sum(1 for _ in _rows(path))
    parts.serving.current()
    counts = {"records": 0, "documents": 0, "recalls": 0}
    done = 0
    batch: list[Mapping[str, JsonValue]] = []

    def store() -> None:
        nonlocal done
        added, changes = parts.store.transfer.load(batch, owner=parts.store.token)
        parts.indexer.index_now(changes)
        for name, count in added.items():
            counts[name] += count
        done += len(batch)
        if progress is not None:
            progress(done, total)
        batch.clear()

    for row in _rows(path):
        batch.append(row)
        if len(batch) >= BATCH:
            store()
    if batch:
        store()
    parts.background.nudge()
    return Imported(**counts)


def _rows(path: Path) -> Iterator[Mapping[str, JsonValue]]:
    """The export's rows after the header, each checked to be an object of a known type."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = _row(line, where=f"{path}, line {number}")
                if number == 1:
                    if row.get("format") != FORMAT or row.get("version") != VERSION:
                        raise InvalidInputError(
                            f"{path} is not a {FORMAT} of version {VERSION}; make one with `memsdk export`"
                        )
                    continue
                if row.get("type") not in ("record", "document", "recall"):
                    raise InvalidInputError(f"{path}, line {number}: unknown type {row.get('type')!r:.40}")
                yield row
    except OSError as error:
        raise InvalidInputError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error


def _row(line: str, *, where: str) -> Mapping[str, JsonValue]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{where}: not JSON ({error}); the file is damaged or was cut off") from error
    if not isinstance(row, dict):
        raise InvalidInputError(f"{where}: expected an object, got {type(row).__name__}")
    return row
