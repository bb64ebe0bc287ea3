"""The torch-free engine: what it takes, what it leaves to torch, and that nobody can tell the vectors apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from safetensors.torch import load_file, save_file

from memsdk.embedding.loading import load_embedder
from memsdk.embedding.onnx_graph import bert_shape
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError
from memsdk.models import Side, Task
from memsdk.testing.tiny_models import save_tiny_bert

TEXTS = ["tea", "the report is food", "a train " * 40, "", "peanut " * 9]
ONNX, TORCH = Runtime(engine="onnx"), Runtime(engine="torch")
BERT: dict[str, JsonValue] = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 32,
}


def vectors(folder: Path | None, runtime: Runtime) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Of TEXTS."""
    return load_embedder(folder, runtime=runtime).embed(TEXTS, task=Task.CHAT, side=Side.KEY)


def change_config(folder: Path, **changes: object) -> None:
    """Rewrite some of config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_engines_give_the_same_vectors() -> None:
    """Documents may be embedded by one and queries by the other; a drift would lower every score a little."""
    assert (vectors(None, ONNX) * vectors(None, TORCH)).sum(1).min() > 0.99999


def test_many_texts_are_embedded_as_each_alone() -> None:
    """Of many batches each thread computes its own, the last ones in pieces: an order mixed up would mix up memories."""
    texts = [f"tea {'and cake ' * (number % 23)}at {number}" for number in range(300)]
    embedder = load_embedder(None, runtime=Runtime(engine="onnx", threads=2, batch_tokens=256))
    together = embedder.embed(texts, task=Task.CHAT, side=Side.KEY)
    some = range(0, 300, 37)
    alone = np.concatenate([embedder.embed([texts[n]], task=Task.CHAT, side=Side.KEY) for n in some])
    assert (together[list(some)] * alone).sum(1).min() > 0.99999
    assert len({row.tobytes() for row in together}) == 300


def test_embedding_needs_no_torch() -> None:
    """Importing torch takes longer than everything else in a command that recalls."""
    code = (
        "import sys; from memsdk.embedding.loading import load_embedder; from memsdk.models import Side, Task\n"
        "load_embedder().embed(['tea'], task=Task.CHAT, side=Side.QUERY)\n"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_onnxruntime_sends_and_writes_nothing(tmp_path: Path) -> None:
    """Some of its wheels start a thread that reports usage, and keep a device id in the home folder."""
    code = (
        "import os; from memsdk.embedding.loading import load_embedder; from memsdk.embedding.runtime import Runtime\n"
        "load_embedder(runtime=Runtime(threads=1, engine='onnx')); print(len(os.listdir('/proc/self/task')))"
    )
    home = {"HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True, timeout=60
    )
    assert (ran.stdout.strip(), list(tmp_path.iterdir())) == ("1", [])


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "roberta"},
        {"hidden_act": "relu"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"num_attention_heads": 3},
        {"hidden_size": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_the_graph_does_not_compute_is_not_taken(change: dict[str, JsonValue]) -> None:
    """A graph that ignores such a line gives vectors that look right and are wrong."""
    assert bert_shape(BERT) is not None
    assert bert_shape({**BERT, **change}) is None


def test_another_architecture_falls_back_to_torch(tmp_path: Path) -> None:
    """The engine is chosen for speed; a model that it can't run is still a model."""
    save_tiny_bert(tmp_path, seed=3)
    change_config(tmp_path, hidden_act="relu")
    np.testing.assert_array_equal(vectors(tmp_path, Runtime()), vectors(tmp_path, TORCH))
    with pytest.raises(EmbedderError, match="leave `engine` out"):
        load_embedder(tmp_path, runtime=ONNX)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_computed_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    """Numpy has no bfloat16; a folder saved in it must neither fail nor be misread."""
    save_tiny_bert(tmp_path, seed=4)
    weights = tmp_path / "model.safetensors"
    save_file(
        {name: tensor.to(dtype) for name, tensor in load_file(weights).items()},
        weights,
        metadata={"format": "pt"},
    )
    np.testing.assert_allclose(vectors(tmp_path, Runtime()), vectors(tmp_path, TORCH), atol=1e-5)


def test_weights_of_a_larger_model_are_found_under_its_prefix(tmp_path: Path) -> None:
    """BertForMaskedLM and its like call the encoder's tensors `bert.`; torch knows that."""
    save_tiny_bert(tmp_path, seed=5)
    weights = tmp_path / "model.safetensors"
    save_file(
        {f"bert.{name}": tensor for name, tensor in load_file(weights).items()},
        weights,
        metadata={"format": "pt"},
    )
    np.testing.assert_allclose(vectors(tmp_path, ONNX), vectors(tmp_path, TORCH), atol=1e-5)


def test_missing_tensors_are_an_error(tmp_path: Path) -> None:
    """Torch would fill them with random numbers, and the graph can't be built."""
    save_tiny_bert(tmp_path, seed=6)
    weights = tmp_path / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layer.1" not in name}
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(EmbedderError, match="fetch the model again"):
        load_embedder(tmp_path)


def test_half_a_file_of_weights_is_an_error(tmp_path: Path) -> None:
    """A download that broke off."""
    save_tiny_bert(tmp_path, seed=7)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EmbedderError, match="can't be read"):
        load_embedder(tmp_path)


def test_broken_weights_are_an_error_and_not_vectors(tmp_path: Path) -> None:
    """NaN vectors can be stored, and are then never found."""
    save_tiny_bert(tmp_path, seed=8)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    tensors["embeddings.LayerNorm.weight"].fill_(float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(EmbedderError, match="not finite"):
        vectors(tmp_path, ONNX)
