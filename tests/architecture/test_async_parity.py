from __future__ import annotations

import inspect
from functools import cached_property

import pytest

from memsdk import AsyncMemory, Memory
from memsdk.aio_passages import AsyncPassages
from memsdk.aio_shelves import AsyncExamples, AsyncTools
from memsdk.aio_views import AsyncDocuments, AsyncScopedMemory, AsyncSessions
from memsdk.documents import DocumentShelf
from memsdk.examples import ExampleShelf
from memsdk.passages import PassageShelf
from memsdk.scoped import ScopedMemory
from memsdk.sessions import SessionShelf
from memsdk.tools import ToolShelf

PAIRS = [
    (Memory, AsyncMemory),
    (ScopedMemory, AsyncScopedMemory),
    (DocumentShelf, AsyncDocuments),
    (ExampleShelf, AsyncExamples),
    (PassageShelf, AsyncPassages),
    (SessionShelf, AsyncSessions),
    (ToolShelf, AsyncTools),
]
NOT_AWAITED = {"scoped"}
OTHER_RESULT = {"Memory.scoped": "AsyncScopedMemory"}


def public(cls: type) -> set[str]:
    """The verbs; shelves are made when they are first used, in the one, and at once in the other."""
    return {
        name
        for name, value in vars(cls).items()
        if not name.startswith("_") and not isinstance(value, cached_property)
    }


VERBS = [(sync, aio, name) for sync, aio in PAIRS for name in sorted(public(sync))]


def plain(annotation: object) -> str:
    """The annotation without the module that a name was reached through."""
    return str(annotation).replace("builtins.", "").replace("transfer.", "")


@pytest.mark.parametrize(("sync", "aio"), PAIRS, ids=lambda cls: cls.__name__)
def test_async_has_the_same_names(sync: type, aio: type) -> None:
    """A verb that only one of the two has is found missing in the middle of a port to asyncio."""
    assert public(aio) == public(sync)


@pytest.mark.parametrize(
    ("sync", "aio", "name"), VERBS, ids=[f"{sync.__name__}.{name}" for sync, _, name in VERBS]
)
def test_async_has_the_same_parameters(sync: type, aio: type, name: str) -> None:
    """A default that differs is a behaviour that differs, and no type checker says so."""
    ours, theirs = inspect.signature(getattr(sync, name)), inspect.signature(getattr(aio, name))
    assert list(theirs.parameters.values()) == list(
        ours.parameters.values()
    )  # names, kinds, defaults, annotations
    expected = OTHER_RESULT.get(f"{sync.__name__}.{name}", ours.return_annotation)
    assert plain(theirs.return_annotation) == plain(expected)
    assert inspect.iscoroutinefunction(getattr(aio, name)) == (name not in NOT_AWAITED)
    assert getattr(aio, name).__doc__
