"""What scoring costs in FLOPs, counted by parameters and tokens: the limit that measured times are compared with. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A scoring task and the model that does it."""

    parameters: int  # without the embeddings
    layers: int
    width: int
    vocabulary: int
    candidates: int  # K
    outputs: int  # M: samples and the desired one
    prompt: int  # Lp, tokens, the candidate included
    output: int  # Lo, tokens


def naive_flops(shape: Shape) -> int:
    """A row a pair, the head at every place."""
    length = shape.prompt + shape.output
    rows = shape.candidates * shape.outputs
    return rows * (_body(shape, tokens=length, seen=length) + _head(shape, tokens=length))


def packed_flops(shape: Shape) -> int:
    """The prompt once a candidate, the head at the outputs; attention over the whole masked row, as kernels compute it."""
    length = shape.prompt + shape.outputs * (shape.output - 1)
    head = _head(shape, tokens=shape.outputs * shape.output)
    return shape.candidates * (_body(shape, tokens=length, seen=length) + head)


def prefix_bound(shape: Shape) -> float:
    """How much faster at most sharing the prompt makes the body: M(Lp+Lo) / (Lp+M·Lo)."""
    shared = shape.prompt + shape.outputs * shape.output
    return shape.outputs * (shape.prompt + shape.output) / shared


def _body(shape: Shape, *, tokens: int, seen: int) -> int:
    """2 FLOPs a parameter a token, and 4·layers·width for each pair of places in attention (scores and values)."""
    return 2 * shape.parameters * tokens + 4 * shape.layers * shape.width * tokens * seen


def _head(shape: Shape, *, tokens: int) -> int:
    return 2 * shape.vocabulary * shape.width * tokens
