"""`ingest`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memsdk.cli.interrupting import Stop, gentle_interrupts
from memsdk.cli.options import (
    StoreChoice,
    json_option,
    label_options,
    read_stdin,
    scope_options,
    store_options,
)
from memsdk.cli.output import note, print_json, print_pairs, print_table
from memsdk.cli.progress import Progress
from memsdk.errors import IngestError

if TYPE_CHECKING:
    from memsdk import IngestReport

INTERRUPTED = 130


@click.command(short_help="Read files and folders into the memory.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@scope_options(session=False)
@label_options
@click.option("--title", help="The title of the text that - reads.")
@click.option("--media-type", default="text/plain", show_default=True, help="What the text that - reads is.")
@click.option(
    "--shared", is_flag=True, help="Say that all users are meant, where the store requires a --user."
)
@store_options
@json_option
@click.pass_context
def ingest_command(
    ctx: click.Context,
    *,
    store: StoreChoice,
    paths: tuple[Path, ...],
    user_id: str | None,
    agent_id: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    title: str | None,
    media_type: str,
    shared: bool,
    as_json: bool,
) -> None:
    """Read files and folders (- for stdin, with --title) into chunks that recall finds; chat exports become memories.

    Text, Markdown, reStructuredText, HTML, PDF, Word, CSV, JSON, JSON lines, source code, chat exports; lists of tools and
    of solved examples go to their shelves. Ingesting again changes what changed. Ctrl-C keeps what was read; the same command goes on from there.

    \b
    Example:
      memsdk ingest handbook/ notes.md --tag handbook
      curl -s https://example.org/page | memsdk ingest - --title "The page" --media-type text/html
    """
    is_stdin = Path("-") in paths
    if is_stdin and (len(paths) > 1 or not title):
        raise click.UsageError("- stands alone, and needs --title")
    if title is not None and not is_stdin:
        raise click.UsageError("--title goes with -; files have titles of their own")
    text = read_stdin() if is_stdin else None
    total = 1 if is_stdin else _count(paths)
    kept: set[str] = set()
    with (
        store.open(make=True, embeds=True) as memory,
        Progress("ingesting", unit="files") as progress,
        gentle_interrupts() as stop,
    ):
        try:
            report = memory.documents.ingest(
                () if is_stdin else paths, text=text, title=title, media_type=media_type, user_id=user_id,
                agent_id=agent_id, metadata=metadata, tags=tags, shared=shared,
                on_source=_counting(kept, total=total, progress=progress, stop=stop),
            )  # fmt: skip
        except KeyboardInterrupt:
            progress.clear()
            note(
                f"interrupted; {len(kept):,} of {total:,} files are kept, the same command goes on from there"
            )
            ctx.exit(INTERRUPTED)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.failed:
        ctx.exit(IngestError.exit_code)


def _count(paths: tuple[Path, ...]) -> int:
    from memsdk.ingest.files import FileReader  # its parsers take a moment to load

    return sum(1 for _ in FileReader().sources(paths))


def _counting(kept: set[str], *, total: int, progress: Progress, stop: Stop) -> Callable[[str, int], None]:
    def on_source(key: str, chunks: int) -> None:
        kept.add(key.partition("#")[0])  # the conversations of one chat export are one file
        progress.update(len(kept), total, key)
        stop.heed()

    return on_source


def _print_report(report: IngestReport) -> None:
    counts = {
        "added": len(report.added),
        "updated": len(report.updated),
        "unchanged": len(report.unchanged),
        "failed": len(report.failed),
        "chat messages": report.messages,
        "tools": report.tools,
        "examples": report.examples,
        "chunks added": report.chunks_added,
        "chunks removed": report.chunks_removed,
    }
    always = ("added", "updated", "unchanged", "failed")
    print_pairs([(name, f"{count:,}") for name, count in counts.items() if count or name in always])
    if report.failed:
        click.echo()
        print_table(["failed", "why"], report.failed, wrapped=True)
