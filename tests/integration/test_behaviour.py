"""What a memory does, told once and run through `Memory` and through `AsyncMemory`."""

# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

from memsdk import AsyncMemory, Memory, Recall
from memsdk.errors import ClosedError, InvalidInputError, NotFoundError, ScopeError

T = TypeVar("T")
OPTIONS = {"embedder": "hashing", "index": "exact", "synchronous": "NORMAL"}


class Driver:
    """Calls a verb by its path, and awaits what it gives where that is to be awaited."""

    def __init__(self, memory: object, loop: asyncio.AbstractEventLoop | None) -> None:
        self.memory = memory
        self.loop = loop

    def __call__(self, path: str, *args: object, **kwargs: object) -> Any:
        """`do("sessions.list", "ana")`."""
        target: object = self.memory
        for name in path.split("."):
            target = getattr(target, name)
        assert callable(target)
        return self.wait(target(*args, **kwargs))

    def wait(self, result: object) -> object:
        """The result itself."""
        if not inspect.isawaitable(result):
            return result
        assert self.loop is not None
        return self.loop.run_until_complete(_awaited(result))

    def texts(self, query: str, **kwargs: object) -> list[str]:
        """What a recall finds, best first."""
        recall = self("recall", query, **kwargs)
        assert isinstance(recall, Recall)
        return [hit.text for hit in recall]


async def _awaited(result: Awaitable[T]) -> T:
    return await result


OpenDriver = Callable[..., Driver]


@pytest.fixture(params=["sync", "async"])
def open_driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDriver]:
    loop = asyncio.new_event_loop() if request.param == "async" else None
    drivers: list[Driver] = []

    def opener(folder: str = "store", **options: object) -> Driver:
        driver = Driver(None, loop)
        cls = Memory if loop is None else AsyncMemory
        driver.memory = driver.wait(cls.open(tmp_path / folder, **{**OPTIONS, **options}))  # type: ignore[arg-type]
        drivers.append(driver)
        return driver

    yield opener
    for driver in drivers:
        driver("close")
    if loop is not None:
        loop.close()


@pytest.fixture
def do(open_driver: OpenDriver) -> Driver:
    return open_driver()


def test_what_is_remembered_is_recalled_at_once_and_forgotten_for_good(do: Driver) -> None:
    """The first five minutes of every user."""
    record = do("remember", "Ana is allergic to peanuts.", user_id="ana", tags=["health"])
    do("remember", "The harbour opens at six.", user_id="ana")
    assert do.texts("allergic to what", user_id="ana", k=1) == [record.text]
    assert do.texts("allergic to what", user_id="ana", filters={"tags": "health"}) == [record.text]
    assert do("get", record.id) == do("list", user_id="ana", filters={"tags": "health"})[0]
    changed = do("update", record.id, "Ana is allergic to walnuts.", tags=["food"])
    assert [past.text for past in do("history", record.id)] == [record.text, changed.text]
    assert do.texts("walnuts", user_id="ana", k=1) == [changed.text]
    receipt = do("forget", record.id)
    assert (receipt.ids, receipt.revisions, receipt.vectors_deleted, receipt.wal_truncated) == (
        (record.id,),
        2,
        True,
        True,
    )
    assert changed.text not in do.texts("walnuts", user_id="ana", k=9)
    with pytest.raises(NotFoundError):
        do("get", record.id)


