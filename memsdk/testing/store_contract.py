"""What every record store must do: subclass it in a test module and give it an `opened` fixture."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from memsdk import filters
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.models import Document, Draft, Kind, Record, Scope, Task
from memsdk.ports import Change, Clock, EmbedderSpec, RecallEntry, RecordFilter, Store, Written

EVERYTHING = RecordFilter()
START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = EmbedderSpec(
    name="small", source="packaged", weights="w", tokenizer="t", pooling="mean", dims=4, max_tokens=64,
    prefixes={Task.CHAT: ("ask: ", "keep: ")},
)  # fmt: skip


@dataclass(slots=True)
class SetClock:
    """A clock that a test moves on; each reading is a microsecond later, so that times order."""

    at: datetime = field(default=START)

    def now(self) -> datetime:
        """The time set, a little later each time."""
        self.at += timedelta(microseconds=1)
        return self.at

    def pass_time(self, **by: float) -> None:
        """Let time pass, in the units of `timedelta`."""
        self.at += timedelta(**by)


Open = Callable[[Clock], Store]


def said(text: str, *, user: str | None = "ana", session: str | None = "s1", role: str = "user") -> Draft:
    """A chat message."""
    scope = Scope(user_id=user, session_id=session)
    return Draft(kind=Kind.MEMORY, text=text, scope=scope, role=role, is_message=True)


def fact(text: str, *, user: str | None = "ana") -> Draft:
    """A bare text."""
    return Draft(kind=Kind.MEMORY, text=text, scope=Scope(user_id=user))


def chunk(text: str, position: int = 0, *, user: str | None = "ana") -> Draft:
    """A piece of a document."""
    return Draft(
        kind=Kind.DOCUMENT, text=text, scope=Scope(user_id=user), position=position, section=("Top",)
    )


def document(key: str = "a.md", *, user: str | None = "ana", content: str = "1") -> Document:
    """A source."""
    return Document(
        id=uuid4(), key=key, title=f"Title of {key}", media_type="text/markdown", content_hash=content, user_id=user,
        metadata={"shelf": "x"}, created_at=START, updated_at=START,
    )  # fmt: skip


def entry(
    query: str, shown: Sequence[UUID], *, user: str | None = "ana", at: datetime = START
) -> RecallEntry:
    """An answered query that showed these records."""
    return RecallEntry(
        id=uuid4(), query=query, scope=Scope(user_id=user), at=at, fingerprint="f", query_version="q",
        kinds=(Kind.MEMORY,), k=5,
        candidates=tuple((id_, rank, 1 / rank, {"dense": 0.5}) for rank, id_ in enumerate(shown, 1)),
    )  # fmt: skip


def changes_of(written: Sequence[Written]) -> list[Change]:
    """The outbox entries of what was written."""
    return [Change(one.seq, one.record.id) for one in written if one.seq is not None]


def index_all(store: Store, *, generation: str = "g1") -> None:
    """Do what an indexer does, with an index that forgets nothing."""
    while changes := store.outbox.claim(owner="indexer", limit=100):
        states = store.outbox.read([change.record for change in changes], neighbours=2)
        store.outbox.applied(changes, states=states, points=[1] * len(changes), generation=generation)


def texts(records: Sequence[Record]) -> list[str]:
    """What they say."""
    return [record.text for record in records]


class _Base:
    @pytest.fixture
    def clock(self) -> SetClock:
        """Time stands still unless a test moves it."""
        return SetClock()

    @pytest.fixture
    def store(self, opened: Open, clock: SetClock) -> Store:
        """An empty store."""
        return opened(clock)


class RecordsContract(_Base):
    """Adding, revising, reading."""

    def test_a_record_comes_back_as_it_was_given(self, store: Store, clock: SetClock) -> None:
        """A field that is lost on the way to the disk is lost for good."""
        draft = Draft(
            kind=Kind.MEMORY, text="naïve 🙂\nline", scope=Scope(user_id="ana", agent_id="a", session_id="s"),
            metadata={"tag": ["x", 1, None, {"deep": 1.5}]}, role="user", name="Ana", external_id="m1",
            occurred_at=START, expires_at=START + timedelta(days=400, microseconds=7), is_message=True,
        )  # fmt: skip
        (written,) = store.records.add([draft], owner=None)
        (record,) = store.records.get([written.record.id])
        assert record == written.record
        assert (record.text, record.metadata, record.name) == (draft.text, draft.metadata, "Ana")
        assert (record.occurred_at, record.expires_at) == (draft.occurred_at, draft.expires_at)
        assert (record.position, record.revision, record.seen) == (0, 1, 1)

    def test_the_same_bare_text_is_the_same_record(self, store: Store, clock: SetClock) -> None:
        """An agent that notes a fact on every turn would drown in copies of it."""
        (first,) = store.records.add([fact("likes tea")], owner=None)
        clock.pass_time(hours=1)
        again = store.records.add(
            [fact("likes tea"), fact("likes tea"), fact("likes tea", user="bo")], owner=None
        )
        assert [one.outcome for one in again] == ["unchanged", "unchanged", "added"]
        (record,) = store.records.get([first.record.id])
        assert record.seen == 3
        assert record.last_seen_at > first.record.last_seen_at

    def test_duplicates_within_one_batch_are_one_record(self, store: Store) -> None:
        """An export often holds the same line twice."""
        written = store.records.add([fact("x"), fact("x"), said("x"), said("x")], owner=None)
        assert [one.outcome for one in written] == ["added", "unchanged", "added", "unchanged"]
        assert written[0].record.id == written[1].record.id != written[2].record.id

    def test_messages_differ_by_role_and_time(self, store: Store) -> None:
        """Two people who say yes have said it twice."""
        drafts = [said("yes"), said("yes", role="assistant"), said("yes", session="s2")]
        assert {one.outcome for one in store.records.add(drafts, owner=None)} == {"added"}

    def test_a_repeat_with_other_metadata_is_a_revision(self, store: Store) -> None:
        """Metadata given with a repeat must not be dropped silently."""
        from dataclasses import replace

        store.records.add([fact("x")], owner=None)
        (again,) = store.records.add([replace(fact("x"), metadata={"a": 1})], owner="me")
        assert (again.outcome, again.record.metadata, again.record.revision) == ("updated", {"a": 1}, 2)
        assert again.seq is not None

    def test_an_external_id_is_updated_by_other_content_only(self, store: Store) -> None:
        """Ingesting the same chat log twice must neither double nor lose a message."""
        from dataclasses import replace

        known = replace(said("one"), external_id="m1")
        (first, other) = store.records.add(
            [known, replace(known, scope=Scope(user_id="bo", session_id="s1"))], owner=None
        )
        (same,) = store.records.add([known], owner=None)
        (new,) = store.records.add([replace(known, text="two")], owner=None)
        assert [one.outcome for one in (first, other, same, new)] == [
            "added",
            "added",
            "unchanged",
            "updated",
        ]
        assert new.record.id == first.record.id
        assert texts(store.records.history(first.record.id)) == ["one", "two"]
        (back,) = store.records.add([said("one")], owner=None)
        assert back.outcome == "added"

    def test_update_writes_a_revision_that_history_keeps(self, store: Store, clock: SetClock) -> None:
        """What was believed before must stay answerable."""
        (written,) = store.records.add([fact("old")], owner=None)
        clock.pass_time(days=1)
        updated = self._update(store, written.record.id, text="new")
        assert (updated.outcome, updated.record.text, updated.record.revision) == ("updated", "new", 2)
        old, new = store.records.history(written.record.id)
        assert (old.text, old.revision, old.updated_at) == ("old", 1, written.record.updated_at)
        assert new == updated.record
        assert self._update(store, written.record.id, text="new").outcome == "unchanged"

    def test_another_users_record_can_not_be_updated(self, store: Store) -> None:
        """A guessed id must not open another user's memory."""
        (written,) = store.records.add([fact("mine")], owner=None)
        with pytest.raises(NotFoundError):
            self._update(store, written.record.id, text="yours", visible=RecordFilter(users=("bo", None)))
        assert texts(store.records.get([written.record.id])) == ["mine"]

    def test_superseding_is_for_the_same_user_only(self, store: Store) -> None:
        """One user must not be able to retire what another said."""
        from dataclasses import replace

        (old,) = store.records.add([fact("old")], owner=None)
        with pytest.raises(NotFoundError):
            store.records.add([replace(fact("evil", user="bo"), supersedes=old.record.id)], owner=None)
        (new,) = store.records.add([replace(fact("new"), supersedes=old.record.id)], owner=None)
        (record,) = store.records.get([old.record.id])
        assert (record.superseded_by, record.superseded_at) == (new.record.id, new.record.created_at)
        assert texts(store.records.page(RecordFilter(current_only=True), limit=9, after=None)) == ["new"]
        (back,) = store.records.add([fact("old")], owner=None)
        assert back.outcome == "added"

    def test_a_failed_batch_changes_nothing(self, store: Store) -> None:
        """Half a batch would be found again by nobody and doubled by the retry."""
        from dataclasses import replace

        with pytest.raises(NotFoundError):
            store.records.add([said("a"), replace(said("b"), supersedes=uuid4())], owner=None)
        with pytest.raises(InvalidInputError):
            store.records.add([said("a"), said("lone \ud800")], owner=None)
        with pytest.raises(InvalidInputError):
            store.records.add([said("a"), said("b", user="lone \ud800")], owner=None)
        assert store.records.page(EVERYTHING, limit=9, after=None) == []
        assert store.outbox_state.last_seq() == 0

    def test_pages_meet_and_filter(self, store: Store) -> None:
        """A listing that skips or repeats a record at a page's edge is no listing."""
        from dataclasses import replace

        drafts = [replace(fact(f"n{n}", user="ana" if n % 2 else None), metadata={"n": n}) for n in range(9)]
        ids = [one.record.id for one in store.records.add(drafts, owner=None)]
        first = store.records.page(EVERYTHING, limit=4, after=None)
        rest = store.records.page(EVERYTHING, limit=9, after=first[-1].id)
        assert [record.id for record in (*first, *rest)] == ids
        newest = store.records.page(EVERYTHING, limit=3, after=None, newest_first=True)
        assert texts(newest) == ["n8", "n7", "n6"]
        high = RecordFilter(users=("ana",), metadata=filters.parse({"n": {"$gte": 5}, "kind": "memory"}))
        assert texts(store.records.page(high, limit=9, after=None)) == ["n5", "n7"]
        assert len(store.records.page(RecordFilter(users=(None,)), limit=9, after=None)) == 5
        assert store.records.page(RecordFilter(users=()), limit=9, after=None) == []

    def test_positions_count_on_in_a_session(self, store: Store) -> None:
        """Turns are read and composed in the order of their positions."""
        store.records.add([said("a"), said("b")], owner=None)
        written = store.records.add([said("c"), said("x", session="s2"), said("y", user="bo")], owner=None)
        assert [one.record.position for one in written] == [2, 0, 0]

    @staticmethod
    def _update(store: Store, id_: UUID, *, text: str, visible: RecordFilter = EVERYTHING) -> Written:
        return store.records.update(
            id_, visible=visible, owner=None, text=text, metadata=None, occurred_at=None, expires_at=None
        )


