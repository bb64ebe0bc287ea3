"""A store as a set: its own recalls, and as relevant what their feedback says was used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from uuid import UUID

from pydantic import JsonValue

from memsdk.errors import InvalidInputError
from memsdk.evaluation.sets import Asked, EvaluationSet, Item
from memsdk.memory import Memory
from memsdk.models import Kind, Task
from memsdk.ports import RecordFilter

PAGE = 500
BAD = 0.5
"""What was received worse than this says nothing of what should have been found."""


def store_set(memory: Memory, *, folder: Path) -> tuple[EvaluationSet, Callable[[Memory], dict[UUID, str]]]:
    """The store's recalls with feedback as queries, its records as items, and what copies them into another store.

    Raises:
        InvalidInputError: no feedback names a record that was used.
    """
    items = tuple(_items(memory))
    queries = tuple(_queries(memory, {item.id for item in items}))
    if not queries:
        raise InvalidInputError(
            "no feedback of this store names records that were used; give some with `memory.feedback(recall, used=[...])`"
        )
    exported = folder / "store.jsonl"
    memory.export_jsonl(exported)

    def copy(other: Memory) -> dict[UUID, str]:
        other.import_jsonl(exported)
        other.flush()
        return {UUID(item.id): item.id for item in items}

    return EvaluationSet(name="the store's recalls", task=Task.CHAT, items=items, queries=queries), copy


def _items(memory: Memory) -> Iterator[Item]:
    records, after = memory._parts.store.records, None  # noqa: SLF001 -- the operator's view of all users
    while page := records.page(RecordFilter(current_only=True), limit=PAGE, after=after):
        yield from (Item(id=str(record.id), text=record.text) for record in page)
        after = page[-1].id


def _queries(memory: Memory, known: set[str]) -> Iterator[Asked]:
    memory._parts.background.write_log()  # noqa: SLF001 -- what was asked a moment ago counts too
    log, after = memory._parts.store.recall_log, None  # noqa: SLF001
    while page := log.recalls(users=None, after=after, limit=PAGE):
        for row in page:
            used = frozenset(_used(row)) & known
            if used:
                yield Asked(
                    id=str(row["id"]),
                    query=str(row["query"]),
                    relevant=used,
                    group=cast("str | None", row["user_id"]),
                    kinds=tuple(Kind(str(kind)) for kind in cast("list[JsonValue]", row["kinds"])),
                )
        after = UUID(str(page[-1]["id"]))


def _used(row: dict[str, JsonValue]) -> Iterator[str]:
    for answer in cast("list[dict[str, JsonValue]]", row["feedback"]):
        score = answer["score"]
        if score is None or cast("float", score) >= BAD:
            yield from map(str, cast("list[JsonValue]", answer["used"]))
