"""Where a retrain keeps what it has done so far: numbers, ids and weights, never a text, so that `forget` has nothing to look for.

A run is named by its rows, and its rows by the time it began: killed and started again, it takes the same rows (but for
what was forgotten meanwhile) and goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout
from pydantic import JsonValue

from memsdk.errors import StoreLockedError
from memsdk.models import Task
from memsdk.testing.failpoints import reach
from memsdk.trainer.rows import Row

TRAINING = "training"
REPORTS = "reports"
STATE = "state.json"
LOCK = "retrain.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A run under way."""

    run: str
    version: str
    began: str  # ISO 8601; rows asked later are the next run's
    data: str  # hash of the rows' ids and candidates
    settings: str  # hash of what was asked for


class Stage:
    """The folder of one run under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> State | None:
        """What an earlier run left; None where it ended, or never began."""
        try:
            return State(**json.loads((self.folder / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, state: State) -> None:
        """Start anew: whatever an earlier run left is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.save(STATE, asdict(state))

    def with_data(self, state: State, data: str) -> State:
        """The same run on these rows; where they are others than before, what was fitted on them is removed."""
        if state.data == data:
            return state
        changed = replace(state, data=data)
        self.begin(changed)
        return changed

    def load(self, name: str) -> dict[str, JsonValue] | None:
        """What was saved under that name; None where nothing was, or not in whole."""
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def save(self, name: str, values: Mapping[str, object]) -> None:
        """Save in one step: a kill leaves the old file or the new one."""
        draft = self.folder / f"{name}.new"
        draft.write_text(json.dumps(values), encoding="utf-8")
        draft.replace(self.folder / name)
        reach("retrain-stage")

    def end(self) -> None:
        """The run is over: nothing of it stays here."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stage_of(store: Path, *, task: Task, user_id: str | None) -> Stage:
    """The folder of that task's and user's run; a user is named by a hash."""
    whose = "all" if user_id is None else hashlib.sha256(user_id.encode()).hexdigest()[:16]
    return Stage(store / TRAINING / f"{task.value}-{whose}")


@contextmanager
def only_one(store: Path) -> Iterator[None]:
    """One retrain of a store at a time. Raises StoreLockedError where another is under way."""
    (store / TRAINING).mkdir(exist_ok=True)
    lock = FileLock(store / TRAINING / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreLockedError(
            f"another `memsdk retrain` of {store} is under way; wait for it, or end it: the next one goes on from there"
        ) from None
    try:
        yield
    finally:
        lock.release()


def data_hash(rows: Sequence[Row]) -> str:
    """Names the rows: their ids, their candidates, what is known of them. Of texts it holds nothing."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.id}\0{row.task}\0".encode())
        for candidate in row.candidates:
            digest.update(f"{candidate.record}\0{candidate.positive}\0{candidate.reward}\0".encode())
    return digest.hexdigest()[:32]


def up_to(rows: Sequence[Row], moment: datetime) -> list[Row]:
    """The rows that were asked by then."""
    return [row for row in rows if row.at is None or row.at <= moment]


def records_of(rows: Sequence[Row]) -> list[UUID]:
    """Every record that is some row's candidate."""
    return list({each.record: None for row in rows for each in row.candidates if each.record is not None})
