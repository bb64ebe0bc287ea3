"""Which candidates a row gets."""

from __future__ import annotations

import pytest

from memsdk.errors import InvalidInputError
from memsdk.trainer.mining import Found, Mining, choose
from memsdk.trainer.rows import Candidate


def found(source: str, *texts: str, scores: list[float] | None = None) -> list[Found]:
    """Hits of a source, best first."""
    given = scores or [None] * len(texts)  # type: ignore[list-item]  # no scores
    return [
        Found(Candidate(text=text, source=source), score) for text, score in zip(texts, given, strict=True)
    ]


def texts(chosen: tuple[Candidate, ...]) -> list[str]:
    """What was chosen."""
    return [one.text for one in chosen]


def test_sources_take_turns_up_to_their_shares() -> None:
    """Candidates of one kind teach one kind of difference."""
    chosen = choose(
        [Candidate(text="shown", source="shown")],
        {"dense": found("dense", "d1", "d2", "d3"), "bm25": found("bm25", "b1", "d1", "b2")},
        query="q", row_id="1", mining=Mining(candidates=5, each={"dense": 2, "bm25": 2}),
    )  # fmt: skip
    assert texts(chosen) == ["shown", "d1", "b1", "d2", "b2"]


def test_duplicates_and_the_query_itself_are_masked() -> None:
    """A text that stands twice in a group competes with itself; one that repeats the query is found by every model."""
    chosen = choose(
        [Candidate(text="Tea at five."), Candidate(text="tea  at FIVE.", positive=True)],
        {"dense": found("dense", "TEA at five.", "When is tea?", "new")},
        query="when is tea?", row_id="1", mining=Mining(each={"dense": 9}),
    )  # fmt: skip
    assert texts(chosen) == ["tea  at FIVE.", "new"]
    assert chosen[0].positive


def test_what_scores_near_a_right_text_is_dropped() -> None:
    """It may be right as well: NV-Retriever's 95 %."""
    right = Candidate(text="right", positive=True)
    hits = {
        "dense": found("dense", "better", "right", "near", "far", scores=[0.9, 0.8, 0.77, 0.5]),
        "bm25": found("bm25", "near", "b"),
    }
    mining = Mining(each={"dense": 9, "bm25": 9})
    assert texts(choose([right], hits, query="q", row_id="1", mining=mining)) == ["right", "far", "b"]
    unknown = [Candidate(text="right")]  # no label: the reward will tell
    assert "near" in texts(choose(unknown, hits, query="q", row_id="1", mining=mining))


def test_random_ones_depend_on_the_row_and_the_seed_alone() -> None:
    """A row that changes with the order of rows is never found in the cache again."""
    pool = {"random": found("random", *map(str, range(50)))}

    def drawn(row_id: str, seed: int) -> list[str]:
        return texts(choose([], pool, query="q", row_id=row_id, mining=Mining(each={"random": 4}, seed=seed)))

    assert drawn("1", 0) == drawn("1", 0)
    assert len({tuple(drawn(row, seed)) for row in "12" for seed in (0, 1)}) == 4


def test_positives_are_never_cut_off() -> None:
    """A row without its right text teaches the wrong one."""
    shown = [*(Candidate(text=f"s{n}") for n in range(5)), Candidate(text="right", positive=True)]
    chosen = choose(shown, {}, query="q", row_id="1", mining=Mining(candidates=3))
    assert "right" in texts(chosen)
    assert len(chosen) <= 4


@pytest.mark.parametrize("wrong", [{"candidates": 1}, {"each": {"magic": 1}}, {"relative_margin": 1.0}])
def test_settings_that_can_not_be_meant(wrong: dict[str, object]) -> None:
    """A misspelt source would be mined from in silence."""
    with pytest.raises(InvalidInputError):
        Mining(**wrong)  # type: ignore[arg-type]  # the mistakes in question
