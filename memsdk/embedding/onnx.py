"""BERT encoders by onnxruntime, on the CPU in float32: no torch, and each set of weights once a process.

The weights are read from the model's own safetensors file at each start. There is no exported copy that could be half
written, stale or in a folder that can't be written to.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

import numpy as np

from memsdk.beside import cores, each_beside
from memsdk.embedding.folder import ModelFolder, read_config, read_folder
from memsdk.embedding.onnx_graph import IDS, LENGTHS, STATES, BertShape, bert_graph, bert_shape
from memsdk.embedding.pooling import pool_arrays
from memsdk.embedding.tensors import read_tensors
from memsdk.errors import EmbedderError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # it ships no types

    Vectors = NDArray[np.float32]
    Read = Callable[[str], Vectors]

MANY = 4
"""Batches from which each thread computes its own."""

_encoders: WeakValueDictionary[tuple[str, str, int | None], OnnxBert] = WeakValueDictionary()
_recent: deque[OnnxBert] = deque(maxlen=2)  # stay loaded while no embedder uses them, as torch's weights do
_lock = threading.RLock()
_is_forked = False


class OnnxBert:
    """A BERT encoder's session. Thread-safe; in a forked child it is opened again, as threads do not survive a fork."""

    def __init__(self, folder: ModelFolder, shape: BertShape, *, pad_id: int, threads: int | None) -> None:
        self._folder, self._shape, self._threads = folder, shape, threads
        self._session: InferenceSession | None = None
        self._bulk: InferenceSession | None = None  # computes a batch in one thread
        self._kept: Mapping[str, Vectors] = {}
        self.hidden = shape.hidden
        self.pad_id = pad_id

    def encode(self, ids: Sequence[Sequence[int]], *, modes: Sequence[str]) -> Vectors:
        """Unit vectors [B, hidden x modes] of these texts' token ids, which are padded to the longest."""
        return self._encode(ids, modes=modes, session=self._open())

    def encode_many(
        self, batches: Sequence[Sequence[Sequence[int]]], *, modes: Sequence[str]
    ) -> list[Vectors]:
        """The vectors of each batch; of many, each thread computes its own.

        That is a tenth faster than all threads on one batch, and loses less to what else the machine does: nobody waits
        for the slowest at every operator. It takes a second copy of the matrices, from the first such call on.
        """
        threads = self._threads or _default_threads()
        if len(batches) < MANY or threads == 1 or _is_forked:
            return [self.encode(ids, modes=modes) for ids in batches]
        # each thread's last one comes in pieces, so that none waits long for the others
        whole = len(batches) - threads
        pieces = [
            (number, rows)
            for number, batch in enumerate(batches)
            for rows in (_quarters(batch) if number >= whole else [batch])
        ]
        encode = partial(self._encode, modes=modes, session=self._open_bulk())
        made = each_beside(encode, [rows for _, rows in pieces], threads=threads)
        found: list[list[Vectors]] = [[] for _ in batches]
        for (number, _), vectors in zip(pieces, made, strict=True):
            found[number].append(vectors)
        return [np.concatenate(parts) for parts in found]

    def _encode(
        self, ids: Sequence[Sequence[int]], *, modes: Sequence[str], session: InferenceSession
    ) -> Vectors:
        pooled = pool_arrays(self._run(ids, session), [len(one) for one in ids], modes=modes)
        lengths_of = np.linalg.norm(pooled, axis=1, keepdims=True)
        return cast("Vectors", pooled / np.maximum(lengths_of, np.float32(1e-12)))

    def states(self, ids: Sequence[Sequence[int]]) -> list[Vectors]:
        """The last hidden states of each text, [t, hidden]."""
        return [states[: len(one)] for states, one in zip(self._run(ids, self._open()), ids, strict=True)]

    def _run(self, ids: Sequence[Sequence[int]], session: InferenceSession) -> Vectors:
        """The last hidden states, [B, T, hidden]; those of the padding mean nothing."""
        lengths = [len(one) for one in ids]
        padded = np.full((len(ids), max(1, *lengths)), self.pad_id, np.int32)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
        found = session.run([STATES], {IDS: padded, LENGTHS: np.array(lengths, np.int32)})[0]
        return cast("Vectors", found)

    def load(self) -> bool:
        """Read the weights and open the session; False where the file holds other tensors than BERT's."""
        with _lock:
            tensors = _read_weights(self._folder.transformer / "model.safetensors", self._shape)
            if tensors is None:
                return False
            self._session = _session(self._shape, tensors, threads=1 if _is_forked else self._threads)
            self._kept = tensors  # onnxruntime reads those that it did not repack in place
            return True

    def _open(self) -> InferenceSession:
        if (session := self._session) is not None:
            return session
        with _lock:  # in a forked child
            if (session := self._session) is not None:  # another thread of it was faster
                return session
            if read_folder(self._folder.path).weights != self._folder.weights or not self.load():
                raise EmbedderError(
                    f"{self._folder.transformer} has changed since it was loaded; restart this process"
                )
            return cast("InferenceSession", self._session)

    def _open_bulk(self) -> InferenceSession:
        self._open()
        with _lock:
            if self._bulk is None:
                self._bulk = _session(self._shape, self._kept, threads=1)
            return self._bulk

    def _leave_behind(self) -> None:
        """Forget the parent's session without destroying it, which would wait for threads that are not there."""
        for session in (self._session, self._bulk):
            if session is not None:
                inner: object = session._sess  # noqa: SLF001 -- theirs, and what owns the threads
                for left in (session, inner, self._kept):
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))
        self._session, self._bulk, self._kept = None, None, {}


