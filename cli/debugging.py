"""--debug, before and after the subcommand. Apart from the other options, so that the help loads nothing else."""

from __future__ import annotations

from collections.abc import Callable

import click

DEBUG = "memsdk.debug"


def debug_option(command: Callable[..., None]) -> Callable[..., None]:
    """Errors keep their traceback."""
    return click.option(
        "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_set,
        help="Show the traceback of an error.",
    )(command)  # fmt: skip


def _set(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 -- click's shape
    if value:
        ctx.meta[DEBUG] = True
