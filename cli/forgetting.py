"""`forget` and `sweep`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import (
    StoreChoice,
    duration,
    filter_option,
    json_option,
    kind_option,
    scope_options,
    store_options,
)
from memsdk.cli.output import note, print_json, print_pairs, printable

if TYPE_CHECKING:
    from memsdk import Forgotten


@click.command(short_help="Erase records and every trace of their texts.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@scope_options()
@kind_option
@filter_option
@click.option("--before", metavar="TIME", help="Created before this time (ISO 8601).")
@click.option("--older-than", type=duration, metavar="SPAN", help="Created longer ago than 12h, 30d, 2w.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_options
@json_option
@click.pass_context
def forget_command(
    ctx: click.Context,
    *,
    store: StoreChoice,
    ids: tuple[str, ...],
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    kinds: list[str] | None,
    filters: Mapping[str, object] | None,
    before: str | None,
    older_than: timedelta | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase records, so that no byte of their texts stays in the store: those of these IDs, or all that fit the options.

    --user alone erases all of that user, documents, recalls and feedback too. What is not named by its ID is asked about
    first, or needs --yes where nobody can be asked. Prints a receipt.

    \b
    Example:
      memsdk forget 01980f6e-...
      memsdk forget --user ana --yes
      memsdk forget --kind memory --older-than 30d
    """
    conditions = {
        "user": user_id,
        "agent": agent_id,
        "session": session_id,
        "kind": kinds and ", ".join(kinds),
        "filter": filters,
        "created before": before,
        "older than": older_than,
    }
    given = [f"{name} {value}" for name, value in conditions.items() if value is not None]
    if not ids and not given:
        raise click.UsageError(
            "forget what? give an ID, --user, --session, --kind, --filter, --before or --older-than"
        )
    with store.open() as memory:
        if not ids and not yes and not _confirmed(" and ".join(given), store=store):
            note("nothing was erased")
            ctx.exit(1)
        receipt = memory.forget(
            list(ids) or None, user_id=user_id, agent_id=agent_id, session_id=session_id, kinds=kinds, filters=filters,
            before=before, older_than=older_than,
        )  # fmt: skip
    _print_receipt(receipt, as_json=as_json)


@click.command(short_help="Erase what has expired, and old recalls.")
@store_options
@json_option
def sweep_command(*, store: StoreChoice, as_json: bool) -> None:
    """Erase what has expired, and recalls older than the setting recall_retention_days. Every open does this too.

    It also finishes what an earlier forget had to leave. Made for cron.

    \b
    Example:
      memsdk sweep --store /var/lib/agent
    """
    with store.open() as memory:
        receipt = memory.sweep()
    _print_receipt(receipt, as_json=as_json)


def _confirmed(what: str, *, store: StoreChoice) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("this erases more than named records; say that you mean it with --yes")
    return click.confirm(f"Erase all records of {printable(what)} from {store.path}?", err=True)


def _print_receipt(receipt: Forgotten, *, as_json: bool) -> None:
    if as_json:
        print_json(receipt)
        return
    counted = ("records", "revisions", "documents", "recalls", "feedback")
    pairs = [
        (name, f"{getattr(receipt, name):,}")
        for name in counted
        if name == "records" or getattr(receipt, name)
    ]
    if receipt.models_trained_on_it:
        pairs.append(("models that saw it", ", ".join(receipt.models_trained_on_it)))
    click.echo("erased")
    print_pairs(pairs)
    if not receipt.vectors_deleted:
        note("their vectors (no text) are still to be deleted; the next sweep or open does it")
    if not receipt.wal_truncated:
        note("another process holds the log open; the next sweep or open removes the last traces")
