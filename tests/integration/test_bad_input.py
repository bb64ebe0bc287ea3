"""A table of what goes wrong in calls: each row is refused by name, says what to do, and changes nothing."""

# ruff: noqa: D103, ERA001, PLW0108 -- helpers are told by their names; the rows are lambdas
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from memsdk import Memory, Record
from memsdk.errors import (
    ConflictError,
    FilterError,
    IngestError,
    InvalidInputError,
    MemsdkError,
    NotFoundError,
    ScopeError,
)

NOWHERE = UUID(int=7)
LONE = "a\ud800b"
DEEP: dict[str, object] = {"leaf": 1}
for _ in range(40):
    DEEP = {"deeper": DEEP}
LOOP: dict[str, object] = {}
LOOP["self"] = LOOP


@dataclass(frozen=True, slots=True)
class Bench:
    """A store with something in it, and handles on what there is."""

    memory: Any  # a Memory, and calls that its types forbid
    fact: Record
    turn: Record
    recall: UUID


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Memory.open(
        tmp_path_factory.mktemp("bad") / "store",
        embedder="hashing",
        index="exact",
        synchronous="NORMAL",
        background=False,
    ) as memory:
        fact = memory.remember("Ana is allergic to peanuts.", user_id="ana", id="allergy", metadata={"n": 1})
        turn = memory.remember(
            [{"role": "user", "content": "Where is the harbour?"}], user_id="ana", session_id="s1"
        )[0]
        memory.remember("Bo likes tea.", user_id="bo")
        memory.documents.ingest(text="# Rules\n\nNo peanuts.", title="Rules", media_type="text/markdown")
        recall = memory.recall("peanuts", user_id="ana")
        memory.flush()
        yield Bench(memory, fact, turn, recall.id)


def state(memory: Memory) -> dict[str, object]:
    """All that a call could have changed."""
    memory._parts.background.write_log()
    records = memory.list(limit=10_000)
    stats = memory.stats().model_dump(exclude={"bytes"})
    return {
        "records": records,
        "histories": [memory.history(record.id) for record in records],
        "documents": memory.documents.list(),
        "sessions": memory.sessions.list(),
        "stats": stats,
    }


Call = Callable[[Bench], object]
Bad = InvalidInputError

