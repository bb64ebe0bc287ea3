"""Which rows make the next batch: one group a batch, the same group on all ranks, and a position that can be saved."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memsdk.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a sampler has come: the epoch, and how many of its batches have been given."""

    epoch: int = 0
    given: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of one step on one rank, all of one group."""

    group: str
    rows: tuple[int, ...]
    epoch: int


class HomogeneousSampler:
    """Endless batches, each of one group: negatives of another task teach nothing but to tell the tasks apart.

    Each epoch cuts the shuffled rows of every group into batches and shuffles those (LLM-Embedder's homogeneous batches). What is left over
    of a group is left out of that epoch, unless it is all that the group has. Ranks draw the same plan and take
    every world-th row of each batch.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[int]],
        *,
        batch: int,
        seed: int,
        shares: Mapping[str, float] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Args: `groups` name rows by number; `shares` say how often a group's rows come in an epoch, 1 being once.

        Raises:
            InvalidInputError: no group has a row for every rank, or a number is out of its range.
        """
        if batch < 1 or not 0 <= rank < world:
            raise InvalidInputError(
                f"a batch of 1 or more and a rank below {world} are needed, not {batch} and {rank}"
            )
        self._groups = {
            name: tuple(rows)
            for name, rows in sorted(groups.items())
            if len(rows) >= world and (shares or {}).get(name, 1.0) > 0
        }
        if not self._groups:
            raise InvalidInputError(f"no group has the {world} rows that {world} processes need")
        self._shares = dict(shares or {})
        self._batch, self._seed, self._rank, self._world = batch * world, seed, rank, world
        self._at = Position()
        self._plan = self._planned(0)

    @property
    def position(self) -> Position:
        """Where it stands; `restore` goes on from there with the same batches."""
        return self._at

    @property
    def batches_an_epoch(self) -> int:
        """How many batches the present epoch has."""
        return len(self._plan)

    def restore(self, position: Position) -> None:
        """Go on from a saved position."""
        self._plan = self._planned(position.epoch)
        self._at = position

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end."""
        while True:
            yield self.next_batch()

    def next_batch(self) -> Batch:
        """The next batch of this rank."""
        if self._at.given >= len(self._plan):
            self.restore(Position(epoch=self._at.epoch + 1))
        name, rows = self._plan[self._at.given]
        batch = Batch(group=name, rows=rows[self._rank :: self._world], epoch=self._at.epoch)
        self._at = Position(epoch=self._at.epoch, given=self._at.given + 1)
        return batch

    def _planned(self, epoch: int) -> list[tuple[str, tuple[int, ...]]]:
        """An epoch's batches, over all ranks; the same for the same seed and epoch."""
        drawn = random.Random(f"{self._seed} {epoch}")  # noqa: S311 -- no secret
        plan = []
        for name, rows in self._groups.items():
            order = _repeated(rows, self._shares.get(name, 1.0), drawn)
            if len(order) < self._batch:
                plan.append((name, tuple(order[: len(order) // self._world * self._world])))
            starts = range(0, len(order) - self._batch + 1, self._batch)
            plan += [(name, tuple(order[start : start + self._batch])) for start in starts]
        plan = [(name, rows) for name, rows in plan if rows]
        drawn.shuffle(plan)
        return plan


def _repeated(rows: Sequence[int], share: float, drawn: random.Random) -> list[int]:
    """The rows so often in random order, none again before all have come; a part of them for a fraction."""
    order: list[int] = []
    whole = math.floor(share)
    for _ in range(whole):
        order += drawn.sample(rows, len(rows))
    return order + drawn.sample(rows, round(len(rows) * (share - whole)))