def _quarters(batch: Sequence[Sequence[int]]) -> list[Sequence[Sequence[int]]]:
    size = -(-len(batch) // 4)
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def open_bert(folder: ModelFolder, *, threads: int | None) -> OnnxBert | None:
    """The encoder of a folder, the same object for the same weights; None where torch has to compute it.

    That is every architecture but BERT, weights that are in several files, in bfloat16 or under unknown names, and a
    machine that onnxruntime is not installed on.

    Raises:
        EmbedderError: the weights can't be read.
    """
    config = read_config(folder)
    shape = bert_shape(config)
    has_file = (folder.transformer / "model.safetensors").is_file()
    if shape is None or not has_file or find_spec("onnxruntime") is None:
        return None
    key = (folder.weights, folder.config, threads)
    with _lock:
        encoder = _encoders.get(key)
        if encoder is None:
            pad_id = config.get("pad_token_id")
            encoder = OnnxBert(
                folder, shape, pad_id=pad_id if isinstance(pad_id, int) else 0, threads=threads
            )
            if not encoder.load():
                return None
            _encoders[key] = encoder
        if encoder not in _recent:
            _recent.append(encoder)
        return encoder


def _read_weights(file: Path, shape: BertShape) -> dict[str, Vectors] | None:
    """BERT's tensors under the graph's names; None where they are not all there, in a type that numpy has."""
    try:
        found = {name.removeprefix("bert."): tensor for name, tensor in read_tensors(file).items()}

        def read(name: str) -> Vectors:
            return np.asarray(found[name], np.float32)

        tensors = {
            "words": read("embeddings.word_embeddings.weight"),
            # every token is of type 0, so its row can be added once
            "positions": read("embeddings.position_embeddings.weight")
            + read("embeddings.token_type_embeddings.weight")[0],
            "words.gain": read("embeddings.LayerNorm.weight"),
            "words.shift": read("embeddings.LayerNorm.bias"),
        }
        for number in range(shape.layers):
            for name, tensor in _layer(read, f"encoder.layer.{number}.").items():
                tensors[f"{number}.{name}"] = tensor
    except KeyError:
        return None
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{file} can't be read: {error}; fetch the model again") from error
    return tensors if _fits(tensors, shape) else None


def _layer(read: Read, at: str) -> dict[str, Vectors]:
    parts = [f"{at}attention.self.{name}" for name in ("query", "key", "value")]
    return {
        "qkv": np.ascontiguousarray(np.concatenate([read(f"{part}.weight") for part in parts]).T),
        "qkv.bias": np.concatenate([read(f"{part}.bias") for part in parts]),
        "joined": read(f"{at}attention.output.dense.weight"),
        "joined.bias": read(f"{at}attention.output.dense.bias"),
        "mid.gain": read(f"{at}attention.output.LayerNorm.weight"),
        "mid.shift": read(f"{at}attention.output.LayerNorm.bias"),
        "widen": read(f"{at}intermediate.dense.weight"),
        "widen.bias": read(f"{at}intermediate.dense.bias"),
        "narrow": read(f"{at}output.dense.weight"),
        "narrow.bias": read(f"{at}output.dense.bias"),
        "end.gain": read(f"{at}output.LayerNorm.weight"),
        "end.shift": read(f"{at}output.LayerNorm.bias"),
    }


def _fits(tensors: Mapping[str, Vectors], shape: BertShape) -> bool:
    """Are the matrices as wide as the config says? What does not fit is torch's to explain."""
    return all(
        tensor.shape[-1] == shape.hidden
        for name, tensor in tensors.items()
        if name.endswith(("words", "positions", "joined", "widen", "gain", "shift"))
    ) and all(tensors[f"{number}.qkv"].shape == (shape.hidden, 3 * shape.hidden) for number in range(shape.layers))  # fmt: skip


def _session(shape: BertShape, tensors: Mapping[str, Vectors], *, threads: int | None) -> InferenceSession:
    # Later wheels than the range in pyproject.toml send usage data when imported. Nothing leaves the machine.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _default_threads()
    options.log_severity_level = 3  # errors, which are raised as well
    # Within a call its threads look for work before they sleep: a query takes 3.4 ms and not 4.4, and no more CPU time. Between
    # calls they would take it from the index host.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_external_initializers(
        list(tensors),
        [onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for tensor in tensors.values()],
    )
    graph = bert_graph(shape, {name: tensor.shape for name, tensor in tensors.items()})
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _default_threads() -> int:
    """As torch chooses: OMP_NUM_THREADS, else the cores that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else cores()


def _after_fork_in_child() -> None:
    global _is_forked  # noqa: PLW0603 -- it is the process that has forked
    _is_forked = True
    _lock.release()
    for encoder in list(_encoders.values()):
        encoder._leave_behind()  # noqa: SLF001 -- of this module


if hasattr(os, "register_at_fork"):  # no fork happens halfway through a load: the child would wait for ever
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child
    )
