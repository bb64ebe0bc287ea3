"""What ranking reads of many records: few columns, past SQLAlchemy, as every recall does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from memsdk.models import Kind, Traits
from memsdk.records.database import Database
from memsdk.records.rows import BATCH, FIELDS, PLAIN_SELECT, plain_record
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
    """Traits by the record's id as text, given with or without hyphens; missing ones are left out."""
    by_hex = {each.replace("-", ""): each for each in ids}
    asked = list(by_hex)
    found: dict[str, Traits] = {}
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        for row in database.fetch(f"{_SELECT}({', '.join('?' * len(some))})", some):
            is_whole, opening, name, answer, *whole = row
            found[by_hex[cast("str", whole[ID])]] = Traits(
                _KINDS[cast("str", whole[KIND])],
                from_micros(cast("int", whole[OCCURRED_AT])),
                cast("bytes", opening).decode(errors="ignore"),  # a letter may be cut in two
                cast("str | None", whole[SESSION_ID]),
                cast("str | None", whole[ROLE]),
                cast("str | None", name),
                cast("str | None", whole[SOURCE_ID]),
                cast("str | None", answer),
                partial(plain_record, whole) if is_whole else None,
            )
    return found
