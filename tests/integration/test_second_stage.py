"""A reranker through `Memory`: what it sees, what it changes, and what stays when it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from memsdk import AsyncMemory, InvalidInputError, Memory, RerankerError
from memsdk.evaluation import Asked, EvaluationSet, Item, evaluate
from memsdk.models import Task
from memsdk.testing.tiny_models import save_tiny_bert

Open = Callable[..., Memory]


class Longest:
    """The longest text is the best; keeps what it was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """The lengths."""
        self.asked.append((query, list(texts)))
        return [float(len(text)) for text in texts]


class Broken:
    """Never answers."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Fail."""
        raise ConnectionError("no route to host")


def test_it_orders_the_best_and_explain_shows_its_part(open_memory: Open) -> None:
    """What is paid for with time must be seen to do something."""
    memory = open_memory(reranker=Longest(), reranker_weight=1.0)
    memory.remember(["The dog ran.", "The dog ran to the lake.", "The dog ran to the lake and swam."])
    recall = memory.recall("The dog ran", explain=True)
    assert [hit.text for hit in recall] == [
        "The dog ran to the lake and swam.",
        "The dog ran to the lake.",
        "The dog ran.",
    ]
    for hit in recall:
        assert hit.why is not None
        assert 0 <= hit.score <= 1
        assert hit.score == pytest.approx(sum(hit.why.parts.values()), abs=1e-5)
        assert hit.why.reranker_score == len(hit.text)
    assert [hit.score for hit in recall] == sorted((hit.score for hit in recall), reverse=True)


def test_it_never_sees_what_the_caller_may_not(open_memory: Open) -> None:
    """A reranker may be a server elsewhere: a text of another user, or a forgotten one, must not go there."""
    reranker = Longest()
    memory = open_memory(reranker=reranker)
    for user in ("ana", "ben"):
        memory.remember(f"The dog of {user} ran.", user_id=user)
    memory.remember("The dog of all ran.")
    memory.remember("The dog of ana once ran.", user_id="ana", ttl=timedelta(microseconds=1))
    gone = memory.remember("The dog of ana was forgotten.", user_id="ana")
    old = memory.remember("The dog of ana sat.", user_id="ana")
    memory.remember("The dog of ana lay.", user_id="ana", supersedes=old.id)
    memory.forget(gone.id)
    memory.recall("The dog ran", user_id="ana", k=10)
    ((query, texts),) = reranker.asked
    assert query == "The dog ran"
    assert sorted(texts) == ["The dog of all ran.", "The dog of ana lay.", "The dog of ana ran."]


