"""The outbox drained: what changed in SQL is looked up, embedded and told to the index, as often as it takes.

An entry says only "record X changed"; whoever drains it reads X as it is now, so order does not matter and repeating is
harmless. An entry leaves the outbox once the index has flushed what answered it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from memsdk.beside import beside, helping, wait_for
from memsdk.errors import IndexingError
from memsdk.forking import renew_in_child
from memsdk.garbage import no_full_collection
from memsdk.line_vectors import LineVectors
from memsdk.models import TASK_OF, Draft, Kind, Task
from memsdk.payloads import Hasher
from memsdk.pipeline import Pipeline
from memsdk.pointing import FEW, PointBuilder, Prepared
from memsdk.ports import (
    Change,
    Chunker,
    Index,
    Indexable,
    LexicalEncoder,
    Outbox,
    OutboxCare,
    OutboxState,
    Owner,
)
from memsdk.spaces import Serving, ServingSpaces
from memsdk.testing.failpoints import reach

BATCH = 512
TOGETHER = 2_048  # of one call: the more texts are embedded together, the less the encoder pads them
CATCH_UP = 8  # batches
OWN_S = 1.0  # without headway; then `drain_all` takes this process's own claims for left behind
EXPECTED = 128  # records at most that are begun before their commit: others wait for the database meanwhile
NOTES = 64  # of what is in the index, at most, that the outbox is told later


@dataclass(frozen=True, slots=True)
class _Note:
    """The index has this state, with so many points, since this run of the engine."""

    change: Change
    state: Indexable
    points: int
    generation: str

    @property
    def can_wait(self) -> bool:
        """Whether the outbox alone is to be told, of a record that was new: a kill before it means indexing it once more."""
        return self.state.seq == self.change.seq and self.points == self.state.points


@dataclass(frozen=True, slots=True)
class _Begun:
    """Changes as they were read, whose lines are being encoded."""

    changes: Sequence[Change]
    states: Sequence[Indexable]
    prepared: Prepared
    serving: Serving
    generation: str = ""

    @property
    def encoded(self) -> Future[None]:
        return self.prepared.encoded


class Indexer:
    """Brings the serving spaces up to date with SQL. Thread-safe; processes share the work through claims."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        state: OutboxState,
        care: OutboxCare,
        index: Index,
        serving: ServingSpaces,
        lexical: LexicalEncoder,
        chunker: Callable[[Serving], Chunker],
        hasher: Hasher,
        owner: Owner,
        neighbours: int,
        notes_later: bool = False,
    ) -> None:
        """Args: with `notes_later` somebody calls `note` soon after each write, so that no single one waits for it."""
        self._outbox = outbox
        self._state = state
        self._care = care
        self._index = index
        self._serving = serving
        self._lexical = lexical
        self._chunker = chunker
        self._hasher = hasher
        self._owner = owner
        self._neighbours = neighbours
        self._notes_later = notes_later
        self._lines = LineVectors()
        self._recovered: str | None = None
        self._caught_up = False
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        """Nothing is unsettled yet; in a forked child, what the parent applied is the parent's to settle."""
        self._unsettled = threading.Event()
        self._notes: list[_Note] = []
        self._noting = threading.Lock()

    @property
    def unsettled(self) -> bool:
        """Whether something was applied that the index has not flushed since."""
        return self._unsettled.is_set()

    def index_now(self, changes: Sequence[Change]) -> None:
        """Index these claimed changes before returning, so that the next recall finds them.

        Raises:
            IndexingError, EmbedderError: they are kept in SQL and the outbox, and will be indexed later.
        """
        with self.pipeline() as pipeline:
            for start in range(0, len(changes), TOGETHER):
                pipeline.take(changes[start : start + TOGETHER])

    @contextmanager
    def pipeline(self, *, after: Future[None] | None = None) -> Iterator[Pipeline[_Begun]]:
        """Indexes batches of claimed changes while its caller makes more of them; see `index_now`.

        Args:
            after: what the encoder is busy with.
        """
        made = Pipeline(
            expect=self._expect,
            begin=self._begin,
            finish=self._finish,
            release=self._outbox.release,
            after=after,
        )
        with no_full_collection(), helping(), made as pipeline:
            yield pipeline

    def embed_ahead(self, drafts: Sequence[Draft]) -> Future[None]:
        """Embed what these drafts will be found by, so that indexing them need not; it meets any error again."""
        return beside(lambda: self.builder(self._serving.current()).warm(drafts))

    def drain(self, *, limit: int = BATCH, regain: bool = False) -> int:
        """Index up to `limit` pending changes, those of dead processes included; returns how many were taken.

        Args:
            regain: take this process's own claims again, which an interrupted call may have left.
        """
        self.note()
        generation = self._recover()
        claim = partial(self._outbox.claim, owner=self._owner(), limit=limit, regain=regain)
        changes = claim()
        # others may have noted something late, for a run that has ended
        if not changes and self._care.recover(generation=generation):
            changes = claim()
        if changes:
            try:
                with helping():
                    self._finish(self._begin(changes, None, None))
            except BaseException:
                self._outbox.release(changes)
                raise
        return len(changes)

    def catch_up(self) -> None:
        """On the first call, index what dead processes left and what a new index lacks: at most 2,048 changes now."""
        if self._caught_up:
            return
        self._serving.current()
        for _ in range(CATCH_UP):
            if not self.drain():
                break
        self._caught_up = True

    def drain_all(self, *, progress: Callable[[int], None] | None = None, patience_s: float = 60.0) -> None:
        """Drain until nothing is pending, what other living processes have claimed included.

        Raises:
            IndexingError: another process holds claims and makes no headway for `patience_s` seconds.
        """
        least, since = self._state.pending(), time.monotonic()
        while True:
            done = self.drain(regain=time.monotonic() - since > OWN_S)
            if progress is not None and done:
                progress(done)
            left = self._state.pending()
            if not left:
                return
            if left < least or done:
                least, since = left, time.monotonic()
            elif time.monotonic() - since > patience_s:
                raise IndexingError(
                    f"{left} changes are claimed by another process that makes no headway; end it, then `memsdk repair`"
                )
            if not done:
                time.sleep(0.02)

    def note(self) -> None:
        """Tell the outbox what the index has that it was not told yet."""
        with self._noting:
            notes, self._notes = self._notes, []
        try:
            self._tell(notes)
        except BaseException:
            with self._noting:
                self._notes[:0] = notes
            raise

    def settle(self) -> int:
        """Flush the index and remove what it has kept from the outbox; returns how many entries that were."""
        self.note()
        self._unsettled.clear()
        generation, upto = self._index.generation, time.monotonic()
        self._index.flush()
        if self._index.generation != generation:  # another run has flushed: it can't vouch for this one
            return 0
        return self._care.settle(generation=generation, upto=upto)

    def builder(self, serving: Serving) -> PointBuilder:
        """What makes points for these spaces."""
        return PointBuilder(
            embedder=serving.embedder,
            lexical=self._lexical,
            chunker=self._chunker(serving),
            hasher=self._hasher,
            lines=self._lines,
        )

    def put(self, states: Sequence[Indexable], *, serving: Serving) -> list[int]:
        """Make these spaces hold exactly the states' points; returns how many points each has."""
        prepared = self.builder(serving).prepare(states)
        return self._put(states, prepared, serving=serving, sent=lambda places: None)

    def _put(
        self,
        states: Sequence[Indexable],
        prepared: Prepared,
        *,
        serving: Serving,
        sent: Callable[[list[int]], None],
    ) -> list[int]:
        """As `put`; `sent` is told the places of the states that the index has, while others are still being encoded."""
        self.put_twins(states, serving=serving)  # first: where a record's own points are, these are too
        counted = list(zip(states, prepared.counts, strict=True))
        gone = [state.id for state, count in counted if count < state.points or not (count or state.points)]
        reach("index-update")
        if gone:
            wait_for(prepared.encoded)  # nothing is taken away before what replaces it is there
            for collection in serving.collections:
                self._index.delete(collection, gone)
        for places, made in prepared.stretches():
            having = ((states[place].revisions[0].kind, points) for place, points in made if points)
            for collection, some in groupby(having, key=lambda pair: serving.collection(pair[0])):
                self._index.upsert(collection, (point for _, points in some for point in points))
            reach("index-updated")
            sent(places)
        return prepared.counts

    def put_twins(self, states: Sequence[Indexable], *, serving: Serving) -> None:
        """Make the space for conversations, where it is one of its own, hold exactly the documents among these states."""
        if serving.twin is None:
            return
        documents = [
            state for state in states if state.revisions and state.revisions[0].kind is Kind.DOCUMENT
        ]
        prepared = self.builder(serving).prepare(documents, tasks={**TASK_OF, Kind.DOCUMENT: Task.CONVSEARCH})
        gone = [state.id for state in states if not state.revisions]
        gone += [
            state.id for state, count in zip(documents, prepared.counts, strict=True) if count < state.points
        ]
        if gone:
            self._index.delete(serving.twin, gone)
        points = [point for group in prepared.points() for point in group]
        if points:
            self._index.upsert(serving.twin, points)

    def _expect(self, changes: Sequence[Change], after: Future[None] | None) -> _Begun | None:
        """Have changes encoded that are about to be committed, where all that takes is at hand; `_begin` goes on from there."""
        states = [change.state for change in changes if change.state is not None]
        if len(states) < len(changes) or not FEW < len(states) <= EXPECTED or not self._serving.loaded:
            return None
        serving = self._serving.known()
        prepared = self.builder(serving).prepare(states, after=after)
        prepared.describe_ahead()
        return _Begun(changes, states, prepared, serving)

    def _begin(
        self, changes: Sequence[Change], after: Future[None] | None, expected: _Begun | None
    ) -> _Begun:
        """Read what changed and have it encoded, once `after` is done, unless that was done for what was expected."""
        generation = self._recover()
        serving = self._serving.current()
        if expected is not None and expected.serving is serving and _same(expected.changes, changes):
            return replace(expected, generation=generation)
        states = self._states(changes)
        prepared = self.builder(serving).prepare(states, after=after)
        return _Begun(changes, states, prepared, serving, generation)

    def _states(self, changes: Sequence[Change]) -> list[Indexable]:
        """What to index, a value a record: read, where its last change does not bring it."""
        brought = {change.record: change.state for change in changes}
        unread = [record for record, state in brought.items() if state is None]
        read = iter(self._outbox.read(unread, neighbours=self._neighbours) if unread else ())
        return [next(read) if state is None else state for state in brought.values()]

    def _finish(self, begun: _Begun) -> None:
        """Send what `begin` read, and note that the index has it."""
        changes: dict[UUID, list[Change]] = {}
        for change in begun.changes:
            changes.setdefault(change.record, []).append(change)

        def sent(places: list[int]) -> None:
            notes = [
                _Note(change, begun.states[place], begun.prepared.counts[place], begun.generation)
                for place in places
                for change in changes[begun.states[place].id]
            ]
            if self._notes_later and len(notes) <= FEW and all(note.can_wait for note in notes):
                with self._noting:
                    self._notes += notes
                    if len(self._notes) <= NOTES:
                        return
                self.note()
            else:
                self._tell([*notes, *self._overtaken_by(notes)])

        self._put(begun.states, begun.prepared, serving=begun.serving, sent=sent)

    def _overtaken_by(self, notes: Sequence[_Note]) -> list[_Note]:
        """What was not told yet of the same records, which these states answer too."""
        if not self._notes:
            return []
        newer = {note.change.record: note for note in notes}
        with self._noting:
            older = [note for note in self._notes if note.change.record in newer]
            self._notes = [note for note in self._notes if note.change.record not in newer]
        return [replace(newer[note.change.record], change=note.change) for note in older]

    def _tell(self, notes: Sequence[_Note]) -> None:
        """Note in the outbox that the index has these."""
        for generation, some in groupby(notes, key=attrgetter("generation")):
            told = list(some)
            self._outbox.applied(
                [note.change for note in told],
                states=[note.state for note in told],
                points=[note.points for note in told],
                generation=generation,
            )
            self._unsettled.set()

    def _recover(self) -> str:
        """After a change of the engine's run, send again what the last one may have lost; returns the run's name."""
        generation = self._index.generation
        if generation != self._recovered:
            self._care.recover(generation=generation)
            self._recovered = generation
        return generation


def _same(some: Sequence[Change], others: Sequence[Change]) -> bool:
    return [change.seq for change in some] == [change.seq for change in others]
