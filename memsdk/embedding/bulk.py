"""Very many texts in bfloat16, by torch: on a CPU that computes in it more than twice as fast as onnxruntime in float32.

To load torch takes four seconds and some 300 MB, so it is loaded only where that pays: for one call of many texts at once, or
beside the work of a process that embeds more and more of them. The vectors mean the same (cosine .9999), and calls of
few texts, such as one query, are float32 all the time.
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from memsdk.beside import beside
from memsdk.embedding.folder import ModelFolder
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError

if TYPE_CHECKING:
    from memsdk.embedding.torch_engine import TorchEngine

logger = logging.getLogger(__name__)

AT_ONCE = 3_000
"""Texts in a call that are worth the wait: onnxruntime takes 8.5 s for so many chat turns, torch 3, once it is loaded."""
IN_ALL = 20_000
"""Texts after which it is loaded beside the work: whoever embedded a minute's worth is likely to go on."""
MANY = 64
"""Texts in a call from which on they count; fewer are not faster."""
BATCH_TOKENS = (
    2_048  # LoCoMo's turns a second: 640 with 512 padded tokens a batch, 880 with 1,024, 1,000 with 2,048
)
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm, as Linux calls them


class Bulk:
    """Decides which calls are computed in bfloat16. Thread-safe."""

    def __init__(self, folder: ModelFolder, *, threads: int | None) -> None:
        self._folder, self._threads = folder, threads
        self._texts = 0
        self._loading: Future[TorchEngine | None] | None = None
        self._renew()

    def engine_for(self, count: int) -> TorchEngine | None:
        """What computes a call of so many texts; None leaves it to the other engine."""
        if count < MANY:
            return None
        if os.getpid() != self._pid:
            self._renew()
        with self._lock:
            self._texts += count
            pays = count >= AT_ONCE or self._texts >= IN_ALL
            if self._loading is None and pays and computes_in_bfloat16():
                self._loading = beside(self._load)
            loading = self._loading
        if loading is None or not (loading.done() or count >= AT_ONCE):
            return None
        return loading.result()

    def _load(self) -> TorchEngine | None:
        try:
            from memsdk.embedding.torch_engine import TorchEngine

            return TorchEngine(self._folder, runtime=Runtime(dtype="bfloat16", threads=self._threads))
        except (EmbedderError, ImportError, OSError) as error:
            logger.info("many texts are embedded in float32, as torch can't be loaded: %s", error)
            return None

    def _renew(self) -> None:
        """In a forked child, where a load that was under way is not, nor who held the lock."""
        self._pid, self._lock = os.getpid(), threading.Lock()
        if self._loading is not None and not self._loading.done():
            self._loading = None


@cache
def computes_in_bfloat16() -> bool:
    """Whether this machine's processors have instructions for it. Asked of Linux, without torch; elsewhere False."""
    try:
        said = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    lines = (line.partition(":") for line in said.splitlines())
    flags = {
        flag for name, _, value in lines if name.strip() in ("flags", "Features") for flag in value.split()
    }
    return bool(flags & _INSTRUCTIONS)