def test_users_agents_and_sessions_draw_the_borders_of_reading(do: Driver) -> None:
    """Nothing crosses users; agents see their own and nobody's; sessions are no border unless asked."""
    for user, agent, session in [
        ("ana", "a", "s1"),
        ("ana", "b", "s1"),
        ("ana", None, "s2"),
        ("bo", "a", "s1"),
        (None, None, None),
    ]:
        do("remember", f"fact of {user} {agent} {session}", user_id=user, agent_id=agent, session_id=session)

    def seen(**scope: object) -> set[str]:
        return {text.removeprefix("fact of ") for text in do.texts("fact of", k=50, **scope)}

    assert seen(user_id="ana") == {"ana a s1", "ana b s1", "ana None s2", "None None None"}
    assert seen(user_id="ana", agent_id="a") == {"ana a s1", "ana None s2", "None None None"}
    assert seen(user_id="ana", session_id="s1", this_session=True) == {"ana a s1", "ana b s1"}
    assert seen(user_id="ana", session_id="s1") == seen(user_id="ana")
    assert seen() == {"None None None"}
    assert seen(user_id="cy") == {"None None None"}
    view = Driver(do("scoped", user_id="ana", agent_id="a"), do.loop)
    assert {text.removeprefix("fact of ") for text in view.texts("fact of", k=50)} == seen(
        user_id="ana", agent_id="a"
    )
    others = [record for record in do("list") if record.agent_id == "b" or record.user_id == "bo"]
    for record in others:
        for verb in ("get", "history", "update", "forget"):
            with pytest.raises(NotFoundError):
                view(verb, record.id)
    with pytest.raises(InvalidInputError, match="all agents"):
        view("forget", everything=True)
    assert len(do("list")) == 5


def test_a_store_that_requires_a_user_refuses_to_work_without_one(open_driver: OpenDriver) -> None:
    """One forgotten keyword would show a secret to everybody."""
    do = open_driver(require_user=True)
    for call in [("remember", "x"), ("recall", "x"), ("scoped",)]:
        with pytest.raises(ScopeError, match="requires a user_id"):
            do(*call)
    with pytest.raises(ScopeError, match="requires a user_id"):
        do("documents.ingest", text="x", title="y")
    do("remember", "the harbour is near", shared=True)
    do("documents.ingest", text="the harbour opens at six", title="y", shared=True)
    assert len(do.texts("harbour", shared=True)) == 2
    assert len(do.texts("harbour", user_id="ana")) == 2


def test_as_of_shows_what_was_current_then(do: Driver) -> None:
    """The question what we knew on Monday must not be answered with Tuesday's correction."""
    start = datetime.now(UTC)
    old = do("remember", "Ana lives in Porto.", user_id="ana")
    later = do("remember", "Bo visits in a while.", user_id="ana", ttl=3600)
    before_change = datetime.now(UTC)
    new = do("remember", "Ana lives in Lisbon.", user_id="ana", supersedes=old.id)
    do("update", new.id, "Ana lives in Lisbon, by the river.")
    do("flush")

    def lives(**arguments: object) -> list[str]:
        return sorted(
            text for text in do.texts("Ana lives in", user_id="ana", k=9, **arguments) if "lives" in text
        )

    assert lives() == ["Ana lives in Lisbon, by the river."]
    assert lives(as_of=before_change) == ["Ana lives in Porto."]
    assert lives(as_of=new.created_at) == ["Ana lives in Lisbon."]
    assert lives(as_of=start - timedelta(days=1)) == []
    assert lives(as_of=datetime.now(UTC).isoformat()) == ["Ana lives in Lisbon, by the river."]
    assert later.text in do.texts("Bo visits", user_id="ana")
    assert later.text not in do.texts(
        "Bo visits", user_id="ana", as_of=datetime.now(UTC) + timedelta(hours=2)
    )
    assert do("get", old.id).superseded_by == new.id


def test_what_has_expired_is_not_found_and_sweep_erases_it(do: Driver) -> None:
    """A door code that was good for today must not be told tomorrow."""
    record = do("remember", "the door code is 1234", user_id="ana", ttl=0.3)
    assert do.texts("door code", user_id="ana") == [record.text]
    asyncio.run(asyncio.sleep(0.35))
    assert do.texts("door code", user_id="ana") == []
    assert do("sweep").ids == (record.id,)
    assert do("list") == []


def test_what_is_said_again_without_an_end_is_kept(do: Driver) -> None:
    """The second call was acknowledged too: it must not vanish with the first one's ttl."""
    do("remember", "the door code is 1234", user_id="ana", ttl=0.2)
    assert do("remember", "the door code is 1234", user_id="ana").expires_at is None
    asyncio.run(asyncio.sleep(0.25))
    do("sweep")
    assert do.texts("door code", user_id="ana") == ["the door code is 1234"]
    assert do("verify").clean