# name -> (what is called, the error it gives, what the message says)
ROWS: dict[str, tuple[Call, type[MemsdkError], str]] = {
    # remember: the text
    "text empty": (lambda b: b.memory.remember(""), Bad, "empty or blank"),
    "text blank": (lambda b: b.memory.remember(" \n\t "), Bad, "empty or blank"),
    "text zero-width only": (lambda b: b.memory.remember("\u200b\u200d\ufeff"), Bad, "empty or blank"),
    "text marks of direction only": (lambda b: b.memory.remember("\u202e\u200f"), Bad, "empty or blank"),
    "text control characters only": (lambda b: b.memory.remember("\x01\x02\x7f"), Bad, "empty or blank"),
    "text of 10 MB": (lambda b: b.memory.remember("word " * 2_000_000), Bad, r"10,000,000.*1,000,000.*ingest"),
    "text with a lone surrogate": (lambda b: b.memory.remember(LONE), Bad, "lone surrogate at position 1"),
    "text with a NUL": (lambda b: b.memory.remember("a\0b"), Bad, "NUL"),
    "text None": (lambda b: b.memory.remember(None), Bad, "NoneType, expected str"),
    "text a number": (lambda b: b.memory.remember(5), Bad, "int, expected str"),
    "text bytes": (lambda b: b.memory.remember(b"abc"), Bad, "bytes"),
    "text a generator": (lambda b: b.memory.remember(word for word in ("a", "b")), Bad, "generator"),
    "text a set": (lambda b: b.memory.remember({"a", "b"}), Bad, "set"),
    "list with a bad item": (lambda b: b.memory.remember(["good", ""], user_id="ana"), Bad, "item 1 is empty"),
    "list in a list": (lambda b: b.memory.remember([["a"]]), Bad, "item 0 is list"),
    # remember: chat messages
    "message without role": (lambda b: b.memory.remember({"content": "x"}), Bad, "role and content"),
    "message without content": (lambda b: b.memory.remember({"role": "user"}), Bad, "role and content"),
    "message with an unknown field": (
        lambda b: b.memory.remember({"role": "user", "content": "x", "tool_calls": []}), Bad, "tool_calls",
    ),
    "message with a strange role": (lambda b: b.memory.remember({"role": "robot", "content": "x"}), Bad, "'robot'"),
    "message with a role of a wrong type": (lambda b: b.memory.remember({"role": [], "content": "x"}), Bad, "role"),
    "message with content None": (lambda b: b.memory.remember({"role": "user", "content": None}), Bad, "content"),
    "message with an image only": (
        lambda b: b.memory.remember({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}), Bad,
        "no text part",
    ),
    "message with a bad time": (
        lambda b: b.memory.remember({"role": "user", "content": "x", "time": "yesterday"}), Bad, "time.*ISO 8601",
    ),
    "message with a bad name": (
        lambda b: b.memory.remember({"role": "user", "content": "x", "name": 5}), Bad, "name.*expected str",
    ),
    "message with bad metadata": (
        lambda b: b.memory.remember({"role": "user", "content": "x", "metadata": "x"}), Bad, "metadata is str",
    ),
    "empty message": (lambda b: b.memory.remember({}), Bad, "nothing"),
    # passages
    "stream None": (lambda b: b.memory.passages.append(None, "x"), Bad, "name is None"),
    "stream blank": (lambda b: b.memory.passages.append(" ", "x"), Bad, "name is empty"),
    "passage blank": (lambda b: b.memory.passages.append("draft", " \n"), Bad, "empty or blank"),
    "passage with a lone surrogate": (lambda b: b.memory.passages.append("draft", LONE), Bad, "surrogate"),
    "passage with a NUL": (lambda b: b.memory.passages.append("draft", "a\0b"), Bad, "NUL"),
    "passage a number": (lambda b: b.memory.passages.append("draft", 5), Bad, "int, expected str"),
    "passage beyond the end": (lambda b: b.memory.passages.append("draft", "x", at=7), Bad, "beyond the stream's end"),
    "passage at -1": (lambda b: b.memory.passages.append("draft", "x", at=-1), Bad, "at is -1"),
    "passage at True": (lambda b: b.memory.passages.append("draft", "x", at=True), Bad, "at is True"),
    "passages of no stream": (lambda b: b.memory.passages.recall("nowhere", "x"), NotFoundError, "nowhere"),
    "no stream to read": (lambda b: b.memory.passages.read("nowhere"), NotFoundError, "nowhere"),
    "no stream to remove": (lambda b: b.memory.passages.remove("nowhere"), NotFoundError, "nowhere"),
    "streams, 0 of them": (lambda b: b.memory.passages.list(limit=0), Bad, "limit"),
    # one recall over several shelves, and amid a conversation
    "budget a number": (lambda b: b.memory.recall("x", budget=400), Bad, "expected tokens by kind"),
    "budget of an unknown kind": (lambda b: b.memory.recall("x", budget={"tolls": 4}), Bad, "tolls"),
    "budget of a kind not searched": (lambda b: b.memory.recall("x", budget={"tool": 4}), Bad, "not searched"),
    "budget of 0": (lambda b: b.memory.recall("x", kinds=["tool"], budget={"tool": 0}), Bad, "budget of tool"),
    "enable nothing": (lambda b: b.memory.enable("chatt"), Bad, "convsearch"),
    # remember: scope
    "user_id blank": (lambda b: b.memory.remember("x", user_id=" "), Bad, "user_id is empty"),
    "user_id a number": (lambda b: b.memory.remember("x", user_id=5), Bad, "user_id is int"),
    "user_id too long": (lambda b: b.memory.remember("x", user_id="u" * 600), Bad, "600 characters"),
    "user_id with a lone surrogate": (lambda b: b.memory.remember("x", user_id=LONE), Bad, "surrogate"),
    "user_id with a newline": (lambda b: b.memory.remember("x", user_id="a\nb"), Bad, "control characters"),
    "agent_id a list": (lambda b: b.memory.remember("x", agent_id=["a"]), Bad, "agent_id is list"),
    "session_id with a NUL": (lambda b: b.memory.remember("x", session_id="a\0"), Bad, "NUL"),
    "shared and a user": (lambda b: b.memory.remember("x", user_id="ana", shared=True), ScopeError, "contradict"),
    # remember: metadata
    "metadata NaN": (lambda b: b.memory.remember("x", metadata={"n": float("nan")}), Bad, "nan.*null"),
    "metadata infinity": (lambda b: b.memory.remember("x", metadata={"n": [float("inf")]}), Bad, "inf"),
    "metadata a list": (lambda b: b.memory.remember("x", metadata=[("a", 1)]), Bad, "metadata is list"),
    "metadata of 5,000 keys": (
        lambda b: b.memory.remember("x", metadata={f"k{n}": n for n in range(5_000)}), Bad, "more than 512",
    ),
    "metadata of 100 kB": (lambda b: b.memory.remember("x", metadata={"k": "v" * 100_000}), Bad, "100,0.. bytes"),
    "metadata nested 40 deep": (lambda b: b.memory.remember("x", metadata=DEEP), Bad, "nested more than 8"),
    "metadata that holds itself": (lambda b: b.memory.remember("x", metadata=LOOP), Bad, "nested more than 8"),
    "metadata with a huge integer": (lambda b: b.memory.remember("x", metadata={"n": 10**400}), Bad, "at most 64"),
    "metadata with a number as key": (lambda b: b.memory.remember("x", metadata={1: "a"}), Bad, "key 1"),
    "metadata with an operator as key": (lambda b: b.memory.remember("x", metadata={"$gt": 1}), Bad, r"\$gt"),
    "metadata with an empty key": (lambda b: b.memory.remember("x", metadata={"": 1}), Bad, "non-empty"),
    "metadata with an object": (lambda b: b.memory.remember("x", metadata={"o": object()}), Bad, "object"),
    "metadata with bytes": (lambda b: b.memory.remember("x", metadata={"o": b"x"}), Bad, "bytes"),
    "metadata with a lone surrogate": (lambda b: b.memory.remember("x", metadata={"o": LONE}), Bad, "surrogate"),
    "metadata key with a lone surrogate": (lambda b: b.memory.remember("x", metadata={LONE: 1}), Bad, "surrogate"),
    "tags a text": (lambda b: b.memory.remember("x", tags="abc"), Bad, "tags is 'abc'"),
    "tags with a number": (lambda b: b.memory.remember("x", tags=[1]), Bad, "a tag is int"),
    # remember: times
    "occurred_at no time": (lambda b: b.memory.remember("x", occurred_at="soon"), Bad, "ISO 8601"),
    "occurred_at a number": (lambda b: b.memory.remember("x", occurred_at=1_700_000_000), Bad, "ISO 8601"),
    "occurred_at before the year 1": (
        lambda b: b.memory.remember("x", occurred_at="0001-01-01T00:00:00+14:00"), Bad, "occurred_at",
    ),
    "occurred_at after the year 9999": (
        lambda b: b.memory.remember("x", occurred_at="9999-12-31T23:59:59-14:00"), Bad, "occurred_at",
    ),
    "expires_at in the past": (lambda b: b.memory.remember("x", expires_at="2001-01-01"), Bad, "not in the future"),
    "ttl zero": (lambda b: b.memory.remember("x", ttl=0), Bad, "not in the future"),
    "ttl negative": (lambda b: b.memory.remember("x", ttl=timedelta(seconds=-5)), Bad, "not in the future"),
    "ttl infinite": (lambda b: b.memory.remember("x", ttl=float("inf")), Bad, "ttl is inf"),
    "ttl NaN": (lambda b: b.memory.remember("x", ttl=float("nan")), Bad, "ttl is nan"),
    "ttl True": (lambda b: b.memory.remember("x", ttl=True), Bad, "ttl is True"),
    "ttl of a million years": (lambda b: b.memory.remember("x", ttl=10**14), Bad, "beyond the year 9999"),
    "ttl beyond every float": (lambda b: b.memory.remember("x", ttl=10**400), Bad, "ttl"),
    "ttl and expires_at": (lambda b: b.memory.remember("x", ttl=5, expires_at="2999-01-01"), Bad, "not both"),
    # remember: ids
    "id blank": (lambda b: b.memory.remember("x", id=""), Bad, "id is empty"),
    "id for a list": (lambda b: b.memory.remember(["x", "y"], id="one"), Bad, "go with one text"),
    "supersedes no uuid": (lambda b: b.memory.remember("x", supersedes="that one"), Bad, "UUID"),
    "supersedes nothing": (lambda b: b.memory.remember("x", supersedes=NOWHERE), NotFoundError, str(NOWHERE)),
    "supersedes another user's": (
        lambda b: b.memory.remember("x", user_id="bo", supersedes=b.fact.id), NotFoundError, "this user",
    ),
    # update, get, history
    "update no uuid": (lambda b: b.memory.update("x", "y"), Bad, "UUID"),
    "update nobody": (lambda b: b.memory.update(NOWHERE, "y"), NotFoundError, str(NOWHERE)),
    "update blank": (lambda b: b.memory.update(b.fact.id, " "), Bad, "empty"),
    "update of a number": (lambda b: b.memory.update(b.fact.id, 5), Bad, "int"),
    "update past its end": (lambda b: b.memory.update(b.fact.id, ttl=-1), Bad, "future"),
    "get no uuid": (lambda b: b.memory.get("x"), Bad, "UUID"),
    "get a number": (lambda b: b.memory.get(5), Bad, "UUID"),
    "get nobody": (lambda b: b.memory.get(NOWHERE), NotFoundError, "list"),
    "history of nobody": (lambda b: b.memory.history(NOWHERE), NotFoundError, str(NOWHERE)),
    # forget
    "forget nothing": (lambda b: b.memory.forget(), Bad, "forget what"),
    "forget no ids": (lambda b: b.memory.forget([]), Bad, "non-empty list"),
    "forget no uuid": (lambda b: b.memory.forget("x"), Bad, "UUID"),
    "forget one that is not there": (lambda b: b.memory.forget(NOWHERE), NotFoundError, "scope"),
    "forget another user's": (lambda b: b.memory.forget(b.fact.id, user_id="bo"), NotFoundError, "scope"),
    "forget a blank user": (lambda b: b.memory.forget(user_id=""), Bad, "user_id is empty"),
    "forget with an empty condition": (lambda b: b.memory.forget(filters={"$and": [{}]}), FilterError, "empty"),
    "forget with no filter at all": (lambda b: b.memory.forget(filters={}), Bad, "forget what"),
    "forget before and older_than": (
        lambda b: b.memory.forget(before="2001-01-01", older_than=timedelta(1)), Bad, "not both",
    ),
    "forget older than a number": (lambda b: b.memory.forget(older_than=5), Bad, "timedelta"),
    "forget older than less than nothing": (lambda b: b.memory.forget(older_than=timedelta(-1)), Bad, "zero or more"),
    "forget older than time": (lambda b: b.memory.forget(older_than=timedelta.max), Bad, "year 1"),
    "forget no kinds": (lambda b: b.memory.forget(kinds=[]), Bad, "kinds is empty"),
    # recall
    "query empty": (lambda b: b.memory.recall(""), Bad, "the query is empty"),
    "query with a lone surrogate": (lambda b: b.memory.recall(LONE), Bad, "surrogate"),
    "query of 10 MB": (lambda b: b.memory.recall("x" * 10_000_000), Bad, "10,000,000"),
    "query a list": (lambda b: b.memory.recall(["a"]), Bad, "the query is list"),
    "k zero": (lambda b: b.memory.recall("x", k=0), Bad, "k is 0, expected 1 to 1,000"),
    "k negative": (lambda b: b.memory.recall("x", k=-1), Bad, "k is -1"),
    "k a billion": (lambda b: b.memory.recall("x", k=10**9), Bad, "expected 1 to 1,000"),
    "k True": (lambda b: b.memory.recall("x", k=True), Bad, "k is True"),
    "k a fraction": (lambda b: b.memory.recall("x", k=2.5), Bad, "k is 2.5"),
    "k None": (lambda b: b.memory.recall("x", k=None), Bad, "k is None"),
    "kinds unknown": (lambda b: b.memory.recall("x", kinds=["memories"]), Bad, "memories.*passage"),
    "kinds empty": (lambda b: b.memory.recall("x", kinds=[]), Bad, "kinds is empty"),
    "kinds a number": (lambda b: b.memory.recall("x", kinds=5), Bad, "kinds is int"),
    "kinds of lists": (lambda b: b.memory.recall("x", kinds=[["memory"]]), Bad, "kinds"),
    "as_of no time": (lambda b: b.memory.recall("x", as_of="then"), Bad, "as_of"),
    "history a text": (lambda b: b.memory.recall("x", history="before"), Bad, "history is str"),
    "history of numbers": (lambda b: b.memory.recall("x", history=[5]), Bad, "history item 0"),
    "max_tokens zero": (lambda b: b.memory.recall("x", max_tokens=0), Bad, "max_tokens is 0"),
    "max_tokens a text": (lambda b: b.memory.recall("x", max_tokens="5"), Bad, "max_tokens is '5'"),
    "this_session without one": (lambda b: b.memory.recall("x", this_session=True), Bad, "needs a session_id"),
    "recall with a strange agent": (lambda b: b.memory.recall("x", agent_id=5), Bad, "agent_id is int"),
    # filters
    "filters a list": (lambda b: b.memory.recall("x", filters=[1]), FilterError, "mapping"),
    "filters an empty list": (lambda b: b.memory.recall("x", filters=[]), FilterError, "mapping"),
    "filters a text": (lambda b: b.memory.recall("x", filters="tag=x"), FilterError, "mapping"),
    "filters with an unknown operator": (
        lambda b: b.memory.recall("x", filters={"n": {"$near": 1}}), FilterError, r"\$near.*\$exists",
    ),
    "filters with an unknown operator at the top": (
        lambda b: b.memory.recall("x", filters={"$nor": []}), FilterError, r"\$nor",
    ),
    "filters with a million values": (
        lambda b: b.memory.recall("x", filters={"n": {"$in": list(range(10**6))}}), FilterError, "at most 1,?000",
    ),
    "filters with a hundred thousand alternatives": (
        lambda b: b.memory.recall("x", filters={"$or": [{"n": 1}] * 100_000}), FilterError, "1,?000",
    ),
    "filters nested 40 deep": (
        lambda b: b.memory.recall("x", filters=nested(40)), FilterError, "nested more than 16",
    ),
    "filters with a nested field": (
        lambda b: b.memory.recall("x", filters={"a": {"b": 1}}), FilterError, "unknown operator 'b'",
    ),
    "filters with a list as value": (lambda b: b.memory.recall("x", filters={"a": [1]}), FilterError, "list"),
    "filters with NaN": (lambda b: b.memory.recall("x", filters={"a": float("nan")}), FilterError, "finite"),
    "filters with a huge integer": (lambda b: b.memory.recall("x", filters={"a": 10**400}), FilterError, "finite"),
    "filters with an infinite bound": (
        lambda b: b.memory.recall("x", filters={"a": {"$lt": float("inf")}}), FilterError, "finite",
    ),
    "filters with a text bound": (
        lambda b: b.memory.recall("x", filters={"a": {"$lt": "high"}}), FilterError, "a number, a date",
    ),
    "filters with a boolean bound": (lambda b: b.memory.recall("x", filters={"a": {"$gt": True}}), FilterError, "True"),
    "filters with an empty operand": (lambda b: b.memory.recall("x", filters={"a": {}}), FilterError, "empty mapping"),
    "filters with $in of a text": (lambda b: b.memory.recall("x", filters={"a": {"$in": "ab"}}), FilterError, "list"),
    "filters with $exists of a number": (lambda b: b.memory.recall("x", filters={"a": {"$exists": 1}}), FilterError, "true"),
    "filters with an empty $or": (lambda b: b.memory.recall("x", filters={"$or": []}), FilterError, "non-empty"),
    "filters with a number as field": (lambda b: b.memory.recall("x", filters={5: 1}), FilterError, "not 5"),
    "filters with a lone surrogate": (lambda b: b.memory.recall("x", filters={"a": LONE}), FilterError, "surrogate"),
    "filters with a lone surrogate as field": (
        lambda b: b.memory.recall("x", filters={LONE: 1}), FilterError, "surrogate",
    ),
    "filters with a lone surrogate in $in": (
        lambda b: b.memory.recall("x", filters={"a": {"$in": ["b", LONE]}}), FilterError, "surrogate",
    ),
    "filters with a time before the year 1": (
        lambda b: b.memory.recall("x", filters={"a": {"$eq": datetime(1, 1, 1)}, "b": {"$in": [{}]}}),  # noqa: DTZ001
        FilterError, "dict",
    ),
    # list
    "limit zero": (lambda b: b.memory.list(limit=0), Bad, "limit is 0"),
    "limit a million": (lambda b: b.memory.list(limit=10**6), Bad, "10,000"),
    "limit True": (lambda b: b.memory.list(limit=True), Bad, "limit is True"),
    "after no uuid": (lambda b: b.memory.list(after="x"), Bad, "after"),
    "list of a user that is a number": (lambda b: b.memory.list(user_id=5), Bad, "user_id is int"),
    "list of a user with a lone surrogate": (lambda b: b.memory.list(user_id=LONE), Bad, "surrogate"),
    "list of a list of users": (lambda b: b.memory.list(user_id=["ana"]), Bad, "user_id is list"),
    "list of an unknown kind": (lambda b: b.memory.list(kinds="memories"), Bad, "kinds"),
    # feedback
    "feedback of nothing": (lambda b: b.memory.feedback(b.recall), Bad, "needs an output"),
    "feedback to nothing": (lambda b: b.memory.feedback(NOWHERE, score=1), NotFoundError, "recall"),
    "feedback to no uuid": (lambda b: b.memory.feedback("x", score=1), Bad, "recall"),
    "feedback with a score of 2": (lambda b: b.memory.feedback(b.recall, score=2), Bad, "0.*1"),
    "feedback with a score of NaN": (lambda b: b.memory.feedback(b.recall, score=float("nan")), Bad, "score is nan"),
    "feedback with a score of True": (lambda b: b.memory.feedback(b.recall, score=True), Bad, "score is True"),
    "feedback with a blank output": (lambda b: b.memory.feedback(b.recall, output=" "), Bad, "output is empty"),
    "feedback with used a number": (lambda b: b.memory.feedback(b.recall, used=5), Bad, "used"),
    "feedback with used None and an output": (
        lambda b: b.memory.feedback(b.recall, output="x", used="abc"), Bad, "used",
    ),
    "feedback with used no uuid": (lambda b: b.memory.feedback(b.recall, used=["x"]), Bad, "used"),
    # scoped views
    "scope blank": (lambda b: b.memory.scoped(user_id=""), Bad, "user_id is empty"),
    "scope a number": (lambda b: b.memory.scoped(user_id=5), Bad, "user_id is int"),
    "view: forget nothing": (lambda b: b.memory.scoped(user_id="ana").forget(), Bad, "everything=True"),
    "view: everything of nobody": (lambda b: b.memory.scoped().forget(everything=True), Bad, "one user"),
    "view: this_session without one": (
        lambda b: b.memory.scoped(user_id="ana").list(this_session=True), Bad, "session_id",
    ),
    "view: another user's documents": (
        lambda b: b.memory.scoped(user_id="ana").documents.list(user_id="bo"), ScopeError, "outside",
    ),
    "view: ingest for another user": (
        lambda b: b.memory.scoped(user_id="ana").documents.ingest(text="x", title="y", user_id="bo"), Bad, "fills in",
    ),
    "view: another user's sessions": (
        lambda b: b.memory.scoped(user_id="ana").sessions.list("bo"), ScopeError, "outside",
    ),
    # sessions
    "transcript of None": (lambda b: b.memory.sessions.transcript(None), Bad, "session_id"),
    "transcript of nobody": (lambda b: b.memory.sessions.transcript("never"), NotFoundError, "'never'"),
    "transcript of none": (lambda b: b.memory.sessions.transcript("s1", last=0), Bad, "last is 0"),
    "sessions of a number": (lambda b: b.memory.sessions.list(5), Bad, "user_id is int"),
    # documents
    "ingest nothing": (lambda b: b.memory.documents.ingest(), Bad, "text="),
    "ingest a number": (lambda b: b.memory.documents.ingest(5), Bad, "sources is 5"),
    "ingest what is not there": (lambda b: b.memory.documents.ingest("/no/such/file.md"), IngestError, "no such file"),
    "ingest a path with a NUL": (lambda b: b.memory.documents.ingest("a\0b"), Bad, "source"),
    "ingest a path with a lone surrogate": (lambda b: b.memory.documents.ingest(LONE), MemsdkError, "."),
    "ingest a home of nobody": (lambda b: b.memory.documents.ingest("~no-such-user-here/a.md"), Bad, "home"),
    "ingest sources and text": (lambda b: b.memory.documents.ingest("a.md", text="x", title="y"), Bad, "not both"),
    "ingest sources with a key": (lambda b: b.memory.documents.ingest("a.md", key="y"), Bad, "key"),
    "ingest a text without a title": (lambda b: b.memory.documents.ingest(text="x"), Bad, "title"),
    "ingest an empty text": (lambda b: b.memory.documents.ingest(text="", title="y"), Bad, "empty"),
    "ingest a text of a wrong type": (lambda b: b.memory.documents.ingest(text=b"x", title="y"), Bad, "bytes"),
    "ingest with a key of a wrong type": (
        lambda b: b.memory.documents.ingest(text="x", title="y", key=5), Bad, "key is int",
    ),
    "ingest with a key with a lone surrogate": (
        lambda b: b.memory.documents.ingest(text="x", title="y", key=LONE), Bad, "key.*surrogate",
    ),
    "ingest with a title of a wrong type": (lambda b: b.memory.documents.ingest(text="x", title=5), Bad, "title is int"),
    "ingest an unknown media type": (
        lambda b: b.memory.documents.ingest(text="x", title="y", media_type="video/mp4"), IngestError, "video/mp4",
    ),
    "ingest a media type of a wrong type": (
        lambda b: b.memory.documents.ingest(text="x", title="y", media_type=["text/plain"]), MemsdkError, "media",
    ),
    "ingest broken JSON": (
        lambda b: b.memory.documents.ingest(text="{", title="y", media_type="application/json"), IngestError, "y",
    ),
    "remove no document": (lambda b: b.memory.documents.remove("x"), Bad, "UUID"),
    "remove what is not there": (lambda b: b.memory.documents.remove(NOWHERE), NotFoundError, str(NOWHERE)),
    # moving
    "export to a folder that is not there": (
        lambda b: b.memory.export_jsonl("/no/such/folder/x.jsonl"), MemsdkError, "can't write",
    ),
    "export to a number": (lambda b: b.memory.export_jsonl(5), Bad, "path"),
    "export for a user that is a number": (
        lambda b: b.memory.export_jsonl("/dev/null/x", user_id=5), Bad, "user_id is int",
    ),
    "import what is not there": (lambda b: b.memory.import_jsonl("/no/such/file"), Bad, "can't read"),
    "import a number": (lambda b: b.memory.import_jsonl(None), Bad, "path"),
    "back up onto something": (lambda b: b.memory.backup("/proc"), Bad, "not empty"),
    "back up to a number": (lambda b: b.memory.backup(5), Bad, "path"),
    "reindex with nothing that embeds": (lambda b: b.memory.reindex(embedder=5), MemsdkError, "."),
}  # fmt: skip


