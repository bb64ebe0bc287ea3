# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.errors import InvalidInputError
from memsdk.models import Hit, Kind
from memsdk.recalled import Recall
from memsdk.wiring import token_counter

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.one_of(
    st.text(min_size=1, max_size=80),
    st.lists(
        st.sampled_from(["word", "zeppelin", "港口", "👩\u200d🚀", "\n", "x" * 30, "a.b"]),
        min_size=1,
        max_size=60,
    ).map(" ".join),
)


def hit(number: int, text: str, kind: Kind) -> Hit:
    return Hit(
        id=UUID(int=number), kind=kind, text=text, occurred_at=NOW, created_at=NOW, updated_at=NOW, last_seen_at=NOW,
        score=1 / (number + 1), title="Title" if kind is Kind.DOCUMENT else None,
    )  # fmt: skip


def recall_of(texts: list[tuple[str, Kind]], max_tokens: int | None = None) -> Recall:
    hits = tuple(hit(number, text, kind) for number, (text, kind) in enumerate(texts))
    return Recall(id=UUID(int=1), query="q", hits=hits, at=NOW, query_version="v", max_tokens=max_tokens)


@given(
    texts=st.lists(st.tuples(TEXTS, st.sampled_from([Kind.MEMORY, Kind.DOCUMENT])), max_size=6),
    budget=st.integers(1, 120),
)
def test_a_rendered_recall_never_exceeds_its_budget(texts: list[tuple[str, Kind]], budget: int) -> None:
    """One token over the limit and the LLM's server refuses the whole prompt."""
    counter = token_counter("cl100k_base")
    rendered = recall_of(texts, max_tokens=budget).render()
    assert counter.count(rendered) <= budget
    assert rendered == recall_of(texts).render(budget, counter=counter)


def test_without_a_budget_all_is_rendered_best_first() -> None:
    """The best hit belongs where a model looks first."""
    rendered = recall_of([("first", Kind.MEMORY), ("second", Kind.DOCUMENT), ("third", Kind.MEMORY)]).render()
    assert rendered == (
        "## Memories\n- (2026-01-01) first\n- (2026-01-01) third\n\n## Documents\n- [Title] second"
    )
    assert recall_of([]).render() == ""
    assert recall_of([("first", Kind.MEMORY)]).render(-5) == ""  # what is left of a budget may be nothing


def test_a_hit_that_does_not_fit_leaves_room_for_smaller_ones() -> None:
    """One long document must not keep three short facts out of the prompt."""
    rendered = recall_of([("long " * 500, Kind.MEMORY), ("short one", Kind.MEMORY)]).render(40)
    assert "short one" in rendered
    assert "long" not in rendered


def test_the_best_hit_is_cut_at_a_word_where_nothing_fits() -> None:
    """Half a fact is better than none, half a word is not."""
    rendered = recall_of([(" ".join(f"word{number}" for number in range(500)), Kind.MEMORY)]).render(40)
    assert rendered.split()[-1].startswith("word")
    assert rendered.split()[-1] in {f"word{number}" for number in range(500)}


@pytest.mark.parametrize("budget", ["5", 2.5, True, [5]])
def test_a_budget_that_is_no_count_is_refused(budget: object) -> None:
    """`max_tokens="800"` from a setting must not end in a TypeError deep inside."""
    with pytest.raises(InvalidInputError, match="max_tokens"):
        recall_of([("x", Kind.MEMORY)]).render(budget)  # type: ignore[arg-type]  # that is the claim
