from __future__ import annotations

from pathlib import Path

import pytest

from memsdk.testing.tiny_llama import save_tiny_llama
from memsdk.trainer.rewards.local import LocalModel


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random byte-level causal model."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    save_tiny_llama(folder)
    return folder


@pytest.fixture(scope="session")
def model(tiny_llama: Path) -> LocalModel:
    """That model, loaded."""
    return LocalModel(tiny_llama, name="tiny")
