"""The model read beside the imports: it is the store's own, read once, and nothing that goes wrong is noticed here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from memsdk.cli.head_start import begin
from memsdk.embedding import onnx
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.tensors import read_tensors
from memsdk.testing.tiny_models import save_tiny_bert

Reads = list[Path]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The weights files that are read from now on."""
    seen: Reads = []

    def counted(file: Path) -> object:
        seen.append(file)
        return read_tensors(file)

    monkeypatch.setattr(onnx, "read_tensors", counted)
    return seen


def database(folder: Path, *specs: str) -> Path:
    """What a head start reads of a store's database: which embedders there are, the first one active."""
    file = folder / "memory.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE embedders (spec TEXT, state TEXT)")
        states = ["active", *["retired"] * len(specs)]
        connection.executemany("INSERT INTO embedders VALUES (?, ?)", list(zip(specs, states, strict=False)))
    return file


def model(folder: Path, *, seed: int) -> str:
    """A small model's folder, and the spec that names it."""
    save_tiny_bert(folder, seed=seed)
    return json.dumps({"source": str(folder)})


def test_the_stores_model_is_read_once(tmp_path: Path, reads: Reads) -> None:
    """Read again by the one who needs it, it would make a recall slower and not faster."""
    other = model(tmp_path / "other", seed=31)
    reading = begin(database(tmp_path, model(tmp_path / "own", seed=32), other), embedder=None)
    assert reading is not None
    reading.result(timeout=60)
    assert reads == [tmp_path / "own" / "model.safetensors"]
    load_embedder(tmp_path / "own")
    assert len(reads) == 1


def test_the_embedder_that_was_asked_for_wins(tmp_path: Path, reads: Reads) -> None:
    """What opens the store takes that one too."""
    model(tmp_path / "asked", seed=33)
    file = database(tmp_path, model(tmp_path / "own", seed=34))
    reading = begin(file, embedder=str(tmp_path / "asked"))
    assert reading is not None
    reading.result(timeout=60)
    assert reads == [tmp_path / "asked" / "model.safetensors"]


def no_file(folder: Path) -> Path:
    """A store that is to be made."""
    return folder / "memory.db"


def no_database(folder: Path) -> Path:
    """Damaged, or something else."""
    no_file(folder).write_bytes(b"no database at all" * 99)
    return no_file(folder)


def no_tables(folder: Path) -> Path:
    """Being made by another process."""
    sqlite3.connect(no_file(folder)).close()
    return no_file(folder)


def no_embedder(folder: Path) -> Path:
    """A store that nothing was remembered in yet."""
    return database(folder)


def no_spec(folder: Path) -> Path:
    """Written by hand."""
    return database(folder, "packaged")


@pytest.mark.parametrize("make", [no_file, no_database, no_tables, no_embedder, no_spec])
def test_a_store_that_does_not_say_is_left_alone(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Opening it says what is wrong, in the words of memsdk; an error here would come first, in SQLite's."""
    file = make(tmp_path)
    existed = file.exists()
    assert begin(file, embedder=None) is None
    assert file.exists() == existed


@pytest.mark.parametrize(("name", "value"), [("DEVICE", "auto"), ("DTYPE", "bfloat16"), ("THREADS", "many")])
def test_nothing_is_read_that_would_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Torch computes these, from weights of its own; and a wrong setting is reported by the one that opens."""
    monkeypatch.setenv(f"MEMSDK_{name}", value)
    assert begin(database(tmp_path, model(tmp_path / "own", seed=35)), embedder=None) is None


def test_weights_that_can_not_be_read_are_left_to_who_needs_them(tmp_path: Path) -> None:
    """A thread that dies with a traceback on the terminal is not an error message."""
    spec = model(tmp_path / "own", seed=36)
    weights = tmp_path / "own" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    reading = begin(database(tmp_path, spec), embedder=None)
    assert reading is not None
    assert "can't be read" in str(reading.exception(timeout=60))
