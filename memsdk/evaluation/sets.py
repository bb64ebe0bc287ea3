"""What recall is measured with: items to find, and queries whose relevant items are known. Read from files or a store.

A set is a folder with `corpus.jsonl` (`{"id", "text", "meta"}`) and `queries.jsonl` (`{"id", "query", "relevant": [ids],
"meta"}`), each perhaps gzipped; or one file of `{"query", "relevant": [texts]}`, and `{"text"}` for what else there is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from memsdk.errors import InvalidInputError
from memsdk.models import Kind, Task

NAMES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to find. Of its `meta`, `group` says whose it is, and chats have `speaker`, `session` and `turn`."""

    id: str
    text: str
    meta: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query and the ids of the items that it should find.

    Attributes:
        group: the query finds only items of its group; None where there are no groups.
        history: the turns before it.
        before: the query finds only items whose `meta["order"]` is less.
        kinds: which kinds are searched; None for that of the set's task.
    """

    id: str
    query: str
    relevant: frozenset[str]
    category: str = ""
    split: str = ""
    group: str | None = None
    history: tuple[str, ...] = ()
    before: int | None = None
    kinds: tuple[Kind, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """Items and queries of one task. Queries without any relevant item are left out, as no ranking is right."""

    name: str
    task: Task
    items: tuple[Item, ...]
    queries: tuple[Asked, ...]


def read_set(path: str | Path, *, task: Task | str | None = None) -> EvaluationSet:
    """Read a folder or a file.

    Args:
        task: which of the six tasks; by default the name of a folder above (`chat/locomo`), else `qa`.

    Raises:
        InvalidInputError: it can't be read, or no query has an item to find.
    """
    path = Path(path)
    meant = _task(path, task)
    items, queries = _folder(path) if path.is_dir() else _pairs(path)
    known = {item.id for item in items}
    kept = tuple(query for query in queries if query.relevant & known)
    if not kept:
        raise InvalidInputError(
            f"{path}: none of {len(queries)} queries names a relevant item among {len(items)}; see `memsdk eval --help`"
        )
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return EvaluationSet(name=name, task=meant, items=tuple(items), queries=kept)


def _task(path: Path, task: Task | str | None) -> Task:
    names = [name.value for name in Task]
    if task is not None:
        if task not in names:
            raise InvalidInputError(f"task is {task!r:.40}, expected one of {', '.join(names)}")
        return Task(task)
    return next((Task(part) for part in reversed(path.absolute().parts) if part in names), Task.QA)


def _folder(path: Path) -> tuple[list[Item], list[Asked]]:
    items = [
        Item(id=_text(row, "id", where), text=_text(row, "text", where), meta=_meta(row))
        for where, row in _rows(_file(path, "corpus"))
    ]
    grouped = any("group" in item.meta for item in items)
    queries = [_asked(row, where, grouped=grouped) for where, row in _rows(_file(path, "queries"))]
    return items, queries


def _asked(row: Mapping[str, JsonValue], where: str, *, grouped: bool) -> Asked:
    meta = _meta(row)
    order, context = meta.get("order"), meta.get("context")
    return Asked(
        id=_text(row, "id", where),
        query=_text(row, "query", where),
        relevant=frozenset(_texts(row.get("relevant"), where)),
        category=str(meta.get("category_name") or meta.get("category") or ""),
        split=str(meta.get("split") or ""),
        group=str(meta["group"]) if grouped and "group" in meta else None,
        history=tuple(_texts(context, where)) if isinstance(context, list) else (),
        before=order if isinstance(order, int) else None,
    )


def _pairs(path: Path) -> tuple[list[Item], list[Asked]]:
    """Queries with the texts they should find; a text that comes twice is one item."""
    ids: dict[str, str] = {}
    queries: list[Asked] = []
    for where, row in _rows(path):
        if "query" not in row:
            ids.setdefault(_text(row, "text", where), f"text-{len(ids)}")
            continue
        relevant = [ids.setdefault(text, f"text-{len(ids)}") for text in _texts(row.get("relevant"), where)]
        queries.append(
            Asked(
                id=str(row.get("id") or len(queries)),
                query=_text(row, "query", where),
                relevant=frozenset(relevant),
                category=str(row.get("category") or ""),
                split=str(row.get("split") or ""),
                history=tuple(_texts(row.get("history") or [], where)),
            )
        )
    return [Item(id=id_, text=text) for text, id_ in ids.items()], queries


def _file(folder: Path, name: str) -> Path:
    for ending in NAMES:
        if (folder / (name + ending)).is_file():
            return folder / (name + ending)
    raise InvalidInputError(
        f"{folder} has no {name}.jsonl or {name}.jsonl.gz; a set has both corpus and queries"
    )


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    """Each line's place, for messages, and its object."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as lines
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InvalidInputError(f"{path}:{number} is no JSON object")
                    yield f"{path}:{number}", row
    except (OSError, UnicodeDecodeError, ValueError, EOFError) as error:
        raise InvalidInputError(
            f"{path} can't be read as JSON lines: {error}; a set is a folder or a .jsonl file"
        ) from error


def _text(row: Mapping[str, JsonValue], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{where}: {name!r} is {value!r:.40}, expected a text")
    return value


def _texts(value: JsonValue, where: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidInputError(f"{where}: got {value!r:.40}, expected a list of texts")
    return cast("list[str]", value)


def _meta(row: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    meta = row.get("meta")
    return meta if isinstance(meta, dict) else {}
