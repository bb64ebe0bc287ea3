"""Writes docs/cli.md and docs/api.md from the source: click's help, signatures and docstrings. `make docs` runs it."""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from pydantic import BaseModel

import memsdk
from memsdk import errors
from memsdk.cli.commands import SECTIONS
from memsdk.cli.main import cli
from memsdk.settings import Settings

HERE = Path(__file__).parent
WIDTH = 100

FACE: dict[str, tuple[str, ...]] = {
    "The memory": ("memsdk.Memory", "memsdk.scoped.ScopedMemory", "memsdk.documents.DocumentShelf",
                   "memsdk.sessions.SessionShelf"),
    "What comes back": ("memsdk.Recall", "memsdk.Hit", "memsdk.Record", "memsdk.Why", "memsdk.Session", "memsdk.Document",
                        "memsdk.IngestReport", "memsdk.Forgotten", "memsdk.Stats", "memsdk.Verification",
                        "memsdk.Difference", "memsdk.transfer.Imported", "memsdk.Kind"),
    "What an evaluation gives": ("memsdk.evaluation.Evaluation", "memsdk.evaluation.Result",
                                 "memsdk.evaluation.results.Group", "memsdk.evaluation.measures.Estimate",
                                 "memsdk.evaluation.measures.Comparison"),
    "Rerankers": ("memsdk.ports.Reranker", "memsdk.rerankers.LateInteraction", "memsdk.rerankers.CrossEncoder",
                  "memsdk.rerankers.ChatReranker"),
    "Tools": ("memsdk.tools.ToolShelf", "memsdk.ToolRecall", "memsdk.Synced"),
    "Solved examples": ("memsdk.examples.ExampleShelf", "memsdk.ExampleRecall", "memsdk.ExampleReport",
                        "memsdk.integrations.langchain.MemoryExampleSelector"),
    "For asyncio": ("memsdk.AsyncMemory",),
    "For those who come from mem0": ("memsdk.compat.Memory",),
}  # fmt: skip
"""What a user's code touches, by the headings of the page."""

NOTICE = "<!-- Written by docs/generate.py from the source: change that, and run `make docs`. -->"


def cli_page() -> str:
    """Every command with its help, in the order of `memsdk --help`."""
    root = click.Context(
        cli,
        info_name="memsdk",
        max_content_width=WIDTH,
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    parts = [
        "# The command line",
        NOTICE,
        "The help of every command, as `--help` prints it.",
        _help(cli, root),
    ]
    for heading, commands in SECTIONS.items():
        parts.append(f"{heading}: {', '.join(f'[{name}](#memsdk-{name})' for name in commands)}.")
    for commands in SECTIONS.values():
        for name in commands:
            command = cli.get_command(root, name)
            assert command is not None
            context = click.Context(
                command, info_name=name, parent=root, max_content_width=WIDTH, terminal_width=WIDTH
            )
            parts += [f"## memsdk {name}", _help(command, context)]
            if isinstance(command, click.Group):
                parts += _subcommands(command, context)
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """Every class of the public face with its signatures and docstrings, then the settings and the errors."""
    parts = [
        "# The Python interface",
        NOTICE,
        "Signatures and docstrings, as the source has them. [Errors](errors.md) has what to do about each.",
    ]
    for heading, paths in FACE.items():
        parts.append(f"## {heading}")
        for path in paths:
            parts += _class(path)
    parts += ["## Settings", _prose(Settings.__doc__), _settings()]
    parts += ["## Errors", _literal(errors.__doc__)]
    return "\n\n".join(parts) + "\n"


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli_page, "api.md": api_page}


def _subcommands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        own = click.Context(
            command, info_name=name, parent=context, max_content_width=WIDTH, terminal_width=WIDTH
        )
        yield f"### memsdk {context.info_name} {name}"
        yield _help(command, own)


def _help(command: click.Command, context: click.Context) -> str:
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return "\n".join(["```", *lines, "```"])


