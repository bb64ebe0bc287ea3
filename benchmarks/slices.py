"""Lines cut to slices as one call to the encoder would order them: what an ingest, timed slice by slice, stands beside."""

from __future__ import annotations

from collections.abc import Sequence

from memsdk.ports import Embedder


def by_length(lines: Sequence[str], embedder: Embedder, *, size: int) -> list[list[str]]:
    """The lines by their tokens, the longest first, `size` a slice."""
    lengths = dict(zip(lines, embedder.count_tokens(lines), strict=True))
    order = sorted(lines, key=lambda line: -lengths[line])
    return [order[start : start + size] for start in range(0, len(order), size)]
