"""The store as the query-side tiers see it: every stored vector of a task, whose it is, and the rows' queries beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast
from uuid import UUID

import numpy as np

from memsdk.conversing import considered, mixed
from memsdk.models import Side, Task
from memsdk.payloads import KIND, NOBODY, RECORD, USER, VALID_TO, record_of
from memsdk.ports import Embedder
from memsdk.spaces import DENSE
from memsdk.trainer.evaluate import KIND_OF
from memsdk.trainer.problem import SHARED, Example, Problem, right_ones, targets
from memsdk.trainer.rows import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memsdk.parts import Parts
    from memsdk.spaces import Serving

    Vectors = NDArray[np.float32]

PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """All current points of one task.

    Attributes:
        keys: [m, d], as they are searched: a chat turn's is mixed with its neighbours'.
        owners: [m], a number a user; SHARED for records of nobody.
        places: where each record's points are among the keys.
        users: the number of each user, by keyed hash.
    """

    keys: Vectors
    owners: NDArray[np.int64]
    places: dict[UUID, list[int]]
    users: dict[str, int]


def read_stored(parts: Parts, *, task: Task, serving: Serving) -> Stored:
    """Every point of the task's kind that is valid now, read back from the index."""
    collection = serving.spaces[task].collection
    now, kind = parts.clock.now().timestamp(), KIND_OF[task].value
    points, records, owners = [], [], []
    users: dict[str, int] = {parts.hasher(NOBODY): SHARED}
    for point in parts.index.scan(collection, fields=(RECORD, KIND, USER, VALID_TO)):
        if point.payload.get(KIND) != kind or cast("float", point.payload[VALID_TO]) <= now:
            continue
        points.append(point.id)
        records.append(record_of(point.id, point.payload))
        owners.append(users.setdefault(str(point.payload[USER]), len(users)))
    vectors: list[Vectors] = []
    places: dict[UUID, list[int]] = {}
    kept: list[int] = []
    for start in range(0, len(points), PAGE):
        some = points[start : start + PAGE]
        found = parts.index.vectors(collection, some, name=DENSE)
        for number, point_id in enumerate(some, start):
            if point_id in found:  # else it was deleted since the scan
                places.setdefault(records[number], []).append(len(kept))
                kept.append(owners[number])
                vectors.append(found[point_id])
    keys = np.stack(vectors) if vectors else np.zeros((0, serving.embedder.spec.dims), np.float32)
    return Stored(keys=keys, owners=np.array(kept, np.int64), places=places, users=users)


def build_problem(
    parts: Parts, rows: Sequence[Row], stored: Stored, *, task: Task, embedder: Embedder
) -> tuple[Problem, list[Row]]:
    """The rows from which something can be learnt, as a problem, and these rows.

    A record of several points is represented by the one that is closest to the query now.
    """
    wanted = [row for row in rows if targets(row) is not None]
    queries = embedded(wanted, embedder, task)
    examples, used = [], []
    for number, row in enumerate(wanted):
        owner = SHARED if row.user_id is None else stored.users.get(parts.hasher(row.user_id), SHARED)
        example = _example(row, queries[number], stored, owner=owner)
        if example is not None:
            examples.append(example)
            used.append(number)
    problem = Problem(queries=queries[used], keys=stored.keys, owners=stored.owners, examples=tuple(examples))
    return problem, [wanted[number] for number in used]


def turns_of(row: Row) -> tuple[str, ...]:
    """What recall embeds for the row's query: the query, and the turns before it that count, the latest first."""
    return (row.asked, *considered(row.history)) if row.asked and row.history else (row.query,)


def embedded(rows: Sequence[Row], embedder: Embedder, task: Task) -> Vectors:
    """The queries' vectors [n, d] as recall makes them: amid a conversation, mixed with those of the turns before."""
    if not rows:
        return np.zeros((0, embedder.spec.dims), np.float32)
    turns = [turns_of(row) for row in rows]
    vectors = embedder.embed([turn for some in turns for turn in some], task=task, side=Side.QUERY)
    starts = np.cumsum([0, *(len(some) for some in turns)])
    return np.stack([mixed(vectors[start:end]) for start, end in pairwise(starts.tolist())])


def _example(row: Row, query: Vectors, stored: Stored, *, owner: int) -> Example | None:
    """None where fewer than two candidates, or no right one, are still stored and visible."""
    rewards = targets(row) or []
    right = {candidate.record for candidate in right_ones(row)}
    places: dict[int, float] = {}
    relevant: set[int] = set()
    for candidate, reward in zip(row.candidates, rewards, strict=True):
        points = [] if candidate.record is None else stored.places.get(candidate.record, [])
        points = [place for place in points if stored.owners[place] in (SHARED, owner)]
        if not points:
            continue
        place = max(points, key=lambda at: float(stored.keys[at] @ query))
        places[place] = max(reward, places.get(place, reward))
        if candidate.record in right:
            relevant.add(place)
    if not relevant:
        return None
    return Example(
        candidates=np.array(list(places), np.int64),
        rewards=np.array(list(places.values()), np.float32),
        relevant=frozenset(relevant),
        owner=owner,
    )
