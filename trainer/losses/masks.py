"""Which columns are no negatives of a query: texts that it has itself, and texts that are likely right as well."""

from __future__ import annotations

import torch
from torch import Tensor


def duplicates(keys: Tensor, offsets: Tensor) -> Tensor:
    """[B, C] True where a column outside a query's own holds the same text as one of its own, or an own one comes again.

    In one batch of LLM-Embedder's tool data 10 of 53 positive documents were right for more than one request (METHOD.md
    2.2): without this mask they are negatives of each other's requests.

    Args:
        keys: [C] whole numbers; equal for equal texts.
        offsets: [B + 1] the borders of the queries' own columns.
    """
    columns = torch.arange(len(keys), device=keys.device)
    own = (columns >= offsets[:-1, None]) & (columns < offsets[1:, None])  # [B, C]
    same = keys[:, None] == keys[None, :]  # [C, C]
    held = (own.float() @ same.float()) > 0  # the column's text is among the own ones
    again = (same & (columns[None, :] > columns[:, None])).any(dim=0)  # an earlier column has this text
    first_own = own & ~_repeats(keys, own, again)
    return held & ~first_own


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


def _repeats(keys: Tensor, own: Tensor, again: Tensor) -> Tensor:
    """[B, C] True where an own column's text stands in an earlier own column of the same query."""
    repeated = torch.zeros_like(own)
    for column in again.nonzero().flatten().tolist():  # few: most texts of a batch differ
        earlier = own[:, :column] & (keys[:column] == keys[column])
        repeated[:, column] = own[:, column] & earlier.any(dim=1)
    return repeated
