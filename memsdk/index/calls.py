"""The calls that the engine answers, by name: the whole of what a client can ask a host to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from memsdk.errors import InvalidInputError
from memsdk.index.engine import Engine
from memsdk.index.shard import Plain, Spec


def answer(engine: Engine, operation: str, arguments: Sequence[object], progress: Callable[[str], None]) -> object:
    """Do one call. Arguments and answer are plain data.

    Raises:
        InvalidInputError: there is no such call.
    """
    match operation, *arguments:
        case "search", str(name), requests:
            return engine.search(name, cast("Sequence[Plain]", requests))
        case "upsert", str(name), rows:
            engine.upsert(name, cast("Sequence[Plain]", rows))
        case "delete", str(name), records:
            engine.delete(name, cast("Sequence[bytes]", records))
        case "scan", str(name), fields, after:
            return engine.scan(name, cast("Sequence[str]", fields), cast("bytes | None", after))
        case "ensure", str(name), spec:
            engine.ensure(name, cast("Spec", spec))
        case ("generation",):
            return engine.current_generation()
        case ("collections",):
            return engine.collections()
        case ("flush",):
            engine.flush()
        case "optimize", str(name):
            return engine.optimize(name, progress)
        case "drop", str(name):
            engine.drop(name)
        case _:
            raise InvalidInputError(f"the index host knows no call {operation!r:.40} with {len(arguments)} arguments")
    return None
