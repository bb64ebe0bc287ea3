"""`train fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from memsdk.cli.options import json_option
from memsdk.cli.output import note, print_json, print_table
from memsdk.cli.progress import Progress
from memsdk.errors import MissingExtraError

if TYPE_CHECKING:
    from memsdk.trainer.loop import SelfPaced


@click.command(short_help="Train the whole encoder on training rows, for all tasks at once.")
@click.argument("rows", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--base", default="packaged", show_default=True, metavar="MODEL", help="A folder, or the packaged model."
)
@click.option(
    "--preset",
    default="default",
    show_default=True,
    help="Losses, lengths, prefixes: default or llm-embedder.",
)
@click.option(
    "--epochs", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, metavar="N"
)
@click.option(
    "--batch", type=click.IntRange(2), default=32, show_default=True, metavar="N", help="Queries a step."
)
@click.option(
    "--group",
    type=click.IntRange(2),
    metavar="N",
    help="Candidates of a query in a batch; the preset's if left out.",
)
@click.option(
    "--max-tokens", type=click.IntRange(8), metavar="N", help="Cut texts here: 64 makes two cores bearable."
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=5e-5, show_default=True, metavar="RATE"
)
@click.option(
    "--anchor",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    help="How firmly old vectors are held to.",
)
@click.option(
    "--self-paced", type=click.Choice(("off", "lossy-faster", "lossy-slower")), default="off", show_default=True,
    help="A task's rate by its loss: higher where the loss is high, or lower.",
)  # fmt: skip
@click.option(
    "--accumulate", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Batches a step."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    help="Checkpoints, log and the picture of the losses; FOLDER.work if left out.",
)
@json_option
def fit_command(
    *, rows: tuple[Path, ...], folder: Path, base: str, preset: str, epochs: float, batch: int, group: int | None,
    max_tokens: int | None, rate: float, anchor: float, self_paced: str, accumulate: int, seed: int, device: str, work: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Train the whole encoder on ROWS (JSON lines) and write it to FOLDER in sentence-transformers' format.

    It is merged with the base at the share that does best on a tenth of the rows, held out. Killed and run again, it goes
    on where it was. On several GPUs: torchrun --nproc-per-node 4 -m memsdk train fit ...

    \b
    Example:
      memsdk train rows rows.jsonl
      memsdk train fit rows.jsonl tuned-encoder
      memsdk reindex --embedder tuned-encoder
    """
    from memsdk.trainer.fit_rows import draw_losses, fit_files  # torch, for who trains
    from memsdk.trainer.fit_settings import chosen_base, chosen_device, full_settings

    place = chosen_device(device)
    work = work or folder.with_name(f"{folder.name}.work")
    settings = full_settings(
        preset,
        batch=batch,
        group=group,
        max_tokens=max_tokens,
        rate=rate,
        anchor=anchor,
        self_paced=cast("SelfPaced", self_paced),
        accumulate=accumulate,
        seed=seed,
        device=place,
    )
    with Progress("training", unit="steps") as shown:
        fitted = fit_files(
            rows, folder, base=chosen_base(base), settings=settings, device=place, epochs=epochs,
            work=work,
            progress=lambda now: shown.update(now.step, now.steps, str(now)),
        )  # fmt: skip
    if fitted is None:  # another process of torchrun's tells
        return
    try:
        picture = str(draw_losses(work))
    except MissingExtraError as error:
        picture = None
        note(str(error))
    if as_json:
        print_json({
            "folder": str(fitted.folder), "rows": fitted.rows, "held_out": fitted.held_out, "share": fitted.share,
            "before": fitted.figures.get(0.0, {}), "after": fitted.figures.get(fitted.share, {}),
            "losses": dict(fitted.losses), "picture": picture,
        })  # fmt: skip
        return
    before, after = fitted.figures.get(0.0, {}), fitted.figures.get(fitted.share, {})
    click.echo(
        f"{fitted.folder}: trained on {fitted.rows} rows, {fitted.share:.0%} of it in the merge with the base"
    )
    if before:
        print_table(
            ["task", "before", "after"],
            [[task, f"{before[task]:.4f}", f"{after[task]:.4f}"] for task in before],
            right=["before", "after"],
        )
    else:
        note("too few rows to hold some out: nothing was measured, and nothing merged")
    if picture is not None:
        note(f"the losses of every step: {picture}")
    note(f"next: memsdk reindex --embedder {fitted.folder}")