def nested(depth: int) -> dict[str, object]:
    """A filter so many deep."""
    return {"a": 1} if depth == 0 else {"$not": nested(depth - 1)}


@pytest.fixture(scope="module")
def before(bench: Bench) -> dict[str, object]:
    return state(bench.memory)


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_is_refused_by_name_and_changes_nothing(
    bench: Bench, before: dict[str, object], row: str
) -> None:
    """An agent that passes on what a model made up must get an error it can show, and keep its memory."""
    call, error, said = ROWS[row]
    with pytest.raises(error) as caught:
        call(bench)
    assert re.search(said, str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 1_000  # readable, whatever was given
    assert state(bench.memory) == before


def test_the_table_left_the_index_as_it_was(bench: Bench) -> None:
    """A refused write that reached the vectors only would haunt every recall."""
    assert bench.memory.verify().clean


@pytest.mark.parametrize(
    "text",
    [
        "\u202eright to left\u202c mixed \u05e9\u05dc\u05d5\u05dd",
        "tab\tbell\x07escape\x1b[31mred",
        "\U0001f469\u200d\U0001f680 e\u0301 \uffff",
        "'; DROP TABLE records; --",
        "\r\n lines \u2028 of \x85 all kinds\x0b",
        "x" * 50_000,
    ],
    ids=["direction", "control", "joined", "sql", "newlines", "one long word"],
)
def test_strange_but_valid_text_comes_back_as_it_was_given(memory: Memory, text: str) -> None:
    """Cleaning a text behind the user's back would change what was said."""
    record = memory.remember(text, user_id="ana")
    assert memory.get(record.id).text == text
    assert [hit.text for hit in memory.recall(text[:50], user_id="ana")] == [text]
    assert memory.remember([], user_id="ana") == []
    assert memory.verify().clean


def test_a_closed_memory_says_so(memory: Memory) -> None:
    """A web handler that outlives its store must not get an AttributeError."""
    view, documents, sessions = memory.scoped(user_id="ana"), memory.documents, memory.sessions
    recall = memory.recall("anything", shared=True)
    memory.close()
    memory.close()
    calls: list[Callable[[], object]] = [
        lambda: memory.remember("x"), lambda: memory.recall("x"), lambda: memory.list(), lambda: memory.flush(),
        lambda: memory.forget(user_id="ana"), lambda: memory.get(NOWHERE), lambda: memory.update(NOWHERE, "x"),
        lambda: memory.history(NOWHERE), lambda: memory.feedback(recall, score=1), lambda: memory.stats(),
        lambda: memory.verify(), lambda: memory.repair(), lambda: memory.reindex(), lambda: memory.sweep(),
        lambda: memory.backup("x"), lambda: memory.export_jsonl("x"), lambda: memory.import_jsonl("x"),
        lambda: memory.scoped(), lambda: memory.optimize(), lambda: view.remember("x"), lambda: view.recall("x"),
        lambda: view.list(), lambda: view.get(NOWHERE), lambda: documents.list(), lambda: documents.remove(NOWHERE),
        lambda: documents.ingest(text="x", title="y"), lambda: sessions.list(), lambda: sessions.transcript("s"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(MemsdkError, match="closed; open it again"):
            call()


def test_the_same_id_is_another_records_in_no_other_session(bench: Bench) -> None:
    """An id is unique per user, session and kind: the same one in another place is another record, no conflict."""
    assert issubclass(ConflictError, MemsdkError)
    assert bench.memory.list(filters={"external_id": "allergy"}) == [bench.fact]
    assert datetime.now(UTC) >= bench.fact.created_at
