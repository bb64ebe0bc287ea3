"""Where a training stands, on disk: weights, optimizer, sampler. A kill leaves the old checkpoint or the new one, whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from memsdk.errors import StoreError
from memsdk.trainer.sampler import Position

NAME = "checkpoint.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a training goes on from, beside weights and optimizer.

    Attributes:
        step: steps done.
        settings: names what is trained, how and on what; a checkpoint of another training is not gone on from.
        losses: of each group, what the loop remembers of its losses.
    """

    step: int
    settings: str
    position: Position
    losses: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def save_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, standing: Standing
) -> None:
    """Write it beside the old one and put it in its place, so that there is always a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    making = folder / f"{NAME}.{os.getpid()}"
    whole: dict[str, object] = {
        "weights": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": standing.step,
        "settings": standing.settings,
        "position": [standing.position.epoch, standing.position.given],
        "losses": {name: list(values) for name, values in standing.losses.items()},
    }
    try:
        with making.open("wb") as file:
            torch.save(whole, file)
            file.flush()
            os.fsync(file.fileno())
        making.replace(folder / NAME)
    except OSError as error:
        raise StoreError(
            f"{folder} can't be written: {error.strerror}; name a folder of yours with room in it"
        ) from error
    finally:
        making.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, *, settings: str, device: torch.device
) -> Standing | None:
    """Put weights and optimizer as they were; None where there is no checkpoint, or one of another training.

    Raises:
        StoreError: the file is damaged.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        whole = torch.load(file, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise StoreError(f"{file} can't be read: {error}; delete it to begin anew") from error
    if whole["settings"] != settings:
        return None
    weights: Mapping[str, Tensor] = whole["weights"]
    module.load_state_dict(dict(weights))
    optimizer.load_state_dict(whole["optimizer"])
    epoch, given = whole["position"]
    losses = {str(name): (float(a), float(b)) for name, (a, b) in whole["losses"].items()}
    return Standing(
        step=int(whole["step"]), settings=settings, position=Position(epoch=epoch, given=given), losses=losses
    )
