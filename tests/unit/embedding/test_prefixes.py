"""Fingerprints name what may be compared; a wrong one mixes vectors silently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memsdk.embedding.prefixes import LLM_EMBEDDER, fingerprint, prefix_of, query_version
from memsdk.models import Side, Task
from memsdk.ports import EmbedderSpec

BARE = EmbedderSpec(
    name="a", source="/a", weights="w", tokenizer="t", pooling="mean", dims=4, max_tokens=8, prefixes={}
)
PREFIXED = replace(BARE, prefixes=dict(LLM_EMBEDDER))


def test_every_task_has_a_pair_that_ends_in_a_space() -> None:
    """LLM-Embedder was trained with the space; without it the first word is another token."""
    assert set(LLM_EMBEDDER) == set(Task)
    assert all(prefix.endswith(": ") for pair in LLM_EMBEDDER.values() for prefix in pair)
    assert len({prefix for pair in LLM_EMBEDDER.values() for prefix in pair}) == 12


def test_query_and_key_are_not_swapped() -> None:
    """Swapped prefixes still work, only worse: nobody would notice."""
    assert prefix_of(LLM_EMBEDDER, task=Task.QA, side=Side.KEY) == "Represent this document for retrieval: "
    assert prefix_of(LLM_EMBEDDER, task=Task.TOOL, side=Side.QUERY).startswith("Transform this user request")
    assert prefix_of({}, task=Task.QA, side=Side.QUERY) == ""


def test_tasks_of_a_model_without_prefixes_share_a_space() -> None:
    """Five copies of the same vectors would cost five times the disk and the embedding."""
    assert len({fingerprint(BARE, task, composition="plain") for task in Task}) == 1
    assert len({query_version(BARE, task) for task in Task}) == 1


def test_tasks_with_different_key_prefixes_do_not() -> None:
    """A document's vector is no answer to a tool's query."""
    assert len({fingerprint(PREFIXED, task, composition="plain") for task in Task}) == len(Task)
    assert len({query_version(PREFIXED, task) for task in Task}) == len(Task)


@pytest.mark.parametrize(
    "other",
    [
        replace(BARE, weights="x"),
        replace(BARE, tokenizer="x"),
        replace(BARE, pooling="cls"),
        replace(BARE, max_tokens=9),
        replace(BARE, dims=5),
        replace(BARE, normalize=False),
    ],
    ids=["weights", "tokenizer", "pooling", "max_tokens", "dims", "normalize"],
)
def test_what_changes_a_vector_changes_both_names(other: EmbedderSpec) -> None:
    """Promise 4: vectors never mix."""
    assert fingerprint(other, Task.QA, composition="plain") != fingerprint(BARE, Task.QA, composition="plain")
    assert query_version(other, Task.QA) != query_version(BARE, Task.QA)


def test_composition_enters_the_fingerprint_only() -> None:
    """How a turn is put together changes its vector and no query's."""
    assert fingerprint(BARE, Task.CHAT, composition="turn") != fingerprint(
        BARE, Task.CHAT, composition="plain"
    )


def test_the_query_prefix_enters_the_query_version_only() -> None:
    """A new query prefix needs no re-embedding of what is stored."""
    other = replace(BARE, prefixes={Task.QA: ("ask: ", "")})
    assert fingerprint(other, Task.QA, composition="plain") == fingerprint(BARE, Task.QA, composition="plain")
    assert query_version(other, Task.QA) != query_version(BARE, Task.QA)


def test_a_copied_folder_keeps_its_fingerprint() -> None:
    """A store that moves to another machine must not re-embed everything."""
    moved = replace(BARE, name="b", source="/b", revision="c")
    assert fingerprint(moved, Task.QA, composition="plain") == fingerprint(BARE, Task.QA, composition="plain")


def test_fingerprints_stay_what_they_were() -> None:
    """They are stored: another way to compute them would orphan every index."""
    assert fingerprint(BARE, Task.QA, composition="plain") == "8c1fa0efaac0a187"
    assert query_version(PREFIXED, Task.QA) == "a5fb054aec5fa962"