class OutboxContract(_Base):
    """What the index has still to be told."""

    def test_own_entries_are_claimed_and_neighbours_are_free(self, store: Store) -> None:
        """The writer indexes what it wrote at once; the turns beside it can wait, but must not be forgotten."""
        first = store.records.add([said("a"), said("b"), said("c")], owner=store.token)
        store.outbox.applied(
            changes_of(first), states=store.outbox.read([one.record.id for one in first], neighbours=2),
            points=[1, 1, 1], generation="g1",
        )  # fmt: skip
        store.records.add([said("d")], owner=store.token)
        free = store.outbox.claim(owner="other", limit=9)
        assert [change.record for change in free] == [first[1].record.id, first[2].record.id]

    def test_a_state_holds_revisions_and_neighbours(self, store: Store) -> None:
        """A turn is embedded with the turns around it."""
        written = store.records.add([said(text) for text in "abcde"], owner=None)
        (state,) = store.outbox.read([written[2].record.id], neighbours=2)
        assert (texts(state.before), texts(state.revisions), texts(state.after)) == (
            ["a", "b"],
            ["c"],
            ["d", "e"],
        )
        edge, gone = store.outbox.read([written[0].record.id, uuid4()], neighbours=2)
        assert (texts(edge.before), texts(edge.after)) == ([], ["b", "c"])
        assert gone.revisions == ()

    def test_a_record_that_changed_meanwhile_is_pending_again(self, store: Store) -> None:
        """Two indexers that overtake each other must not leave the older vector in the index."""
        (written,) = store.records.add([fact("one")], owner="slow")
        stale = store.outbox.read([written.record.id], neighbours=0)
        updated = RecordsContract._update(store, written.record.id, text="two")  # noqa: SLF001 -- same module
        index_all(store)
        assert updated.seq is not None
        store.outbox.settle(generation="g1", upto=time.monotonic() + 1)
        again = store.outbox.applied(changes_of([written]), states=stale, points=[1], generation="g1")
        assert [change.record for change in again] == [written.record.id]
        assert store.outbox_state.pending() == 1

    def test_a_record_forgotten_meanwhile_is_pending_again(self, store: Store) -> None:
        """A slow indexer must not bring a forgotten record back to the index for good."""
        (written,) = store.records.add([fact("one")], owner="slow")
        stale = store.outbox.read([written.record.id], neighbours=0)
        store.eraser.forget(RecordFilter(ids=(written.record.id,)), owner=None)
        index_all(store)
        store.outbox.settle(generation="g1", upto=time.monotonic() + 1)
        assert store.outbox.applied(changes_of([written]), states=stale, points=[1], generation="g1")
        assert [change.record for change in store.outbox.claim(owner="x", limit=9)] == [written.record.id]

    def test_settling_removes_and_recovering_brings_back(self, store: Store) -> None:
        """After a power cut the index lacks what it had not flushed."""
        store.records.add([fact("a"), fact("b")], owner=None)
        index_all(store, generation="g1")
        assert store.outbox_state.pending() == 0
        assert store.outbox.recover(generation="g1") == 0
        assert store.outbox.recover(generation="g2") == 2
        index_all(store, generation="g2")
        assert store.outbox.settle(generation="g2", upto=time.monotonic() - 60) == 0
        assert store.outbox.settle(generation="g2", upto=time.monotonic() + 1) == 2
        assert store.outbox.recover(generation="g3") == 0

    def test_a_dead_owners_claims_are_taken_over(self, store: Store) -> None:
        """What a killed process had claimed would never be indexed."""
        store.records.add([fact("a")], owner="0" * 32)
        assert len(store.outbox.claim(owner="me", limit=9)) == 1
        assert store.outbox.claim(owner="me", limit=9) == []

    def test_a_living_owners_claims_are_left_alone(self, store: Store) -> None:
        """Two processes that index the same entry do the work twice."""
        store.records.add([fact("a")], owner=store.token)
        assert store.outbox.claim(owner="me", limit=9) == []
        store.outbox_state.release([Change(1, uuid4())])
        assert len(store.outbox.claim(owner="me", limit=9)) == 1

    def test_a_building_space_keeps_the_entries_it_must_replay(self, store: Store) -> None:
        """What was written or forgotten during a build would be missing in the new space."""
        store.records.add([fact("a")], owner=None)
        store.spaces.begin(SPEC, {Task.CHAT: "f1"})
        store.records.add([fact("b")], owner=None)
        index_all(store)
        store.outbox.settle(generation="g1", upto=time.monotonic() + 1)
        assert [change.seq for change in store.outbox_state.since(0, limit=9)] == [2]
        assert store.outbox.recover(generation="g9") == 0
        assert store.spaces.switch(SPEC, seen_seq=2)
        store.outbox.settle(generation="g1", upto=time.monotonic() + 1)
        assert store.outbox_state.since(0, limit=9) == []

    def test_stamps_and_waiting_and_touch_agree(self, store: Store) -> None:
        """`verify` and `repair` rest on these three."""
        written = store.records.add([fact("a"), fact("b")], owner=None)
        index_all(store)
        assert list(store.outbox_state.stamps()) == [(one.record.id, one.seq, 1) for one in written]
        touched = store.outbox_state.touch([written[0].record.id, uuid4()])
        assert len(touched) == 2
        assert set(store.outbox_state.waiting()) == {change.record for change in touched}


