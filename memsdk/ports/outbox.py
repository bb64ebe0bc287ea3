"""What the index has still to be told, and which spaces it serves from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from memsdk.models import Task
from memsdk.ports.embedding import EmbedderSpec
from memsdk.ports.records import Change, Indexable

Owner = Callable[[], str]
"""Asks for the name under which this process claims outbox entries; it changes in a forked child."""


class Outbox(Protocol):
    """The work itself. An entry is pending, claimed, applied, then settled (removed)."""

    def claim(self, *, owner: str, limit: int, regain: bool = False) -> list[Change]:
        """Take pending entries, and those whose owner is dead, oldest first; with `regain` the owner's own again."""

    def read(self, records: Sequence[UUID], *, neighbours: int) -> list[Indexable]:
        """The state to index, a value a record, in the order asked, with so many turns before and after each."""

    def applied(self, changes: Sequence[Change], *, states: Sequence[Indexable], points: Sequence[int],
                generation: str) -> list[Change]:  # fmt: skip
        """Note that these states (parallel to `changes`) are in the index; returns those that changed since.

        The returned ones are pending again. Entries that another call has claimed stay claimed: it may still overwrite
        these points with an older state, and be killed before it can say so.
        """

    def release(self, changes: Sequence[Change]) -> None:
        """Give claimed entries back, after a failure."""

    def touch(self, records: Sequence[UUID], *, owner: str | None = None) -> list[Change]:
        """Make entries for these records, existing or not, claimed by `owner`: they are to be indexed anew."""


class OutboxState(Protocol):
    """How far the outbox is."""

    def pending(self) -> int:
        """How many entries are not applied yet."""

    def waiting(self) -> list[UUID]:
        """The records with an entry that is not applied yet."""

    def last_seq(self) -> int:
        """The highest entry ever made."""

    def since(self, seq: int, *, limit: int) -> list[Change]:
        """Entries beyond `seq`, oldest first, settled ones included while a space is building."""

    def stamps(self) -> Iterator[tuple[UUID, int, int]]:
        """Every record's id, last outbox seq and number of points: what `verify` compares."""


class OutboxCare(Protocol):
    """How entries leave the outbox, or come back to it."""

    def settle(self, *, generation: str, upto: float) -> int:
        """Remove entries applied under this generation before the monotonic reading `upto`, now flushed."""

    def recover(self, *, generation: str) -> int:
        """Make pending what was applied under another generation and never settled; returns how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One task's vectors made by one embedder: what is built, switched to and retired."""

    task: Task
    fingerprint: str
    collection: str
    state: str  # "building", "active", "retired"
    start_seq: int  # outbox entries beyond this one are replayed before a building space is switched to


class Spaces(Protocol):
    """Which embedder's vectors serve. All processes read the same rows; a switch is one transaction."""

    def epoch(self) -> int:
        """Grows with every switch; cheap to ask with each recall."""

    def active(self) -> tuple[EmbedderSpec, dict[Task, Space]] | None:
        """The embedder in use and its spaces; None in a new store."""

    def begin(self, spec: EmbedderSpec, fingerprints: Mapping[Task, str]) -> dict[Task, Space]:
        """Register an embedder and its building spaces (or find the unfinished or retired ones again)."""

    def switch(self, spec: EmbedderSpec, *, seen_seq: int, tasks: Sequence[Task] | None = None) -> bool:
        """Make the building spaces active and the active ones retired, unless the outbox has grown past `seen_seq`.

        With `tasks` only theirs: another process may be building those of others.
        """

    def retire(self) -> list[str]:
        """Forget the spaces that no task uses any more; returns their collections, to be dropped."""