@pytest.mark.parametrize("verb", ["export_jsonl", "backup"])
def test_nothing_is_written_into_the_store_itself(do: Driver, tmp_path: Path, verb: str) -> None:
    """An export onto `memory.db` would replace the store; one beside it would keep what is forgotten later."""
    do("remember", "peanuts", user_id="ana")
    before = {path.name for path in (tmp_path / "store").iterdir()}
    for name in ("memory.db", "copy", "index/copy"):
        with pytest.raises(InvalidInputError, match="in the store itself"):
            do(verb, tmp_path / "store" / name)
    assert {path.name for path in (tmp_path / "store").iterdir()} == before
    assert do.texts("peanuts", user_id="ana") == ["peanuts"]


def test_the_same_is_remembered_once(do: Driver) -> None:
    """An agent that says the same thing daily must not fill the recall with it."""
    first = do("remember", "tea at five", user_id="ana")
    again = do("remember", "tea at five", user_id="ana")
    assert (again.id, again.seen) == (first.id, 2)
    assert again.last_seen_at > first.last_seen_at
    assert do("remember", "tea at five", user_id="bo").id != first.id
    assert do("remember", "tea at five", user_id="ana", agent_id="planner").id != first.id
    turn = {"role": "user", "content": "tea at five", "time": "2026-01-01T17:00:00"}
    said = do("remember", [turn, turn, {**turn, "role": "assistant"}, {**turn, "time": "2026-01-02T17:00:00"}],
              user_id="ana", session_id="s1")  # fmt: skip
    assert len({record.id for record in said} | {first.id}) == 4
    assert do("remember", turn, user_id="ana", session_id="s2").id not in {record.id for record in said}


def test_an_id_of_the_callers_own_is_an_upsert(do: Driver) -> None:
    """A nightly import of the same rows must neither double nor miss a change."""
    first = do("remember", "tea at five", user_id="ana", id="row-1")
    assert do("remember", "tea at five", user_id="ana", id="row-1").revision == 1
    changed = do("remember", "tea at six", user_id="ana", id="row-1")
    assert (changed.id, changed.revision, changed.external_id) == (first.id, 2, "row-1")
    assert do("remember", "tea at five", user_id="bo", id="row-1").id != first.id
    assert do.texts("tea", user_id="ana") == ["tea at six"]


def test_a_turn_is_found_by_its_neighbours_words_and_no_longer_once_they_are_forgotten(do: Driver) -> None:
    """A bare yes means nothing without the question before it."""
    turns = do("remember", [{"role": "user", "content": "yes two please"}], user_id="ana", session_id="s1")
    turns += do(
        "remember", [{"role": "assistant", "content": "booked the zeppelin"}], user_id="ana", session_id="s1"
    )
    do("remember", "something else entirely", user_id="ana")
    do("flush")

    def lexical() -> dict[UUID, float | None]:
        recall = do("recall", "zeppelin", user_id="ana", explain=True)
        return {hit.id: hit.why.lexical_score for hit in recall}

    assert lexical()[turns[0].id]
    do("forget", turns[1].id)
    do("flush")
    assert not lexical().get(turns[0].id)
    assert do("verify").clean


def test_a_long_text_is_one_hit_and_found_by_its_end(do: Driver) -> None:
    """A text longer than the encoder takes must not be cut off in silence, nor fill the recall with its parts."""
    words = " ".join(f"filler{number}" for number in range(1_500))
    record = do("remember", f"{words} the zeppelin leaves at noon", user_id="ana")
    do("remember", "short one", user_id="ana")
    before = do("verify").points
    assert before > 3
    recall = do("recall", "the zeppelin leaves at noon", user_id="ana", k=10, explain=True)
    assert [hit.id for hit in recall].count(record.id) == 1
    assert recall[0].id == record.id
    do("update", record.id, "now it is short")
    do("flush")
    assert do("verify").points == before + 1  # what it was stays, for `as_of`
    assert do("recall", "now it is short", user_id="ana", k=1)[0].id == record.id
    do("forget", record.id)
    assert do("verify").points == 1
    assert do("verify").clean


def test_without_waiting_it_is_kept_at_once_and_found_after_flush(open_driver: OpenDriver) -> None:
    """A voice agent can't wait for the encoder."""
    do = open_driver(background=False)
    record = do("remember", "the zeppelin leaves", user_id="ana", wait=False)
    assert do("get", record.id).text == record.text
    assert do("stats").pending == 1
    do("flush")
    assert do.texts("zeppelin", user_id="ana") == [record.text]


