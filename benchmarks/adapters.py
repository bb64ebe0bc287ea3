"""Sets as the query-side tiers learn from them: the untrained model's vectors, rows, and an adapter fitted on these."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.protocol import guard, mine, ndcg_10, taught
from benchmarks.tasks import MEASURED_ONLY, Question, TaskSet, packaged, read_set
from memsdk.conversing import mixed
from memsdk.embedding.adapters import ResidualEmbedder
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.testing.embedders import HashingEmbedder
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.lora import embed_queries, fit_lora, query_encoder, turn_ids
from memsdk.trainer.problem import SHARED, Example, Problem, right_ones, targets
from memsdk.trainer.residual import fit_residual
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TOKENS = 256  # the packaged model's longest text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One set with the untrained model's vectors, without prefixes.

    Attributes:
        asked: the questions that teach (`train`), choose (`guard`) and judge (`dev`).
        by_turn: whether a query amid a conversation is embedded turn by turn and mixed, as recall does it, or joined.
        vectors: [n, d] of each part's questions, and of the documents (`keys`).
        rows: what the train questions teach, in their order: right documents and hard negatives, as labels.
    """

    data: TaskSet
    asked: dict[str, list[Question]]
    vectors: dict[str, Vectors]
    rows: tuple[Row, ...]
    by_turn: bool = False

    def quality(self, part: str, queries: Vectors) -> list[float]:
        """nDCG@10 of each question of the part."""
        return ndcg_10(self.data, self.asked[part], queries, self.vectors["keys"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What embeds the questions of a set's part after a fit, the fit's CPU seconds, and the passes that were kept."""

    embed: Callable[[Prepared, str], Vectors]
    seconds: float
    passes: int


def prepare(options: argparse.Namespace, name: str) -> Prepared:
    """Read, embed and mine a set. Vectors are kept in a folder as float16, and used as they are kept.

    Args:
        options: `data`, `model` and `vectors`, which are folders, `device`, `rows`, the most train questions, and `by_turn`.
    """
    one = read_set(options.data, name)
    kept = guard(one)
    asked = {
        "train": [] if name in MEASURED_ONLY else taught(one, kept),
        "guard": kept,
        "dev": one.asked("dev"),
    }
    texts = {
        "keys": [(text,) for text in one.texts],
        **{part: [_turns(each, by_turn=options.by_turn) for each in some] for part, some in asked.items()},
    }
    joined = {part: list(map("\n".join, some)) for part, some in texts.items()}
    digest = hashlib.sha256(json.dumps(joined).encode()).hexdigest()
    file: Path = options.vectors / f"{name.replace('/', '-')}.npz"
    if not (file.exists() and str(np.load(file)["digest"]) == digest):
        options.vectors.mkdir(parents=True, exist_ok=True)
        np.savez(file, digest=np.array(digest), **_embedded(options, texts))  # type: ignore[arg-type]  # typed as one of savez's own options
    with np.load(file) as stored:
        vectors = {part: _unit(stored[part].astype(np.float32)) for part in texts}
    found = mine(one, kept, asked["train"], queries=vectors["train"], keys=vectors["keys"])
    usable = [number for number, each in enumerate(found) if each.right]
    if options.rows is not None and len(usable) > options.rows:
        usable = sorted(random.Random(5).sample(usable, options.rows))  # noqa: S311 -- no secret
    asked["train"] = [asked["train"][number] for number in usable]
    vectors["train"] = vectors["train"][usable]
    rows = tuple(
        _row(one, found[number].question, right=found[number].right, hard=found[number].hard, number=number)
        for number in usable
    )
    return Prepared(data=one, asked=asked, vectors=vectors, rows=rows, by_turn=options.by_turn)


def fit_adapter(
    one: Prepared,
    rows: Sequence[Row],
    settings: ResidualSettings | LoraSettings,
    *,
    model: Path | None,
    device: str,
) -> Adapter:
    """T0 or T1, as the settings say, fitted on rows of the set's train questions."""
    began = time.process_time()
    problem, learnt = problem_of(one, rows)
    if isinstance(settings, ResidualSettings):
        found = fit_residual(problem, settings=settings)
        seconds = time.process_time() - began
        like = HashingEmbedder(dims=problem.keys.shape[1])  # only its length counts here
        residual = ResidualEmbedder(like, down=found.down, up=found.up, name="t0")
        return Adapter(
            embed=lambda given, part: residual.map(given.vectors[part]), seconds=seconds, passes=found.passes
        )
    embedder = load_embedder(model or packaged(), prefixes={}, runtime=Runtime(engine="torch"))
    assert isinstance(embedder, TransformerEmbedder)
    task = one.data.task
    turns = [_turns(each, by_turn=one.by_turn) for each in learnt]
    tuned = fit_lora(problem, turns, embedder=embedder, task=task, settings=settings, device=device)
    seconds = time.process_time() - began
    encoder = query_encoder(embedder, tuned.model, device=device)

    def embed(given: Prepared, part: str) -> Vectors:
        asked = [_turns(each, by_turn=given.by_turn) for each in given.asked[part]]
        ids = turn_ids(encoder, asked, embedder=embedder, task=task, max_tokens=embedder.spec.max_tokens)
        return embed_queries(encoder, ids)

    return Adapter(embed=embed, seconds=seconds, passes=tuned.passes)


def problem_of(one: Prepared, rows: Sequence[Row]) -> tuple[Problem, list[Question]]:
    """The rows against the stored vectors, as `retrain` puts them, and their queries; without those that teach nothing."""
    asked = {each.text: number for number, each in enumerate(one.asked["train"])}
    restricted = any(each.group is not None for each in one.asked["train"])
    groups = one.data.groups if restricted else (None,) * len(one.data.groups)
    numbers: dict[str | None, int] = {None: SHARED}
    owners = np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
    places = {
        (group, text): place for place, (group, text) in enumerate(zip(groups, one.data.texts, strict=True))
    }
    examples, used = [], []
    for row in rows:
        number = asked[row.query]
        group = one.asked["train"][number].group
        rewards = targets(row)
        if rewards is None:
            continue
        by_place = {
            places[group, candidate.text]: reward
            for candidate, reward in zip(row.candidates, rewards, strict=True)
        }
        examples.append(
            Example(
                candidates=np.array(list(by_place), np.int64),
                rewards=np.array(list(by_place.values()), np.float32),
                relevant=frozenset(places[group, candidate.text] for candidate in right_ones(row)),
                owner=numbers[group],
            )
        )
        used.append(number)
    problem = Problem(
        queries=one.vectors["train"][used], keys=one.vectors["keys"], owners=owners, examples=tuple(examples)
    )
    return problem, [one.asked["train"][number] for number in used]


def _turns(question: Question, *, by_turn: bool) -> tuple[str, ...]:
    """What of a question is embedded, to be mixed."""
    return question.turns if by_turn else (question.text,)


def _row(one: TaskSet, question: Question, *, right: Sequence[int], hard: Sequence[int], number: int) -> Row:
    candidates = [Candidate(text=one.texts[place], positive=True) for place in right]
    candidates += [Candidate(text=one.texts[place], source="dense") for place in hard]
    return Row(
        id=f"{one.name} {number}", task=one.task, query=question.text, output=question.answer,
        candidates=tuple(candidates),
    )  # fmt: skip


def _embedded(
    options: argparse.Namespace, texts: dict[str, list[tuple[str, ...]]]
) -> dict[str, NDArray[np.float16]]:
    """By part, [n, d] vectors of the untrained model without prefixes, each the mix of its turns."""
    cuda = str(options.device).startswith("cuda")
    encoder = TrainableEncoder(options.model or packaged(), device=options.device, bf16=cuda)

    def embed(some: list[tuple[str, ...]]) -> NDArray[np.float16]:
        ids = encoder.token_ids([turn for turns in some for turn in turns], max_tokens=TOKENS)
        flat = encoder.embed(ids, batch_tokens=131_072 if cuda else 2_048).numpy()
        ends = np.cumsum([len(turns) for turns in some])
        return np.array([mixed(each) for each in np.split(flat, ends)[:-1]], np.float16)

    return {part: embed(some) for part, some in texts.items()}


def _unit(vectors: Vectors) -> Vectors:
    if not len(vectors):
        return np.zeros((0, 0), np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
