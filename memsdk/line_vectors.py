"""The vectors of lines: remembered for a while, and mixed into those of points."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memsdk.forking import renew_in_child
from memsdk.models import Side, Task
from memsdk.ports import Embedder
from memsdk.testing.failpoints import reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

CACHED_LINES = 8_192


class LineVectors:
    """The vectors of lines, remembered for a while: a turn's line is needed again for each of its neighbours."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Vector] = OrderedDict()
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def embed(self, lines: Iterable[str], *, embedder: Embedder, task: Task) -> dict[str, Vector]:
        """A unit vector [d] a distinct line; only the lines not seen lately are embedded."""
        digest = _digest(embedder, task)
        wanted = {line: digest(line) for line in lines}
        with self._lock:
            found = {line: self._known[key] for line, key in wanted.items() if key in self._known}
        missing = [line for line in wanted if line not in found]
        if missing:
            reach("embed")
            vectors = unit(np.asarray(embedder.embed(missing, task=task, side=Side.KEY), np.float32))
            found.update(zip(missing, vectors, strict=True))
            with self._lock:
                self._known.update((wanted[line], found[line]) for line in missing)
                while len(self._known) > CACHED_LINES:
                    self._known.popitem(last=False)
        return found


def unit(vectors: Vector) -> Vector:
    """The rows at unit length: an embedder of the caller's own may be careless about it. No row of zeros can be."""
    with np.errstate(invalid="ignore"):  # it becomes NaN, which the index refuses by name
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def mixed(vector: Vector, around: Sequence[tuple[float, Vector]]) -> Vector:
    """The vector, with what stands around it added and weighted; of unit length as it was."""
    if not around:
        return vector
    total = vector + sum((weight * other for weight, other in around), np.float32(0))
    return np.asarray(total / np.linalg.norm(total), np.float32)


def _digest(embedder: Embedder, task: Task) -> Callable[[str], bytes]:
    """What a line's vector is remembered by."""
    spec = embedder.spec
    head = f"{spec.weights}\0{spec.pooling}\0{spec.max_tokens}\0{spec.prefixes.get(task, ('', ''))[1]}\0"
    begun = hashlib.blake2b(head.encode(), digest_size=16)

    def digest(line: str) -> bytes:
        whole = begun.copy()
        whole.update(line.encode())
        return whole.digest()

    return digest
