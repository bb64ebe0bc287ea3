"""What every record store must do when it forgets, ingests, logs and is carried elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from memsdk import filters
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.models import Scope
from memsdk.ports import LogProb, Origin, RecordFilter, SampleEntry, ScoreEntry, Store
from memsdk.testing.store_drafts import (
    EVERYTHING,
    START,
    OnStore,
    Open,
    SetClock,
    chunk,
    document,
    entry,
    fact,
    revise,
    said,
    texts,
)


class ForgettingContract(OnStore):
    """Forgetting, documents, sessions, the recall log, transfer."""

    def test_forgetting_takes_history_and_traces_along(self, store: Store) -> None:
        """A forgotten text that survives in the log was not forgotten."""
        secret, other = store.records.add([said("secret"), said("other")], owner=None)
        revise(store, secret.record.id, text="secret 2")
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
        revise(store, written.record.id, text="two")
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

    def test_the_turns_before_a_query_are_kept_and_forgotten(self, store: Store) -> None:
        """A conversation kept beside a query repeats what was remembered of it; forgetting must reach the copy."""
        long = "the code of the safe is 4711, tell nobody"
        (secret, other) = store.records.add([said(long), said("other")], owner=None)
        quoting = replace(entry("q1", [other.record.id]), history=("user: hello", f"user: {long}"))
        plain = replace(entry("q2", []), history=("user: hello", "assistant: hi"))
        store.recall_log.log([quoting, plain, entry("q3", [])])

        def kept() -> dict[object, object]:
            found = store.recall_log.recalls(users=None, after=None, limit=9)
            return {row["query"]: row["history"] for row in found}

        assert kept() == {"q1": list(quoting.history), "q2": list(plain.history), "q3": []}
        store.eraser.forget(RecordFilter(ids=(secret.record.id,)), owner=None)
        assert kept() == {"q1": [], "q2": list(plain.history), "q3": []}
        store.eraser.forget_users(["ana"], owner=None)
        assert store.recall_log.recalls(users=("ana",), after=None, limit=9) == []

    def test_the_reward_cache_keeps_the_first_of_equal_keys(self, store: Store) -> None:
        """A score that changed between two runs would make them differ."""
        entries = [ScoreEntry(key=b"k", value=LogProb(-1.5, 3), origin=Origin())]
        store.rewards.keep_scores(entries)
        store.rewards.keep_scores([replace(entries[0], value=LogProb(-9.0, 9))])
        assert store.rewards.scores([b"k", b"other"]) == {b"k": LogProb(-1.5, 3)}
        store.rewards.keep_samples([SampleEntry(key=b"s", outputs=("a", "b"), origin=Origin())])
        store.rewards.keep_samples([SampleEntry(key=b"s", outputs=("c",), origin=Origin())])
        assert store.rewards.samples([b"s", b"k"]) == {b"s": ("a", "b")}

    def test_forgetting_reaches_the_reward_cache(self, store: Store) -> None:
        """A sample of a model that was shown a secret may repeat it; a score of it says that it was there."""
        (secret, other) = store.records.add([said("secret"), said("other")], owner=None)
        shown, unshown = entry("q1", [secret.record.id]), entry("q2", [other.record.id])
        store.recall_log.log([shown, unshown])
        origins = {
            b"candidate": Origin(record=secret.record.id, recall=unshown.id),
            b"recall": Origin(recall=shown.id),
            b"stays": Origin(record=other.record.id, recall=unshown.id),
            b"file": Origin(user_id="ana"),
        }
        for key, origin in origins.items():
            store.rewards.keep_scores([ScoreEntry(key=key, value=LogProb(-1.0, 1), origin=origin)])
            store.rewards.keep_samples([SampleEntry(key=key, outputs=("x",), origin=origin)])
        store.eraser.forget(RecordFilter(ids=(secret.record.id,)), owner=None)
        assert set(store.rewards.scores(list(origins))) == {b"stays", b"file"}
        assert set(store.rewards.samples(list(origins))) == {b"stays", b"file"}
        late = SampleEntry(key=b"late", outputs=("secret",), origin=origins[b"candidate"])
        store.rewards.keep_samples([late])  # made before the record was forgotten, and kept after it
        assert store.rewards.samples([b"late"]) == {}
        store.eraser.forget_users(["ana"], owner=None)
        assert store.rewards.samples(list(origins)) == {}
