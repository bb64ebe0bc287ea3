from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from memsdk.errors import FilterError
from memsdk.filters import MAX_VALUES, as_time, matches, parse

RECORD = {
    "n": 3, "tag": "x", "tags": ["a", "b"], "yes": True, "none": None, "empty": [], "deep": {"er": {"est": 1}},
    "day": "2026-05-08", "moment": "2026-05-08T10:00:00+02:00", "flat.name": 7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"n": 3}, True), ({"n": 3.0}, True), ({"n": "3"}, False), ({"n": True}, False), ({"yes": True}, True),
        ({"yes": 1}, False), ({"tag": "x"}, True), ({"tag": "X"}, False), ({"tags": "b"}, True), ({"tags": "c"}, False),
        ({"n": {"$gt": 3}}, False), ({"n": {"$gte": 3, "$lt": 4}}, True), ({"n": {"$lte": 2}}, False),
        ({"tag": {"$gt": 1}}, False), ({"n": {"$in": [1, 3]}}, True), ({"n": {"$in": []}}, False),
        ({"n": {"$nin": [1, 3]}}, False), ({"n": {"$nin": []}}, True), ({"missing": {"$nin": [1]}}, True),
        ({"n": {"$ne": 3}}, False), ({"missing": {"$ne": 3}}, True), ({"tags": {"$ne": "a"}}, False),
        ({"missing": None}, True), ({"none": None}, True), ({"empty": None}, True), ({"n": None}, False),
        ({"n": {"$exists": True}}, True), ({"none": {"$exists": True}}, False), ({"empty": {"$exists": False}}, True),
        ({"deep": {"$exists": True}}, True), ({"deep.er.est": 1}, True), ({"deep.er": 1}, False), ({"flat.name": 7}, True),
        ({"n": {"$not": {"$gt": 5}}}, True), ({"$not": {"n": 3}}, False), ({"$or": [{"n": 1}, {"tag": "x"}]}, True),
        ({"$and": [{"n": 3}, {"tag": "y"}]}, False), ({"n": 3, "tag": "y"}, False),
        ({"day": {"$lt": date(2026, 5, 9)}}, True), ({"day": date(2026, 5, 8)}, True),
        ({"moment": datetime(2026, 5, 8, 8, tzinfo=UTC)}, True), ({"moment": {"$gte": "2026-05-08T09:00:00"}}, False),
        ({"day": "2026-05-08"}, True), ({"n": {"$gt": "2026-01-01"}}, False),
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_means_what_mongo_users_expect(filters: dict[str, object], expected: bool) -> None:  # noqa: FBT001 -- a table
    """Filters guard what is shown: each operator has one meaning, also where a field is missing."""
    where = parse(filters)
    assert where is not None
    assert matches(where, RECORD) is expected


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_filter_is_none(nothing: dict[str, object] | None) -> None:
    """An empty filter is no filter, not one that nothing meets."""
    assert parse(nothing) is None


@pytest.mark.parametrize(
    "bad",
    [
        [], "", 0, {"$and": [{}]}, {"$or": [{"n": 1}, {}]}, {"n": {"$not": {}}}, {"$not": []}, {"n": {"$regex": "x"}},
        {"$or": [{"n": 1}] * (MAX_VALUES + 1)}, {"n": {"$in": [1] * (MAX_VALUES + 1)}}, {"\ud800": 1}, {"n": "\ud800"},
        {"n" * 100_000: {"$nope": 1}}, {"n": {"$nope" * 100_000: 1}},
    ],
    ids=range(14),
)  # fmt: skip
def test_what_can_not_be_understood_is_refused_in_few_words(bad: object) -> None:
    """A condition that is silently dropped widens what `forget` erases."""
    with pytest.raises(FilterError) as caught:
        parse(bad)  # type: ignore[arg-type]  # that is the claim
    assert len(str(caught.value)) < 500


def test_times_are_read_with_and_without_a_zone() -> None:
    """A time without a zone is UTC everywhere, or a filter finds other records on another machine."""
    noon = datetime(2026, 5, 8, 12, tzinfo=UTC).timestamp()
    same = (
        "2026-05-08T12:00:00",
        "2026-05-08T12:00:00Z",
        "2026-05-08T14:00:00+02:00",
        datetime(2026, 5, 8, 12),  # noqa: DTZ001 -- naive
    )
    assert {as_time(moment) for moment in same} == {noon}
    assert as_time("12:00") is None
    assert as_time(noon) is None