def _class(path: str) -> list[str]:
    module, _, name = path.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    title = path if path == f"memsdk.{name}" or module == "memsdk.compat" else name
    parts = [f"### {title}", _prose(thing.__doc__)]
    if issubclass(thing, BaseModel):
        parts.append(_fields(thing))
    elif members := getattr(thing, "__members__", None):
        parts.append(", ".join(f"`{member.value}`" for member in members.values()))
    for member, value in _methods(thing):
        parts += [_signature(member, value), _prose(value.__doc__)]
    return [part for part in parts if part]


def _methods(thing: type) -> Iterator[tuple[str, Callable[..., object]]]:
    """Public methods in the order in which they are written; a property counts too."""
    if hasattr(thing, "__members__"):
        return
    for name, value in vars(thing).items():
        if isinstance(value, property) and not name.startswith("_") and value.fget is not None:
            yield name, value.fget
        function = value.__func__ if isinstance(value, classmethod) else value
        if (
            inspect.isfunction(function)
            and not name.startswith("_")
            and function.__module__ == thing.__module__
        ):
            yield name, function


def _signature(name: str, function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    given = [value for key, value in signature.parameters.items() if key not in ("self", "cls")]
    arguments: list[str] = []
    starred = False
    for parameter in given:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            arguments.append("*")
        starred |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        arguments.append(_plain(str(parameter)))
    returns = (
        ""
        if signature.return_annotation is signature.empty
        else f" -> {_plain(str(signature.return_annotation))}"
    )
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    line = f"{prefix}{name}({', '.join(arguments)}){returns}"
    if len(line) > WIDTH:
        line = f"{prefix}{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){returns}"
    return f"#### `{name}`\n\n```\n{line}\n```"


def _plain(text: str) -> str:
    """Annotations as the source writes them, without their quotes."""
    return (
        text.replace("builtins.", "").replace("'", "") if "= '" not in text else _plain_keeping_default(text)
    )


def _plain_keeping_default(text: str) -> str:
    head, equals, default = text.partition(" = ")
    return f"{_plain(head)}{equals}{default}"


def _fields(model: type[BaseModel]) -> str:
    inherited = [
        base for base in model.__bases__ if base.__module__.startswith("memsdk") and base.__name__[0] != "_"
    ]
    known = {name for base in inherited if issubclass(base, BaseModel) for name in base.model_fields}
    rows = [
        f"    {name}: {_plain(str(model.__annotations__.get(name, '')))}"
        for name in model.model_fields
        if name not in known
    ]
    base = f"  # and what a {inherited[0].__name__} has" if inherited else ""
    return "\n".join(["```", f"{model.__name__}{base}", *rows, "```"])


def _settings() -> str:
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name}` | `{field.default}` | {field.description} |")
    return "\n".join(rows)


def _prose(docstring: str | None) -> str:
    """A Google docstring as Markdown: sections become lists, examples code."""
    parts = []
    for block in re.split(r"\n(?=(?:Args|Raises|Attributes|Example):\n)", inspect.cleandoc(docstring or "")):
        heading, _, body = block.partition("\n")
        match heading:
            case "Args:" | "Raises:" | "Attributes:":
                parts.append(f"{heading}\n\n{_list(textwrap.dedent(body))}")
            case "Example:":
                parts.append(f"```\n{textwrap.dedent(body).strip()}\n```")
            case _:
                parts.append(block)
    return "\n\n".join(part.strip() for part in parts).strip()


def _list(body: str) -> str:
    """`name: text` lines as a list; a deeper line goes on with the one above."""
    rows: list[str] = []
    for line in body.splitlines():
        if line.startswith(" ") and rows:
            rows[-1] += " " + line.strip()
        elif line.strip():
            name, colon, text = line.partition(": ")
            rows.append(f"- `{name}`: {text}" if colon and " " not in name.replace(", ", "") else f"- {line}")
    return "\n".join(rows)


def _literal(docstring: str | None) -> str:
    head, _, tree = inspect.cleandoc(docstring or "").partition("\n\n")
    return f"{head}\n\n```\n{tree}\n```"


def main() -> None:
    """Write both pages beside this file."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    assert memsdk.__version__
    main()
