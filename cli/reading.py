"""`list`, `show`, `history` and `sessions`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import (
    StoreChoice,
    filter_option,
    json_option,
    kind_option,
    scope_options,
    store_options,
)
from memsdk.cli.output import note, print_json, print_json_lines, print_page, print_pairs, print_table, when

if TYPE_CHECKING:
    from memsdk import Record, Session

LIMIT = 50


@click.command(short_help="List records, oldest first.")
@scope_options()
@kind_option
@filter_option
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="How many at most, up to 10,000.")
@click.option("--after", metavar="ID", help="Go on after this record, the last one seen.")
@store_options
@json_option
def list_command(
    *,
    store: StoreChoice,
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    kinds: list[str] | None,
    filters: Mapping[str, object] | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List records, oldest first: with --user that user's own, else everybody's.

    \b
    Example:
      memsdk list --user ana --kind memory
      memsdk list --json --limit 10000 | jq -r .text
    """
    with store.open() as memory:
        records = memory.list(
            user_id=user_id, agent_id=agent_id, session_id=session_id, kinds=kinds, filters=filters, limit=limit, after=after
        )  # fmt: skip
    print_page(records, _print_records, limit=limit, as_json=as_json, none="no records")


@click.command(short_help="Show one record.")
@click.argument("id", metavar="ID")
@store_options
@json_option
def show_command(*, store: StoreChoice, id: str, as_json: bool) -> None:
    """Show the record ID with all that is known of it.

    \b
    Example:
      memsdk show 01980f6e-...
    """
    with store.open() as memory:
        record = memory.get(id)
    if as_json:
        print_json(record)
    else:
        print_pairs(_fields(record))


@click.command(short_help="Show every revision of a record, oldest first.")
@click.argument("id", metavar="ID")
@store_options
@json_option
def history_command(*, store: StoreChoice, id: str, as_json: bool) -> None:
    """Show every revision of the record ID, oldest first.

    \b
    Example:
      memsdk history 01980f6e-...
    """
    with store.open() as memory:
        revisions = memory.history(id)
    if as_json:
        print_json_lines(revisions)
        return
    print_table(
        ["revision", "written", "text"],
        [[str(record.revision), when(record.updated_at), record.text] for record in revisions],
        right=["revision"],
        wrapped=True,
    )


@click.command(short_help="List sessions, or read one back.")
@click.option("--user", "user_id", metavar="ID", help="Of this user only.")
@click.option("--transcript", metavar="SESSION", help="Print what was said in this session.")
@click.option("--last", type=int, metavar="N", help="Its last so many turns.")
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="How many sessions at most.")
@store_options
@json_option
def sessions_command(
    *,
    store: StoreChoice,
    user_id: str | None,
    transcript: str | None,
    last: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List sessions, the latest first; or with --transcript read one back.

    \b
    Example:
      memsdk sessions --user ana
      memsdk sessions --user ana --transcript monday --last 20
    """
    if transcript is None:
        if last is not None:
            raise click.UsageError("--last goes with --transcript SESSION")
        with store.open() as memory:
            sessions = memory.sessions.list(user_id, limit=limit)
        _print_sessions(sessions, as_json=as_json)
        return
    with store.open() as memory:
        turns = memory.sessions.transcript(transcript, user_id=user_id, last=last)
    if as_json:
        print_json_lines(turns)
        return
    print_table(
        ["when", "who", "text"],
        [[when(turn.occurred_at), turn.name or turn.role or turn.user_id or "", turn.text] for turn in turns],
        wrapped=True,
    )


def _print_sessions(sessions: list[Session], *, as_json: bool) -> None:
    if as_json:
        print_json_lines(sessions)
    elif not sessions:
        note("no sessions")
    else:
        print_table(
            ["user", "records", "began", "last", "session"],
            [
                [item.user_id or "(shared)", str(item.records), when(item.started_at), when(item.last_at), item.session_id]
                for item in sessions
            ],
            right=["records"],
        )  # fmt: skip


def _print_records(records: list[Record]) -> None:
    """The kind is shown only where there are several."""
    kinds = len({record.kind for record in records}) > 1
    print_table(
        ["id", *(["kind"] if kinds else []), "user", "when", "text"],
        [
            [
                str(record.id),
                *([record.kind.value] if kinds else []),
                record.user_id or "(shared)",
                when(record.occurred_at),
                record.text,
            ]
            for record in records
        ],
    )


def _fields(record: Record) -> list[tuple[str, str]]:
    """Each field that has something to say; the text last."""
    named = {
        "id": str(record.id),
        "kind": record.kind.value,
        "user": record.user_id or "(shared)",
        "agent": record.agent_id,
        "session": record.session_id,
        "role": record.role,
        "name": record.name,
        "document": " > ".join([record.title, *record.section]) if record.title else None,
        "document id": record.source_id and str(record.source_id),
        "position": None if record.position is None else str(record.position),
        "your id": record.external_id,
        "occurred": when(record.occurred_at),
        "created": when(record.created_at),
        "updated": when(record.updated_at) if record.revision > 1 else None,
        "expires": when(record.expires_at),
        "superseded": when(record.superseded_at),
        "superseded by": record.superseded_by and str(record.superseded_by),
        "revision": str(record.revision),
        "seen": f"{record.seen} times, last {when(record.last_seen_at)}" if record.seen > 1 else None,
        "metadata": json.dumps(record.metadata, ensure_ascii=False) if record.metadata else None,
        "text": record.text,
    }
    return [(name, value) for name, value in named.items() if value]
