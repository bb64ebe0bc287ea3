"""Recall on every set of ../shared/data: the default beside each leg alone, with the paired bootstrap of the difference.

A set is measured as `memsdk eval` does it, on the split that it is tuned on (dev) where it has one, in at most `--limit`
queries. `met` says whether LoCoMo keeps its target and the default loses significantly to no leg on any set.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict

from memsdk.evaluation import Evaluation, Result, evaluate

TARGETS = {"recall@10": 0.82, "ndcg@10": 0.63}
"""Of LoCoMo, over the six conversations with evidence."""
SETS = Path(__file__).parents[2] / "shared" / "data"
DATA = SETS / "chat" / "locomo"
LEGS = ("lexical", "dense")
WHOLE = {"locomo"}
"""Sets of which every query is asked, whatever its split."""


class Turn(TypedDict):
    """A line of the corpus."""

    id: str
    text: str
    meta: dict[str, str | int]


class Query(TypedDict):
    """A line of the queries."""

    query: str
    relevant: list[str]
    meta: dict[str, str]


def main(arguments: list[str]) -> dict[str, object]:
    """Measure and print a line a set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recall", description=__doc__)
    parser.add_argument("sets", nargs="*", type=Path, help="folders of sets; all of --data by default")
    parser.add_argument("--data", type=Path, default=SETS, help="the folder of the sets, TASK/NAME")
    parser.add_argument("--limit", type=int, default=300, help="queries a set, but of LoCoMo all")
    parser.add_argument(
        "--index", default="embedded-inline", choices=("embedded", "embedded-inline", "exact")
    )
    options = parser.parse_args(arguments)
    folders = options.sets or sorted(path.parent for path in options.data.glob("*/*/queries.jsonl.gz"))
    print(f"{'recall@10 / ndcg@10':26}{'queries':>8}" + "".join(f"{name:>18}" for name in ("default", *LEGS)))
    evaluations = list(measured(folders, limit=options.limit, index=options.index))
    misses = [miss for evaluation in evaluations for miss in below(evaluation)]
    print("\n".join(misses) or "at least as good as either leg on every set, and LoCoMo's target is met")
    return {
        "met": not misses,
        "targets": TARGETS,
        "misses": misses,
        "sets": [evaluation.model_dump(mode="json") for evaluation in evaluations],
    }


def measured(folders: list[Path], *, limit: int, index: str) -> Iterator[Evaluation]:
    """Each set's evaluation, printed as soon as it is there."""
    for folder in folders:
        print(f"{folder.parent.name}/{folder.name}", end="\r", file=sys.stderr, flush=True)
        is_whole = folder.name in WHOLE
        evaluation = evaluate(
            folder,
            compare=LEGS,
            split=None if is_whole else "dev",
            limit=None if is_whole else limit,
            index=index,  # type: ignore[arg-type]  # one of argparse's choices
        )
        print(line(evaluation), flush=True)
        yield evaluation


def line(evaluation: Evaluation) -> str:
    """The set's row; * marks a leg that differs significantly from the default."""
    first = evaluation.results[0]
    cells = "".join(f"{cell(result):>18}" for result in evaluation.results)
    return f"{evaluation.task + '/' + evaluation.name:26}{first.overall.queries:>8}{cells}"


def cell(result: Result) -> str:
    """Both figures of one setting."""
    measures = result.overall.measures
    return " / ".join(
        f"{measures[name].mean:.3f}"
        + ("*" if name in result.against_first and result.against_first[name].significant else "")
        for name in TARGETS
    )


def below(evaluation: Evaluation) -> Iterator[str]:
    """What is worse than it should be."""
    first = evaluation.results[0].overall.measures
    if evaluation.name == "locomo":
        for name, target in TARGETS.items():
            if first[name].mean < target:
                yield f"locomo: {name} is {first[name].mean:.3f}, the target is {target}"
    for result in evaluation.results[1:]:
        for name in TARGETS:
            found = result.against_first[name].difference
            if found.low > 0:
                yield f"{evaluation.name}: {result.setting} alone is better by {found.mean:.3f} {name}"


def lines(path: Path) -> Iterator[dict[str, object]]:
    """The JSON lines of a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        yield from map(json.loads, text)


def message(turn: Turn, number: int) -> dict[str, object]:
    """A turn as a chat message, the second of its number after the session's beginning."""
    meta = turn["meta"]
    said_at = re.sub(r"\s+", " ", meta["session_date_time"].strip()) + " +0000"
    began = datetime.strptime(said_at, "%I:%M %p on %d %B, %Y %z")
    made = {
        "role": "user",
        "name": meta["speaker"],
        "content": turn["text"],
        "id": turn["id"],
        "time": began + timedelta(seconds=number),
    }
    return made | (
        {"metadata": {"image_caption": meta["image_caption"]}} if meta.get("image_caption") else {}
    )
