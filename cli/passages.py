"""`passages`: add, list, recall, show, remove."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import (
    StoreChoice,
    json_option,
    label_options,
    read_stdin,
    scope_options,
    store_options,
    text_or_stdin,
)
from memsdk.cli.output import note, print_indented, print_json, print_json_lines, print_table, style, when
from memsdk.errors import IngestError

if TYPE_CHECKING:
    from memsdk import PassageRecall

LIMIT = 50
SHARED = "Say that all users are meant, where the store requires a --user."


@click.group(short_help="Keep texts that grow, and find what of them bears on their end.")
def passages_command() -> None:
    """Keep texts that grow, such as a draft or a log, and find what of them bears on their end.

    \b
    Example:
      memsdk passages add draft-1 draft.txt
      memsdk passages recall draft-1 "She opened the letter from Lisbon." -k 2
    """


@passages_command.command("add")
@click.argument("stream")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--append", is_flag=True, help="The file holds what comes next, not the whole text.")
@scope_options(session=False)
@label_options
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def add(
    *,
    store: StoreChoice,
    stream: str,
    file: Path,
    append: bool,
    user_id: str | None,
    agent_id: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Make STREAM the text of FILE (- for stdin), which is the whole text as it is now: what is new is added to its end.

    The same command again adds what was written since; where the file says other words than the stream, nothing is
    changed and an error says from which character on.

    \b
    Example:
      memsdk passages add draft-1 draft.txt
      tail -n 100 service.log | memsdk passages add log - --append
    """
    text = read_stdin() if str(file) == "-" else _read(file)
    with store.open(make=True, embeds=True) as memory:
        grown = memory.passages.append(
            stream, text, at=None if append else 0, user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags,
            shared=shared,
        )  # fmt: skip
    if as_json:
        print_json(grown)
    else:
        click.echo(f"{grown.name}  {grown.chars:,} characters in {grown.chunks:,} chunks")


@passages_command.command("list")
@click.option("--user", "user_id", metavar="ID", help="Whose: a user's id.")
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="How many at most.")
@store_options
@json_option
def list_(*, store: StoreChoice, user_id: str | None, limit: int, as_json: bool) -> None:
    """List streams, the one that grew last first.

    \b
    Example:
      memsdk passages list
    """
    with store.open() as memory:
        streams = memory.passages.list(user_id=user_id, limit=limit)
    if as_json:
        print_json_lines(streams)
        return
    print_table(
        ["stream", "user", "agent", "characters", "chunks", "grew"],
        [
            [
                one.name,
                one.user_id or "",
                one.agent_id or "",
                f"{one.chars:,}",
                f"{one.chunks:,}",
                when(one.grew_at),
            ]
            for one in streams
        ],
        right=["characters", "chunks"],
    )


@passages_command.command("show")
@click.argument("stream")
@click.option("--from", "start", type=int, default=0, show_default=True, help="The character to begin at.")
@scope_options(session=False)
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def show(
    *,
    store: StoreChoice,
    stream: str,
    start: int,
    user_id: str | None,
    agent_id: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Print the text of STREAM, as it was added.

    \b
    Example:
      memsdk passages show draft-1 > draft.txt
    """
    with store.open() as memory:
        text = memory.passages.read(stream, start=start, user_id=user_id, agent_id=agent_id, shared=shared)
    if as_json:
        print_json({"stream": stream, "start": start, "text": text})
    else:
        click.echo(text, nl=False)


@passages_command.command("recall")
@click.argument("stream")
@click.argument("recent_text", metavar="TEXT")
@click.option(
    "-k", "k", type=int, default=4, show_default=True, help="How many passages at most, 1 to 1,000."
)
@click.option("--before", type=int, metavar="N", help="Only passages that end at this character or sooner.")
@scope_options(session=False)
@click.option("--render", is_flag=True, help="Print the text for a prompt instead.")
@click.option("--max-tokens", type=int, metavar="N", help="The budget of that text.")
@click.option("--shared", is_flag=True, help="Say that no user is meant, where the store requires a --user.")
@store_options
@json_option
def recall(
    *,
    store: StoreChoice,
    stream: str,
    recent_text: str,
    k: int,
    before: int | None,
    user_id: str | None,
    agent_id: str | None,
    render: bool,
    max_tokens: int | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Find what of STREAM bears on TEXT (- for stdin), each passage with what followed it, in the text's order.

    \b
    Example:
      memsdk passages recall draft-1 "She opened the letter from Lisbon." -k 2
      tail -c 2000 draft.txt | memsdk passages recall draft-1 - --render --max-tokens 800
    """
    if as_json and render:
        raise click.UsageError("give --json or --render, not both")
    with store.open(embeds=True) as memory:
        found = memory.passages.recall(
            stream, text_or_stdin(recent_text), k=k, before=before, user_id=user_id, agent_id=agent_id,
            max_tokens=max_tokens, shared=shared,
        )  # fmt: skip
    if as_json:
        print_json(found)
    elif render:
        click.echo(found.render())
        note(f"recall {found.id}")
    else:
        _print_passages(found)


@passages_command.command("remove")
@click.argument("stream")
@scope_options(session=False)
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def remove(
    *, store: StoreChoice, stream: str, user_id: str | None, agent_id: str | None, shared: bool, as_json: bool
) -> None:
    """Erase STREAM, so that no byte of it stays.

    \b
    Example:
      memsdk passages remove draft-1
    """
    with store.open() as memory:
        receipt = memory.passages.remove(stream, user_id=user_id, agent_id=agent_id, shared=shared)
    if as_json:
        print_json(receipt)
    else:
        click.echo(f"erased {receipt.records:,} chunks of {stream}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise IngestError(f"{file} can't be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise IngestError(f"{file} is not UTF-8 text: {error.reason}; convert it first") from error


def _print_passages(found: PassageRecall) -> None:
    for passage in found:
        click.echo(
            f"{style(f'{passage.score:.3f}', colour='green')}  "
            f"{style(f'characters {passage.start:,} to {passage.end:,}', dim=True)}"
        )
        print_indented(passage.text.strip(), indent="    ")
        if passage.continuation:
            click.echo(style("    then:", dim=True))
            print_indented(passage.continuation.strip(), indent="    ")
        click.echo()
    click.echo(style(f"recall {found.id}  {len(found)} found", dim=True))
