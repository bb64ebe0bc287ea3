# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from memsdk import InvalidInputError, Memory
from memsdk.evaluation import evaluate, read_set
from memsdk.testing.embedders import HashingEmbedder


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    lines = "\n".join(json.dumps(row) for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines, encoding="utf-8")
    return path


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """Two conversations that say nearly the same, so that a search across them finds the wrong one."""
    folder = tmp_path / "chat" / "two"
    folder.mkdir(parents=True)
    said = ("I bought a red canoe.", "Where did you buy it?", "At the harbour in Bergen.")
    turns = [
        {
            "id": f"{group}-{turn}",
            "text": text,
            "meta": {
                "group": group, "speaker": ("Ana", "Ben")[turn % 2], "session": 1, "turn": turn,
                "session_date_time": "1:56 pm on 8 May, 2023",
            },
        }
        for group in ("one", "two")
        for turn, text in enumerate(said)
    ]  # fmt: skip
    queries = [
        {"id": f"q-{group}", "query": "What did Ana buy? A canoe?", "relevant": [f"{group}-0"],
         "meta": {"group": group, "category_name": "shopping", "split": split}}
        for group, split in (("one", "dev"), ("two", "train"))
    ]  # fmt: skip
    write(folder / "corpus.jsonl.gz", turns)
    write(
        folder / "queries.jsonl.gz",
        [*queries, {"id": "none", "query": "Nothing?", "relevant": [], "meta": {}}],
    )
    return folder


def test_chats_are_searched_within_their_group_and_reported_by_category_and_split(chats: Path) -> None:
    """A conversation of others in the hits would make every figure wrong."""
    result = evaluate(
        chats,
        compare=["dense", "lexical"],
        ablate=["neighbours", "signals"],
        embedder=HashingEmbedder(),
        index="exact",
    )
    names = [each.setting for each in result.results]
    assert names == ["default", "dense", "lexical", "no neighbours", "no signals"]
    first = result.results[0]
    assert (result.task, result.items, first.overall.queries) == ("chat", 6, 2)
    assert first.overall.measures["recall@5"].mean == 1.0
    assert list(first.categories) == ["shopping"]
    assert {name: group.queries for name, group in first.splits.items()} == {"dev": 1, "train": 1}
    assert first.store_ms["p50"] > 0
    assert not first.against_first
    assert "ndcg@10" in result.results[1].against_first
    only = evaluate(chats, split="dev", embedder=HashingEmbedder(), index="exact")
    assert only.results[0].overall.queries == 1


def test_passages_are_found_as_their_shelf_finds_them(tmp_path: Path) -> None:
    """Of chunks that say the same, users are given the nearest that lies before what they read; a figure without that is not theirs."""
    folder = tmp_path / "lrlm" / "book"
    folder.mkdir(parents=True)
    said = ["The lighthouse key is under the step."] * 40
    chunks = [
        {"id": f"b-{n}", "text": text, "meta": {"group": "b", "order": n}} for n, text in enumerate(said)
    ]
    queries = [
        {
            "id": "q",
            "query": "Where is the lighthouse key?",
            "relevant": ["b-29"],
            "meta": {"group": "b", "order": 30},
        }
    ]
    write(folder / "corpus.jsonl.gz", chunks)
    write(folder / "queries.jsonl.gz", queries)
    result = evaluate(folder, compare=["hybrid"], embedder=HashingEmbedder(), index="exact")
    default, hybrid = (each.overall.measures["recall@1"].mean for each in result.results)
    assert (result.task, default, hybrid) == ("lrlm", 1.0, 0.0)


def test_pairs_of_query_and_text_are_a_set(tmp_path: Path) -> None:
    """That is what people have: questions, and the texts that answer them."""
    path = write(
        tmp_path / "mine.jsonl",
        [
            {"query": "What can't Ana eat?", "relevant": ["Ana can't eat peanuts."]},
            {"query": "What does Ana eat?", "relevant": ["Ana can't eat peanuts.", "Ana eats rice."]},
            {"text": "The ferry leaves at six."},
        ],
    )
    data = read_set(path)
    assert (len(data.items), len(data.queries), data.task.value) == (3, 2, "qa")
    result = evaluate(data, embedder=HashingEmbedder(), index="exact")
    assert result.results[0].overall.measures["recall@5"].mean == 1.0


def test_a_store_is_measured_with_its_own_feedback(tmp_path: Path) -> None:
    """The best test set is what one's own users asked; and measuring writes nothing into their store."""
    with Memory.open(tmp_path / "store", embedder=HashingEmbedder(), index="exact") as memory:
        for user, place in (("ana", "Bergen"), ("ben", "Oslo")):
            memory.remember([f"The canoe lies in {place}.", "The ferry leaves at six."], user_id=user)
            recall = memory.recall("Where is the canoe?", user_id=user)
            canoe = next(hit for hit in recall if "canoe" in hit.text)
            memory.feedback(recall, used=[canoe.id], score=1.0)
        before = memory.stats()
        result = evaluate(memory, compare=["lexical"], index="exact")
        assert memory.stats().records == before.records
        assert memory.stats().recalls == before.recalls
    assert (result.items, result.results[0].overall.queries) == (4, 2)
    assert result.results[0].overall.measures["recall@5"].mean == 1.0


def test_a_store_without_feedback_says_what_is_missing(tmp_path: Path) -> None:
    """Nothing to measure with is no result of 0."""
    with (
        Memory.open(tmp_path / "store", embedder=HashingEmbedder(), index="exact") as memory,
        pytest.raises(InvalidInputError, match="feedback"),
    ):
        evaluate(memory)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"query": "a", "relevant": "b"}], "list of texts"),
        ([{"query": " ", "relevant": ["b"]}], "expected a text"),
        ([{"text": "b"}], "none of 0 queries"),
        ([{"query": "a", "relevant": []}], "none of 1 queries"),
    ],
)
def test_bad_sets_are_refused_with_the_line(
    tmp_path: Path, rows: list[dict[str, object]], complaint: str
) -> None:
    """A set that is read wrongly gives figures that nobody doubts."""
    with pytest.raises(InvalidInputError, match=complaint):
        read_set(write(tmp_path / "bad.jsonl", rows))


def test_unknown_settings_and_splits_are_refused(chats: Path) -> None:
    """A misspelt name must not be measured as the default."""
    for wrong in ({"compare": ["dens"]}, {"ablate": ["nothing"]}, {"split": "test"}, {"limit": 0}):
        with pytest.raises(InvalidInputError):
            evaluate(chats, embedder=HashingEmbedder(), index="exact", **wrong)
