"""Reading safetensors files in one go: what its own library reads, and a named error for everything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from memsdk.embedding.tensors import read_tensors

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(file: Path, header: object, numbers: bytes, *, padding: int = 0) -> Path:
    """A file of that header, whatever it says."""
    text = json.dumps(header).encode() + b" " * padding
    file.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return file


def test_it_reads_what_the_library_wrote(tmp_path: Path) -> None:
    """Another number here is another vector there."""
    file = tmp_path / "some.safetensors"
    half = np.linspace(-1, 1, 5, dtype=np.float16)
    tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.floating]]] = {
        "rows": ROWS,
        "half": half,
        "none": np.empty((0, 4), np.float32),
        "one": np.array(3, np.float32),
    }
    save_file(tensors, file, metadata={"format": "np"})
    found = read_tensors(file)
    assert sorted(found) == sorted(tensors)
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found[name], tensor)


def test_types_that_numpy_has_not_are_left_out(tmp_path: Path) -> None:
    """Torch computes those; read as another type they would be noise."""
    file = tmp_path / "some.safetensors"
    save_torch_file({"b": torch.ones(2, dtype=torch.bfloat16), "f": torch.ones(2)}, file)
    assert list(read_tensors(file)) == ["f"]


@pytest.mark.parametrize("padding", range(8))
def test_a_header_of_any_length_will_do(tmp_path: Path, padding: int) -> None:
    """Old files do not align their numbers, and onnxruntime takes them for aligned."""
    header = {"rows": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    found = read_tensors(written(tmp_path / "f", header, ROWS.tobytes(), padding=padding))["rows"]
    np.testing.assert_array_equal(found, ROWS)
    assert found.flags.aligned


def place(**changes: object) -> dict[str, object]:
    """A header of one tensor."""
    return {"rows": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}


@pytest.mark.parametrize(
    "header",
    [
        place(data_offsets=[0, 28]),
        place(data_offsets=[4, 28]),
        place(data_offsets=[-24, 0]),
        place(data_offsets=[24, 0]),
        place(data_offsets=[0]),
        place(data_offsets="ab"),
        place(shape=[2, 4]),
        place(shape=[-2, -3]),
        place(shape=None),
        place(surplus=1),
        {"rows": {"shape": [2, 3], "data_offsets": [0, 24]}},
        {"rows": [0, 24]},
        [],
        "rows",
    ],
)
def test_a_wrong_header_is_an_error(tmp_path: Path, header: object) -> None:
    """A tensor from the wrong place gives vectors that look like any other."""
    with pytest.raises(ValueError, match="does not fit"):
        read_tensors(written(tmp_path / "f", header, ROWS.tobytes()))


@pytest.mark.parametrize(
    "content", [b"", b"\x01", bytes(8), b"\xff" * 8, b"\x05" + bytes(7) + b"nojs", b"\x02" + bytes(7) + b"n!"]
)
def test_no_such_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A page of HTML instead of the model, or a download that broke off."""
    file = tmp_path / "f"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        read_tensors(file)
