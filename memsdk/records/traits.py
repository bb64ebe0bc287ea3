"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import BATCH, FIELDS, PLAIN_SELECT, name_and_data, plain_hit
from memsdk.records.schema import from_micros

OPENING_BYTES = 600
"""Of a long text the beginning shows what it is like."""
LONG_BYTES = 20_000
"""Of longer texts only the opening is read; of all others the whole record comes along, so that hits need no second read."""
_BODY = f"CASE WHEN length(texts.body) <= {LONG_BYTES} THEN texts.body ELSE substr(texts.body, 1, {OPENING_BYTES}) END"
_WHOLE = PLAIN_SELECT.replace("texts.body", _BODY, 1).removeprefix("SELECT ")
_SELECT = f"SELECT length(texts.body) <= {LONG_BYTES}, {_WHOLE} WHERE records.id IN "
ID, KIND, OCCURRED_AT, SESSION_ID, ROLE, SOURCE_ID = map(
    FIELDS.index, ("id", "kind", "occurred_at", "session_id", "role", "source_id")
)
BODY, EXTRA = len(FIELDS), len(FIELDS) + 1
_KINDS = {kind.value: kind for kind in Kind}


def fetch_traits(database: Database, ids: Sequence[str]) -> dict[str, Traits]:
    """Traits by the hex digits of the records' ids; missing ones are left out."""
    found: dict[str, Traits] = {}
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        rows = database.fetch(f"{_SELECT}({', '.join('?' * len(some))})", some)
        for is_whole, *row in cast("Sequence[Sequence[Any]]", rows):
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
                partial(plain_hit, row) if is_whole else None,
            )
    return found
