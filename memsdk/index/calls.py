"""The calls that the engine answers, by name: the whole of what a client can ask a host to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from memsdk.errors import InvalidInputError
from memsdk.index.engine import Engine

OPERATIONS: Mapping[str, Callable[..., object]] = {
    "search": Engine.search,
    "upsert": Engine.upsert,
    "delete": Engine.delete,
    "scan": Engine.scan,
    "vectors": Engine.vectors,
    "ensure": Engine.ensure,
    "generation": Engine.current_generation,
    "collections": Engine.collections,
    "flush": Engine.flush,
    "drop": Engine.drop,
}


def answer(
    engine: Engine, operation: str, arguments: Sequence[object], progress: Callable[[str], None]
) -> object:
    """Do one call. Arguments and answer are plain data.

    Raises:
        InvalidInputError: there is no such call.
    """
    if operation == "optimize":
        return engine.optimize(str(arguments[0]), progress)
    if operation not in OPERATIONS:
        raise InvalidInputError(
            f"the index knows no call {operation!r:.40}; it knows {', '.join(OPERATIONS)}"
        )
    return OPERATIONS[operation](engine, *arguments)
