"""`init` and `stats`."""

from __future__ import annotations

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import note, print_json, print_pairs, size


@click.command(short_help="Make a store and say where it is and which embedder it has.")
@store_options
@json_option
def init_command(*, store: StoreChoice, as_json: bool) -> None:
    """Make a store and say where it is and which embedder it has.

    The embedder is loaded and the index started, so that what is missing shows now and not at the first memory. On a
    store that is there already it changes nothing.

    \b
    Example:
      memsdk init
      memsdk init --store /var/lib/agent --embedder BAAI/llm-embedder
    """
    is_new = not store.exists
    with store.open(make=True, quiet=True) as memory:
        memory.verify()  # a new store takes its embedder when that is first used
        embedder = memory.stats().embedder
    if as_json:
        print_json({"store": str(store.path.absolute()), "embedder": embedder, "made": is_new})
        return
    click.echo("made a new store" if is_new else "the store is there already; nothing was changed")
    print_pairs([("store", str(store.path.absolute())), ("embedder", embedder)])
    if is_new:
        note('next: memsdk remember "..." or memsdk ingest FOLDER')


@click.command(short_help="Say what the store holds.")
@store_options
@json_option
def stats_command(*, store: StoreChoice, as_json: bool) -> None:
    """Say what the store holds.

    \b
    Example:
      memsdk stats
      memsdk stats --json | jq .records
    """
    with store.open() as memory:
        stats = memory.stats()
    if as_json:
        print_json(stats)
        return
    total = sum(stats.records.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in stats.records.items() if count)
    counted = ("users", "sessions", "documents", "recalls", "feedback")
    print_pairs(
        [
            ("store", str(store.path.absolute())),
            ("records", f"{total:,}" + (f" ({kinds})" if kinds else "")),
            *((name, f"{getattr(stats, name):,}") for name in counted),
            ("pending", f"{stats.pending:,} changes not yet in the index" if stats.pending else "0"),
            ("size", size(stats.bytes)),
            ("embedder", stats.embedder),
            *((f"points of {name}", f"{points:,}") for name, points in stats.points.items()),
            ("schema", stats.schema_revision),
        ]
    )
