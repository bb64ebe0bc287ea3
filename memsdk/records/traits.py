"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, cast

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import BATCH, FIELDS, name_and_data, plain_hit
from memsdk.records.schema import EPOCH, from_micros

OPENING_BYTES = 600
"""Of a long text the beginning shows what it is like."""
LONG_BYTES = 20_000
"""Of longer texts only the opening is read; of all others the whole record comes along, so that hits need no second read."""
_BODY = f"CASE WHEN length(texts.body) <= {LONG_BYTES} THEN texts.body ELSE substr(texts.body, 1, {OPENING_BYTES}) END"
_COLUMNS = (
    *(f"records.{name}" for name in FIELDS),
    _BODY,
    "texts.extra",
    f"length(texts.body) <= {LONG_BYTES}",
    f"({EPOCH})",
)
_SELECT = (
    f"SELECT {', '.join(_COLUMNS)} FROM records JOIN texts ON records.text_id = texts.id WHERE records.id IN "  # noqa: S608 -- made of constants
)
ID, KIND, OCCURRED_AT, SESSION_ID, ROLE, SOURCE_ID = map(
    FIELDS.index, ("id", "kind", "occurred_at", "session_id", "role", "source_id")
)
BODY, EXTRA, IS_WHOLE, EPOCH_THEN = range(len(FIELDS), len(FIELDS) + 4)
_KINDS = {kind.value: kind for kind in Kind}


def fetch_traits(database: Database, ids: Sequence[str]) -> tuple[dict[str, Traits], int]:
    """Traits by the hex digits of the records' ids, missing ones left out; and the epoch that they were read in."""
    found: dict[str, Traits] = {}
    epoch: int | None = None
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        rows = database.fetch(_statement(len(some)), some)
        for row in cast("Sequence[Sequence[Any]]", rows):
            name, data = name_and_data(row[EXTRA])
            answer = data.get("output") if row[KIND] == Kind.EXAMPLE else None
            found[row[ID]] = Traits(
                _KINDS[row[KIND]],
                from_micros(row[OCCURRED_AT]),
                row[BODY][:OPENING_BYTES].decode(errors="ignore"),  # a letter may be cut in two
                row[SESSION_ID],
                row[ROLE],
                name,
                row[SOURCE_ID],
                answer if isinstance(answer, str) else None,
                partial(plain_hit, row) if row[IS_WHOLE] else None,
            )
            epoch = row[EPOCH_THEN] if epoch is None else epoch
    if epoch is None:
        ((epoch,),) = cast("Sequence[tuple[int]]", database.fetch(EPOCH))
    return found, epoch


@lru_cache(maxsize=16)  # a long text, that SQLite's driver looks up by its hash
def _statement(count: int) -> str:
    return f"{_SELECT}({', '.join('?' * count)})"
