"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import BATCH
from memsdk.records.schema import from_micros

OPENING_BYTES = 600
"""Of a long text the beginning shows what it is like."""
_SELECT = (
    "SELECT records.id, kind, occurred_at, substr(texts.body, 1, {length}), session_id, role, CASE WHEN length(texts.extra)"
    " > 0 THEN json_extract(CAST(texts.extra AS TEXT), '$.n') END, source_id FROM records JOIN texts"
    " ON records.text_id = texts.id WHERE records.id IN ({marks})"
)
_KINDS = {kind.value: kind for kind in Kind}


def fetch_traits(database: Database, ids: Sequence[str]) -> dict[str, Traits]:
    """Traits by the record's id as text, given with or without hyphens; missing ones are left out."""
    by_hex = {each.replace("-", ""): each for each in ids}
    asked = list(by_hex)
    found: dict[str, Traits] = {}
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        statement = _SELECT.format(length=OPENING_BYTES, marks=", ".join("?" * len(some)))
        for id_, kind, occurred_at, opening, *others in database.fetch(statement, some):
            session_id, role, name, source_id = cast("list[str | None]", others)
            found[by_hex[cast("str", id_)]] = Traits(
                _KINDS[cast("str", kind)],
                from_micros(cast("int", occurred_at)),
                cast("bytes", opening).decode(errors="ignore"),  # a letter may be cut in two
                session_id,
                role,
                name,
                source_id,
            )
    return found
