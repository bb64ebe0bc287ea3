"""What every record store must do: subclass it in a test module and give it an `opened` fixture."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from memsdk import filters
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.models import Draft, Kind, Scope, Task
from memsdk.ports import Change, RecordFilter, Store
from memsdk.remembering import changes_of
from memsdk.testing.forgetting_contract import ForgettingContract
from memsdk.testing.store_drafts import (
    EVERYTHING,
    SPEC,
    START,
    OnStore,
    SetClock,
    fact,
    index_all,
    revise,
    said,
    texts,
)


class RecordsContract(OnStore):
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
        store.records.add([fact("x")], owner=None)
        (again,) = store.records.add([replace(fact("x"), metadata={"a": 1})], owner="me")
        assert (again.outcome, again.record.metadata, again.record.revision) == ("updated", {"a": 1}, 2)
        assert again.seq is not None

    def test_an_external_id_is_updated_by_other_content_only(self, store: Store) -> None:
        """Ingesting the same chat log twice must neither double nor lose a message."""
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
        updated = revise(store, written.record.id, text="new")
        assert (updated.outcome, updated.record.text, updated.record.revision) == ("updated", "new", 2)
        old, new = store.records.history(written.record.id)
        assert (old.text, old.revision, old.updated_at) == ("old", 1, written.record.updated_at)
        assert new == updated.record
        assert revise(store, written.record.id, text="new").outcome == "unchanged"

    def test_another_users_record_can_not_be_updated(self, store: Store) -> None:
        """A guessed id must not open another user's memory."""
        (written,) = store.records.add([fact("mine")], owner=None)
        with pytest.raises(NotFoundError):
            revise(store, written.record.id, text="yours", visible=RecordFilter(users=("bo", None)))
        assert texts(store.records.get([written.record.id])) == ["mine"]

    def test_superseding_is_for_the_same_user_only(self, store: Store) -> None:
        """One user must not be able to retire what another said."""
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


class OutboxContract(OnStore):
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
        updated = revise(store, written.record.id, text="two")
        index_all(store)
        assert updated.seq is not None
        store.outbox_care.settle(generation="g1", upto=time.monotonic() + 1)
        again = store.outbox.applied(changes_of([written]), states=stale, points=[1], generation="g1")
        assert [change.record for change in again] == [written.record.id]
        assert store.outbox_state.pending() == 1

    def test_what_another_has_claimed_stays_claimed(self, store: Store) -> None:
        """A slow indexer that overwrites the newer points and is then killed must leave an entry behind."""
        (written,) = store.records.add([fact("one")], owner=store.token)
        revise(store, written.record.id, text="two")
        index_all(store)
        assert store.outbox_state.waiting() == [written.record.id]
        store.outbox.release(changes_of([written]))
        assert [change.seq for change in store.outbox.claim(owner="x", limit=9)] == [written.seq]

    def test_own_claims_are_taken_again_only_when_asked(self, store: Store) -> None:
        """A call that Ctrl-C ended leaves claims, which this process alone can know to be left behind."""
        store.records.add([fact("one")], owner=store.token)
        assert store.outbox.claim(owner=store.token, limit=9) == []
        assert len(store.outbox.claim(owner=store.token, limit=9, regain=True)) == 1

    def test_a_record_forgotten_meanwhile_is_pending_again(self, store: Store) -> None:
        """A slow indexer must not bring a forgotten record back to the index for good."""
        (written,) = store.records.add([fact("one")], owner="slow")
        stale = store.outbox.read([written.record.id], neighbours=0)
        store.eraser.forget(RecordFilter(ids=(written.record.id,)), owner=None)
        index_all(store)
        store.outbox_care.settle(generation="g1", upto=time.monotonic() + 1)
        assert store.outbox.applied(changes_of([written]), states=stale, points=[1], generation="g1")
        assert [change.record for change in store.outbox.claim(owner="x", limit=9)] == [written.record.id]

    def test_settling_removes_and_recovering_brings_back(self, store: Store) -> None:
        """After a power cut the index lacks what it had not flushed."""
        store.records.add([fact("a"), fact("b")], owner=None)
        index_all(store, generation="g1")
        assert store.outbox_state.pending() == 0
        assert store.outbox_care.recover(generation="g1") == 0
        assert store.outbox_care.recover(generation="g2") == 2
        index_all(store, generation="g2")
        assert store.outbox_care.settle(generation="g2", upto=time.monotonic() - 60) == 0
        assert store.outbox_care.settle(generation="g2", upto=time.monotonic() + 1) == 2
        assert store.outbox_care.recover(generation="g3") == 0

    def test_a_dead_owners_claims_are_taken_over(self, store: Store) -> None:
        """What a killed process had claimed would never be indexed."""
        store.records.add([fact("a")], owner="0" * 32)
        assert len(store.outbox.claim(owner="me", limit=9)) == 1
        assert store.outbox.claim(owner="me", limit=9) == []

    def test_a_living_owners_claims_are_left_alone(self, store: Store) -> None:
        """Two processes that index the same entry do the work twice."""
        store.records.add([fact("a")], owner=store.token)
        assert store.outbox.claim(owner="me", limit=9) == []
        store.outbox.release([Change(1, uuid4())])
        assert len(store.outbox.claim(owner="me", limit=9)) == 1

    def test_a_building_space_keeps_the_entries_it_must_replay(self, store: Store) -> None:
        """What was written or forgotten during a build would be missing in the new space."""
        store.records.add([fact("a")], owner=None)
        store.spaces.begin(SPEC, {Task.CHAT: "f1"})
        store.records.add([fact("b")], owner=None)
        index_all(store)
        store.outbox_care.settle(generation="g1", upto=time.monotonic() + 1)
        assert [change.seq for change in store.outbox_state.since(0, limit=9)] == [2]
        assert store.outbox_care.recover(generation="g9") == 0
        assert store.spaces.switch(SPEC, seen_seq=2)
        store.outbox_care.settle(generation="g1", upto=time.monotonic() + 1)
        assert store.outbox_state.since(0, limit=9) == []

    def test_stamps_and_waiting_and_touch_agree(self, store: Store) -> None:
        """`verify` and `repair` rest on these three."""
        written = store.records.add([fact("a"), fact("b")], owner=None)
        index_all(store)
        assert list(store.outbox_state.stamps()) == [(one.record.id, one.seq, 1) for one in written]
        touched = store.outbox.touch([written[0].record.id, uuid4()])
        assert len(touched) == 2
        assert set(store.outbox_state.waiting()) == {change.record for change in touched}


class SpacesContract(OnStore):
    """Which embedder's vectors serve."""

    def test_a_switch_is_seen_and_can_be_taken_back(self, store: Store) -> None:
        """A process that misses a switch would search the new vectors with the old embedder."""
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


class StoreContract(RecordsContract, OutboxContract, SpacesContract, ForgettingContract):
    """All of it."""
