from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from memsdk import errors
from memsdk.cli.commands import HOMES
from memsdk.cli.main import cli
from memsdk.settings import Settings


@pytest.fixture(scope="module")
def generate(repository: Path) -> ModuleType:
    """docs/generate.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("generate", repository / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "api.md"])
def test_the_reference_is_what_the_source_says(name: str, generate: ModuleType, repository: Path) -> None:
    """A reference that lags behind the code is worse than none; `make docs` writes it anew."""
    assert (repository / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), (
        "run `make docs`"
    )


@pytest.mark.parametrize("name", HOMES)
def test_every_command_has_help_with_an_example(name: str, repository: Path) -> None:
    """`memsdk X --help` is where an operator looks first, and an example is what they copy."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    assert f"memsdk {name}" in command.help.partition("Example:")[2]
    assert f"\n## memsdk {name}\n" in (repository / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_command_is_used_in_a_page(repository: Path) -> None:
    """A command that no page shows in use is known to its author alone."""
    pages = [page for page in (repository / "docs").rglob("*.md") if page.name != "cli.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in HOMES if not re.search(rf"memsdk {name}\b", text)] == []


def test_every_error_has_its_cure_in_the_docs(repository: Path) -> None:
    """Who has caught an error wants to know what to do next."""
    page = (repository / "docs" / "errors.md").read_text(encoding="utf-8")
    names = [name for name in vars(errors) if name.endswith("Error")]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_setting_is_in_the_reference(repository: Path) -> None:
    """A setting that is not written down can't be set."""
    page = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in page] == []
