"""Random use of a memory whose index fails at will, against a dict: acknowledged is kept, once, and found in the end."""

# ruff: noqa: D102 -- a rule is told by its name
from __future__ import annotations

import contextlib
import random
import tempfile
from uuid import UUID

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memsdk import Memory
from memsdk.errors import IndexingError
from memsdk.index.exact import ExactIndex
from memsdk.testing.failing_index import FailingIndex

USERS = st.sampled_from(["ana", "bo"])
SESSIONS = st.sampled_from([None, "s"])


class FailingIndexMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.chance = random.Random(7)
        self.rate = 0.0
        self.engine = ExactIndex()
        self.index = FailingIndex(self.engine, fails=self.fails, late=self.fails)
        self.memory = Memory.open(
            self.folder.name, embedder="hashing", index=self.index, synchronous="NORMAL", background=False
        )
        self.memory.remember("the beginning", shared=True)
        self.kept: dict[UUID, tuple[str, str]] = {}  # id -> user, text
        self.number = 0

    def fails(self, call: str) -> bool:
        """Whether this call to the index fails."""
        return self.chance.random() < self.rate

    @rule(rate=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    def weather(self, rate: float) -> None:
        self.rate = rate

    @rule(user=USERS, session=SESSIONS, count=st.integers(1, 3), wait=st.booleans())
    def remember(self, user: str, session: str | None, count: int, wait: bool) -> None:  # noqa: FBT001 -- hypothesis
        said = [f"marker{self.number + n} said" for n in range(count)]
        self.number += count
        try:
            self.memory.remember(
                [{"role": "user", "content": text} for text in said],
                user_id=user,
                session_id=session,
                wait=wait,
            )
        except IndexingError as error:
            assert "safe in the store" in "".join(getattr(error, "__notes__", ()))  # noqa: PT017 -- one of two ways
        stored = {record.text: record.id for record in self.memory.list(user_id=user, limit=10_000)}
        for text in said:  # stored, whatever the index said
            self.kept[stored[text]] = (user, text)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.kept)))
        self.number += 1
        text = f"marker{self.number} changed"
        with contextlib.suppress(IndexingError):
            self.memory.update(id_, text)
        assert self.memory.get(id_).text == text
        self.kept[id_] = (self.kept[id_][0], text)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.kept)))
        receipt = self.memory.forget(id_)  # never fails for the index: what is left to do is in the receipt
        assert receipt.ids == (id_,)
        assert receipt.vectors_deleted or self.rate
        del self.kept[id_]

    @rule(user=USERS, number=st.integers(0, 30))
    def recall(self, user: str, number: int) -> None:
        try:
            hits = self.memory.recall(f"marker{number}", user_id=user, k=50)
        except IndexingError:
            return
        assert {hit.id for hit in hits if hit.user_id} <= {
            id_ for id_, kept in self.kept.items() if kept[0] == user
        }
        assert len({hit.id for hit in hits}) == len(hits)

    @rule()
    def flush(self) -> None:
        try:
            self.memory.flush()
        except IndexingError:
            return
        assert self.memory.stats().pending == 0 if not self.rate else True

    @rule()
    def the_engine_forgets_all(self) -> None:
        """As after a crash before its first flush: another run, empty."""
        self.rate = 0.0
        self.memory.close()
        self.engine = ExactIndex()
        self.index = FailingIndex(self.engine, fails=self.fails, late=self.fails)
        self.memory = Memory.open(
            self.folder.name, embedder="hashing", index=self.index, synchronous="NORMAL", background=False
        )

    @invariant()
    def acknowledged_writes_are_there_once(self) -> None:
        there = {record.id: (record.user_id, record.text) for record in self.memory.list(limit=10_000)}
        assert {id_: kept for id_, kept in there.items() if kept[0]} == self.kept

    def teardown(self) -> None:
        self.rate = 0.0
        self.memory.flush()
        assert self.memory.verify().clean
        assert self.memory.repair().clean
        for user, text in self.kept.values():
            hits = self.memory.recall(text, user_id=user, k=1_000)
            assert [hit.text for hit in hits].count(text) == 1
        self.memory.close()
        self.folder.cleanup()


TestFailingIndex = FailingIndexMachine.TestCase
TestFailingIndex.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    phases=[Phase.generate],  # shrinking would take longer than a test may
)
