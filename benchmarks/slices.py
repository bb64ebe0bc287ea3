"""What an ingest, timed slice by slice, stands beside: the bare encoder on the same lines, as one call would embed them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from memsdk.embedding.transformer import CPU_BATCH_TOKENS, batches_of
from memsdk.models import Side, Task
from memsdk.pointing import SPECIAL_TOKENS
from memsdk.ports import Embedder

Step = tuple[Sequence[str], Callable[[], object]]
"""The lines that are embedded on the way, and what is timed."""


def beside_encoder(
    steps: Sequence[Step], embedder: Embedder, *, task: Task, between: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """Seconds of all steps, and of one embed call for all of their lines, measured in turn; `between` is not timed.

    Half of a step's lines are embedded right before it and half right after it, so that both meet the same machine. One call
    for all of them would pad less, having more to sort: the encoder's seconds are multiplied by what that leaves of the padded
    tokens.
    """
    took = alone = 0.0
    apart = 0
    for lines, step in steps:
        halves = lines[::2], lines[1::2]
        alone += seconds(partial(embedder.embed, halves[0], task=task, side=Side.KEY))
        took += seconds(step)
        between()
        alone += seconds(partial(embedder.embed, halves[1], task=task, side=Side.KEY))
        apart += sum(padded_tokens(half, embedder) for half in halves)
    everything = [line for lines, _ in steps for line in lines]
    return took, alone * padded_tokens(everything, embedder) / apart


def seconds(run: Callable[[], object]) -> float:
    """How long it takes, by the clock."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def padded_tokens(lines: Sequence[str], embedder: Embedder) -> int:
    """How many tokens one embed call for these lines computes, those of the padding included."""
    lengths = [
        min(count + SPECIAL_TOKENS, embedder.spec.max_tokens) for count in embedder.count_tokens(lines)
    ]
    batches = batches_of(lengths, budget=CPU_BATCH_TOKENS)
    return sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
