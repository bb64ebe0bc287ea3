"""`config`, `version` and `completion`."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version

import click
from click.core import ParameterSource

import memsdk
from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import print_json, print_json_lines, print_pairs, print_table
from memsdk.errors import InvalidInputError

ENGINES = (
    "qdrant-edge-py",
    "torch",
    "transformers",
    "tokenizers",
    "SQLAlchemy",
    "alembic",
    "pydantic",
    "click",
)
SOURCES = {
    ParameterSource.COMMANDLINE: "option",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT: "default",
}
CHOICES = {
    "store": "the folder of the store",
    "embedder": "what makes vectors; empty is the store's own, or for a new store packaged",
    "index": "how vectors are kept",
}


@click.command(short_help="Show every setting, its value, and where that came from.")
@store_options
@json_option
@click.pass_context
def config_command(ctx: click.Context, *, store: StoreChoice, as_json: bool) -> None:
    """Show every setting, its value, where that came from, and what it means.

    Settings are set by environment variables: MEMSDK_ and the name in capitals. The first three are options too.

    \b
    Example:
      MEMSDK_REQUIRE_USER=true memsdk config
    """
    chosen = {"store": str(store.path), "embedder": store.embedder, "index": store.index}
    rows: list[dict[str, object]] = [
        {"name": name, "value": value, "source": _source_of(ctx, name), "meaning": CHOICES[name]}
        for name, value in chosen.items()
    ]
    rows += _settings()
    if as_json:
        print_json_lines(rows)
    else:
        print_table(
            ["setting", "value", "from", "meaning"],
            [
                [str(row["name"]), _shown(row["value"]), str(row["source"]), str(row["meaning"])]
                for row in rows
            ],
            wrapped=True,
        )


@click.command(short_help="Show the versions of memsdk and of what it runs on.")
@json_option
def version_command(*, as_json: bool) -> None:
    """Show the versions of memsdk, of the schema of its stores, and of what it runs on.

    \b
    Example:
      memsdk version --json
    """
    from memsdk.records.opening import HEAD  # SQLAlchemy comes with it

    versions = {
        "memsdk": memsdk.__version__,
        "schema": HEAD,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    for package in ENGINES:
        try:
            versions[package.lower()] = version(package)
        except PackageNotFoundError:
            continue
    if as_json:
        print_json(versions)
    else:
        print_pairs(versions.items())


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion_command(ctx: click.Context, *, shell: str) -> None:
    """Print the script that completes commands and options in SHELL; put it where your shell reads it at its start.

    \b
    Example:
      memsdk completion bash >> ~/.bashrc
      memsdk completion fish > ~/.config/fish/completions/memsdk.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, "memsdk", "_MEMSDK_COMPLETE").source())


def _settings() -> list[dict[str, object]]:
    from pydantic import ValidationError

    from memsdk.settings import PREFIX, Settings

    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()
        )
        raise InvalidInputError(f"{problems}; correct the environment variable or unset it") from None
    environment = {name.upper() for name in os.environ}
    return [
        {
            "name": name,
            "value": getattr(settings, name),
            "source": "environment" if f"{PREFIX}{name.upper()}" in environment else "default",
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]


def _source_of(ctx: click.Context, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return SOURCES.get(source, "default") if source else "default"


def _shown(value: object) -> str:
    if value is None:
        return "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)
