from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import memsdk
from memsdk import errors


def names_for_type_checkers(package: Path) -> set[str]:
    """What the TYPE_CHECKING block of memsdk/__init__.py imports."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_all_is_sorted() -> None:
    """A list in no order gets doubles and gaps that nobody sees in a review."""
    public = [name for name in memsdk.__all__ if not name.startswith("_")]
    assert public == sorted(set(public))


@pytest.mark.parametrize("name", memsdk.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """The names are loaded when first used: a wrong home would be found by a user, not at import."""
    assert getattr(memsdk, name) is not None
    assert name in dir(memsdk)


def test_type_checkers_see_the_same_names(repository: Path) -> None:
    """Editors complete what the TYPE_CHECKING block says; Python follows `__all__`. Both must agree."""
    assert names_for_type_checkers(repository / "memsdk") == {
        name for name in memsdk.__all__ if name[0] != "_"
    }


def test_every_error_is_public() -> None:
    """An error that can't be imported from `memsdk` can't be caught without digging."""
    ours = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert ours - set(memsdk.__all__) == set()


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The docstring of memsdk.errors is what a user reads to choose an `except`; it must not rot."""
    assert errors.__doc__ is not None
    drawn: dict[str, int] = {}
    for line in errors.__doc__.splitlines():
        words = line.split()
        if words and words[0] in ("*", "x", "+", "-"):
            drawn[words[1]] = "*x+-".index(words[0])
    classes = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set(drawn) == {name for name in classes if name.endswith("Error")}
    depths = {
        name: sum(issubclass(parent, errors.MemsdkError) for parent in classes[name].__mro__) - 1
        for name in drawn
    }
    assert drawn == depths


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr(memsdk, ...)` and misspelt imports rely on it."""
    with pytest.raises(AttributeError, match="Forgetting"):
        memsdk.Forgetting  # type: ignore[attr-defined]  # noqa: B018  # that is the claim
