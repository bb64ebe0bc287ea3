"""Which columns are no negatives of a query: texts that it has itself, and texts that are likely right as well."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor


def duplicates(keys: Sequence[int], right: Sequence[Collection[int]], offsets: Sequence[int]) -> Tensor:
    """[B, C] True where a column outside a query's own holds a text that is among its own, or is known to be right for it.

    In one batch of LLM-Embedder's tool data 10 of 53 positive documents were right for more than one request:
    without this mask they are negatives of each other's requests.

    Args:
        keys: [C] equal for equal texts.
        right: [B] what else is known to be right for each query, whether it is in the batch or not.
        offsets: [B + 1] the borders of the queries' own columns.
    """
    columns: dict[int, list[int]] = {}
    for column, key in enumerate(keys):
        columns.setdefault(key, []).append(column)
    mask = torch.zeros(len(right), len(keys), dtype=torch.bool)
    for row, (known, start, end) in enumerate(zip(right, offsets[:-1], offsets[1:], strict=True)):
        mask[row, [column for key in {*known, *keys[start:end]} for column in columns.get(key, ())]] = True
        mask[row, start:end] = False
    return mask


def false_negatives(guide: Tensor, positives: Tensor, offsets: Tensor, *, margin: float = 0.95) -> Tensor:
    """[B, C] True where a guide finds another query's candidate nearly as good as the query's own positive.

    The guide is the frozen base encoder: its vectors are there already (GISTEmbed's idea, with NV-Retriever's 95 %
    rule, arXiv 2407.15831).

    Args:
        guide: [B, C] the guide's similarities, as cosines.
        positives: [B] the column of each query's best candidate.
        offsets: [B + 1] the borders of the queries' own columns; own columns are never left out.
    """
    columns = torch.arange(guide.shape[1], device=guide.device)
    own = (columns >= offsets[:-1, None]) & (columns < offsets[1:, None])
    return ~own & (guide > margin * guide.gather(1, positives[:, None]))
