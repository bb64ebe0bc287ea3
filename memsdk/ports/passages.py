"""Growing texts: their chunks are records of kind `passage`, and the session label of these names the stream."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from memsdk.models import Draft, Record, Scope, Stream
from memsdk.ports.records import Change, Whose, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a stream as a writer saw it: what it may replace, and what tells whether it is still the end."""

    scope: Scope  # of exactly this user and agent; the session is the stream
    last: UUID | None  # the last chunk; None where the stream was not there
    replaced: tuple[UUID, ...] = ()


class Passages(Protocol):
    """The streams of a store and their chunks."""

    def list(
        self, *, users: Whose, agents: Whose = None, name: str | None = None, limit: int
    ) -> builtins.list[Stream]:
        """Streams, the one that grew last first; only those called `name` where it is given."""

    def last(self, scope: Scope, *, count: int, before: int | None = None) -> builtins.list[Record]:
        """The last chunks of exactly that scope's stream, in order; of those before a position where it is given."""

    def at(self, scope: Scope, positions: Sequence[int]) -> builtins.list[Record]:
        """The chunks at these positions, in order; those that were forgotten are missing."""

    def extend(
        self, tail: Tail, drafts: Sequence[Draft], *, owner: str | None
    ) -> tuple[builtins.list[Written], builtins.list[Change]] | None:
        """Put these chunks in the place of the replaced ones, in one transaction; None where the tail has moved.

        Returns what was written and the outbox entries of the replaced ones.
        """