def test_what_the_index_still_holds_of_a_forgotten_record_is_not_shown(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index may lag behind; SQL has the last word before the reranker, too."""
    reranker = Longest()
    memory = open_memory(reranker=reranker, background=False)
    memory.remember(["The dog of ana ran.", "The dog of ben ran."], user_id="ana")
    gone = memory.remember("The dog of ana was forgotten.", user_id="ana")
    monkeypatch.setattr(memory._parts.index, "delete", lambda *_: None)
    memory.forget(gone.id)
    monkeypatch.undo()
    assert len(memory.recall("The dog", user_id="ana", k=10)) == 2
    assert sorted(reranker.asked[0][1]) == ["The dog of ana ran.", "The dog of ben ran."]


def test_what_is_forgotten_while_it_thinks_is_no_hit(open_memory: Open) -> None:
    """A language model takes seconds, in which a user may have been erased."""

    class Forgetful(Longest):
        """Forgets what it is shown."""

        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            """After the candidates were read, before the hits are."""
            memory.forget(kept.id)
            return super().score(query, texts)

    memory = open_memory(reranker=Forgetful())
    kept = memory.remember("The dog ran.")
    memory.remember("The dog sat.")
    assert [hit.text for hit in memory.recall("The dog ran")] == ["The dog sat."]


def test_it_sees_whole_lines_and_no_more_candidates_than_it_is_allowed(open_memory: Open) -> None:
    """Its time grows with every text; a date that is not shown can't be found."""
    reranker = Longest()
    memory = open_memory(reranker=reranker, reranker_candidates=2, reranker_weight=1.0)
    message = {"role": "user", "name": "Ana", "content": "The dog ran. " * 99, "time": "2023-05-08T10:00:00Z"}
    memory.remember([message, "The dog sat.", "The dog lay.", "The cat sat."], user_id="ana")
    recall = memory.recall("The dog", user_id="ana", k=4)
    (_, texts) = reranker.asked[0]
    assert len(texts) == 2
    assert len(recall) == 4
    assert [hit.score for hit in recall] == sorted((hit.score for hit in recall), reverse=True)
    assert all(text.startswith("Ana (8 May 2023): The dog ran.") == (len(text) > 1_000) for text in texts)


def test_recency_diversity_and_collapse_come_after_it(open_memory: Open) -> None:
    """They are asked for in this recall; a reranker that came last would undo them."""
    memory = open_memory(reranker=Longest(), reranker_weight=1.0)
    memory.remember("The dog ran to the lake and swam.", occurred_at="2020-01-01")
    memory.remember("The dog ran!")
    memory.remember("The dog ran.")
    assert memory.recall("The dog ran", recency=1, k=1)[0].text.startswith("The dog ran")
    assert len(memory.recall("The dog ran", collapse=True, k=3)) == 2


def test_a_recall_is_served_when_it_fails(open_memory: Open, caplog: pytest.LogCaptureFixture) -> None:
    """An agent must not forget because a server is down; and must be told when it asks."""
    memory = open_memory()
    memory.remember(["The dog ran.", "The cat sat."])
    wanted = [(hit.text, hit.score) for hit in memory.recall("The dog ran")]
    memory.close()
    memory = open_memory(reranker=Broken())
    recall = memory.recall("The dog ran", explain=True)
    assert [(hit.text, hit.score) for hit in recall] == wanted
    assert "no route to host" in caplog.text
    assert recall[0].why is not None
    assert recall[0].why.reranker_error == "ConnectionError: no route to host"


def test_shelves_of_their_own_are_not_reranked(open_memory: Open) -> None:
    """A request for tools is searched part by part: a slow reranker would be asked for each."""
    reranker = Longest()
    memory = open_memory(reranker=reranker)
    memory.examples.add(input="2 + 2", output="4")
    assert len(memory.examples.recall("2 + 3", k=1)) == 1
    assert reranker.asked == []


def test_late_interaction_is_the_stores_own_encoder(tmp_path: Path, open_memory: Open) -> None:
    """No other model, no other file."""
    save_tiny_bert(tmp_path / "tiny")
    memory = open_memory(embedder=tmp_path / "tiny", reranker="late")
    memory.remember(["the tea", "a train", "peanut food"])
    recall = memory.recall("a train", explain=True)
    assert all(hit.why is not None and hit.why.reranker_error is None for hit in recall)
    best = next(hit for hit in recall if hit.text == "a train")
    assert best.why is not None
    assert best.why.reranker_score == pytest.approx(1.0, abs=1e-5)


def test_rerankers_that_are_none_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    """A misspelt name must not leave a store behind."""
    with pytest.raises(InvalidInputError, match="not int"):
        Memory.open(tmp_path / "s", embedder="hashing", index="exact", reranker=3)  # type: ignore[arg-type]  # the claim
    with pytest.raises(RerankerError):
        Memory.open(tmp_path / "s", embedder="hashing", index="exact", reranker="nobody/nothing")
    assert not (tmp_path / "s").exists()


async def _recalled(path: Path, reranker: Longest) -> int:
    async with await AsyncMemory.open(path, embedder="hashing", index="exact", reranker=reranker) as memory:
        await memory.remember("The dog ran.")
        return len(await memory.recall("The dog"))


def test_asyncio_has_it_too(tmp_path: Path) -> None:
    """Every argument of one face is one of the other."""
    import asyncio

    reranker = Longest()
    assert asyncio.run(_recalled(tmp_path / "s", reranker)) == 1
    assert len(reranker.asked) == 1


def test_eval_compares_a_reranker_at_weights_of_its_own_and_stops_where_it_fails(tmp_path: Path) -> None:
    """A second stage that failed silently would be measured as the first, and found to change nothing."""
    save_tiny_bert(tmp_path / "tiny")
    items = tuple(Item(id=text, text=text) for text in ("the tea", "a train", "peanut food"))
    asked = Asked(id="q", query="a train", relevant=frozenset({"a train"}))
    data = EvaluationSet(name="three", task=Task.QA, items=items, queries=(asked,))
    result = evaluate(data, compare=["late", "late@0.7"], embedder=tmp_path / "tiny", index="exact")
    assert [each.setting for each in result.results] == ["default", "late", "late@0.7"]
    assert all(each.store_ms["p50"] > 0 for each in result.results)
    with pytest.raises(RerankerError, match="embed_tokens"):
        evaluate(data, compare=["late"], embedder="hashing", index="exact")
    for wrong in ("late@2", "late@x", "reranker="):
        with pytest.raises(InvalidInputError):
            evaluate(data, compare=[wrong], embedder="hashing", index="exact")