def test_an_explanation_adds_up_to_the_score_and_kinds_are_fused(do: Driver) -> None:
    """A developer who tunes by the explanation must be able to trust it."""
    do("documents.ingest", text="The zeppelin leaves at noon.", title="Timetable")
    do("remember", ["The zeppelin was late.", "Tea was cold."], user_id="ana")
    recall = do("recall", "when does the zeppelin leave", user_id="ana", explain=True)
    assert {hit.kind.value for hit in recall} == {"memory", "document"}
    assert [hit.score for hit in recall] == sorted((hit.score for hit in recall), reverse=True)
    for hit in recall:
        assert hit.score == pytest.approx(sum(hit.why.parts.values()), abs=2e-6)
        assert 0 <= hit.score <= 1
    only = do("recall", "zeppelin", user_id="ana", kinds=["document"])
    assert {hit.kind.value for hit in only} == {"document"}
    assert only[0].why is None


def test_a_history_joins_the_query(do: Driver) -> None:
    """The question when it leaves is only answered with what was talked of before."""
    do(
        "remember",
        ["The zeppelin leaves at noon.", "The ferry leaves at six.", "When in doubt, ask."],
        user_id="ana",
    )
    past = [{"role": "user", "content": "I want to take the zeppelin"}, "which zeppelin?"]
    assert do.texts("when does it leave?", user_id="ana", history=past, k=1) == [
        "The zeppelin leaves at noon."
    ]


def test_feedback_is_kept_until_what_it_quotes_is_forgotten(do: Driver) -> None:
    """An answer quotes what was recalled: it must go with it."""
    record = do("remember", "the code is zeppelin", user_id="ana")
    recall = do("recall", "code", user_id="ana")
    do("feedback", recall, output="It is zeppelin!", score=1, used=[record.id])
    view = Driver(do("scoped", user_id="bo"), do.loop)
    with pytest.raises(NotFoundError):
        view("feedback", recall, score=0.0)
    assert (do("stats").recalls, do("stats").feedback) == (1, 1)
    receipt = do("forget", record.id)
    assert (receipt.recalls, receipt.feedback) == (1, 1)
    assert do("forget", user_id="ana").recalls == 1
    assert (do("stats").recalls, do("stats").feedback) == (0, 0)


def test_sessions_are_listed_and_read_back_in_order(do: Driver) -> None:
    """The transcript is what an agent resumes from."""
    turns = [{"role": "user", "content": f"turn {number}"} for number in range(5)]
    do("remember", turns, user_id="ana", session_id="s1")
    do("remember", turns[:2], user_id="bo", session_id="s1")
    (session,) = do("sessions.list", "ana")
    assert (session.session_id, session.user_id, session.records) == ("s1", "ana", 5)
    last = do("sessions.transcript", "s1", user_id="ana", last=2)
    assert [record.text for record in last] == ["turn 3", "turn 4"]
    assert [record.position for record in do("sessions.transcript", "s1", user_id="ana")] == [0, 1, 2, 3, 4]


def test_ingesting_again_changes_what_changed(do: Driver, tmp_path: Path) -> None:
    """A nightly ingest of a handbook must neither double it nor keep what was struck out."""
    file = tmp_path / "handbook.md"
    file.write_text("# Harbour\n\nThe harbour opens at six.\n\n# Ferry\n\nThe ferry leaves at noon.")
    assert len(do("documents.ingest", tmp_path / "handbook.md").added) == 1
    assert len(do("documents.ingest", file).unchanged) == 1
    chunks = {record.text: record.id for record in do("list", kinds=["document"])}
    file.write_text("# Harbour\n\nThe harbour opens at six.\n\n# Ferry\n\nThe ferry leaves at one.")
    report = do("documents.ingest", file)
    assert (len(report.updated), report.chunks_added, report.chunks_removed) == (1, 1, 1)
    now = {record.text: record.id for record in do("list", kinds=["document"])}
    assert now["The harbour opens at six."] == chunks["The harbour opens at six."]
    assert do.texts("when does the ferry leave", shared=True, k=1) == ["The ferry leaves at one."]
    (document,) = do("documents.list")
    assert do("documents.remove", document).records == 2
    assert do("list") == []
    assert do("verify").clean


