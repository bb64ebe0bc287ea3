from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "click",
    "numpy",
    "onnxruntime",
    "pydantic",
    "qdrant_client",
    "qdrant_edge",
    "sentence_transformers",
    "sqlalchemy",
    "tiktoken",
    "tokenizers",
    "torch",
    "transformers",
}
LIGHT_MODULES = ("memsdk.errors", "memsdk.filters", "memsdk.models", "memsdk.ports")
PROBE = """
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import {module}
took = time.perf_counter() - start
print(json.dumps([took, sorted(name for name in set(sys.modules) - before if "." not in name)]))
"""


def probe(module: str) -> tuple[float, set[str]]:
    """Import it in a process of its own; returns the seconds and the top-level modules that came with it."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    took, loaded = json.loads(done.stdout)
    return took, set(loaded)


def test_import_memsdk_loads_nothing_heavy() -> None:
    """An agent that imports us on start would otherwise wait seconds for torch, even if it never recalls."""
    _, loaded = probe("memsdk")
    assert loaded & HEAVY == set()


def test_import_memsdk_is_quick() -> None:
    """A command line that imports us answers as fast as this; the best of three, as the machine may be busy."""
    assert min(probe("memsdk")[0] for _ in range(3)) < 0.3


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_the_vocabulary_loads_no_backend(module: str) -> None:
    """A plug-in author who imports a port must not need the backends that we chose."""
    _, loaded = probe(module)
    assert loaded & HEAVY - {"pydantic"} == set()


def test_a_retrain_that_is_not_due_loads_no_torch() -> None:
    """A nightly job on a quiet store should cost next to nothing; what fits or scores loads it when it does."""
    _, loaded = probe("memsdk.trainer.retrain")
    assert loaded & {"torch", "transformers", "sentence_transformers"} == set()
