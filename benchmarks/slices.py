"""What an ingest, timed slice by slice, stands beside: the bare encoder on the same lines, as one call would embed them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from memsdk.embedding.transformer import CPU_BATCH_TOKENS, batches_of
from memsdk.models import Side, Task
from memsdk.pointing import SPECIAL_TOKENS
from memsdk.ports import Embedder

Step = tuple[Sequence[str], Callable[[], object]]
"""The lines that are embedded on the way, and what is timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What steps took, and what one embed call for all of their lines would have."""

    took_s: float
    encoder_s: float
    ratio: float
    """The median over the steps: a machine that is shared halves its speed for seconds at a time."""
    least: float
    most: float

    @classmethod
    def of(cls, took: Sequence[float], encoder: Sequence[float]) -> Beside:
        """From the seconds of each step and of its encoder."""
        ratios = [mine / alone for mine, alone in zip(took, encoder, strict=True)]
        return cls(
            took_s=sum(took),
            encoder_s=sum(encoder),
            ratio=statistics.median(ratios),
            least=min(ratios),
            most=max(ratios),
        )


def beside_encoder(
    steps: Sequence[Step], embedder: Embedder, *, task: Task, between: Callable[[], object] = lambda: None
) -> Beside:
    """Time steps and the encoder in turn, by the clock; `between` is not timed.

    Half of a step's lines are embedded right before it and half right after it, so that both meet the same machine. One call
    for all of them would pad less, having more to sort: the encoder's seconds are multiplied by what that leaves of the padded
    tokens.
    """
    took, alone, apart = [], [], 0
    for lines, step in steps:
        halves = lines[::2], lines[1::2]
        before = seconds(partial(embedder.embed, halves[0], task=task, side=Side.KEY))
        took.append(seconds(step))
        between()
        alone.append(before + seconds(partial(embedder.embed, halves[1], task=task, side=Side.KEY)))
        apart += sum(padded_tokens(half, embedder) for half in halves)
    share = padded_tokens([line for lines, _ in steps for line in lines], embedder) / apart
    return Beside.of(took, [bare * share for bare in alone])


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
