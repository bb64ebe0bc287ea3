"""Random use of a store against a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memsdk.models import Draft, Kind, Record, Scope
from memsdk.ports import RecordFilter
from memsdk.records import open_store
from memsdk.testing.store_drafts import EVERYTHING, texts

USERS = st.sampled_from(["ana", "bo", None])
SESSIONS = st.sampled_from(["s", None])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(Path(self.folder.name), synchronous="NORMAL")
        self.model: dict[str, list[str]] = {}  # record id -> its revisions
        self.scopes: dict[str, tuple[str | None, str | None]] = {}
        self.indexed: dict[str, list[str]] = {}

    @rule(user=USERS, session=SESSIONS, some=st.lists(TEXTS, min_size=1, max_size=4))
    def add(self, user: str | None, session: str | None, some: list[str]) -> None:
        """Add texts; the same in one scope is the same record."""
        scope = Scope(user_id=user, session_id=session)
        drafts = [Draft(kind=Kind.MEMORY, text=text, scope=scope) for text in some]
        for text, written in zip(some, self.store.records.add(drafts, owner=None), strict=True):
            id_ = str(written.record.id)
            same = [
                key
                for key, said_ in self.model.items()
                if said_[-1] == text and self.scopes[key] == (user, session)
            ]
            assert (written.outcome == "unchanged") == bool(same)
            self.model.setdefault(id_, [text])
            self.scopes[id_] = (user, session)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), text=TEXTS)
    def update(self, data: st.DataObject, text: str) -> None:
        """Write a revision."""
        id_ = data.draw(st.sampled_from(sorted(self.model)))
        (record,) = [one for one in self._all() if str(one.id) == id_]
        self.store.records.update(record.id, visible=EVERYTHING, owner=None, text=text)
        if self.model[id_][-1] != text:
            self.model[id_].append(text)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Erase a record."""
        id_ = data.draw(st.sampled_from(sorted(self.model)))
        (record,) = [one for one in self._all() if str(one.id) == id_]
        self.store.eraser.forget(RecordFilter(ids=(record.id,)), owner=None)
        del self.model[id_]

    @rule(user=st.sampled_from(["ana", "bo"]))
    def forget_user(self, user: str) -> None:
        """Erase a user."""
        self.store.eraser.forget_users([user], owner=None)
        self.model = {id_: said_ for id_, said_ in self.model.items() if self.scopes[id_][0] != user}

    @rule()
    def drain(self) -> None:
        """Index what waits, as the indexer does."""
        while changes := self.store.outbox.claim(owner="x", limit=3):
            states = self.store.outbox.read([change.record for change in changes], neighbours=2)
            for state in states:
                self.indexed.pop(str(state.id), None)
                if state.revisions:
                    self.indexed[str(state.id)] = texts((*state.before, state.revisions[-1], *state.after))
            assert not self.store.outbox.applied(
                changes, states=states, points=[1] * len(changes), generation="g"
            )
        current = self.store.outbox.read([record.id for record in self._all()], neighbours=2)
        composed = {str(s.id): texts((*s.before, s.revisions[-1], *s.after)) for s in current}
        assert self.indexed == composed  # a drained outbox leaves an index that knows every neighbour

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        """Every record, with its history."""
        found = {str(record.id): texts(self.store.records.history(record.id)) for record in self._all()}
        assert found == self.model

    def teardown(self) -> None:
        """Close and remove."""
        self.store.close()
        self.folder.cleanup()

    def _all(self) -> list[Record]:
        return self.store.records.page(EVERYTHING, limit=10_000)


TestStoreAgainstADict = StoreMachine.TestCase
TestStoreAgainstADict.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
