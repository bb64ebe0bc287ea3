"""What every vector index has to do. A plug-in's test subclasses `VectorIndexContract` and gives it an `index` fixture.

    class TestMyIndex(VectorIndexContract):
        @pytest.fixture
        def index(self, tmp_path): ...

An index that survives being closed also subclasses `DurableIndexContract` and gives a `reopen` fixture: a function that
closes the index and returns it opened again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from memsdk.errors import ClosedError, IndexingError, InvalidInputError
from memsdk.filters import All, AnyOf, Exists, Filter, Match, Not, Range, matches
from memsdk.index.exact import ExactIndex
from memsdk.models import CollectionSpec, Point, SparseVector
from memsdk.payloads import RECORD
from memsdk.ports import Index, Leg, PointHit, SearchRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

SPEC = CollectionSpec(
    dense={"dense": 4}, sparse=("words", "turns"), keywords=("u", "k"), numbers=("n",), tenant="u"
)
TOLERANCE = 1e-4
HALF = 5e-4  # of vectors, which an index may keep in half precision, and of their scores


def unit(*numbers: float) -> Vector:
    """A vector of length 1 in the direction given."""
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def point(
    *,
    id: UUID | None = None,
    record: UUID | None = None,
    dense: Vector | None = None,
    words: SparseVector | None = None,
    payload: Mapping[str, JsonValue] | None = None,
) -> Point:
    """A point of `SPEC`; what is not given is arbitrary."""
    return Point(
        id=id or uuid4(),
        record=record or uuid4(),
        dense={"dense": unit(1, 2, 3, 4) if dense is None else dense},
        sparse={} if words is None else {"words": words},
        payload=payload or {"u": "ana"},
    )


def random_points(count: int, *, seed: int) -> list[Point]:
    """Points of three users with two vectors each."""
    rng = np.random.default_rng(seed)
    return [
        point(
            dense=unit(*rng.standard_normal(4)),
            words=SparseVector(
                [int(word) for word in rng.choice(12, 4, replace=False)], [1.0, 0.5, 2.0, 0.25]
            ),
            payload={"u": f"user{number % 3}", "n": number, "even": number % 2 == 0},
        )
        for number in range(count)
    ]


def ask(
    index: Index,
    *legs: Leg,
    where: Filter | None = None,
    limit: int = 100,
    payload: tuple[str, ...] = (),
    collection: str = "space",
) -> list[list[PointHit]]:
    """One request's hits, a list a leg."""
    request = SearchRequest(legs=legs, filter=where, limit=limit, payload=payload)
    found = index.search(collection, [request])[0]
    return [found[leg.name] for leg in legs]


DENSE = Leg(name="dense", dense=unit(1, 2, 3, 4))

