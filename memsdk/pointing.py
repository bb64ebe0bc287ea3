"""Records to index points: composed, embedded together, mixed with their neighbours, given their payload."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from pydantic import JsonValue

from memsdk.beside import beside, wait_for
from memsdk.composing import Composed, Turn, compose, remembered_turns
from memsdk.line_vectors import LineVectors, mixed
from memsdk.models import TASK_OF, Draft, Kind, Point, Record, SparseVector, Task
from memsdk.payloads import Hasher, payload_of
from memsdk.ports import Chunker, Embedder, Indexable, LexicalEncoder, Section
from memsdk.spaces import DENSE, SPARSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

NO_ID = UUID(int=0)
FEW = 8
"""For so few records no thread is started."""
MANY = 256
"""So many lines are embedded in two parts."""
SLICE = 10
"""States that are described together: the first are with the index while the next are described."""
HEAD_START_S = 3e-3
"""So long the encoder is left alone before anything is described. A quick one has then done its part, and the index takes the
first slice while the next is described; it would have got Python's lock only after the last."""
SPECIAL_TOKENS = 2
_Line = tuple[Task, str]
_Made = tuple[int, list[Point]]
"""The place of a state among those prepared, and its points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """One revision, composed and cut, before its lines are embedded."""

    record: Record
    composed: Composed
    parts: tuple[str, ...]
    until: Record | None
    stamp: int

    @property
    def lines(self) -> list[str]:
        """All that is embedded for it."""
        return [*self.parts, *(text for text, _ in self.composed.context)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Lines that are embedded together, and the states that then have all of theirs."""

    lines: Sequence[_Line]
    done: Future[None]
    places: list[int]
    vectors: Mapping[_Line, Vector]
    tasks: Mapping[Kind, Task]

    def vectors_of(self, plan: _Planned) -> tuple[list[Vector], list[tuple[float, Vector]]]:
        """Of its parts, and of its context with weights."""
        task = self.tasks[plan.record.kind]
        parts = [self.vectors[task, part] for part in plan.parts]
        return parts, [(weight, self.vectors[task, text]) for text, weight in plan.composed.context]


class _Described(NamedTuple):
    """What a revision's points hold beside their dense vectors."""

    payload: Mapping[str, JsonValue]
    lexical: SparseVector


