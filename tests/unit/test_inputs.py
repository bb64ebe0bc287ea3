from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk import inputs
from memsdk.errors import InvalidInputError, ScopeError
from memsdk.models import Kind, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THINGS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4),
              st.dates(), st.datetimes(), st.timedeltas(), st.uuids()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner), st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=4),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    "clean",
    [
        inputs.clean_metadata, inputs.clean_text, inputs.clean_k, inputs.clean_limit, inputs.clean_uuid, inputs.clean_ids,
        inputs.clean_paths, inputs.clean_score, inputs.clean_user, inputs.clean_used,
        lambda thing: inputs.clean_id(thing, what="id"), lambda thing: inputs.clean_time(thing, what="time"),
        lambda thing: inputs.clean_expiry(expires_at=None, ttl=thing, now=NOW),
        lambda thing: inputs.clean_expiry(expires_at=thing, ttl=None, now=NOW),
        lambda thing: inputs.clean_age(thing, now=NOW), lambda thing: inputs.clean_metadata({}, tags=thing),
        lambda thing: inputs.clean_kinds(thing, default=(Kind.MEMORY,)), lambda thing: inputs.clean_path(thing, what="path"),
    ],
    ids=range(18),
)  # fmt: skip
@given(thing=THINGS)
def test_whatever_is_given_is_cleaned_or_refused_by_name(clean: object, thing: object) -> None:
    """A TypeError from deep inside says nothing about the argument that was wrong."""
    assert callable(clean)
    try:
        clean(thing)
    except InvalidInputError as error:
        assert 0 < len(str(error)) < 500  # noqa: PT017 -- one of two ways


@given(thing=st.dictionaries(st.text(max_size=6), THINGS, max_size=5))
def test_cleaned_metadata_is_json_and_cleaning_it_again_changes_nothing(thing: dict[str, object]) -> None:
    """What was stored must be what an update with the same value stores."""
    try:
        cleaned = inputs.clean_metadata(thing)
    except InvalidInputError:
        return
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
    assert inputs.clean_metadata(cleaned) == cleaned


def test_times_end_up_aware_and_in_utc() -> None:
    """Two machines in two zones read one store."""
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    expected = datetime(2026, 1, 1, 10, tzinfo=UTC)
    for value in (at, at.isoformat(), expected, "2026-01-01T10:00:00Z", datetime(2026, 1, 1, 10)):  # noqa: DTZ001 -- naive
        assert inputs.clean_time(value, what="x") == expected
    assert inputs.clean_time(date(2026, 1, 1), what="x") == NOW
    assert inputs.clean_time(None, what="x") is None
    assert inputs.clean_expiry(expires_at=None, ttl=60, now=NOW) == NOW + timedelta(minutes=1)
    assert inputs.clean_metadata({"at": at, "day": date(2026, 1, 1), "id": UUID(int=1), "t": (1, 2)}) == {
        "at": "2026-01-01T10:00:00+00:00", "day": "2026-01-01", "id": str(UUID(int=1)), "t": [1, 2],
    }  # fmt: skip


def test_tags_are_filed_once_each() -> None:
    """Twice the same tag is a slip of a model, not information."""
    assert inputs.clean_metadata(None, tags=["a", "b", "a"]) == {"tags": ["a", "b"]}
    assert inputs.clean_metadata({"tags": ["old"]}, tags=iter(["new"])) == {"tags": ["new"]}


def test_scopes_are_required_and_narrowed() -> None:
    """The one place where a forgotten user id is noticed."""
    inputs.require_user(Scope(user_id="ana"), required=True, shared=False)
    inputs.require_user(Scope(), required=True, shared=True)
    inputs.require_user(Scope(), required=False, shared=False)
    with pytest.raises(ScopeError):
        inputs.require_user(Scope(), required=True, shared=False)
    assert inputs.narrow(None, "ana") == ("ana",)
    assert inputs.narrow(("ana", None), "ana") == ("ana",)
    with pytest.raises(ScopeError):
        inputs.narrow(("ana", None), "bo")


def test_a_home_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/memory` from a setting is a home, not a folder named `~`."""
    monkeypatch.setenv("HOME", "/home/ana")
    assert inputs.clean_path("~/memory", what="x") == Path("/home/ana/memory")
    assert inputs.clean_paths(["~/a.md", Path("b.md")]) == [Path("/home/ana/a.md"), Path("b.md")]
