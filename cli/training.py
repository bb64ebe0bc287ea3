"""`train`: the stages of a retrain, one by one, for who wants to look between them. Each subcommand has its own module."""

from __future__ import annotations

from importlib import import_module

import click

STAGES: dict[str, tuple[str, str]] = {
    "rows": ("train_rows", "Write recalls with feedback as training rows."),
    "score": ("train_score", "Ask a language model how much each candidate of training rows helps."),
    "fit": ("train_fit", "Train the whole encoder on training rows, for all tasks at once."),
    "evaluate": ("train_evaluate", "Measure recall on the newest recalls with feedback."),
    "publish": ("train_publish", "Put a trained query encoder's folder into the store as a version."),
}
"""In the order in which they are run. A command `x` of module `y` is the object `x_command` of `memsdk.cli.y`."""


class Stages(click.Group):
    """The group of stages; each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are run."""
        return list(STAGES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the stage's module."""
        if cmd_name not in STAGES:
            return None
        command = getattr(import_module(f"memsdk.cli.{STAGES[cmd_name][0]}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Stages"):
            formatter.write_dl([(name, line) for name, (_, line) in STAGES.items()], col_spacing=3)


@click.group(cls=Stages, short_help="The stages of a retrain, one by one.")
def train_command() -> None:
    """The stages of a retrain, one by one; `memsdk retrain` does them all.

    \b
    Example:
      memsdk train evaluate
    """
