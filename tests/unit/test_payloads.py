# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import JsonValue

from memsdk.filters import matches, parse
from memsdk.models import Kind, Record
from memsdk.payload_filters import compile_filter, visible
from memsdk.payloads import Hasher, payload_of

NOW = datetime(2026, 5, 8, 12, 0, 0, 250_000, tzinfo=UTC)
HASHER = Hasher(b"secret")
FIELDS: dict[str, JsonValue] = {"tag": "urgent", "score": 3, "due": "2026-06-01", "mixed": ["x", 7]}


def record(**changes: object) -> Record:
    return Record(
        id=UUID(int=1), kind=Kind.MEMORY, text="hello", role="user", name="Ana", user_id="ana", session_id="s1", metadata=FIELDS,
        occurred_at=NOW, created_at=NOW, updated_at=NOW, last_seen_at=NOW,
    ).model_copy(update=changes)  # fmt: skip


def payload(one: Record) -> dict[str, JsonValue]:
    return payload_of(one, until=None, stamp=1, parts=1, hasher=HASHER)


def as_older_releases_wrote_it(one: Record) -> dict[str, JsonValue]:
    """Every text under its field's own name too, and a hash for a missing agent and session."""
    made = payload(one)
    for path, text in (
        ("role", "user"),
        ("name", "Ana"),
        ("session_id", "s1"),
        ("tag", "urgent"),
        ("due", "2026-06-01"),
    ):
        made.pop(HASHER.field(path).has_texts, None)
        made[HASHER.field(path).values] = HASHER(text)
    made[HASHER.field("mixed").values] = [HASHER("x"), 7]
    made.pop(HASHER.field("mixed").has_texts)
    nobody = HASHER("")
    return {"n": 1, "c": made["f"], "a": nobody, "s": nobody} | made


def meets(made: dict[str, JsonValue], filters: dict[str, object]) -> bool:
    condition = parse(filters)
    assert condition is not None
    return matches(compile_filter(condition, HASHER), made)


def is_seen(made: dict[str, JsonValue], *, agent: str | None) -> bool:
    condition = visible(
        kinds=[Kind.MEMORY], user_id="ana", agent_id=agent, session_id=None, at=NOW, as_of=False, where=None, hasher=HASHER
    )  # fmt: skip
    return matches(condition, made)


Write = Callable[[Record], dict[str, JsonValue]]
EITHER = pytest.mark.parametrize("write", [payload, as_older_releases_wrote_it])


@EITHER
@pytest.mark.parametrize(
    ("filters", "met"),
    [
        ({"tag": "urgent"}, True),
        ({"tag": {"$ne": "urgent"}}, False),
        ({"tag": {"$exists": True}}, True),
        ({"tag": {"$in": ["urgent", 4]}}, True),
        ({"score": {"$in": ["urgent", 3]}}, True),
        ({"mixed": 7}, True),
        ({"mixed": "x"}, True),
        ({"mixed": {"$in": ["y", 8]}}, False),
        ({"none": {"$exists": False}}, True),
        ({"due": {"$gt": datetime(2026, 5, 1, tzinfo=UTC)}}, True),
        ({"created_at": {"$lte": NOW}}, True),
        ({"created_at": {"$gt": NOW}}, False),
        ({"created_at": NOW.isoformat()}, True),
        ({"session_id": "s1"}, True),
        ({"session_id": {"$in": ["s2", 1]}}, False),
        ({"session_id": {"$exists": True}}, True),
        ({"agent_id": {"$exists": False}}, True),
        ({"agent_id": "helper"}, False),
    ],
)
def test_old_points_and_new_ones_meet_the_same_filters(
    write: Write, filters: dict[str, object], *, met: bool
) -> None:
    """A store is not indexed anew for a release: what filters miss until then is lost to its users."""
    assert meets(write(record()), filters) is met


@EITHER
@pytest.mark.parametrize("agent", [None, "helper"])
def test_every_agent_sees_what_is_no_agents(write: Write, agent: str | None) -> None:
    """A point without an agent's name must not be hidden from agents."""
    assert is_seen(write(record()), agent=agent)


def test_an_agents_records_are_its_own() -> None:
    """Two agents of one user don't share memories unless they are nobody's."""
    made = payload(record(agent_id="helper"))
    assert [is_seen(made, agent=agent) for agent in ("helper", "other", None)] == [True, False, True]


def test_when_a_revised_record_was_made_is_known() -> None:
    """Its validity begins with the revision; when it was created stays what it was."""
    later = NOW.replace(day=9)
    made = payload(record(revision=2, updated_at=later))
    assert meets(made, {"created_at": {"$lt": later}})
    assert meets(made, {"created_at": NOW.isoformat()})


def test_no_text_is_in_a_payload() -> None:
    """What is deleted lingers in an engine's log and segments."""
    said = repr(payload(record()))
    assert not any(word in said for word in ("hello", "urgent", "Ana", "ana", "s1", "2026", "tag"))
