"""Random use of a memory by several users: nobody reads what is another's, and a forgotten user leaves no byte."""

# ruff: noqa: D102 -- a rule is told by its name
from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memsdk import Kind, Memory, Record
from memsdk.errors import ConflictError, InvalidInputError, MemsdkError, NotFoundError
from memsdk.scoped import ScopedMemory

NAMES = ("ana", "bo", "cy")
USERS = st.sampled_from([*NAMES, None])
AGENTS = st.sampled_from([None, "planner", "writer"])
SESSIONS = st.sampled_from([None, "s1", "s2"])
STREAMS = st.sampled_from(["draft", "log"])
WORD = "xq"
"""Begins every marker word, so that a query for it finds all."""


class ScopeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Path(self.folder.name) / "store"
        self.memory = Memory.open(
            self.store, embedder="hashing", index="exact", synchronous="NORMAL", background=False
        )
        self.owner: dict[UUID, str | None] = {}  # record -> user
        self.agent: dict[UUID, str | None] = {}
        self.text: dict[UUID, str] = {}
        self.markers: dict[str | None, list[str]] = {name: [] for name in (*NAMES, None)}
        self.count = 0

    def marker(self, user: str | None) -> str:
        """A word that only this user's texts hold."""
        self.count += 1
        word = f"{WORD}{self.count:04d}z{user or 'shared'}"
        self.markers[user].append(word)
        return word

    def file(self, records: Iterable[Record], user: str | None, agent: str | None) -> None:
        for record in records:
            assert (record.user_id, record.agent_id) == (user, agent)
            self.owner[record.id], self.agent[record.id] = user, agent
            self.text[record.id] = record.text

    # -- writing

    @rule(user=USERS, agent=AGENTS, session=SESSIONS, external=st.sampled_from([None, None, "id1", "id2"]))
    def remember(
        self, user: str | None, agent: str | None, session: str | None, external: str | None
    ) -> None:
        try:
            record = self.memory.remember(
                f"{WORD} {self.marker(user)}",
                user_id=user,
                agent_id=agent,
                session_id=session,
                id=external,
                metadata={"note": self.marker(user)},
                tags=[self.marker(user)],
            )
        except ConflictError:
            return
        if record.revision > 1:  # the same external id: an update of that user's own
            assert self.owner[record.id] == user
            self.text[record.id] = record.text
        else:
            self.file([record], user, agent)

    @rule(user=USERS, agent=AGENTS, session=SESSIONS, count=st.integers(1, 3))
    def converse(self, user: str | None, agent: str | None, session: str | None, count: int) -> None:
        messages = [
            {"role": "user", "content": f"{WORD} {self.marker(user)}", "name": self.marker(user)}
            for _ in range(count)
        ]
        written = self.memory.remember(messages, user_id=user, agent_id=agent, session_id=session)
        self.file(written, user, agent)

    @rule(user=USERS)
    def ingest(self, user: str | None) -> None:
        key = self.marker(user)
        body = "\n\n".join(f"# {self.marker(user)}\n\n{WORD} {self.marker(user)}" for _ in range(2))
        self.memory.documents.ingest(
            text=body, title=self.marker(user), key=key, media_type="text/markdown", user_id=user
        )
        new = [record for record in self.memory.list(limit=10_000) if record.id not in self.owner]
        self.file(new, user, None)

    @rule(user=USERS, agent=AGENTS, tool=st.booleans())
    def shelve(self, user: str | None, agent: str | None, tool: bool) -> None:  # noqa: FBT001 -- hypothesis
        """A tool or a solved example."""
        words = [self.marker(user) for _ in range(5)]
        if tool:
            schema = {"name": words[0], "description": f"{WORD} {words[1]}", "parameters": {words[2]: {}}}
            made = self.memory.tools.add(
                schema, source=words[3], requests=[words[4]], user_id=user, agent_id=agent, tags=[words[1]]
            )
        else:
            made = [
                self.memory.examples.add(
                    f"{WORD} {words[0]}", words[1], task=words[2], instruction=words[3], user_id=user, agent_id=agent,
                    tags=[words[4]],
                )
            ]  # fmt: skip
        self.file(made, user, agent)

    @rule(user=USERS, agent=AGENTS, stream=STREAMS, count=st.integers(1, 30))
    def append(self, user: str | None, agent: str | None, stream: str, count: int) -> None:
        text = "".join(f"{WORD} {self.marker(user)}. " for _ in range(count))
        self.memory.passages.append(stream, text, user_id=user, agent_id=agent)
        there = {record.id: record for record in self.memory.list(limit=10_000)}
        self.drop([id_ for id_ in self.owner if id_ not in there])  # the end of the stream is cut anew
        self.file([record for id_, record in there.items() if id_ not in self.owner], user, agent)

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.owner)))
        text = f"{WORD} {self.marker(self.owner[id_])}"
        if self.memory.get(id_).kind in (Kind.TOOL, Kind.EXAMPLE):  # their texts are made of their parts
            with pytest.raises(InvalidInputError, match=r"\.add"):
                self.memory.update(id_, text)
            return
        assert self.memory.update(id_, text).text == text
        self.text[id_] = text

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), user=USERS)
    def supersede(self, data: st.DataObject, user: str | None) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.owner)))
        text = f"{WORD} {self.marker(user)}"
        try:
            record = self.memory.remember(text, user_id=user, supersedes=id_)
        except NotFoundError:
            assert self.owner[id_] != user
            return
        assert self.owner[id_] == user
        self.file([record], user, None)

    # -- forgetting

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), user=USERS)
    def forget_through_a_view(self, data: st.DataObject, user: str | None) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.owner)))
        try:
            self.memory.scoped(user_id=user).forget(id_)
        except NotFoundError:
            assert self.owner[id_] != user
            return
        assert self.owner[id_] == user
        self.drop([id_])

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def forget_by_filter(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.owner)))
        tags = self.memory.get(id_).metadata.get("tags")
        if tags:
            assert isinstance(tags, list)
            self.drop(self.memory.forget(filters={"tags": tags[0]}).ids, exactly=[id_])

    @rule(user=st.sampled_from(NAMES))
    def forget_user(self, user: str) -> None:
        receipt = self.memory.forget(user_id=user)
        assert receipt.wal_truncated
        assert receipt.vectors_deleted
        self.drop(receipt.ids, exactly=[id_ for id_, owner in self.owner.items() if owner == user])
        words = [word.encode() for word in self.markers[user]]
        self.markers[user] = []
        for path in self.store.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            found = [word for word in words if word in content]
            assert not found, (path, found)

    def drop(self, ids: Iterable[UUID], exactly: Iterable[UUID] | None = None) -> None:
        gone = set(ids)
        assert exactly is None or gone == set(exactly)
        for id_ in gone:
            del self.owner[id_], self.agent[id_], self.text[id_]

    @rule(user=USERS, stream=STREAMS)
    def remove_a_stream_through_a_view(self, user: str | None, stream: str) -> None:
        try:
            receipt = self.memory.scoped(user_id=user).passages.remove(stream)
        except NotFoundError:
            return
        assert {self.owner[id_] for id_ in receipt.ids} == {user}
        self.drop(receipt.ids)

    # -- reading

    @rule(user=USERS, agent=AGENTS, stream=STREAMS)
    def read_a_stream_through_a_view(self, user: str | None, agent: str | None, stream: str) -> None:
        view = self.memory.scoped(user_id=user, agent_id=agent)
        assert {one.user_id for one in view.passages.list()} <= {user, None}
        try:
            text = view.passages.read(stream)
        except NotFoundError:
            return
        self.no_marker_of_others(text, user)
        found = view.passages.recall(stream, WORD, k=500)
        self.only_for(user, found)
        self.no_marker_of_others(found.render(), user)

    @rule(user=USERS, agent=AGENTS, session=SESSIONS, k=st.sampled_from([1, 5, 500]), answer=st.booleans())
    def recall(self, user: str | None, agent: str | None, session: str | None, k: int, answer: bool) -> None:  # noqa: FBT001 -- hypothesis
        recall = self.memory.recall(
            f"{WORD} {self.marker(user)}", user_id=user, agent_id=agent, session_id=session, k=k
        )
        self.only_for(user, recall.hits)
        assert all(agent is None or self.agent[hit.id] in (agent, None) for hit in recall)
        assert all(self.text[hit.id] == hit.text for hit in recall)
        if answer:
            self.memory.feedback(recall, output=self.marker(user), used=[hit.id for hit in recall][:1])

    @rule(user=USERS, agent=AGENTS, session=SESSIONS)
    def read_through_a_view(self, user: str | None, agent: str | None, session: str | None) -> None:
        view = self.memory.scoped(user_id=user, agent_id=agent, session_id=session)
        self.only_for(user, view.recall(WORD, k=500))
        self.only_for(user, view.recall(WORD, kinds=list(Kind), k=500))
        self.only_for(user, [*view.tools.recall(WORD, k=500), *view.examples.recall(WORD, k=500)])
        self.only_for(user, [*view.tools.list(limit=10_000), *view.examples.list(limit=10_000)])
        self.only_for(user, view.list(limit=10_000), shared=False)
        for id_, owner in self.owner.items():
            visible = owner in (user, None) and (agent is None or self.agent[id_] in (agent, None))
            assert can(view.get, id_) == can(view.history, id_) == visible
            if not (owner == user and visible):
                assert not can(partial(view.update, text="stolen"), id_)
        assert {session.user_id for session in view.sessions.list()} <= {user}
        assert {document.user_id for document in view.documents.list()} <= {user, None}
        self.shows_nothing_of_others(user, view)

    def shows_nothing_of_others(self, user: str | None, view: ScopedMemory) -> None:
        shown = [session.model_dump_json() for session in view.sessions.list()]
        shown += [document.model_dump_json() for document in view.documents.list()]
        shown += [record.model_dump_json() for record in view.list(limit=10_000)]
        self.no_marker_of_others("\n".join(shown), user)

    @rule(user=USERS)
    def read_as_the_operator(self, user: str | None) -> None:
        if user is not None:
            self.only_for(user, self.memory.list(user_id=user, limit=10_000), shared=False)
            assert {session.user_id for session in self.memory.sessions.list(user)} <= {user}
            assert {document.user_id for document in self.memory.documents.list(user_id=user)} <= {user}
        for session in self.memory.sessions.list(user) if user else ():
            self.only_for(
                user, self.memory.sessions.transcript(session.session_id, user_id=user), shared=False
            )

    @rule(user=st.sampled_from(NAMES))
    def export(self, user: str) -> None:
        path = Path(self.folder.name) / "export.jsonl"
        self.memory.export_jsonl(path, user_id=user)
        content = path.read_text()
        self.no_marker_of_others(content, user)
        rows = [json.loads(line) for line in content.splitlines()]
        exported = {row["record"]["id"] for row in rows if row["type"] == "record"}
        assert exported == {str(id_) for id_, owner in self.owner.items() if owner == user}

    @rule()
    def reopen(self) -> None:
        self.memory.close()
        self.memory = Memory.open(
            self.store, embedder="hashing", index="exact", synchronous="NORMAL", background=False
        )

    def only_for(self, user: str | None, found: Iterable[Record], *, shared: bool = True) -> None:
        for record in found:
            assert self.owner[record.id] == record.user_id
            assert record.user_id in ((user, None) if shared else (user,))

    def no_marker_of_others(self, content: str, user: str | None) -> None:
        for other, words in self.markers.items():
            if other not in (user, None):
                assert not [word for word in words if word in content]

    @invariant()
    def what_is_there_is_what_the_model_says(self) -> None:
        assert {record.id: record.text for record in self.memory.list(limit=10_000)} == self.text

    def teardown(self) -> None:
        self.memory.flush()
        assert self.memory.verify().clean
        self.memory.close()
        self.folder.cleanup()


def can(call: Callable[[UUID], object], id_: UUID) -> bool:
    """Whether the call finds the record."""
    try:
        call(id_)
    except MemsdkError as error:
        assert isinstance(error, NotFoundError)  # noqa: PT017 -- one of two ways
        return False
    return True


TestScopes = ScopeMachine.TestCase
TestScopes.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.generate],  # shrinking would take longer than a test may
)