class PointBuilder:
    """Builds the points of records for one embedder."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        lexical: LexicalEncoder,
        chunker: Chunker,
        hasher: Hasher,
        lines: LineVectors,
    ) -> None:
        self._embedder = embedder
        self._lexical = lexical
        self._chunker = chunker
        self._hasher = hasher
        self._lines = lines

    def prepare(
        self,
        states: Sequence[Indexable],
        *,
        tasks: Mapping[Kind, Task] = TASK_OF,
        after: Future[None] | None = None,
    ) -> Prepared:
        """Compose, cut and embed all states together; of many, the lines are still being embedded when this returns.

        Args:
            tasks: whose key prefix each kind is embedded with.
            after: what the encoder is busy with until it is done.
        """
        turn_of = remembered_turns()
        plans = [self._plan(state, turn_of) for state in states]
        counts = [sum(len(plan.parts) for plan in group) for group in plans]
        stretches, work = self._stretches(plans, tasks, after=after)
        prepared = Prepared(plans, self._described, stretches=stretches, counts=counts)
        if len(plans) > FEW:
            beside(work)
        else:
            prepared.describe(range(len(plans)))
            work()
        return prepared

    def _stretches(
        self,
        plans: Sequence[Sequence[_Planned]],
        tasks: Mapping[Kind, Task],
        *,
        after: Future[None] | None,
    ) -> tuple[list[_Stretch], Callable[[], None]]:
        """The plans by when their lines will be embedded, and the work of embedding them.

        The longest lines come first: sorted, they are padded little, and what is left at the end is quickly done.
        """
        needed = [
            [(tasks[plan.record.kind], line) for plan in group for line in plan.lines] for group in plans
        ]
        distinct = dict.fromkeys(chain.from_iterable(needed))
        vectors: dict[_Line, Vector] = {}
        stretches = [
            _Stretch(lines=part, done=Future(), places=[], vectors=vectors, tasks=tasks)
            for part in _in_parts(sorted(distinct, key=lambda pair: -len(pair[1])))
        ]
        at = {line: number for number, stretch in enumerate(stretches) for line in stretch.lines}
        for place, lines in enumerate(needed):
            stretches[max((at[line] for line in lines), default=0)].places.append(place)

        def work() -> None:
            if after is not None:
                after.exception()  # which is its own caller's
            try:
                for stretch in stretches:
                    vectors.update(self._embedded(stretch.lines))
                    stretch.done.set_result(None)
            except BaseException as error:  # noqa: BLE001 -- met by who needs the vectors
                for stretch in stretches:
                    if not stretch.done.done():
                        stretch.done.set_exception(error)

        return stretches, work

    def _embedded(self, wanted: Sequence[_Line]) -> dict[_Line, Vector]:
        by_task: dict[Task, list[str]] = {}
        for task, line in wanted:
            by_task.setdefault(task, []).append(line)
        return {
            (task, line): vector
            for task, lines in by_task.items()
            for line, vector in self._lines.embed(lines, embedder=self._embedder, task=task).items()
        }

    def _described(self, plans: Sequence[Sequence[_Planned]]) -> list[list[_Described]]:
        """All of the points but their dense vectors."""
        sparse = iter(self._lexical.encode_keys([plan.composed.lexical for group in plans for plan in group]))
        return [
            [
                self._describe(plan, next(sparse), parts=sum(len(each.parts) for each in group))
                for plan in group
            ]
            for group in plans
        ]

    def _describe(self, plan: _Planned, lexical: SparseVector, *, parts: int) -> _Described:
        payload = payload_of(
            plan.record,
            until=plan.until.updated_at if plan.until else None,
            stamp=plan.stamp,
            parts=parts,
            hasher=self._hasher,
        )
        return _Described(payload, lexical)

    def warm(self, drafts: Sequence[Draft]) -> None:
        """Embed the drafts' own lines, as they will read unless midnight falls before they are stored."""
        now = datetime.now(UTC)
        lines = [
            (TASK_OF[draft.kind], part)
            for draft in drafts
            for part in self._parts(compose(_as_record(draft, now=now)))
        ]
        self._embedded(lines)

    def _plan(self, state: Indexable, turn_of: Callable[[Record], Turn]) -> list[_Planned]:
        plans = []
        for number, revision in enumerate(state.revisions):
            composed = compose(revision, before=state.before, after=state.after, turn_of=turn_of)
            later = state.revisions[number + 1] if number + 1 < len(state.revisions) else None
            plans.append(
                _Planned(
                    record=revision,
                    composed=composed,
                    parts=self._parts(composed),
                    until=later,
                    stamp=state.seq,
                )
            )
        return plans

    def _parts(self, composed: Composed) -> tuple[str, ...]:
        """All that a revision is found by, in parts that the embedder can take whole."""
        return tuple(part for line in (composed.line, *composed.also) for part in self._cut(line))

    @cached_property
    def _prefix_tokens(self) -> int:
        """Of the longest key prefix."""
        return max(
            self._embedder.count_tokens([key for _, key in self._embedder.spec.prefixes.values()]), default=0
        )

    def _cut(self, line: str) -> tuple[str, ...]:
        """The line in parts that the embedder can take whole, its task prefix included."""
        spec = self._embedder.spec
        longest = max((len(key) for _, key in spec.prefixes.values()), default=0)
        room = spec.max_tokens - SPECIAL_TOKENS
        if len(line) + longest <= room:  # a token has at least one character
            return (line,)
        room -= self._prefix_tokens
        if self._embedder.count_tokens([line])[0] <= room:
            return (line,)
        pieces = self._chunker.chunk([Section(headings=(), text=line)], max_tokens=room)
        return tuple(piece.text for piece in pieces) or (line,)