def test_a_store_moves_as_json_lines(open_driver: OpenDriver, tmp_path: Path) -> None:
    """An export that loses histories, times or counts is no way out of a product."""
    do, other = open_driver(), open_driver("other")
    old = do(
        "remember", "Ana lives in Porto.", user_id="ana", id="home", occurred_at="2020-01-01", tags=["x"]
    )
    do("remember", "Ana lives in Porto.", user_id="ana", id="home")
    do("remember", "Ana lives in Lisbon.", user_id="ana", supersedes=old.id)
    turn = do(
        "remember", [{"role": "user", "content": "hello", "name": "Ana"}], user_id="ana", session_id="s1"
    )[0]
    do("update", turn.id, "hello there")
    do("documents.ingest", text="# Rules\n\nNo peanuts.", title="Rules", media_type="text/markdown")
    do("feedback", do("recall", "where does Ana live", user_id="ana"), output="Lisbon", score=0.5)
    lines = do("export_jsonl", tmp_path / "all.jsonl")
    imported = other("import_jsonl", tmp_path / "all.jsonl")
    assert (imported.records, imported.documents, imported.recalls) == (len(do("list")), 1, 1)
    assert lines == imported.records + imported.documents + imported.recalls
    assert other("list") == do("list")
    for record in do("list"):
        assert other("history", record.id) == do("history", record.id)
    assert other("documents.list") == do("documents.list")
    assert other("sessions.list") == do("sessions.list")
    queries = [("where does Ana live", None), ("hello", None), ("Porto", old.created_at), ("peanuts", None)]
    do("flush")
    other("flush")
    for query, as_of in queries:
        found, expected = (one("recall", query, user_id="ana", as_of=as_of) for one in (other, do))
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in expected]
    other("export_jsonl", tmp_path / "again.jsonl")
    assert other("import_jsonl", tmp_path / "all.jsonl").records == 0
    assert sorted((tmp_path / "again.jsonl").read_text().splitlines()[:4]) == sorted(
        (tmp_path / "all.jsonl").read_text().splitlines()[:4]
    )
    assert other("verify").clean


def test_a_broken_export_changes_nothing(do: Driver, tmp_path: Path) -> None:
    """An import that stops half-way leaves a store that nobody can name."""
    do("remember", "x", user_id="ana")
    do("export_jsonl", tmp_path / "good.jsonl")
    good = (tmp_path / "good.jsonl").read_text()
    before = do("list")
    for number, bad in enumerate(
        [
            "",
            "{}",
            "not json",
            "[]\n",
            good + '{"type": "robot"}\n',
            good + '{"type": "record"}\n',
            good[:-20],
            good + "\xff",
        ]
    ):
        file = tmp_path / f"bad{number}.jsonl"
        file.write_text(bad, encoding="latin-1")
        if bad:
            with pytest.raises(InvalidInputError, match=r"bad\d\.jsonl|record"):
                do("import_jsonl", file)
    assert do("list") == before


def test_a_backup_opens_and_recalls(open_driver: OpenDriver, tmp_path: Path) -> None:
    """A backup that was never opened is none."""
    do = open_driver()
    do("remember", ["The zeppelin leaves at noon.", "Tea was cold."], user_id="ana")
    do("backup", tmp_path / "copy")
    do("remember", "later than the backup", user_id="ana")
    copy = open_driver("copy", embedder=None)
    assert copy.texts("zeppelin", user_id="ana", k=1) == ["The zeppelin leaves at noon."]
    copy("flush")
    assert copy("verify").clean
    assert len(copy("list")) == 2


def test_after_close_every_verb_says_so(open_driver: OpenDriver) -> None:
    """A task that outlives its store must get the named error, sync or async."""
    do = open_driver()
    view = Driver(do("scoped", user_id="ana"), do.loop)
    do("close")
    do("close")
    for path in ("list", "flush", "stats", "documents.list", "sessions.list"):
        with pytest.raises(ClosedError, match="open it again"):
            do(path)
    for one, verb in itertools.product((do, view), ("remember", "recall")):
        with pytest.raises(ClosedError, match="open it again"):
            one(verb, "x")
