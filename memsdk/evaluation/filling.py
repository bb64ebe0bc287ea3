"""A set put into a store, each task's items as the kind that it is about; and its queries asked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from memsdk.errors import RerankerError
from memsdk.evaluation.measures import DEPTH
from memsdk.evaluation.sets import Asked, EvaluationSet, Item
from memsdk.examples import drafts_of_rows
from memsdk.filters import Range
from memsdk.memory import Memory
from memsdk.messages import ROLES, ChatMessage
from memsdk.models import Draft, Kind, Scope, Task
from memsdk.recalled import Recall
from memsdk.recalling import Question
from memsdk.reranking import DEFAULT, Ordering
from memsdk.secondstage import SecondStage
from memsdk.stretches import CHUNK_CHARS, in_their_text, pool_of
from memsdk.toolformats.reading import read_tools
from memsdk.tools import drafts_of_tools

BATCH = 256
KIND_OF = {
    Task.CHAT: Kind.MEMORY,
    Task.QA: Kind.DOCUMENT,
    Task.CONVSEARCH: Kind.DOCUMENT,
    Task.ICL: Kind.EXAMPLE,
    Task.TOOL: Kind.TOOL,
    Task.LRLM: Kind.PASSAGE,
}
_FORMATS = ("%I:%M %p on %d %B, %Y", "%B-%d-%Y", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d")
"""How the sets write when a session was."""

Found = tuple[Recall, list[str | None]]
"""A recall, and the ids of the items it found, best first."""


def fill(memory: Memory, data: EvaluationSet) -> dict[UUID, str]:
    """Write every item; returns the item's id by that of its record."""
    if data.task is Task.CHAT and any("session" in item.meta for item in data.items):
        return _fill_chats(memory, data.items)
    written: dict[UUID, str] = {}
    kind = KIND_OF[data.task]
    items = iter(data.items)
    while batch := list(islice(items, BATCH)):
        made = memory._parts.writer.add([_draft(item, kind) for item in batch])  # noqa: SLF001 -- any kind, by its own id
        written.update((done.record.id, item.id) for done, item in zip(made, batch, strict=True))
    memory.flush()
    return written


def ask(
    memory: Memory,
    query: Asked,
    *,
    task: Task,
    ordering: Ordering,
    ids: dict[UUID, str],
    second: SecondStage | None = None,
) -> Found:
    """The first hits for one query. Nothing is logged.

    Raises:
        RerankerError: the second stage failed, so that the first would be measured in its place.
    """
    question = Question(
        query=query.query,
        scope=Scope(user_id=query.group),
        kinds=query.kinds or (KIND_OF[task],),
        k=DEPTH,
        where=None if query.before is None else Range(field="order", lt=query.before),
        history=query.history,
        ordering=ordering,
        second=second,
        explain=second is not None,
    )
    by_default = ordering == DEFAULT and second is None
    if question.kinds == (Kind.TOOL,) and by_default:
        found = memory.tools.recall(
            query.query, k=DEPTH, user_id=query.group
        )  # the shelf's own is what users get
        return found, [ids.get(hit.id) for hit in found]
    if question.kinds == (Kind.PASSAGE,) and by_default and query.before is not None:
        return _ask_passages(memory, question, before=query.before, ids=ids)
    recall, _ = memory._parts.recaller.recall(question, id=uuid7())  # noqa: SLF001 -- with an ordering of our own
    trouble = next((hit.why.reranker_error for hit in recall if hit.why and hit.why.reranker_error), None)
    if trouble is not None:
        raise RerankerError(f"{query.id}: {trouble}")
    return recall, [ids.get(hit.id) for hit in recall]


def _ask_passages(memory: Memory, question: Question, *, before: int, ids: dict[UUID, str]) -> Found:
    """As `memory.passages.recall` chooses, of chunks that are known by their order alone."""
    wider = replace(question, k=pool_of(question.k))
    recall, _ = memory._parts.recaller.recall(wider, id=uuid7())  # noqa: SLF001 -- the set's chunks, not cut anew
    hits = tuple(in_their_text(recall.hits, end=before * CHUNK_CHARS)[: question.k])
    return recall.model_copy(update={"hits": hits}), [ids.get(hit.id) for hit in hits]


def _draft(item: Item, kind: Kind) -> Draft:
    group, order = item.meta.get("group"), item.meta.get("order")
    scope = Scope(user_id=None if group is None else str(group))
    if kind is Kind.TOOL and item.meta.get("schema") is not None:
        (tool,) = drafts_of_tools(read_tools(item.meta["schema"]), scope=scope, source=None, metadata={})
        return replace(tool, external_id=item.id)
    row = example_row(item.text, item.meta) if kind is Kind.EXAMPLE else None
    if row is not None:
        (example,) = drafts_of_rows([{**row, "id": item.id}], task=None, scope=scope, metadata={})
        return example
    place = order if kind is Kind.PASSAGE and isinstance(order, int) else None
    title = item.meta.get("title") if kind is Kind.DOCUMENT else None
    has_title = isinstance(title, str) and not item.text.startswith(title)
    return Draft(
        kind=kind,
        text=item.text,
        scope=scope,
        external_id=item.id,
        title=title if has_title and isinstance(title, str) else None,
        metadata={} if order is None else {"order": order},
        data={} if place is None else {"start": place * CHUNK_CHARS},
        position=place,
    )


def example_row(text: str, meta: Mapping[str, JsonValue]) -> dict[str, JsonValue] | None:
    """A solved example as `memory.examples` takes it; what stands before its input is its instruction. None: it has no parts."""
    given, output = meta.get("input"), meta.get("output")
    if not (isinstance(given, str) and given.strip() and isinstance(output, str) and output.strip()):
        return None
    before = text.partition(given)[0].strip()
    return {"input": given, "output": output, "instruction": before or None, "task": meta.get("task")}


def _fill_chats(memory: Memory, items: Sequence[Item]) -> dict[UUID, str]:
    """Every session's turns in their order, a session at a time."""
    sessions: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        sessions[str(item.meta.get("group")), str(item.meta["session"])].append(item)
    written: dict[UUID, str] = {}
    for (group, session), turns in sessions.items():
        ordered = list(_messages(turns))
        made = memory.remember(
            [message for _, message in ordered], user_id=group, session_id=f"{group}/{session}"
        )
        written.update((record.id, item.id) for record, (item, _) in zip(made, ordered, strict=True))
    memory.flush()
    return written


def _messages(turns: Sequence[Item]) -> Iterator[tuple[Item, ChatMessage]]:
    """Each turn as a message, so many seconds after the session's beginning as there are turns before it."""
    for number, turn in enumerate(sorted(turns, key=lambda item: int(str(item.meta.get("turn", 0))))):
        speaker, caption = str(turn.meta.get("speaker") or "user"), turn.meta.get("image_caption")
        role = speaker if speaker in ROLES else "user"
        message: dict[str, object] = {"role": role, "content": turn.text, "id": turn.id}
        if role != speaker:
            message["name"] = speaker
        began = _moment(turn.meta.get("session_date_time"))
        if began is not None:
            message["time"] = began + timedelta(seconds=number)
        if caption:
            message["metadata"] = {"image_caption": caption}
        yield turn, message


def _moment(value: object) -> datetime | None:
    text = re.sub(r"\s+", " ", str(value or "").strip())
    for form in _FORMATS:
        try:
            time = datetime.strptime(text, form)  # noqa: DTZ007 -- most forms have no zone
        except ValueError:
            continue
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None
