"""`memsdk`, the command: finds the subcommand, loads it alone, and turns every error into a line and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType

import click

import memsdk
from memsdk.cli.commands import HOMES, SECTIONS
from memsdk.cli.debugging import DEBUG, debug_option
from memsdk.errors import MemsdkError

GARBAGE = 100_000  # new objects between two collections; imports make as many, and none is garbage
INTERRUPTED = 130  # as shells say of a program that Ctrl-C ended
PIPE_CLOSED = 141
EXIT_CODES = """\b
Exit codes:
  0    done
  1    a bug in memsdk, or you said no
  2    a wrong argument; nothing was changed
  3    no such record, session, document or recall
  4    the store: missing, locked, read-only, damaged, disk full
  5    the index: it failed, or verify found differences
  6    the embedder or the reranker can't be loaded, or the embedder is not the store's
  7    a file can't be read
  8    the language model that scores can't be loaded or reached
  130  interrupted; what was acknowledged is kept
  141  the reader of the output went away
"""


class Commands(click.Group):
    """The group of all commands; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order of the help."""
        return list(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in HOMES:
            return None
        command = getattr(import_module(f"memsdk.cli.{HOMES[cmd_name]}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()], col_spacing=3)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; MemsdkError, Ctrl-C and a closed pipe become messages and exit codes."""
        try:
            return super().invoke(ctx)
        except MemsdkError as error:
            if ctx.meta.get(DEBUG):
                sys.__excepthook__(type(error), error, error.__traceback__)
            else:
                click.echo("\n  ".join((f"error: {error}", *getattr(error, "__notes__", ()))), err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            ctx.exit(_pipe_closed())
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(_interrupted())


@click.group(
    cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)  # fmt: skip
@click.version_option(memsdk.__version__, package_name="memsdk", message="memsdk %(version)s")
@debug_option
def cli() -> None:
    """A memory for LLM agents: remember, recall and forget, on your own machine.

    The store is a folder: --store, else MEMSDK_STORE, else ./agent-memory. Every command has --json for programs and
    an example in its own help.

    \b
    Example:
      memsdk init
      memsdk remember "Ana is allergic to peanuts." --user ana
      memsdk recall "What can't Ana eat?" --user ana
    """


def main() -> None:
    """The entry point of `memsdk` and `python -m memsdk`."""
    for stream in (sys.stdout, sys.stderr):  # a file name that is no text must not end a listing
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream, here
    sys.excepthook = _report
    # pydantic would look for plug-ins of its own in every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(GARBAGE)
    try:
        _run(sys.argv[1:])
    finally:
        gc.freeze()  # the end of the process walks all that is left otherwise, to free what it is about to lose


def _run(arguments: Sequence[str]) -> None:
    """Run the command: a recall beside a program that has the store open by the standby, which it leaves for the next one."""
    standby = None
    if arguments[:1] == ["recall"]:
        # what this imports, help and the other commands can do without
        from memsdk.cli.standby import standby_for

        standby = standby_for(arguments)
    if standby is None or not standby.is_wanted:
        cli(prog_name="memsdk")
        return
    try:
        code = standby.run(arguments)
    except BrokenPipeError:
        code = _pipe_closed()
    except KeyboardInterrupt:
        code = _interrupted()
    if code is not None:
        sys.exit(code)
    try:
        cli(prog_name="memsdk")
    except SystemExit as end:
        if not end.code:
            standby.leave_behind()
        raise


def _pipe_closed() -> int:
    """Nothing is written any more; the exit code of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def _interrupted() -> int:
    """A line that says so, and the exit code of it."""
    click.echo("\ninterrupted; what was acknowledged is kept", err=True)
    return INTERRUPTED


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, and whose fault it is."""
    sys.__excepthook__(kind, error, trace)
    if not isinstance(error, MemsdkError):
        click.echo(
            f"This is a bug in memsdk {memsdk.__version__}. Please report it with the lines above.", err=True
        )
