"""`train score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import StoreChoice, json_option, server_options, store_options
from memsdk.cli.output import print_json, print_pairs
from memsdk.cli.progress import Progress
from memsdk.errors import InvalidInputError

if TYPE_CHECKING:
    from memsdk.trainer.rewards.scoring import Report


@click.command(short_help="Ask a language model how much each candidate of training rows helps.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--model", required=True, metavar="MODEL",
    help="packaged (SmolLM2-135M), a folder, a .gguf file, a hub id, or a server's URL.",
)  # fmt: skip
@click.option(
    "--reward", type=click.Choice(("gain", "reciprocal", "smooth", "likelihood")), default="gain",
    show_default=True, help="The desired output's place among sampled ones, in three forms, or its likelihood.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(1, 19), default=8, show_default=True, help="Outputs drawn for a query."
)
@click.option(
    "--samples-with", type=click.IntRange(0), metavar="N",
    help="How many of them with a candidate in the prompt. Left out: half.",
)  # fmt: skip
@click.option("--chat", is_flag=True, help="Put prompts into the model's chat template.")
@click.option("--task", metavar="TASK", help="Of LLM-Embedder lines that name none.")
@server_options
@click.option("--allow-download", is_flag=True, help="A hub id may be fetched from the network.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Torch's threads for a local model.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is sampled.")
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@store_options
@json_option
def score_command(
    *,
    store: StoreChoice,
    file: Path,
    out: Path,
    model: str,
    reward: str,
    samples: int,
    samples_with: int | None,
    chat: bool,
    task: str | None,
    server_tokenizer: str | None,
    server_model: str | None,
    timeout_s: float,
    allow_download: bool,
    threads: int | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Ask a language model how much each candidate of the rows in FILE helps, and write the rows with rewards to OUT.

    What the model said is kept in the store: rows that were scored before cost nothing. Stopped, it goes on from
    there. A server's key is read from MEMSDK_REWARD_API_KEY.

    \b
    Example:
      memsdk train score rows.jsonl scored.jsonl --model packaged
      memsdk train score rows.jsonl scored.jsonl --model http://localhost:8000/v1
    """
    if out.exists() and not force:
        raise InvalidInputError(f"{out} is there already; name another file, or replace it with --force")
    import os

    from memsdk.trainer.jsonl import read_rows, write_rows
    from memsdk.trainer.measuring import clean_task
    from memsdk.trainer.rewards.formulas import RewardKind
    from memsdk.trainer.rewards.loading import load_reward_model
    from memsdk.trainer.rewards.local import Machine
    from memsdk.trainer.rewards.scoring import RewardSettings, score_with_report

    settings = RewardSettings(
        kind=RewardKind(reward), samples=samples, seed=seed,
        samples_with_candidate=samples // 2 if samples_with is None else samples_with,
    )  # fmt: skip
    rows = read_rows(file, task=None if task is None else clean_task(task))
    with store.open() as memory, Progress("scoring", unit="rows") as progress:
        scorer = load_reward_model(
            model, chat=chat, machine=Machine(threads=threads), allow_download=allow_download,
            server_model=server_model, server_tokenizer=server_tokenizer, timeout_s=timeout_s,
            api_key=os.environ.get("MEMSDK_REWARD_API_KEY"),
        )  # fmt: skip
        scored = score_with_report(
            rows, scorer, cache=memory._parts.store.rewards, settings=settings, progress=progress.update  # noqa: SLF001 -- no verb of Memory's needs it
        )  # fmt: skip
    write_rows(out, scored.rows)
    if as_json:
        print_json({"file": str(out), **_plain(scored.report)})
    else:
        print_pairs(
            [(name.replace("_", " "), _shown(value)) for name, value in _plain(scored.report).items()]
        )
        click.echo(f"written to {out}")


def _plain(report: Report) -> dict[str, object]:
    tally = report.tally
    found: dict[str, object] = {
        "rows": report.rows, "scored": report.scored, "without_output": report.without_output,
        "alone": report.alone, "flat": report.flat, "unhelped": report.unhelped, "dropped": report.dropped,
        "without_samples": report.without_samples, "computed": tally.scored, "from_cache": tally.known_scores,
        "sampled": tally.sampled, "samples_from_cache": tally.known_samples,
    }  # fmt: skip
    if report.places:
        found |= {"tie_rate": round(report.tie_rate, 4), "saturation_rate": round(report.saturation_rate, 4)}
    return found


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
