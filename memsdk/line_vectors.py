"""The vectors of lines: remembered for a while, and mixed into those of points."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from memsdk.forking import renew_in_child
from memsdk.models import Side, Task
from memsdk.ports import Embedder
from memsdk.testing.failpoints import reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

CACHED_LINES = 8_192
LineT = TypeVar("LineT")
Mix = Sequence[tuple[LineT, float]]
"""Lines and the weights of their vectors."""


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


class LineTable(Generic[LineT]):
    """The vectors of some lines, as they come, and what is mixed of them."""

    def __init__(self, lines: Iterable[LineT]) -> None:
        self.rows = {line: row for row, line in enumerate(lines)}
        self._vectors: Vector | None = None

    def fill(self, found: Mapping[LineT, Vector]) -> None:
        """These lines have these vectors [d]."""
        if not found:
            return
        vectors = np.stack(list(found.values()))
        if self._vectors is None:
            self._vectors = np.empty((len(self.rows), vectors.shape[1]), np.float32)
        self._vectors[[self.rows[line] for line in found]] = vectors

    def mixed(self, wanted: Sequence[Mix[LineT]]) -> Vector:
        """The weighted sum of each mix, none of them empty, at unit length: [n, d]; all at once, as that takes a third of the time."""
        most = max((len(mix) for mix in wanted), default=0)
        if not most or self._vectors is None:
            return np.empty((0, 0), np.float32)
        rows = np.zeros((len(wanted), most), np.intp)
        weights = np.zeros((len(wanted), most), np.float32)
        for place, mix in enumerate(wanted):
            rows[place] = self.rows[mix[0][0]]  # what is left over has a weight of 0
            rows[place, : len(mix)] = [self.rows[line] for line, _ in mix]
            weights[place, : len(mix)] = [weight for _, weight in mix]
        return unit(np.matmul(weights[:, None, :], self._vectors[rows])[:, 0])


def unit(vectors: Vector) -> Vector:
    """The rows at unit length: an embedder of the caller's own may be careless about it. No row of zeros can be."""
    with np.errstate(invalid="ignore"):  # it becomes NaN, which the index refuses by name
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


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
