"""`train evaluate`."""

from __future__ import annotations

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import note, print_json, print_table


@click.command(short_help="Measure recall on the newest recalls with feedback.")
@click.option("--user", "user_id", metavar="ID", help="Only this user's recalls; left out: everybody's.")
@click.option(
    "--held-out", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, metavar="SHARE",
    help="Which share of the recalls, the newest, is asked again.",
)  # fmt: skip
@store_options
@json_option
def evaluate_command(*, store: StoreChoice, user_id: str | None, held_out: float, as_json: bool) -> None:
    """Measure recall on the newest recalls with feedback: what serves now, BM25 alone, and the newest records.

    A record that was used (`memsdk feedback --used`) counts as right. Each query is asked of the memory again.

    \b
    Example:
      memsdk train evaluate
      memsdk train evaluate --user ana --held-out 0.3
    """
    from memsdk.trainer.measuring import measure  # torch and the trainer, for who needs them

    with store.open() as memory:
        found = measure(memory, user_id=user_id, held_out=held_out)
    if as_json:
        print_json({task: {"queries": each.queries, "systems": each.systems} for task, each in found.items()})
        return
    for task, each in found.items():
        click.echo(f"{task}: {each.queries} queries")
        names = list(next(iter(each.systems.values())))
        print_table(
            ["system", *names],
            [[system, *(f"{values[name]:.4f}" for name in names)] for system, values in each.systems.items()],
            right=names,
        )
    if not found:
        note(
            "no recall has feedback that says which records were right; give `memsdk feedback ID --used RECORD`"
        )
