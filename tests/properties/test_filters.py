"""What a filter finds must not depend on who evaluates it: SQL's listing, either index, or plain Python."""

# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from memsdk import Memory
from memsdk.filters import matches, parse
from memsdk.payloads import filterable

NAMES = st.sampled_from(
    ["a", "b", "c.d", "role", "kind", "occurred_at", "created_at", "session_id", "agent_id", "missing"]
)
THEN = "2026-01-01T08:00:00+00:00"
SCALARS = st.one_of(
    st.sampled_from(["x", "y", "", "2026-01-01", THEN, "2026-01-01T10:00:00+02:00", "20260101", "memory", "{}", "1"]),
    st.integers(-3, 3), st.sampled_from([0.5, 1.0, -0.0, 2**53, 2**53 + 1, 1e300]), st.booleans(), st.none(),
)  # fmt: skip
TIMES = st.sampled_from([date(2026, 1, 1), datetime(2026, 1, 1, 8), "2026-01-01"])  # noqa: DTZ001 -- a naive one too
LISTS = st.lists(SCALARS, max_size=3)
CONDITIONS = st.one_of(
    SCALARS,
    TIMES,
    st.fixed_dictionaries({}, optional={"$gt": st.integers(-2, 2), "$lte": st.integers(-2, 2)}).filter(bool),
    st.builds(lambda op, value: {op: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), TIMES),
    st.builds(lambda op, value: {op: value}, st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.builds(lambda op, value: {op: value}, st.sampled_from(["$in", "$nin"]), LISTS),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$not": {"$eq": value}}, SCALARS),
)
FILTERS = st.recursive(
    st.dictionaries(NAMES, CONDITIONS, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.builds(
            lambda op, parts: {op: parts},
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)
METADATA: list[dict[str, JsonValue]] = [
    {}, {"a": 1}, {"a": 1.0, "b": "x"}, {"a": True}, {"a": "1"}, {"a": None, "b": False}, {"a": [1, "x"]}, {"a": []},
    {"a": [None]}, {"a": {"b": 1}}, {"c": {"d": "y"}}, {"c": {"d": [0, None, "2026-01-01"]}}, {"c": 2}, {"a": "{}"},
    {"a": "2026-01-01"}, {"a": "2026-01-01T08:00:00"}, {"a": "20260101"}, {"a": -0.0, "b": 0}, {"a": 2**53 + 1},
    {"a": ["2025-12-31", "2026-01-02"]}, {"a": 1e300, "b": -3}, {"role": "x", "kind": "mine"}, {"b": ["", "y"]},
    {"c.d": "x"}, {"a": [{"b": 1}]}, {"a": [[1]]}, {"c": {"d": {}}}, {"a": {}}, {"session_id": "x", "agent_id": ["", 1]},
]  # fmt: skip


@pytest.fixture(scope="module", params=["exact", "embedded-inline"])
def memory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(
        tmp_path_factory.mktemp("filters") / "store",
        embedder="hashing",
        index=request.param,
        synchronous="NORMAL",
    ) as memory:
        for number, metadata in enumerate(METADATA):
            memory.remember(
                f"common word {number}",
                user_id="ana",
                metadata=metadata,
                occurred_at=THEN if number % 2 else None,
            )
        memory.remember([{"role": "user", "content": "common word said"}], user_id="ana", metadata={"a": 1})
        for session, agent in (("x", "y"), ("2026-01-01", None), (None, "x")):
            memory.remember(
                "common word in a scope",
                user_id="ana",
                session_id=session,
                agent_id=agent,
                metadata={"session_id": "y"},
            )
        yield memory


@example(filters={"occurred_at": THEN})
@example(filters={"$not": {"occurred_at": "2026-01-01T10:00:00+02:00"}})  # the same moment, written otherwise
@example(filters={"created_at": {"$gt": datetime(2026, 1, 1)}, "kind": {"$in": ["memory", True, 3]}})  # noqa: DTZ001
@example(filters={"kind": "memory"})  # one of the records says otherwise of itself
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters=FILTERS)
def test_a_filter_finds_the_same_in_the_index_in_sql_and_in_python(
    memory: Memory, filters: dict[str, object]
) -> None:
    """A filter that the index reads more strictly loses memories; more loosely, and it shows too many."""
    where = parse(filters)
    assert where is not None
    everything = memory.list(limit=1_000)
    meant = {record.text for record in everything if matches(where, filterable(record))}
    assert {record.text for record in memory.list(filters=filters, limit=1_000)} == meant
    assert {hit.text for hit in memory.recall("common word", user_id="ana", k=100, filters=filters)} == meant


def test_the_folder_holds_no_plain_metadata(tmp_path: Path) -> None:
    """Vectors are deleted lazily: what stands in a payload stays in the engine's files after a `forget`."""
    with Memory.open(tmp_path, embedder="hashing", index="embedded-inline", synchronous="NORMAL") as memory:
        memory.remember(
            "markertext",
            user_id="markeruser",
            session_id="markersession",
            metadata={"markerkey": "markervalue"},
        )
        memory.flush()
        for path in (tmp_path / "index").rglob("*"):
            assert not path.is_file() or b"marker" not in path.read_bytes(), path
