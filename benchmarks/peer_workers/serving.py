"""What the workers share: orders as JSON lines on stdin, answers as JSON lines on what stdout was.

Orders: `{"do": "add", "items": [...]}`, `{"do": "search", "queries": [...], "k": 10}`, `{"do": "close"}`. An item is
`[id, user, session, speaker, time, text]`, a query `[user, text]`. Answers bear the seconds that the peer took.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "MEM0_TELEMETRY": "False",
    "TOKENIZERS_PARALLELISM": "false",
}


class Item(NamedTuple):
    """One thing to remember."""

    id: str
    user: str
    session: str
    speaker: str
    time: str
    text: str


class Peer(Protocol):
    """A memory under test."""

    def add(self, items: list[Item]) -> None:
        """Keep the items; in one call where the peer has one for several."""

    def search(self, user: str, text: str, k: int) -> list[str]:
        """The ids of the best k of this user."""

    def close(self) -> None:
        """Let go of it."""


class Vectors:
    """Vectors made beforehand, the same for every peer: float16 rows in a file, found by their texts' hashes.

    Other texts are embedded with the same weights by sentence-transformers, as the peers' own documentation does it.
    """

    embed_s = 0.0  # the seconds that this took, in all of them

    def __init__(self, folder: str) -> None:
        self._model: SentenceTransformer | None = None
        self._rows = np.load(Path(folder) / "vectors.npy", mmap_mode="r")
        digests = (Path(folder) / "digests").read_bytes()
        self._places = {digests[at : at + 16]: at // 16 for at in range(0, len(digests), 16)}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Float32 [n, d]."""
        places = [self._places.get(digest(text)) for text in texts]
        if None in places:
            return self._embed(texts)
        return np.asarray(self._rows[places], np.float32)

    def _embed(self, texts: list[str]) -> np.ndarray:
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            self._model = SentenceTransformer(os.environ["PEER_MODEL"], device="cpu")
        began = time.perf_counter()
        rows = self._model.encode(texts, normalize_embeddings=True)
        Vectors.embed_s += time.perf_counter() - began
        return np.asarray(rows, np.float32)


def digest(text: str) -> bytes:
    """What a text is found by."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def embedding(peer: Peer) -> float:
    """The seconds that a peer has spent in the encoder."""
    return Vectors.embed_s + float(getattr(peer, "embed_s", 0.0))


def serve(opened: type[Peer]) -> None:
    """Answer orders until there are no more. The arguments are the store's folder, and the vectors' or the model's."""
    os.environ.update(OFFLINE)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    peer = opened(*sys.argv[1:])  # type: ignore[call-arg]  # each takes folder and source
    answers.write('{"ready": true}\n')
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, object] = {}
        began, spent = time.perf_counter(), embedding(peer)
        if order["do"] == "add":
            peer.add([Item(*item) for item in order["items"]])
        elif order["do"] == "search":
            found, whole, own = [], [], []
            for user, text in order["queries"]:
                start, before = time.perf_counter(), embedding(peer)
                found.append(peer.search(user, text, order["k"]))
                took = time.perf_counter() - start
                whole.append(took * 1e3)
                own.append((took - (embedding(peer) - before)) * 1e3)
            answer = {"ids": found, "ms": whole, "own_ms": own}
        else:
            peer.close()
        answer |= {"s": time.perf_counter() - began, "embed_s": embedding(peer) - spent}
        answers.write(json.dumps(answer) + "\n")
        if order["do"] == "close":
            break
    answers.flush()
    os._exit(0)  # some peers' threads outlive their close
