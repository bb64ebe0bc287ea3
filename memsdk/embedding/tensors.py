"""A safetensors file in one read, its tensors as views of it: outside the interpreter's lock, beside what else starts.

The format is eight bytes of length (little-endian), so many bytes of JSON that names each tensor's type, shape and
place, and the numbers (https://github.com/huggingface/safetensors). Its own library copies tensor by tensor, and waits
for the lock at each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensor = NDArray[np.float32] | NDArray[np.float16]

# numpy has no bfloat16: such files are torch's
_TYPES: Mapping[str, np.dtype[np.float32] | np.dtype[np.float16]] = {
    "F32": np.dtype(np.float32).newbyteorder("<"),
    "F16": np.dtype(np.float16).newbyteorder("<"),
}
_LENGTH = 8


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The file's tensors in float32 and float16 by name; those of other types are left out.

    Raises:
        OSError: the file can't be read.
        ValueError: it is cut short, or no safetensors file.
    """
    content = _read(file)
    start = _LENGTH + int.from_bytes(content[:_LENGTH].tobytes(), "little")
    if not _LENGTH < start <= len(content):
        raise ValueError("its header is cut short")
    header = json.loads(content[_LENGTH:start].tobytes())
    try:
        return {
            name: _tensor(content[start:], **place)
            for name, place in header.items()
            if name != "__metadata__" and place["dtype"] in _TYPES
        }
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"its header does not fit it ({error!r})") from error


def _read(file: Path) -> NDArray[np.uint8]:
    with file.open("rb", buffering=0) as opened:
        content = np.empty(file.stat().st_size, np.uint8)
        done = 0
        while done < len(content):  # one read gives 2 GB at most
            got = opened.readinto(content.data[done:])
            if not got:
                raise ValueError("it ends too early")
            done += got
    return content


def _tensor(content: NDArray[np.uint8], *, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    """Raises ValueError where the place is not in the file or not of the shape."""
    start, end = data_offsets
    kind = _TYPES[dtype]
    if not 0 <= start <= end <= len(content) or end - start != math.prod(shape) * kind.itemsize:
        raise ValueError(f"there is no {shape} at {data_offsets}")
    numbers: Tensor = content[start:end].view(kind).reshape(shape)
    return numbers if numbers.flags.aligned else numbers.copy()  # headers of old files are of any length
