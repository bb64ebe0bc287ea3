"""A memory for LLM agents: remember, recall and forget, on your own machine.

Importing it costs nothing: every name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memsdk.aio import AsyncMemory
    from memsdk.errors import (
        ClosedError,
        ConflictError,
        DiskFullError,
        EmbedderError,
        EmbedderMismatchError,
        FilterError,
        ForkedProcessError,
        IndexCorruptError,
        IndexingError,
        IndexUnavailableError,
        IngestError,
        InvalidInputError,
        MemsdkError,
        MissingExtraError,
        NotFoundError,
        QueryVersionError,
        RerankerError,
        RewardModelError,
        RewardServerError,
        ScopeError,
        StoreCorruptError,
        StoreError,
        StoreLockedError,
        StoreReadOnlyError,
        StoreVersionError,
    )
    from memsdk.evaluation.running import evaluate
    from memsdk.examples import ExampleRecall
    from memsdk.memory import Memory
    from memsdk.models import (
        Difference,
        Document,
        ExampleReport,
        Forgotten,
        Hit,
        IngestReport,
        Kind,
        Record,
        Session,
        Side,
        Stats,
        Stream,
        Synced,
        Task,
        Verification,
        Why,
    )
    from memsdk.recalled import Recall
    from memsdk.stretches import Passage, PassageRecall
    from memsdk.tools import ToolRecall

__version__ = "0.1.0"  # pyproject.toml takes it from here

__all__ = [
    "AsyncMemory",
    "ClosedError",
    "ConflictError",
    "Difference",
    "DiskFullError",
    "Document",
    "EmbedderError",
    "EmbedderMismatchError",
    "ExampleRecall",
    "ExampleReport",
    "FilterError",
    "Forgotten",
    "ForkedProcessError",
    "Hit",
    "IndexCorruptError",
    "IndexUnavailableError",
    "IndexingError",
    "IngestError",
    "IngestReport",
    "InvalidInputError",
    "Kind",
    "Memory",
    "MemsdkError",
    "MissingExtraError",
    "NotFoundError",
    "Passage",
    "PassageRecall",
    "QueryVersionError",
    "Recall",
    "Record",
    "RerankerError",
    "RewardModelError",
    "RewardServerError",
    "ScopeError",
    "Session",
    "Side",
    "Stats",
    "StoreCorruptError",
    "StoreError",
    "StoreLockedError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "Stream",
    "Synced",
    "Task",
    "ToolRecall",
    "Verification",
    "Why",
    "__version__",
    "evaluate",
]

_HOME = {
    "AsyncMemory": "memsdk.aio",
    "ExampleRecall": "memsdk.examples",
    "Memory": "memsdk.memory",
    "Passage": "memsdk.stretches",
    "PassageRecall": "memsdk.stretches",
    "Recall": "memsdk.recalled",
    "ToolRecall": "memsdk.tools",
    "evaluate": "memsdk.evaluation.running",
}

if not TYPE_CHECKING:  # a type checker that saw it would believe in every misspelt name

    def __getattr__(name: str) -> object:
        """Load a public name at its first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = "memsdk.errors" if name.endswith("Error") else _HOME.get(name, "memsdk.models")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """The public names, loaded or not."""
        return sorted({*globals(), *__all__})