class SpacesContract(_Base):
    """Which embedder's vectors serve."""

    def test_a_switch_is_seen_and_can_be_taken_back(self, store: Store) -> None:
        """A process that misses a switch would search the new vectors with the old embedder."""
        from dataclasses import replace

        assert store.spaces.active() is None
        first = store.spaces.begin(SPEC, {Task.CHAT: "f1", Task.QA: "f1"})
        assert {space.state for space in first.values()} == {"building"}
        before = store.spaces.epoch()
        assert store.spaces.switch(SPEC, seen_seq=store.outbox_state.last_seq())
        assert store.spaces.epoch() > before
        active = store.spaces.active()
        assert active is not None
        assert active[0] == SPEC
        other = replace(SPEC, name="other", weights="v")
        store.spaces.begin(other, {Task.CHAT: "f2", Task.QA: "f1"})
        assert store.spaces.switch(other, seen_seq=0)
        now = store.spaces.active()
        assert now is not None
        assert (now[0], {task: space.fingerprint for task, space in now[1].items()}) == (
            other, {Task.CHAT: "f2", Task.QA: "f1"},
        )  # fmt: skip
        assert store.spaces.begin(SPEC, {Task.CHAT: "f1"})[Task.CHAT].state == "building"
        assert store.spaces.switch(SPEC, seen_seq=0)
        assert store.spaces.retire() == [store.spaces.begin(other, {Task.CHAT: "f2"})[Task.CHAT].collection]

    def test_no_switch_while_the_outbox_grows(self, store: Store) -> None:
        """A record written between the last replay and the switch would be lost to recall."""
        store.spaces.begin(SPEC, {Task.CHAT: "f1"})
        store.records.add([fact("late")], owner=None)
        assert not store.spaces.switch(SPEC, seen_seq=0)
        assert store.spaces.active() is None
        assert store.spaces.switch(SPEC, seen_seq=1)


