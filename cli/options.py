"""What several commands take: the store, the scope, and values that need reading."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from memsdk.cli import head_start
from memsdk.cli.debugging import debug_option
from memsdk.cli.output import note
from memsdk.cli.places import DATABASE, DEFAULT_STORE
from memsdk.errors import InvalidInputError, StoreError

if TYPE_CHECKING:
    from memsdk import Memory

Command = Callable[..., None]
Option = Callable[[Command], Command]

KINDS = ("memory", "document", "example", "tool", "passage")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChoice:
    """Which store a command is about, and how it is opened."""

    path: Path
    embedder: str | None
    index: str

    @property
    def exists(self) -> bool:
        """Whether there is a store."""
        return (self.path / DATABASE).exists()

    def open(
        self,
        *,
        make: bool = False,
        quiet: bool = False,
        embeds: bool = False,
        reranker: str | None = None,
    ) -> Memory:
        """Open it. Where there is none: an error, or with `make` a new one and (unless `quiet`) a line that says so.

        Args:
            embeds: says that the command will need the embedder, which is then read meanwhile.
        """
        if not self.exists and not make:
            raise StoreError(
                f"there is no store in {self.path}; make one with `memsdk init --store {self.path}`,"
                " or name another with --store or MEMSDK_STORE"
            )
        is_new = not self.exists
        if embeds:
            head_start.begin(self.path / DATABASE, embedder=self.embedder)
        import memsdk

        memory = memsdk.Memory.open(
            self.path,
            embedder=self.embedder,
            index=cast("Literal['embedded', 'embedded-inline', 'exact']", self.index),
            reranker=reranker,
        )
        if is_new and not quiet:
            note(f"made a new store in {self.path}")
        return memory


def store_options(command: Command) -> Command:
    """--store, --embedder, --index and --debug, given to the command as one StoreChoice named `store`."""
    embedder = click.option(
        "--embedder", envvar="MEMSDK_EMBEDDER", metavar="NAME",
        help="packaged, a folder, or a hub id. Left out: the store's own; for a new store, packaged.",
    )  # fmt: skip
    return embedder(store_options_but_embedder(command))


def store_options_but_embedder(command: Command) -> Command:
    """The same without --embedder, which opens every store with its own."""

    @wraps(command)
    def run(*, store: Path, index: str, embedder: str | None = None, **arguments: object) -> None:
        command(store=StoreChoice(path=store, embedder=embedder, index=index), **arguments)

    options: list[Option] = [
        click.option(
            "--store", type=click.Path(path_type=Path), default=DEFAULT_STORE, envvar="MEMSDK_STORE",
            show_default=True, metavar="FOLDER", help="The store; or set MEMSDK_STORE.",
        ),
        click.option(
            "--index", type=click.Choice(("embedded", "embedded-inline", "exact")), default="embedded",
            envvar="MEMSDK_INDEX", show_default=True,
            metavar="HOW",
            help="Where vectors are kept: embedded (a host process for all), embedded-inline (this process alone) or exact"
            " (in memory).",
        ),
        debug_option,
    ]  # fmt: skip
    return _apply(options, run)


def scope_options(*, session: bool = True) -> Option:
    """--user, --agent and --session."""
    options: list[Option] = [
        click.option("--user", "user_id", metavar="ID", help="Whose: a user's id."),
        click.option("--agent", "agent_id", metavar="ID", help="Which agent's."),
    ]
    if session:
        options.append(click.option("--session", "session_id", metavar="ID", help="Of which session."))
    return lambda command: _apply(options, command)


def server_options(command: Command) -> Command:
    """--tokenizer, --server-model and --timeout, of a reward model behind a server; as load_reward_model names them."""
    options: list[Option] = [
        click.option(
            "--tokenizer", "server_tokenizer", metavar="MODEL",
            help="A folder or hub id with the tokenizer of a server's model.",
        ),
        click.option(
            "--server-model", metavar="NAME", help="Which of a server's models; its first by default."
        ),
        click.option(
            "--timeout", "timeout_s", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
            metavar="SECONDS", help="How long a server may take for one answer.",
        ),
    ]  # fmt: skip
    return _apply(options, command)


def label_options(command: Command) -> Command:
    """--meta and --tag, as `metadata` and `tags`."""
    options: list[Option] = [
        click.option(
            "--meta", "metadata", multiple=True, type=key_value, metavar="KEY=VALUE", callback=_mapping_of,
            help="Metadata, repeatable; the value is read as JSON where it is JSON.",
        ),
        click.option(
            "--tag", "tags", multiple=True, metavar="TAG", callback=_list_or_none, help="A tag, repeatable."
        ),
    ]  # fmt: skip
    return _apply(options, command)


def json_option(command: Command) -> Command:
    """--json, as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON: an object, or one a line for a list."
    )(command)


def kind_option(command: Command) -> Command:
    """--kind, repeatable, as `kinds`."""
    return click.option(
        "--kind", "kinds", multiple=True, type=click.Choice(KINDS), callback=_list_or_none,
        metavar="KIND", help=f"Only this kind, repeatable: {', '.join(KINDS)}.",
    )(command)  # fmt: skip


def filter_option(command: Command) -> Command:
    """--filter, as `filters`."""
    return click.option(
        "--filter",
        "filters",
        type=json_mapping,
        metavar="JSON",
        help="""Of the metadata, such as '{"n": {"$gte": 3}}'.""",
    )(command)


def read_stdin() -> str:
    """All of the standard input, as UTF-8 text."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"the standard input is not UTF-8 text ({error.reason} at byte {error.start}); convert it first, for instance"
            " with `iconv -f latin1 -t utf-8`"
        ) from None


def text_or_stdin(text: str) -> str:
    """The text, or for `-` what comes in."""
    return read_stdin() if text == "-" else text


def json_mapping(value: str) -> Mapping[str, object]:
    """A JSON object."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value!r:.80} is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise click.BadParameter(f'{value!r:.80} is not a JSON object such as {{"tag": "x"}}')
    return parsed


def key_value(value: str) -> tuple[str, object]:
    """`key=value`, the value as JSON where it is JSON, else as text."""
    key, equals, text = value.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{value!r:.80} is not key=value")
    try:
        return key, json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return key, text


def duration(value: str) -> timedelta:
    """`90`, `90s`, `15m`, `12h`, `30d` or `2w`."""
    found = _DURATION.fullmatch(value.strip())
    try:
        if found:
            return timedelta(seconds=float(found["number"]) * _SECONDS[found["unit"]])
    except OverflowError:
        pass
    raise click.BadParameter(f"{value!r:.40} is not a time span such as 90s, 15m, 12h, 30d or 2w")


def _apply(options: list[Option], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _mapping_of(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, object], ...]
) -> dict[str, object] | None:
    return dict(value) or None


def _list_or_none(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    return list(value) or None


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are no JSON: they are words
