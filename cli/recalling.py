"""`recall`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, TYPE_CHECKING

import click

from memsdk.cli.options import (
    StoreChoice,
    duration,
    filter_option,
    json_option,
    kind_option,
    scope_options,
    store_options,
    text_or_stdin,
)
from memsdk.cli.output import day, note, one_line, print_indented, print_json, print_table, style
from memsdk.errors import IngestError

if TYPE_CHECKING:
    from memsdk import Hit, Kind, Recall, Record
    from memsdk.messages import ChatMessage


@click.command(short_help="Find what is worth knowing for a query, best first.")
@click.argument("query")
@click.option("-k", "k", type=int, default=5, show_default=True, help="How many hits at most, 1 to 1,000.")
@scope_options()
@kind_option
@filter_option
@click.option("--as-of", metavar="TIME", help="Search what was current at this time (ISO 8601).")
@click.option("--explain", is_flag=True, help="Show how each hit came to its score.")
@click.option("--render", is_flag=True, help="Print the text for a prompt instead.")
@click.option("--max-tokens", type=int, metavar="N", help="The budget of that text.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="KIND=N",
    help="Tokens of that text for one kind, repeatable; each kind then brings its own hits.",
)
@click.option(
    "--history",
    "history_file",
    type=click.File(encoding="utf-8"),
    help="The turns before QUERY: a file of JSON lines.",
)
@click.option(
    "--recency", type=duration, metavar="SPAN", help="Prefer what is newer: the half-life, such as 30d."
)
@click.option(
    "--diversity",
    type=float,
    default=0.0,
    metavar="0..1",
    help="How much a hit loses that is like those before it.",
)
@click.option("--collapse", is_flag=True, help="Of texts that say nearly the same show the best.")
@click.option(
    "--reranker",
    envvar="MEMSDK_RERANKER",
    metavar="NAME",
    help="Look again at the best: late, a cross-encoder's folder or hub id, or a server's URL.",
)
@click.option("--shared", is_flag=True, help="Say that no user is meant, where the store requires a --user.")
@store_options
@json_option
def recall_command(
    *,
    store: StoreChoice,
    query: str,
    k: int,
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    kinds: list[str] | None,
    filters: Mapping[str, object] | None,
    as_of: str | None,
    explain: bool,
    render: bool,
    max_tokens: int | None,
    budgets: tuple[str, ...],
    history_file: IO[str] | None,
    recency: timedelta | None,
    diversity: float,
    collapse: bool,
    reranker: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Find what is worth knowing for QUERY (- for stdin), best first: the user's own records and the shared ones.

    Memories and documents are searched, unless --kind says otherwise. --session keeps to that session. The last line
    has the id that `memsdk feedback` takes.

    \b
    Example:
      memsdk recall "What can't Ana eat?" --user ana
      memsdk recall "hotel budget" --kind document --filter '{"year": {"$gte": 2025}}' -k 3
      memsdk recall "What can't Ana eat?" --user ana --render --max-tokens 500
      memsdk recall "book a flight" --kind memory --kind tool --budget tool=400 --render
    """
    if as_json and render:
        raise click.UsageError("give --json or --render, not both")
    with store.open(embeds=True, reranker=reranker) as memory:
        recall = memory.recall(
            text_or_stdin(query), user_id=user_id, agent_id=agent_id, session_id=session_id, kinds=kinds, k=k,
            filters=filters, as_of=as_of, max_tokens=max_tokens, budget=_budget(budgets), history=_history(history_file),
            explain=explain, shared=shared,
            recency=recency, diversity=diversity, collapse=collapse,
            this_session=session_id is not None,
        )  # fmt: skip
    if as_json:
        print_json(recall)
    elif render:
        click.echo(recall.render())
        note(f"recall {recall.id}")
    else:
        (_print_reasons if explain else _print_hits)(recall)
        _print_footer(recall)


def _budget(budgets: tuple[str, ...]) -> dict[Kind | str, int] | None:
    """Tokens by kind, from `tool=400`."""
    shares: dict[Kind | str, int] = {}
    for given in budgets:
        kind, _, tokens = given.partition("=")
        if not tokens.strip().isdecimal():
            raise click.BadParameter(f"{given!r} is not KIND=N, such as tool=400", param_hint="--budget")
        shares[kind.strip()] = int(tokens)
    return shares or None


def _history(file: IO[str] | None) -> list[str | ChatMessage] | None:
    """The turns of a file, a JSON line each: a text, or a chat message."""
    if file is None:
        return None
    try:
        return [json.loads(line) for line in file if line.strip()]
    except ValueError as error:
        raise IngestError(
            f"the history is not JSON lines: {error}; write a text or a message a line"
        ) from error


def source_of(record: Record) -> str:
    """Where a record is from: its document and section, or who said it, in which session, when."""
    if record.title:
        name = record.metadata.get("source", record.metadata.get("path"))
        return " > ".join([record.title, *record.section]) + (
            f" ({name})" if isinstance(name, str) and name != record.title else ""
        )
    said = [
        record.user_id and f"user {record.user_id}",
        record.session_id and f"session {record.session_id}",
        record.name or record.role,
        day(record.occurred_at),
    ]
    return " · ".join(part for part in said if part)


def _print_hits(recall: Recall) -> None:
    for number, hit in enumerate(recall, 1):
        click.echo(
            f"{style(f'{number:>2}', bold=True)}  {style(f'{hit.score:.3f}', colour='green')}  "
            f"{style(one_line(source_of(hit)), dim=True)}"
        )
        print_indented(hit.text.strip(), indent="    ")
        click.echo(style(f"    {hit.id}", dim=True))
        click.echo()


def _print_reasons(recall: Recall) -> None:
    """A column for each leg (rank and raw score) and for each contribution that sums to the score."""
    if not recall:
        return
    names = list(dict.fromkeys(name for hit in recall for name in (hit.why.parts if hit.why else ())))
    numbers = ["#", "score", "meaning", "words", *names]
    print_table(
        [*numbers, "text"],
        [[str(number), *_reasons(hit, names), hit.text] for number, hit in enumerate(recall, 1)],
        right=numbers,
    )
    click.echo()


def _reasons(hit: Hit, names: list[str]) -> list[str]:
    why = hit.why
    if why is None:
        return [f"{hit.score:.3f}", "", "", *("" for _ in names)]
    return [
        f"{hit.score:.3f}",
        _leg(why.dense_rank, why.dense_score),
        _leg(why.lexical_rank, why.lexical_score),
        *(f"{why.parts[name]:+.3f}" if name in why.parts else "" for name in names),
    ]


def _leg(rank: int | None, score: float | None) -> str:
    if rank is None:
        return "" if score is None else f"{score:.3f}"
    return f"#{rank}" if score is None else f"#{rank} {score:.3f}"


def _print_footer(recall: Recall) -> None:
    found = f"{len(recall)} found" if recall else "nothing found"
    click.echo(style(f"recall {recall.id}  {found} in {recall.total_s * 1000:,.0f} ms", dim=True))
