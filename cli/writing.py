"""`remember`, `update` and `feedback`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from memsdk.cli.options import (
    StoreChoice,
    duration,
    json_option,
    label_options,
    read_stdin,
    scope_options,
    store_options,
    text_or_stdin,
)
from memsdk.cli.output import note, print_json, print_json_lines
from memsdk.errors import InvalidInputError

if TYPE_CHECKING:
    from memsdk import Record
    from memsdk.messages import ChatMessage

AT = "When it was said: ISO 8601, UTC where it names no zone."
TTL = "It expires after this time: 90s, 15m, 12h, 30d, 2w."


@click.command(short_help="Remember a text, or the messages of a chat.")
@click.argument("text", required=False)
@click.option("--file", "file", metavar="FILE", help="A JSON list of {role, content} messages; - for stdin.")
@scope_options()
@label_options
@click.option("--at", "occurred_at", metavar="TIME", help=AT)
@click.option("--ttl", type=duration, metavar="SPAN", help=TTL)
@click.option(
    "--id", "id", metavar="ID", help="An id of your own: the same again is a no-op, new text an update."
)
@click.option("--supersedes", metavar="ID", help="The record that this one replaces.")
@click.option(
    "--shared", is_flag=True, help="Say that all users are meant, where the store requires a --user."
)
@store_options
@json_option
def remember_command(
    *,
    store: StoreChoice,
    text: str | None,
    file: str | None,
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    occurred_at: str | None,
    ttl: timedelta | None,
    id: str | None,
    supersedes: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Remember TEXT (- for stdin), or with --file the messages of a chat. Prints the ids.

    \b
    Example:
      memsdk remember "Ana is allergic to peanuts." --user ana --tag health
      memsdk remember --file chat.json --user ana --session monday
      git log -1 --format=%B | memsdk remember - --meta repo=site
    """
    if (text is None) == (file is None):
        raise click.UsageError("give a TEXT (- for stdin), or --file FILE")
    content = [text_or_stdin(text)] if text is not None else _messages(str(file))
    with store.open(make=True, embeds=True) as memory:
        records = memory.remember(
            cast("str", content[0] if text is not None else content),
            user_id=user_id, agent_id=agent_id, session_id=session_id, metadata=metadata, tags=tags,
            occurred_at=occurred_at, ttl=ttl, id=id, supersedes=supersedes, shared=shared,
        )  # fmt: skip
    _print_written([records] if text is not None else cast("list[Record]", records), as_json=as_json)


@click.command(short_help="Write a new revision of a record.")
@click.argument("id", metavar="ID")
@click.argument("text", required=False)
@label_options
@click.option("--at", "occurred_at", metavar="TIME", help=AT)
@click.option("--ttl", type=duration, metavar="SPAN", help=TTL)
@store_options
@json_option
def update_command(
    *,
    store: StoreChoice,
    id: str,
    text: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    occurred_at: str | None,
    ttl: timedelta | None,
    as_json: bool,
) -> None:
    """Write a new revision of the record ID: a new TEXT (- for stdin), new metadata, or both.

    What is not given stays as it is; --meta replaces all of the metadata. `memsdk history ID` shows the old revisions.

    \b
    Example:
      memsdk update 01980f6e-... "Ana is allergic to peanuts and kiwi."
      memsdk update 01980f6e-... --meta source=doctor
    """
    if all(value is None for value in (text, metadata, tags, occurred_at, ttl)):
        raise click.UsageError("give a new TEXT, --meta, --tag, --at or --ttl")
    with store.open() as memory:
        record = memory.update(
            id, None if text is None else text_or_stdin(text), metadata=metadata, tags=tags, occurred_at=occurred_at,
            ttl=ttl,
        )  # fmt: skip
    _print_written([record], as_json=as_json)


@click.command(short_help="Say what became of a recall.")
@click.argument("recall_id", metavar="RECALL")
@click.option("--output", metavar="TEXT", help="What the agent said or did then; - for stdin.")
@click.option("--score", type=float, help="How that was received: 0 (useless) to 1 (just right).")
@click.option("--used", multiple=True, metavar="ID", help="A record that it used, repeatable.")
@store_options
@json_option
def feedback_command(
    *,
    store: StoreChoice,
    recall_id: str,
    output: str | None,
    score: float | None,
    used: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what became of a recall, by the id that `memsdk recall` printed. The trainer learns from it.

    \b
    Example:
      memsdk feedback 01980f6e-... --output "No peanuts." --score 1
    """
    with store.open() as memory:
        feedback_id = memory.feedback(
            recall_id, output=None if output is None else text_or_stdin(output), score=score, used=used
        )
    if as_json:
        print_json({"feedback_id": str(feedback_id), "recall_id": recall_id})
    else:
        click.echo(f"feedback {feedback_id} filed")


def _messages(file: str) -> list[ChatMessage | str]:
    """The list in a JSON file; what its items have to be the SDK says."""
    try:
        text = read_stdin() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); convert it first"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InvalidInputError(f"can't read {file!r}: {reason}") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{file} is not JSON ({error}); `memsdk ingest` reads other formats"
        ) from None
    messages = [found] if isinstance(found, dict) else found
    if not isinstance(messages, list) or not messages:
        raise InvalidInputError(f"{file} holds no messages; expected a list of {{role, content}} objects")
    return messages


def _print_written(records: list[Record], *, as_json: bool) -> None:
    if as_json:
        print_json_lines(records)
        return
    for record in records:
        click.echo(str(record.id))
        if record.revision > 1:
            note(f"  revision {record.revision}")
        elif record.seen > 1:
            note(f"  known already; seen {record.seen} times")
