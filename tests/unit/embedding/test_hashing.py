"""The double must behave like an embedder, or tests that pass with it mean nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from memsdk.embedding.loading import from_spec, load_embedder
from memsdk.embedding.prefixes import LLM_EMBEDDER
from memsdk.errors import InvalidInputError
from memsdk.models import Side, Task
from memsdk.testing.embedders import HashingEmbedder

PRINT_ONE = """
from memsdk.testing.embedders import HashingEmbedder
from memsdk.models import Side, Task
print(HashingEmbedder(dims=8).embed(["tea"], task=Task.CHAT, side=Side.KEY).tobytes().hex())
"""


def test_every_process_gets_the_same_vectors() -> None:
    """Python's own hash() differs from process to process; a store would not find its memories again."""
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_ONE], capture_output=True, text=True, check=True
    ).stdout
    here = HashingEmbedder(dims=8).embed(["tea"], task=Task.CHAT, side=Side.KEY)
    assert np.frombuffer(bytes.fromhex(printed), np.float32).tolist() == here[0].tolist()


def test_similar_texts_are_close() -> None:
    """Recall tests ask for the right memory among others."""
    memories = [
        "Ana is allergic to peanuts.",
        "Bob plays the violin on Sundays.",
        "The train to Lyon leaves at nine.",
    ]
    embedder = HashingEmbedder()
    keys = embedder.embed(memories, task=Task.CHAT, side=Side.KEY)
    queries = embedder.embed(
        ["peanut allergies of Ana", "violin playing", "trains for Lyon"], task=Task.CHAT, side=Side.QUERY
    )
    assert (queries @ keys.T).argmax(1).tolist() == [0, 1, 2]


def test_names_dims_and_lengths_tell_embedders_apart() -> None:
    """Tests of a switch need two embedders whose vectors must not mix."""
    made = [
        HashingEmbedder(),
        HashingEmbedder(dims=32),
        HashingEmbedder(name="other"),
        HashingEmbedder(max_tokens=9),
    ]
    specs = [embedder.spec for embedder in made]
    assert len({(spec.weights, spec.dims, spec.max_tokens) for spec in specs}) == len(specs)
    vectors = [made[number].embed(["tea"], task=Task.CHAT, side=Side.KEY)[0] for number in (0, 2)]
    assert abs(float(vectors[0] @ vectors[1])) < 0.9


def test_a_store_loads_it_again() -> None:
    """Crash tests reopen a store in a new process and name no embedder."""
    embedder = HashingEmbedder(dims=16, name="a:b", prefixes=LLM_EMBEDDER)
    again = from_spec(embedder.spec)
    assert again.spec == embedder.spec
    assert load_embedder(embedder.spec.source).spec.weights == embedder.spec.weights


@pytest.mark.parametrize("name", ["hashing:many", "hashing:0", "hashing:8:0", "hashing:8:x"])
def test_a_bad_name_is_refused(name: str) -> None:
    """`--embedder hashing:0` on the command line must say what was expected."""
    with pytest.raises(InvalidInputError):
        load_embedder(name)
