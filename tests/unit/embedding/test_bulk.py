"""Very many texts in bfloat16: when, and that nothing but the speed changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from memsdk.embedding import bulk
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.runtime import Runtime
from memsdk.embedding.torch_engine import TorchEngine
from memsdk.errors import EmbedderError
from memsdk.models import Side, Task
from memsdk.ports import Embedder
from memsdk.testing.tiny_models import save_tiny_bert

FEW = ["Ana is allergic to peanuts.", "tea"]
VERY_MANY = [f"the report is food number {number} " * (number % 7 + 1) for number in range(96)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_bert(folder)
    return folder


@pytest.fixture
def on_such_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that computes in bfloat16, and 90 texts are very many."""
    monkeypatch.setattr(bulk, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(bulk, "AT_ONCE", 90)


def vectors(embedder: Embedder, texts: list[str]) -> np.ndarray:
    """As keys."""
    return embedder.embed(texts, task=Task.CHAT, side=Side.KEY)


@pytest.mark.usefixtures("on_such_a_cpu")
def test_very_many_texts_mean_the_same_in_bfloat16(tiny: Path) -> None:
    """A store is filled with these and asked with the others."""
    exact, fast = load_embedder(tiny, runtime=Runtime(dtype="float32")), load_embedder(tiny)
    assert fast.spec == exact.spec
    of_many = vectors(fast, VERY_MANY)
    assert not np.array_equal(of_many, vectors(exact, VERY_MANY)), "computed in bfloat16"
    assert (of_many * vectors(exact, VERY_MANY)).sum(1).min() > 0.99
    np.testing.assert_array_equal(vectors(fast, FEW), vectors(exact, FEW))


@pytest.mark.usefixtures("on_such_a_cpu")
@pytest.mark.parametrize(
    "runtime",
    [Runtime(dtype="float32"), Runtime(engine="onnx"), Runtime(engine="onnx", dtype="auto")],
    ids=["float32", "onnx", "onnx, auto"],
)
def test_who_asks_for_one_way_gets_it(tiny: Path, runtime: Runtime) -> None:
    """Benchmarks, and who must have the same vectors to the last digit."""
    plain = load_embedder(tiny, runtime=Runtime(dtype="float32"))
    np.testing.assert_array_equal(
        vectors(load_embedder(tiny, runtime=runtime), VERY_MANY), vectors(plain, VERY_MANY)
    )


def test_a_process_that_goes_on_and_on_changes_over(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long ingest comes in slices, none of them very long."""
    monkeypatch.setattr(bulk, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(bulk, "IN_ALL", 2 * len(VERY_MANY))
    embedder, exact = load_embedder(tiny), load_embedder(tiny, runtime=Runtime(dtype="float32"))
    plain = vectors(exact, VERY_MANY)
    np.testing.assert_array_equal(vectors(embedder, VERY_MANY), plain)
    deadline = time.monotonic() + 60
    while np.array_equal(vectors(embedder, VERY_MANY), plain):  # torch is loaded beside the work
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("on_such_a_cpu")
def test_batches_stay_as_small_as_was_asked_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who set a budget has little memory."""
    widths: list[int] = []
    encode = TorchEngine.encode

    def noted(engine: TorchEngine, ids: Sequence[Sequence[int]], *, modes: Sequence[str]) -> np.ndarray:
        widths.append(len(ids) * max(map(len, ids)))
        return encode(engine, ids, modes=modes)

    monkeypatch.setattr(TorchEngine, "encode", noted)
    vectors(load_embedder(tiny, runtime=Runtime(batch_tokens=128)), VERY_MANY)
    assert widths
    assert max(widths) <= 128


@pytest.mark.usefixtures("on_such_a_cpu")
def test_without_torch_it_is_float32(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that torch can't read, or no torch at all, are no reason not to embed."""

    def refuse(*_: object, **__: object) -> None:
        raise EmbedderError("no such thing")

    monkeypatch.setattr("memsdk.embedding.torch_engine.TorchEngine.__init__", refuse)
    exact = load_embedder(tiny, runtime=Runtime(dtype="float32"))
    np.testing.assert_array_equal(vectors(load_embedder(tiny), VERY_MANY), vectors(exact, VERY_MANY))


@pytest.mark.parametrize(
    ("said", "does"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\nbugs\t\t: bf16_of_sorts\n", False),
    ],
    ids=["x86", "Arm", "neither"],
)
def test_the_cpu_is_asked(monkeypatch: pytest.MonkeyPatch, said: str, *, does: bool) -> None:
    """In bfloat16 without instructions for it, everything takes three times as long."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: said)
    assert bulk.computes_in_bfloat16.__wrapped__() is does