class ForgettingContract(_Base):
    """Forgetting, documents, sessions, the recall log, transfer."""

    def test_forgetting_takes_history_and_traces_along(self, store: Store) -> None:
        """A forgotten text that survives in the log was not forgotten."""
        secret, other = store.records.add([said("secret"), said("other")], owner=None)
        RecordsContract._update(store, secret.record.id, text="secret 2")  # noqa: SLF001 -- same module
        shown = entry("what?", [secret.record.id, other.record.id])
        store.recall_log.log([shown])
        store.recall_log.feedback(
            shown.id, output="you said: secret", score=0.5, used=[secret.record.id], metadata={"m": "secret"},
            visible=EVERYTHING,
        )  # fmt: skip
        receipt, changes = store.eraser.forget(RecordFilter(ids=(secret.record.id,)), owner="me")
        assert (receipt.records, receipt.revisions, receipt.ids) == (1, 2, (secret.record.id,))
        assert (receipt.recalls, receipt.feedback) == (1, 1)
        assert [change.record for change in changes] == [secret.record.id]
        (row,) = store.recall_log.recalls(users=None, after=None, limit=9)
        assert "secret" not in str(row)
        assert [found["record"] for found in row["candidates"]] == [str(other.record.id)]  # type: ignore[index,union-attr,call-overload]  # plain data
        assert row["feedback"][0]["score"] == 0.5  # type: ignore[index,call-overload]  # plain data
        assert store.records.get([secret.record.id]) == []
        with pytest.raises(NotFoundError):
            store.records.history(secret.record.id)
        assert store.eraser.scrub()
        assert other.record.id in store.outbox_state.waiting()

    def test_forgetting_a_user_leaves_the_others(self, store: Store) -> None:
        """A wish to be forgotten must neither miss a shelf nor take another user's."""
        ana, bo = store.records.add([fact("a"), fact("b", user="bo")], owner=None)
        for user in ("ana", "bo"):
            store.documents.replace(document(user=user), chunks=[chunk("c", user=user)], owner=None)
        asked, kept = entry("qa", [ana.record.id]), entry("qb", [bo.record.id], user="bo")
        store.recall_log.log([asked, kept])
        store.recall_log.feedback(asked.id, output="o", score=None, used=[], metadata={}, visible=EVERYTHING)
        receipt, _ = store.eraser.forget_users(["ana"], owner=None)
        assert (receipt.records, receipt.documents, receipt.recalls, receipt.feedback) == (2, 1, 1, 1)
        assert {record.user_id for record in store.records.page(EVERYTHING, limit=9, after=None)} == {"bo"}
        assert [row["query"] for row in store.recall_log.recalls(users=None, after=None, limit=9)] == ["qb"]
        assert [found.user_id for found in store.documents.list(users=None, limit=9, after=None)] == ["bo"]

    def test_what_has_expired_and_old_recalls_are_erased(self, store: Store, clock: SetClock) -> None:
        """A time to live that only hides is none."""
        from dataclasses import replace

        store.records.add(
            [replace(fact("short"), expires_at=START + timedelta(hours=1)), fact("long")], owner=None
        )
        store.recall_log.log([entry("old", []), entry("new", [], at=START + timedelta(days=3))])
        assert store.eraser.expire(now=START, recalls_before=None, owner=None)[0].records == 0
        receipt, changes = store.eraser.expire(
            now=START + timedelta(days=2), recalls_before=START + timedelta(days=1), owner=None
        )
        assert (receipt.records, receipt.recalls, len(changes)) == (1, 1, 1)
        assert texts(store.records.page(EVERYTHING, limit=9, after=None)) == ["long"]

    def test_forgetting_by_metadata_takes_what_matches(self, store: Store) -> None:
        """Forgetting one record too many can't be undone."""
        from dataclasses import replace

        store.records.add([replace(fact(f"{n}"), metadata={"n": n}) for n in range(4)], owner=None)
        store.eraser.forget(RecordFilter(metadata=filters.parse({"n": {"$gt": 1}})), owner=None)
        assert texts(store.records.page(EVERYTHING, limit=9, after=None)) == ["0", "1"]

    def test_replacing_a_document_keeps_the_chunks_that_stayed(self, store: Store) -> None:
        """Ingesting a changed handbook must not embed all of it anew, nor leave old chunks behind."""
        stored, written, removed, _ = store.documents.replace(
            document(), chunks=[chunk("a"), chunk("b", 1), chunk("c", 2)], owner="me"
        )
        assert ([one.outcome for one in written], removed, stored.chunks) == (["added"] * 3, 0, 3)
        again, second, removed, gone = store.documents.replace(
            document(content="2"), chunks=[chunk("new"), chunk("a", 1), chunk("c", 2)], owner="me"
        )
        assert again.id == stored.id
        assert [one.outcome for one in second] == ["added", "unchanged", "unchanged"]
        assert [one.record.id for one in second[1:]] == [written[0].record.id, written[2].record.id]
        assert (removed, [change.record for change in gone]) == (1, [written[1].record.id])
        assert again.chunks == 3
        assert store.documents.find(key="a.md", scope=Scope(user_id="ana", session_id="x")) == again
        assert store.documents.find(key="a.md", scope=Scope()) is None

    def test_removing_a_document_removes_its_chunks(self, store: Store) -> None:
        """A withdrawn document must not be quoted."""
        stored, _, _, _ = store.documents.replace(document(), chunks=[chunk("a"), chunk("b", 1)], owner=None)
        with pytest.raises(NotFoundError):
            store.documents.remove(stored.id, users=("bo",), owner=None)
        receipt, changes = store.documents.remove(stored.id, users=("ana", None), owner=None)
        assert (receipt.documents, receipt.records, len(changes)) == (1, 2, 2)
        assert store.documents.list(users=None, limit=9, after=None) == []

    def test_sessions_and_transcripts(self, store: Store, clock: SetClock) -> None:
        """A transcript out of order tells another story."""
        store.records.add([said("a"), said("b", role="assistant")], owner=None)
        clock.pass_time(days=1)
        store.records.add([said("x", session="s2"), said("c"), said("z", user="bo")], owner=None)
        found = store.sessions.list(users=("ana",), limit=9)
        assert {(one.session_id, one.records) for one in found} == {("s1", 3), ("s2", 1)}
        assert texts(store.sessions.transcript("s1", users=("ana",), last=None)) == ["a", "b", "c"]
        assert texts(store.sessions.transcript("s1", users=("ana",), last=2)) == ["b", "c"]
        assert store.sessions.transcript("s1", users=("cy",), last=None) == []

    def test_feedback_is_for_a_visible_recall(self, store: Store) -> None:
        """Feedback is training data: nobody may write another user's."""
        logged = entry("q", [])
        store.recall_log.log([logged])
        for id_, users in ((uuid4(), None), (logged.id, ("bo",))):
            with pytest.raises(NotFoundError):
                store.recall_log.feedback(
                    id_, output="o", score=None, used=[], metadata={}, visible=RecordFilter(users=users)
                )

    def test_a_dump_loads_into_another_store_once(self, store: Store, opened: Open, clock: SetClock) -> None:
        """An export that drops history or doubles on a second import is no backup."""
        (written,) = store.records.add([said("one")], owner=None)
        RecordsContract._update(store, written.record.id, text="two")  # noqa: SLF001 -- same module
        store.documents.replace(document(), chunks=[chunk("a")], owner=None)
        logged = entry("q", [written.record.id])
        store.recall_log.log([logged])
        store.recall_log.feedback(
            logged.id, output="o", score=1.0, used=[written.record.id], metadata={}, visible=EVERYTHING
        )
        rows = list(store.transfer.dump(users=None))
        other = opened(clock)
        added, changes = other.transfer.load(rows, owner=None)
        assert added == {"documents": 1, "records": 2, "recalls": 1}
        assert len(changes) == 2
        assert list(other.transfer.dump(users=None)) == rows
        assert other.records.history(written.record.id) == store.records.history(written.record.id)
        assert other.transfer.load(rows, owner=None)[0] == {"documents": 0, "records": 0, "recalls": 0}
        with pytest.raises(InvalidInputError):
            other.transfer.load([{"type": "record", "record": {"id": 7}}], owner=None)
        assert list(store.transfer.dump(users=("bo",))) == []

    def test_recalls_come_back_through_restore(self, store: Store) -> None:
        """Training rows moved to another store must arrive whole, and once."""
        (written,) = store.records.add([fact("a")], owner=None)
        store.recall_log.log([entry("q", [written.record.id])])
        rows = store.recall_log.recalls(users=None, after=None, limit=9)
        assert store.recall_log.restore(rows) == 0
        store.eraser.expire(now=START, recalls_before=START + timedelta(days=1), owner=None)
        assert store.recall_log.restore(rows) == 1
        assert store.recall_log.recalls(users=None, after=None, limit=9) == rows

    def test_counts_add_up(self, store: Store) -> None:
        """`memsdk stats` is what an operator looks at first."""
        store.records.add([said("a"), fact("b", user="bo")], owner=None)
        store.documents.replace(document(), chunks=[chunk("c")], owner=None)
        counts = store.admin.counts()
        assert counts["records"] == {"memory": 2, "document": 1}
        assert (counts["users"], counts["sessions"], counts["documents"], counts["pending"]) == (2, 1, 1, 3)
        assert len(store.admin.secret()) == 32
        assert store.admin.check() == []


class StoreContract(RecordsContract, OutboxContract, SpacesContract, ForgettingContract):
    """All of it."""
