"""The anchor: new vectors are held near the old ones, so that what is not trained on is not forgotten."""

from __future__ import annotations

from torch import Tensor

from memsdk.errors import InvalidInputError


def anchor(new: Tensor, old: Tensor) -> Tensor:
    """The mean squared distance of unit vectors [B, d] from the old encoder's; 2 (1 - cosine) a row.

    Raises:
        InvalidInputError: the shapes differ.
    """
    if new.shape != old.shape:
        raise InvalidInputError(
            f"new and old vectors have one shape, not {tuple(new.shape)} and {tuple(old.shape)}"
        )
    return (new - old).pow(2).sum(dim=1).mean()
