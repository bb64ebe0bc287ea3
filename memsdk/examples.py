"""`memory.examples`: solved examples, found by likeness, given back as few-shot prompts."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk import inputs
from memsdk.errors import IngestError, InvalidInputError
from memsdk.exchanges import exchanges
from memsdk.fewshot import MESSAGE_TOKENS, ChatMessages, Shot, as_messages, as_text, fitting, shot_of
from memsdk.models import Draft, ExampleReport, Forgotten, Hit, Kind, Metadata, Record, Scope
from memsdk.ports import Parsed, TokenCounter
from memsdk.recalled import Recall, counter_of
from memsdk.rendering import Count
from memsdk.selecting import balanced, spread
from memsdk.shelf import Choose, Shelf, condition

if TYPE_CHECKING:
    from memsdk.memory import Memory

APPROVED = 0.5
"""From which score on an answer of a chat log is taken as an example."""

POOL = 5
"""How many times k hits are looked at when labels are balanced or likenesses spread."""

INPUTS, OUTPUTS = ("input", "prompt", "question"), ("output", "completion", "answer", "response")


class ExampleRecall(Recall):
    """The examples that one input found, best first; in prompts the most similar comes last, next to the input."""

    def as_messages(
        self, max_tokens: int | None = None, *, counter: TokenCounter | None = None
    ) -> ChatMessages:
        """As turns of a chat: user and assistant in turn, an instruction that all share as a system message.

        Never above `max_tokens`, where a message counts 4 tokens beside its own; the least similar are left out first.
        """
        budget = self._budget(max_tokens)
        count = (counter or counter_of(self.tokenizer)).count

        def cost(shots: Sequence[Shot]) -> int:
            return sum(count(message["content"]) + MESSAGE_TOKENS for message in as_messages(shots))

        return as_messages(fitting(self._shots, budget=budget, cost=cost))

    @property
    def _shots(self) -> builtins.list[Shot]:
        return [shot_of(hit) for hit in self.hits]

    def _budget(self, max_tokens: int | None) -> int | None:
        budget = self.max_tokens if max_tokens is None else max_tokens
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
            raise InvalidInputError(f"max_tokens is {budget!r:.40}, expected a whole number")
        return budget

    def _whole(self, count: Count) -> str:
        """All of it."""
        return as_text(self._shots)

    def _fitted(self, budget: int, count: Count) -> str:
        """Whole examples only: half of one would teach the wrong thing."""
        return as_text(fitting(self._shots, budget=budget, cost=lambda shots: count(as_text(shots))))


class ExampleShelf:
    """Solved examples: `add`, `ingest`, `recall`, `list`, `remove`."""

    def __init__(self, memory: Memory, *, scope: Scope | None = None) -> None:
        """Args: `scope` limits what can be reached, and whose an example is that is added; None is everybody's."""
        self._shelf = Shelf(memory, Kind.EXAMPLE, scope=scope)

    def add(
        self,
        input: str,
        output: str,
        *,
        task: str | None = None,
        instruction: str | None = None,
        label: str | None = None,
        score: float | None = None,
        id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> Record:
        """Add one solved example; the same again is the same one, and counted (`seen`).

        Args:
            task: what it is an example of; `recall(task=...)` keeps to it.
            instruction: what the model was told to do with such inputs.
            label: the class that it stands for, to balance by; the output, where it is not given.
            score: how good it is, 0 to 1; `recall(min_score=...)` keeps to the better ones.
            id: an id of your own: the same content again is a no-op, new content an update.

        Raises:
            InvalidInputError: nothing was written.
        """
        scope = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        marks = {"label": label, "score": inputs.clean_score(score)}
        extra = {**(metadata or {}), **{name: value for name, value in marks.items() if value is not None}}
        draft = _draft(
            input, output, task=task, instruction=instruction, id=id, scope=scope,
            metadata=inputs.clean_metadata(extra, tags=tags),
        )  # fmt: skip
        (written,) = self._shelf.add([draft], wait=wait)
        return written.record

    def ingest(
        self,
        sources: str | Path | Sequence[str | Path] | Iterable[Mapping[str, object]],
        *,
        task: str | None = None,
        min_score: float | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        shared: bool = False,
    ) -> ExampleReport:
        """Add examples in bulk: JSON lines, chat logs, or mappings as Python has them. Doing it again adds nothing.

        A row has `input` and `output` (or `prompt` and `completion`, `question` and `answer`) and may have `task`,
        `instruction`, `label`, `score`, `id` and `metadata`. Of a chat log those answers are taken, with what the user had
        said before, that a person or a score approved: `score`, `approved`, `liked`, `rating` or `feedback` of the message.

        Args:
            task: for those that name none.
            min_score: leaves out what is scored lower; for chat logs .5 unless given.

        Raises:
            IngestError: a file can't be read; nothing of it was added.
            InvalidInputError: a row can't be used; nothing was added.
        """
        scope = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        least = inputs.clean_score(min_score)
        extra = inputs.clean_metadata(metadata, tags=tags)
        rows, skipped = self._rows(sources, least=least)
        drafts = drafts_of_rows(rows, task=inputs.clean_id(task, what="task"), scope=scope, metadata=extra)
        good = [draft for draft in drafts if not _scored_below(draft, least)]
        skipped += len(drafts) - len(good)
        written = self._shelf.add(good) if good else []
        outcomes = [item.outcome for item in written]
        return ExampleReport(
            added=outcomes.count("added"), updated=outcomes.count("updated"), unchanged=outcomes.count("unchanged"),
            skipped=skipped,
        )  # fmt: skip

    def recall(
        self,
        input: str,
        *,
        k: int = 4,
        task: str | None = None,
        min_score: float | None = None,
        diversify: float | None = None,
        balance: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        filters: Mapping[str, object] | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
        shared: bool = False,
    ) -> ExampleRecall:
        """Find the solved examples most like this input, best first: the user's own and the shared ones.

        Args:
            k: how many at most, 1 to 1,000.
            task: only examples of this task.
            min_score: only examples with at least this score.
            diversify: how much likeness to a better example counts against one, 0 (as by default) to 1.
            balance: "label" takes turns among the labels, so that no class fills the prompt; or a metadata field to take
                turns by.
            max_tokens: the budget that `render()` and `as_messages()` keep.

        Raises:
            InvalidInputError: an argument can't be used.
        """
        count = inputs.clean_k(k)
        weight = inputs.clean_share(diversify, what="diversify", default=0.0)
        field = inputs.clean_id(balance, what="balance")
        least = inputs.clean_score(min_score)
        asked = {} if least is None else {"score": {"$gte": least}}
        recall = self._shelf.search(
            inputs.clean_text(input, what="the input", most=inputs.MAX_QUERY_CHARS),
            scope=self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared),
            k=count,
            pool=min(inputs.MAX_K, POOL * count) if weight or field else count,
            where=condition(
                {"$and": [asked, filters]} if asked and filters else asked or filters,
                name=inputs.clean_id(task, what="task"),
            ),
            choose=self._chooser(k=count, weight=weight, field=field),
            max_tokens=inputs.clean_budget(max_tokens),
            explain=explain,
        )
        return ExampleRecall.model_construct(**vars(recall))

    def list(
        self,
        *,
        task: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """Examples, oldest first: of one user, or without a user_id all within reach. Page with `after`."""
        where = condition(None, name=inputs.clean_id(task, what="task"))
        return self._shelf.list(user_id=user_id, where=where, limit=limit, after=after)

    def remove(self, example: Record | UUID | str | Sequence[UUID | str]) -> Forgotten:
        """Erase an example, or several by their ids. Raises NotFoundError."""
        ids = (example.id,) if isinstance(example, Record) else inputs.clean_ids(example)
        if not ids:
            raise InvalidInputError("remove what? give an example's id; nothing was erased")
        return self._shelf.remove(ids)

    def _chooser(self, *, k: int, weight: float, field: str | None) -> Choose | None:
        """What picks out of the pool: likenesses spread first, then labels taken in turn."""
        if not weight and field is None:
            return None
        diverse = partial(
            spread, k=inputs.MAX_K, weight=weight, encoder=self._shelf.parts.lexical, text=_input_of
        )

        def choose(hits: Sequence[Hit]) -> Sequence[Hit]:
            ordered = diverse(hits) if weight else hits
            return (
                ordered[:k]
                if field is None
                else balanced(ordered, k=k, label=partial(_label_of, field=field))
            )

        return choose

    def _rows(
        self,
        sources: str | Path | Sequence[str | Path] | Iterable[Mapping[str, object]],
        *,
        least: float | None,
    ) -> tuple[builtins.list[Mapping[str, object]], int]:
        """The rows to add, and how many exchanges of chat logs nobody approved."""
        given = [sources] if isinstance(sources, str | Path | Mapping) else sources
        if not isinstance(given, Iterable):
            raise InvalidInputError(
                f"sources is {given!r:.60}, expected files, or mappings with input and output"
            )
        everything = list(given)
        files = [item for item in everything if isinstance(item, str | Path)]
        rows: builtins.list[Mapping[str, object]] = []
        for item in everything:
            if isinstance(item, Mapping):
                rows.append(item)
            elif not isinstance(item, str | Path):
                raise InvalidInputError(
                    f"an example is {item!r:.60}, expected a mapping with input and output"
                )
        skipped = 0
        reader = self._shelf.parts.reader
        for path in reader.sources(inputs.clean_paths(files)) if files else ():
            for parsed in reader.read(path):
                found, left = _rows_of(parsed, least=APPROVED if least is None else least)
                rows += found
                skipped += left
        return rows, skipped


def _rows_of(parsed: Parsed, *, least: float) -> tuple[list[Mapping[str, object]], int]:
    """The example rows of a file, or the approved exchanges of a chat log and how many were not."""
    if parsed.examples:
        return list(parsed.examples), 0
    if not parsed.messages:
        raise IngestError(
            f"{parsed.key}: holds neither examples (rows with input and output) nor a chat log; `documents.ingest` reads it"
        )
    found = list(exchanges(parsed.messages))
    approved: list[Mapping[str, object]] = [
        {"input": each.input, "output": each.output, "score": each.score}
        for each in found
        if each.score is not None and each.score >= least
    ]
    return approved, len(found) - len(approved)


def drafts_of_rows(
    rows: Iterable[Mapping[str, object]], *, task: str | None, scope: Scope, metadata: Metadata
) -> list[Draft]:
    """What is stored of rows with an input and an output. Raises InvalidInputError with the number of a bad one."""
    drafts = []
    for number, row in enumerate(rows, 1):
        try:
            drafts.append(_draft_of_row(row, task=task, scope=scope, metadata=metadata))
        except InvalidInputError as error:
            raise InvalidInputError(f"example {number}: {error}") from None
    return drafts


def _scored_below(draft: Draft, least: float | None) -> bool:
    score = draft.metadata.get("score")
    return least is not None and isinstance(score, int | float) and score < least


def _draft_of_row(row: Mapping[str, object], *, task: str | None, scope: Scope, metadata: Metadata) -> Draft:
    """A row's example: rows of instruction data without an input are asked by their instruction."""
    given, solved, told = _first(row, INPUTS), _first(row, OUTPUTS), row.get("instruction")
    if isinstance(given, str | None) and not (given or "").strip() and told:
        given, told = told, None
    own = row.get("metadata")
    marks = {"label": row.get("label"), "score": inputs.clean_score(row.get("score"))}
    if own is not None and not isinstance(own, Mapping):
        raise InvalidInputError(f"its metadata is {own!r:.60}, expected a mapping")
    return _draft(
        given, solved, task=row.get("task") or task, instruction=told, id=row.get("id"), scope=scope,
        metadata={
            **metadata,
            **inputs.clean_metadata(
                {**(own or {}), **{name: value for name, value in marks.items() if value is not None}}
            ),
        },
    )  # fmt: skip


def _draft(
    input: object,
    output: object,
    *,
    task: object,
    instruction: object,
    id: object,
    scope: Scope,
    metadata: Metadata,
) -> Draft:
    """What is stored of an example: instruction, input and output as the text, and each beside it."""
    data = {
        "input": inputs.clean_text(input, what="the input"),
        "output": inputs.clean_text(output, what="the output"),
    }
    if instruction is not None:
        data["instruction"] = inputs.clean_text(instruction, what="the instruction")
    whole = [data[name] for name in ("instruction", "input", "output") if name in data]
    return Draft(
        kind=Kind.EXAMPLE,
        text="\n".join(whole),
        scope=scope,
        metadata=metadata,
        data=dict(data),
        name=inputs.clean_id(task, what="task"),
        external_id=inputs.clean_id(id, what="id"),
    )


def _first(row: Mapping[str, object], names: Sequence[str]) -> object:
    """The first of these fields that is there; a number, a list or a mapping as the JSON that a model would write."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    return (
        value
        if value is None or isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, default=str)
    )


def _input_of(hit: Hit) -> str:
    return shot_of(hit).input


def _label_of(hit: Hit, *, field: str) -> str:
    """What an example is balanced by: the field of its metadata, or for `label` its output where it has none."""
    value = hit.metadata.get(field)
    if value is None and field == "label":
        value = shot_of(hit).output
    return str(value)
