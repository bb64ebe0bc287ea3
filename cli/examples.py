"""`examples`: add, list, recall, remove."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import (
    StoreChoice,
    filter_option,
    json_option,
    label_options,
    scope_options,
    store_options,
    text_or_stdin,
)
from memsdk.cli.output import note, one_line, print_erased, print_json, print_page, print_table, style

if TYPE_CHECKING:
    from memsdk import Record

LIMIT = 50
SHARED = "Say that all users are meant, where the store requires a --user."


@click.group(short_help="Keep solved examples, and find those most like an input.")
def examples_command() -> None:
    """Keep solved examples, and find those most like an input, as few-shot prompts.

    \b
    Example:
      memsdk examples add "great film" positive --task sentiment
      memsdk examples recall "a lovely film" --task sentiment --render
    """


@examples_command.command("add")
@click.argument("input", required=False)
@click.argument("output", required=False)
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="JSON lines of {input, output}, or a chat log whose approved answers are taken; repeatable.",
)  # fmt: skip
@click.option("--task", metavar="NAME", help="What they are examples of.")
@click.option("--instruction", metavar="TEXT", help="What the model was told to do with it.")
@click.option("--label", metavar="NAME", help="The class that it stands for; else its output.")
@click.option("--score", type=float, help="How good it is, 0 to 1.")
@click.option(
    "--min-score", type=float, help="With --file: leave out what is scored lower; of chats .5 unless given."
)
@click.option(
    "--id", "id", metavar="ID", help="An id of your own: the same again is a no-op, other content an update."
)
@scope_options(session=False)
@label_options
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def add(
    *,
    store: StoreChoice,
    input: str | None,
    output: str | None,
    files: tuple[Path, ...],
    task: str | None,
    instruction: str | None,
    label: str | None,
    score: float | None,
    min_score: float | None,
    id: str | None,
    user_id: str | None,
    agent_id: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Add one example, INPUT (- for stdin) and its OUTPUT, or with --file many.

    \b
    Example:
      memsdk examples add "Where is my card?" card_arrival --task intents
      memsdk examples add --file solved.jsonl --task intents
    """
    if (input is None or output is None) == (not files) or (files and input is not None):
        raise click.UsageError("give INPUT and OUTPUT, or --file FILE")
    if files and any(value is not None for value in (instruction, label, score, id)):
        raise click.UsageError(
            "--instruction, --label, --score and --id go with one example; rows have their own"
        )
    if min_score is not None and not files:
        raise click.UsageError("--min-score goes with --file")
    with store.open(make=True, embeds=True) as memory:
        if files:
            report = memory.examples.ingest(
                files, task=task, min_score=min_score, user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags,
                shared=shared,
            )  # fmt: skip
            if as_json:
                print_json(report)
            else:
                counts = {name: count for name, count in report.model_dump().items() if count}
                click.echo(", ".join(f"{count:,} {name}" for name, count in counts.items()) or "no examples")
            return
        record = memory.examples.add(
            text_or_stdin(str(input)), str(output), task=task, instruction=instruction, label=label, score=score, id=id,
            user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags, shared=shared,
        )  # fmt: skip
    if as_json:
        print_json(record)
    else:
        click.echo(str(record.id))
        if record.seen > 1:
            note(f"  known already; seen {record.seen} times")


@examples_command.command("list")
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--user", "user_id", metavar="ID", help="Whose: a user's id.")
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="How many at most.")
@click.option("--after", metavar="ID", help="Go on after this one.")
@store_options
@json_option
def list_(
    *, store: StoreChoice, task: str | None, user_id: str | None, limit: int, after: str | None, as_json: bool
) -> None:
    """List examples, oldest first.

    \b
    Example:
      memsdk examples list --task intents
    """
    with store.open() as memory:
        records = memory.examples.list(task=task, user_id=user_id, limit=limit, after=after)
    print_page(records, _print_examples, limit=limit, as_json=as_json, none="no examples")


@examples_command.command("recall")
@click.argument("input")
@click.option(
    "-k", "k", type=int, default=4, show_default=True, help="How many examples at most, 1 to 1,000."
)
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--min-score", type=float, help="Only with at least this score.")
@click.option(
    "--diversify",
    type=float,
    metavar="SHARE",
    help="How much likeness to a better one counts against one, 0 to 1.",
)
@click.option("--balance", metavar="FIELD", help="Take turns among the values of this field, such as label.")
@scope_options(session=False)
@filter_option
@click.option("--render", is_flag=True, help="Print the few-shot text, the most similar last, instead.")
@click.option("--messages", is_flag=True, help="Print it as the messages of a chat, as JSON, instead.")
@click.option("--max-tokens", type=int, metavar="N", help="The budget of either.")
@click.option("--shared", is_flag=True, help="Say that no user is meant, where the store requires a --user.")
@store_options
@json_option
def recall(
    *,
    store: StoreChoice,
    input: str,
    k: int,
    task: str | None,
    min_score: float | None,
    diversify: float | None,
    balance: str | None,
    user_id: str | None,
    agent_id: str | None,
    filters: Mapping[str, object] | None,
    render: bool,
    messages: bool,
    max_tokens: int | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Find the solved examples most like INPUT (- for stdin), best first.

    \b
    Example:
      memsdk examples recall "my card has not come" --task intents -k 4 --balance label
      memsdk examples recall "my card has not come" --task intents --render --max-tokens 500
    """
    if render + messages + as_json > 1:
        raise click.UsageError("give one of --render, --messages and --json")
    with store.open(embeds=True) as memory:
        found = memory.examples.recall(
            text_or_stdin(input), k=k, task=task, min_score=min_score, diversify=diversify, balance=balance,
            user_id=user_id, agent_id=agent_id, filters=filters, max_tokens=max_tokens, shared=shared,
        )  # fmt: skip
    if as_json:
        print_json(found)
    elif render or messages:
        click.echo(found.render() if render else json.dumps(found.as_messages(), indent=2))
        note(f"recall {found.id}")
    else:
        for number, hit in enumerate(found, 1):
            given, solved = str(hit.data.get("input", hit.text)), str(hit.data.get("output", ""))
            click.echo(f"{number:>2}  {style(f'{hit.score:.3f}', colour='green')}  {one_line(given)}")
            click.echo(f"    {one_line(solved)}")
            click.echo(style(f"    {hit.id}", dim=True))
        click.echo(style(f"recall {found.id}  {len(found) or 'nothing'} found", dim=True))


@examples_command.command("remove")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@store_options
@json_option
def remove(*, store: StoreChoice, ids: tuple[str, ...], as_json: bool) -> None:
    """Erase examples by their ids.

    \b
    Example:
      memsdk examples remove 01980f6e-...
    """
    with store.open() as memory:
        receipt = memory.examples.remove(list(ids))
    print_erased(receipt, what="example", as_json=as_json)


def _print_examples(records: list[Record]) -> None:
    rows = [[str(record.id), record.name or "", record.text] for record in records]
    print_table(["id", "task", "example"], rows)
