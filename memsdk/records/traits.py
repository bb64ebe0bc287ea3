"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import BATCH, FIELDS, PLAIN_SELECT, plain_hit
from memsdk.records.schema import from_micros

OPENING_BYTES = 600
"""Of a long text the beginning shows what it is like."""
LONG_BYTES = 20_000
"""Longer texts are left where they are; of all others the whole record comes along, so that hits need no second read."""
_OWN = (
    f"length(texts.body) <= {LONG_BYTES}",
    f"substr(texts.body, 1, {OPENING_BYTES})",
    "CASE WHEN length(texts.extra) > 0 THEN json_extract(CAST(texts.extra AS TEXT), '$.n') END",
    "CASE WHEN kind = 'example' AND length(texts.extra) > 0 THEN json_extract(CAST(texts.extra AS TEXT), '$.d.output') END",
)
_WHOLE = PLAIN_SELECT.replace("texts.body", f"CASE WHEN {_OWN[0]} THEN texts.body END", 1).removeprefix(
    "SELECT "
)
_SELECT = f"SELECT {', '.join(_OWN)}, {_WHOLE} WHERE records.id IN "
ID, KIND, OCCURRED_AT, SESSION_ID, ROLE, SOURCE_ID = map(
    FIELDS.index, ("id", "kind", "occurred_at", "session_id", "role", "source_id")
)
_KINDS = {kind.value: kind for kind in Kind}


def fetch_traits(database: Database, ids: Sequence[str]) -> dict[str, Traits]:
    """Traits by the hex digits of the records' ids; missing ones are left out."""
    found: dict[str, Traits] = {}
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        rows = database.fetch(f"{_SELECT}({', '.join('?' * len(some))})", some)
        for is_whole, opening, name, answer, *whole in cast("Sequence[Sequence[Any]]", rows):
            found[whole[ID]] = Traits(
                _KINDS[whole[KIND]],
                from_micros(whole[OCCURRED_AT]),
                opening.decode(errors="ignore"),  # a letter may be cut in two
                whole[SESSION_ID],
                whole[ROLE],
                name,
                whole[SOURCE_ID],
                answer,
                partial(plain_hit, whole) if is_whole else None,
            )
    return found
