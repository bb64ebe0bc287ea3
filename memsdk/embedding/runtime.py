"""How a model is run, as a value: it can be named without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a model is run. Changes its speed, not what its vectors mean.

    Attributes:
        device: `auto` takes a CUDA device where there is one.
        dtype: `bfloat16` is faster on CPUs with avx512_bf16 or AMX and on GPUs; cosine to float32 is about .9999.
        threads: torch's threads, for the whole process; None leaves them as they are.
        batch_tokens: padded tokens a batch; None is 1,024 on a CPU and 32,768 on a GPU.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = None
    batch_tokens: int | None = None
