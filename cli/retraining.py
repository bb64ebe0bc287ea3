"""`retrain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

from memsdk.cli.options import StoreChoice, json_option, server_options, store_options
from memsdk.cli.output import note, print_json

if TYPE_CHECKING:
    from memsdk.trainer.ending import Outcome

KEPT, NOT_DUE = 10, 11


@click.command(short_help="Learn from feedback; a better query encoder is switched to, a worse one is not.")
@click.option(
    "--user", "user_id", metavar="ID", help="Train this user's own version, on this user's recalls."
)
@click.option(
    "--tier", type=click.Choice(("auto", "t0", "t1")), default="auto", show_default=True,
    help="t0: a map on the query vector, in seconds. t1: LoRA on the query encoder, in minutes. auto: by the rows.",
)  # fmt: skip
@click.option(
    "--task", "tasks", multiple=True, metavar="TASK", help="Only this task, repeatable: chat, qa, ..."
)
@click.option("--rewards", metavar="MODEL", help="The language model that says which records help: packaged, a folder, a hub id,"
              " a .gguf file or a server's URL. Left out: the feedback's own labels.")  # fmt: skip
@click.option(
    "--reward", type=click.Choice(("smooth", "gain", "reciprocal", "likelihood")), default="gain",
    show_default=True, help="With --rewards: the output's place among sampled ones, in three forms, or its likelihood.",
)  # fmt: skip
@server_options
@click.option(
    "--if-due", is_flag=True, help="Only where enough new feedback came in, or some has waited long."
)
@click.option(
    "--due-feedback", type=click.IntRange(1), default=50, show_default=True, help="How much is enough."
)
@click.option(
    "--due-days", type=click.FloatRange(0), default=7.0, show_default=True, help="How long is long."
)
@click.option("--dry-run", is_flag=True, help="Judge and report, but switch nothing.")
@click.option(
    "--budget-minutes", type=click.FloatRange(0, min_open=True), metavar="N", help="Be done in about so long."
)
@click.option(
    "--least-rows", type=click.IntRange(1), default=60, show_default=True, help="Fewer are left for later."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@store_options
@json_option
@click.pass_context
def retrain_command(
    ctx: click.Context,
    *,
    store: StoreChoice,
    user_id: str | None,
    tier: str,
    tasks: tuple[str, ...],
    rewards: str | None,
    reward: str,
    server_tokenizer: str | None,
    server_model: str | None,
    timeout_s: float,
    if_due: bool,
    due_feedback: int,
    due_days: float,
    dry_run: bool,
    budget_minutes: float | None,
    least_rows: int,
    seed: int,
    as_json: bool,
) -> None:
    """Learn from feedback: collect, score, fit, evaluate, judge; switch to what is better, and say why or why not.

    Killed, it goes on where it was when it is run again. It exits with 0 where a version was promoted, 10 where the
    present one was kept (or with --dry-run), 11 where nothing was due. A server's key is read from MEMSDK_REWARD_API_KEY.

    \b
    Example:
      memsdk retrain --if-due
      memsdk retrain --user ana --tier t0 --dry-run
      memsdk retrain --rewards packaged --budget-minutes 30
      memsdk retrain --rewards http://localhost:8000/v1 --server-model llama --tokenizer ./llama
    """
    import os

    from memsdk.trainer.measuring import clean_task
    from memsdk.trainer.planning import RetrainSettings
    from memsdk.trainer.retrain import retrain
    from memsdk.trainer.rewards.formulas import RewardKind
    from memsdk.trainer.rewards.loading import load_reward_model
    from memsdk.trainer.rewards.scoring import RewardSettings

    settings = RetrainSettings(
        user_id=user_id, tier=cast("Literal['auto', 't0', 't1']", tier),
        tasks=tuple(clean_task(task) for task in tasks) or None, if_due=if_due, due_feedback=due_feedback,
        due_days=due_days, dry_run=dry_run, budget_minutes=budget_minutes, least_rows=least_rows, seed=seed,
        rewards=RewardSettings(kind=RewardKind(reward)),
    )  # fmt: skip
    model = (
        None
        if rewards is None
        else load_reward_model(
            rewards, server_model=server_model, server_tokenizer=server_tokenizer, timeout_s=timeout_s,
            api_key=os.environ.get("MEMSDK_REWARD_API_KEY"),
        )
    )  # fmt: skip
    with store.open() as memory:
        outcomes = retrain(memory, settings=settings, model=model, progress=note)
    if as_json:
        print_json({"outcomes": [_plain(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            task = "" if outcome.task is None else f"{outcome.task.value}: "
            click.echo(f"{task}{outcome.ending}: {outcome.reason}")
            if outcome.report:
                click.echo(f"  report {outcome.report}")
    endings = {outcome.ending for outcome in outcomes}
    ctx.exit(0 if "promoted" in endings else NOT_DUE if endings == {"not due"} else KEPT)


def _plain(outcome: Outcome) -> dict[str, object]:
    return {
        "task": None if outcome.task is None else outcome.task.value, "ending": outcome.ending,
        "reason": outcome.reason, "version": outcome.version, "report": outcome.report, "metrics": outcome.metrics,
    }  # fmt: skip