_VALUES: st.SearchStrategy[JsonValue] = st.one_of(
    st.sampled_from(["x", "y", "", True, False, 0, 1, 2.5, -3, None]),
    st.lists(st.sampled_from(["x", "y", True, 1, 2.5]), max_size=2),
)
_FIELDS = st.sampled_from(["tag", "n", "m_0f", "a.b", "with space"])
_PAYLOADS = st.lists(st.dictionaries(_FIELDS, _VALUES, max_size=3), min_size=1, max_size=6)
_BOUND = st.one_of(st.none(), st.sampled_from([-3.0, 0.0, 1.0, 2.5, 9.0]))
_ATOMS: st.SearchStrategy[Filter] = st.one_of(
    st.builds(
        Match, _FIELDS, st.lists(st.sampled_from(["x", "y", "", True, False, 1, 2.5]), max_size=3).map(tuple)
    ),
    st.builds(lambda field, gt, lte: Range(field=field, gt=gt, lte=lte), _FIELDS, _BOUND, _BOUND),
    st.builds(lambda field, gte, lt: Range(field=field, gte=gte, lt=lt), _FIELDS, _BOUND, _BOUND),
    st.builds(Exists, _FIELDS),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    _ATOMS,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(parts, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)


class VectorIndexContract:
    """Runs over any implementation of `memsdk.ports.Index`."""

    @pytest.fixture
    def index(self) -> Index:
        """The index under test, empty. Subclasses give it."""
        raise NotImplementedError

    @pytest.fixture
    def space(self, index: Index) -> Index:
        """The index, with the empty collection `space`."""
        index.ensure("space", SPEC)
        return index

    def test_upsert_twice_keeps_one(self, space: Index) -> None:
        """A drain that crashed after the upsert runs again; that must not double a memory."""
        tea = point()
        space.upsert("space", [tea])
        space.upsert("space", [tea])
        assert [hit.id for hit in ask(space, DENSE)[0]] == [tea.id]
        assert space.collections() == {"space": 1}

    def test_upsert_replaces_vectors_and_payload(self, space: Index) -> None:
        """An updated memory must not be found by what it said before."""
        old = point(words=SparseVector([1], [1.0]), payload={"u": "ana", "n": 1})
        space.upsert("space", [old])
        space.upsert(
            "space", [point(id=old.id, record=old.record, dense=unit(-1, -2, -3, -4), payload={"u": "ben"})]
        )
        dense, words = ask(
            space, DENSE, Leg(name="words", sparse=SparseVector([1], [1.0])), payload=("u", "n")
        )
        assert [(round(hit.score, 3), hit.payload) for hit in dense] == [(-1.0, {"u": "ben"})]
        assert words == []

    def test_delete_removes_all_points_of_a_record_and_only_these(self, space: Index) -> None:
        """Forgetting one record must leave no part of it, and every part of the others."""
        gone, kept = uuid4(), uuid4()
        for record in (gone, kept):  # the first part of what is current has its record's own id
            space.upsert(
                "space", [point(id=record, record=record), *(point(record=record) for _ in range(2))]
            )
        space.delete("space", [gone, uuid4()])
        left = {hit.id: hit.payload.get(RECORD) for hit in space.scan("space", fields=[RECORD])}
        assert left.pop(kept) is None
        assert list(left.values()) == [str(kept)] * 2

    def test_points_may_be_made_while_they_are_taken(self, space: Index) -> None:
        """A batch is sent as its vectors are mixed, not after the last of them."""
        points = random_points(30, seed=6)
        space.upsert("space", iter(points))
        space.upsert("space", iter(()))
        assert {hit.id for hit in space.scan("space")} == {each.id for each in points}

    def test_delete_of_many_records_at_once(self, space: Index) -> None:
        """A user with thousands of memories asks to be forgotten."""
        points = [point() for _ in range(1_205)]
        space.upsert("space", points)
        space.delete("space", [each.record for each in points[5:]])
        assert {hit.id for hit in space.scan("space")} == {each.id for each in points[:5]}

    def test_deleting_nothing_is_no_error(self, space: Index) -> None:
        """A drain with nothing to delete calls it all the same."""
        space.delete("space", [])

    def test_scores_equal_the_reference(self, space: Index) -> None:
        """Fusion weighs cosine and BM25; an engine with other scores would rank otherwise."""
        points = random_points(60, seed=1)
        exact = _exact(points)
        space.upsert("space", points)
        legs = (
            Leg(name="dense", dense=unit(1, -1, 2, 0)),
            Leg(name="words", sparse=SparseVector([1, 5, 7], [1.0, 2.0, 0.5])),
        )
        where = Match("u", ("user0", "user2"))
        for mine, reference, within in zip(
            ask(space, *legs, where=where), ask(exact, *legs, where=where), (HALF, TOLERANCE), strict=True
        ):
            assert {hit.id: hit.score for hit in mine} == pytest.approx(
                {hit.id: hit.score for hit in reference}, abs=within
            )
            assert [hit.score for hit in mine] == sorted((hit.score for hit in mine), reverse=True)

    def test_rare_words_count_more(self, space: Index) -> None:
        """Without IDF, "the" would weigh as much as "peanuts"."""
        rare = point(words=SparseVector([1], [1.0]))
        space.upsert("space", [rare] + [point(words=SparseVector([2], [1.0])) for _ in range(9)])
        [hits] = ask(space, Leg(name="words", sparse=SparseVector([1, 2], [1.0, 1.0])))
        assert hits[0].id == rare.id
        assert hits[0].score == pytest.approx(np.log(1 + (10 - 1 + 0.5) / 1.5), abs=TOLERANCE)
        assert hits[1].score == pytest.approx(np.log(1 + (10 - 9 + 0.5) / 9.5), abs=TOLERANCE)

    def test_limit_keeps_the_best(self, space: Index) -> None:
        """A caller who asks for three wants the best three."""
        points = random_points(30, seed=2)
        space.upsert("space", points)
        best = [hit.id for hit in ask(space, DENSE)[0]][:3]
        assert [hit.id for hit in ask(space, DENSE, limit=3)[0]] == best

    @pytest.mark.parametrize("limit", [0, -1, 10**9])
    def test_a_limit_that_makes_no_sense_is_refused(self, space: Index, limit: int) -> None:
        """An engine may allocate for the limit before it searches."""
        with pytest.raises(InvalidInputError, match="limit"):
            ask(space, DENSE, limit=limit)

    def test_an_empty_lexical_leg_finds_nothing(self, space: Index) -> None:
        """A query of stopwords only must neither fail nor match everything."""
        space.upsert("space", [point(words=SparseVector([1], [1.0]))])
        dense, words = ask(space, DENSE, Leg(name="words", sparse=SparseVector([], [])))
        assert (len(dense), words) == (1, [])

    def test_a_point_without_words_is_found_by_meaning_only(self, space: Index) -> None:
        """The later parts of a long text have no lexical vector."""
        space.upsert("space", [point(), point(words=SparseVector([3], [1.0]))])
        dense, words = ask(space, DENSE, Leg(name="words", sparse=SparseVector([3], [1.0])))
        assert (len(dense), len(words)) == (2, 1)

    def test_requests_are_answered_in_order(self, space: Index) -> None:
        """A recall asks for several kinds at once and must not mix them up."""
        here, there = point(payload={"u": "ana"}), point(payload={"u": "ben"})
        space.upsert("space", [here, there])
        users: list[Filter | None] = [Match("u", ("ben",)), Match("u", ("ana",)), None]
        answers = space.search("space", [SearchRequest(legs=(DENSE,), filter=where) for where in users])
        assert [len(answer["dense"]) for answer in answers] == [1, 1, 2]
        assert [answers[0]["dense"][0].id, answers[1]["dense"][0].id] == [there.id, here.id]
        assert space.search("space", []) == []

    def test_parts_always_say_whose_they_are(self, space: Index) -> None:
        """Reading every payload is most of a search's cost; a part's record is known from its payload alone."""
        record = uuid4()
        words = SparseVector([1], [1.0])
        first, second = (
            point(id=record, record=record, words=words),
            point(id=uuid5(record, "1/1"), record=record),
        )
        space.upsert("space", [first, second])
        legs = (DENSE, Leg(name="words", sparse=words))
        request = SearchRequest(legs=legs, payload=(RECORD,), parts_only=True)
        (found,) = space.search("space", [request])
        whose = {hit.id: hit.payload.get(RECORD) for hits in found.values() for hit in hits}
        assert whose[second.id] == str(record)
        assert whose[first.id] in (None, str(record))
        assert [hit.id for hit in found["words"]] == [record]

    def test_payload_brings_back_what_was_asked_for(self, space: Index) -> None:
        """Fields that were not asked for cost time; missing ones are left out; values keep their types."""
        record = uuid4()
        space.upsert(
            "space", [point(record=record, payload={"u": "ana", "n": 2.5, "yes": True, "list": ["a", 1]})]
        )
        [[hit]] = ask(space, DENSE, payload=("n", "yes", "list", "missing", RECORD))
        assert hit.payload == {"n": 2.5, "yes": True, "list": ["a", 1], RECORD: str(record)}
        assert ask(space, DENSE)[0][0].payload == {}

    @pytest.mark.parametrize(
        "bad",
        [
            np.array([np.nan, 0, 0, 1], dtype=np.float32),
            np.array([np.inf, 0, 0, 0], dtype=np.float32),
            np.zeros(4, dtype=np.float32),
            np.array([3, 0, 0, 0], dtype=np.float32),
            unit(1, 2, 3),
            np.ones((2, 2), dtype=np.float32) / 2,
        ],
        ids=["nan", "infinite", "zero", "long", "wrong-dimension", "matrix"],
    )
    def test_vectors_that_are_none_are_refused(self, space: Index, bad: Vector) -> None:
        """Qdrant Edge takes them without a word, and the point is never found again."""
        with pytest.raises(IndexingError):
            space.upsert("space", [point(), point(dense=bad)])
        assert space.collections() == {"space": 0}
        with pytest.raises(IndexingError):
            ask(space, Leg(name="dense", dense=bad))

    def test_unknown_vector_names_are_refused(self, space: Index) -> None:
        """A misspelled leg would otherwise find nothing, silently."""
        with pytest.raises(IndexingError):
            ask(space, Leg(name="nonsense", dense=unit(1, 2, 3, 4)))
        with pytest.raises(IndexingError):
            ask(space, Leg(name="nonsense", sparse=SparseVector([1], [1.0])))

    def test_a_missing_collection_says_what_to_do(self, index: Index) -> None:
        """After a restored backup the index may be empty: the error names the cure."""
        for call in (
            lambda: ask(index, DENSE, collection="nowhere"),
            lambda: index.upsert("nowhere", [point()]),
            lambda: list(index.scan("nowhere")),
        ):
            with pytest.raises(IndexingError, match="memsdk repair"):
                call()

    def test_ensure_twice_keeps_the_points_and_other_vectors_are_refused(self, space: Index) -> None:
        """Every open ensures its collections."""
        space.upsert("space", [point()])
        space.ensure("space", SPEC)
        assert space.collections() == {"space": 1}
        with pytest.raises(IndexingError):
            space.ensure("space", CollectionSpec(dense={"dense": 5}, sparse=SPEC.sparse))

    def test_collections_are_apart(self, space: Index) -> None:
        """Two spaces hold vectors that must never be compared."""
        space.ensure("other", SPEC)
        space.upsert("other", [point(), point()])
        space.upsert("space", [point()])
        assert space.collections() == {"space": 1, "other": 2}
        space.drop("other")
        space.drop("other")
        assert space.collections() == {"space": 1}

    def test_scan_finds_every_point_once(self, space: Index) -> None:
        """`verify` compares by it: a point skipped would be reported as lost."""
        points = [point() for _ in range(2_300)]
        space.upsert("space", points)
        found = [hit.id for hit in space.scan("space", fields=["u"])]
        assert len(found) == len(points)
        assert set(found) == {each.id for each in points}
        space.ensure("empty", SPEC)
        assert list(space.scan("empty")) == []

    def test_vectors_come_back_as_they_were_given(self, space: Index) -> None:
        """The trainer learns against what is stored; another vector, or one under the wrong id, teaches nonsense."""
        points = random_points(9, seed=3)
        space.upsert("space", points)
        asked = [each.id for each in reversed(points)]
        found = space.vectors("space", [*asked, uuid4()], name="dense")
        assert set(found) == set(asked)
        for each in points:
            np.testing.assert_allclose(found[each.id], each.dense["dense"], atol=HALF)
        assert space.vectors("space", asked, name="words") == {}
        assert space.vectors("space", [], name="dense") == {}

    def test_flush_optimize_and_generation_change_no_answer(self, space: Index) -> None:
        """They are care, not content."""
        space.upsert("space", random_points(20, seed=3))
        before = ask(space, DENSE)
        generation = space.generation
        space.flush()
        assert space.optimize("space") is False
        assert ask(space, DENSE) == before
        assert space.generation == generation

    def test_a_closed_index_says_so(self, space: Index) -> None:
        """Closing twice is once; using it afterwards is a named error."""
        space.close()
        space.close()
        with pytest.raises(ClosedError):
            ask(space, DENSE)

    def test_filters_mean_what_the_reference_means(self, space: Index) -> None:
        """A filter that leaks shows a user what is not theirs; one that swallows loses memories."""

        @settings(max_examples=40)
        @given(payloads=_PAYLOADS, filters=st.lists(FILTERS, min_size=1, max_size=8))
        def agrees(payloads: list[dict[str, JsonValue]], filters: list[Filter]) -> None:
            space.delete(
                "space", [UUID(str(hit.payload[RECORD])) for hit in space.scan("space", fields=[RECORD])]
            )
            points = [point(payload=payload) for payload in payloads]
            space.upsert("space", points)
            requests = [SearchRequest(legs=(DENSE,), filter=where) for where in filters]
            for where, found in zip(filters, space.search("space", requests), strict=True):
                expected = {each.id for each in points if matches(where, each.payload)}
                assert {hit.id for hit in found["dense"]} == expected, where

        agrees()


class DurableIndexContract:
    """Runs over an index that keeps its points on disk."""

    def test_reopening_keeps_all(self, index: Index, reopen: Callable[[], Index]) -> None:
        """What was indexed yesterday is found today."""
        index.ensure("space", SPEC)
        points = random_points(50, seed=4)
        index.upsert("space", points)
        index.delete("space", [points[0].record])
        before = ask(index, DENSE, payload=("u", RECORD))
        generation = index.generation
        again = reopen()
        assert again.generation != generation
        assert ask(again, DENSE, payload=("u", RECORD)) == before
        again.upsert("space", [points[0]])
        assert again.collections() == {"space": 50}


def _exact(points: Sequence[Point]) -> ExactIndex:
    exact = ExactIndex()
    exact.ensure("space", SPEC)
    exact.upsert("space", points)
    return exact