class Prepared:
    """What `PointBuilder.prepare` embeds, as points, stretch by stretch: the index takes one while the next is embedded."""

    def __init__(
        self,
        plans: Sequence[Sequence[_Planned]],
        describe: Callable[[Sequence[Sequence[_Planned]]], list[list[_Described]]],
        *,
        stretches: Sequence[_Stretch],
        counts: list[int],
    ) -> None:
        self._plans = plans
        self._describe = describe
        self._described: dict[int, list[_Described]] = {}  # by place, until the points are made
        self._describing = threading.Lock()
        self._asked = False
        self._stretches = stretches
        self.counts = counts
        """How many points each state has; a record that is gone has none."""

    @property
    def encoded(self) -> Future[None]:
        """Done once the encoder is free again."""
        return self._stretches[-1].done

    def describe(self, places: Sequence[int]) -> None:
        """Make what the points of these states hold beside their dense vectors, unless that was done."""
        with self._describing:
            if places and places[0] not in self._described:
                made = self._describe([self._plans[place] for place in places])
                self._described.update(zip(places, made, strict=True))

    def describe_ahead(self) -> None:
        """Describe those that the index is given first, in a thread of its own: the caller is about to wait for the disk."""

        def first() -> None:
            if not self._asked:  # else the caller is at it
                self.describe(self._stretches[0].places[:SLICE])

        beside(first)

    def stretches(self) -> Iterator[tuple[list[int], Iterator[_Made]]]:
        """For each stretch, once it is encoded, the places of its states, and their points as they are made.

        Raises:
            EmbedderError: as the embedder did.
        """
        self._asked = True
        wait([self._stretches[0].done], timeout=HEAD_START_S)
        for stretch in self._stretches:
            slices = [stretch.places[start : start + SLICE] for start in range(0, len(stretch.places), SLICE)]
            for places in slices:
                if stretch.done.done():
                    break
                self.describe(places)
            if slices:
                wait_for(stretch.done)
                yield stretch.places, self._made(slices, stretch)

    def points(self) -> list[list[Point]]:
        """The points of all states, in the states' order; see `stretches`."""
        found = dict(chain.from_iterable(made for _, made in self.stretches()))
        return [found[place] for place in range(len(self._plans))]

    def _made(self, slices: Sequence[list[int]], stretch: _Stretch) -> Iterator[_Made]:
        for places in slices:
            self.describe(places)
            for place in places:
                yield place, self._points(place, stretch)

    def _points(self, place: int, stretch: _Stretch) -> list[Point]:
        points = []
        for plan, described in zip(self._plans[place], self._described.pop(place), strict=True):
            parts, around = stretch.vectors_of(plan)
            for number, vector in enumerate(parts):
                points.append(
                    Point(
                        id=_point_id(plan, number),
                        record=plan.record.id,
                        dense={DENSE: mixed(vector, around)},
                        sparse={SPARSE: described.lexical}
                        if number == 0 and described.lexical.indices
                        else {},
                        payload=described.payload,
                    )
                )
        return points


def _in_parts(wanted: list[_Line]) -> list[list[_Line]]:
    """All of them, or of many two parts: the second, with the shortest lines, is embedded while the index takes the first."""
    if len(wanted) < MANY:
        return [wanted]
    cut = len(wanted) * 7 // 8
    return [wanted[:cut], wanted[cut:]]


def _as_record(draft: Draft, *, now: datetime) -> Record:
    """The record that a draft becomes, as far as composing asks."""
    fields = {
        name: getattr(draft, name)
        for name in ("kind", "text", "metadata", "data", "role", "name", "title", "section")
    }
    return Record(
        id=NO_ID,
        occurred_at=draft.occurred_at or now,
        created_at=now,
        updated_at=now,
        last_seen_at=now,
        **fields,
    )


def _point_id(plan: _Planned, number: int) -> UUID:
    """The record's own id for the first part of its current revision, so that a search need not read whose it is."""
    if number == 0 and plan.until is None:
        return plan.record.id
    return uuid5(plan.record.id, f"{plan.record.revision}/{number}")
