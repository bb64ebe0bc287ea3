"""How a model is run, as a value: it can be named without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memsdk.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a model is run. Changes its speed, not what its vectors mean.

    Attributes:
        device: `auto` takes a CUDA device where there is one.
        dtype: `bfloat16` is faster on CPUs with avx512_bf16 or AMX and on GPUs; cosine to float32 is about .9999. `auto` is
            float32, but for very many texts on such a CPU (`memsdk.embedding.bulk`).
        threads: how many compute one batch: torch's, for the whole process, or this encoder's own in onnxruntime. None is
            as many as there are cores, or OMP_NUM_THREADS.
        batch_tokens: padded tokens a batch; None is 512 on a CPU and 32,768 on a GPU.
        engine: `auto` takes onnxruntime for a BERT on the CPU in float32, else torch. The vectors are the same.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = None
    batch_tokens: int | None = None
    engine: Literal["auto", "onnx", "torch"] = "auto"

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """What torch computes in."""
        return "float32" if self.dtype == "auto" else self.dtype


def check_runtime(runtime: Runtime) -> None:
    """Raise InvalidInputError for a setting that there is not."""
    for name, number in (("threads", runtime.threads), ("batch_tokens", runtime.batch_tokens)):
        if number is not None and number < 1:
            raise InvalidInputError(f"{name} is at least 1, not {number}; leave it out for the default")
    for name, given, known in (
        ("dtype", runtime.dtype, ("auto", "float32", "bfloat16")),
        ("device", runtime.device, ("cpu", "cuda", "auto")),
        ("engine", runtime.engine, ("auto", "onnx", "torch")),
    ):
        if given not in known:
            raise InvalidInputError(f"{name} is {' or '.join(map(repr, known))}, not {given!r}")
