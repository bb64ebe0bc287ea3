"""`models`: the trained query versions, which serve, and the switch between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import day, note, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from memsdk import Memory
    from memsdk.models import QueryVersion
    from memsdk.ports import QueryVersions


@click.group(short_help="Look at trained query versions, and switch between them.")
def models_command() -> None:
    """Look at trained query versions, and switch between them.

    A version embeds the queries of one task, of the whole store or of one user; stored vectors stay as they are, so a
    switch is instant, and every process sees it at its next recall.

    \b
    Example:
      memsdk models list
      memsdk models rollback --task qa
    """


@models_command.command("list", short_help="List every version, the oldest first.")
@store_options
@json_option
def list_command(*, store: StoreChoice, as_json: bool) -> None:
    """List every version, the oldest first; one that serves is active.

    \b
    Example:
      memsdk models list
    """
    with store.open() as memory:
        versions = _versions(memory).list()
    if as_json:
        print_json({"versions": [version.model_dump(mode="json") for version in versions]})
        return
    if not versions:
        note("no query version yet: the store's own embedder embeds all queries; `memsdk retrain` trains one")
        return
    print_table(
        ["version", "state", "task", "tier", "for", "nDCG@10", "before", "made"],
        [
            [
                version.id, version.state, version.task.value, version.tier, version.user_id or "everybody",
                _figure(version, "candidate"), _figure(version, "current"), day(version.created_at),
            ]
            for version in versions
        ],
        right=["nDCG@10", "before"],
    )  # fmt: skip


@models_command.command("show", short_help="Show one version: its figures, lineage and files.")
@click.argument("version")
@store_options
@json_option
def show_command(*, store: StoreChoice, version: str, as_json: bool) -> None:
    """Show one VERSION (its id, or how that begins): figures, lineage, settings, files.

    \b
    Example:
      memsdk models show 20260701
    """
    from memsdk.trainer import publish

    with store.open() as memory:
        parts = memory._parts  # noqa: SLF001 -- the command line is a room of Memory
        found = publish.find(parts, version)
        described = {} if found.state == "retired" else publish.describe(parts, found.id)
    if as_json:
        print_json({"version": found.model_dump(mode="json"), "folder": described})
        return
    print_version(found)
    if described:
        click.echo(json.dumps(described["lineage"], indent=2))


@models_command.command("compare", short_help="Compare the figures of two versions.")
@click.argument("first")
@click.argument("second")
@store_options
@json_option
def compare_command(*, store: StoreChoice, first: str, second: str, as_json: bool) -> None:
    """Ask the newest recalls with feedback of both versions, and compare what they find.

    \b
    Example:
      memsdk models compare 20260701 20260708
      memsdk models compare 20260701 base
    """
    from memsdk.trainer.measuring import compare

    with store.open() as memory:
        found = compare(memory, first, second)
    if as_json:
        print_json({"queries": found.queries, "systems": found.systems, "gain": found.gain})
        return
    names = list(next(iter(found.systems.values())))
    print_table(
        ["version", *names],
        [[system, *(f"{values[name]:.4f}" for name in names)] for system, values in found.systems.items()],
        right=names,
    )
    click.echo(found.told)


@models_command.command("activate", short_help="Let a version serve its task.")
@click.argument("version")
@store_options
@json_option
def activate_command(*, store: StoreChoice, version: str, as_json: bool) -> None:
    """Let a VERSION serve its task and user; what served them before is ready to be switched back to.

    \b
    Example:
      memsdk models activate 20260701
    """
    from memsdk.trainer import publish

    with store.open() as memory:
        parts = memory._parts  # noqa: SLF001 -- the command line is a room of Memory
        found = publish.activate(parts, publish.find(parts, version).id)
    _say(found, "serves now", as_json=as_json)


@models_command.command("rollback", short_help="Take back the last switch.")
@click.option("--task", default="chat", show_default=True, metavar="TASK", help="Of this task.")
@click.option("--user", "user_id", metavar="ID", help="This user's own version; left out: the whole store's.")
@store_options
@json_option
def rollback_command(*, store: StoreChoice, task: str, user_id: str | None, as_json: bool) -> None:
    """Take back the last switch: what served before serves again, at last the store's own encoder.

    \b
    Example:
      memsdk models rollback --task qa
    """
    from memsdk.trainer.measuring import clean_task

    with store.open() as memory:
        left, restored = _versions(memory).rollback(task=clean_task(task), user_id=user_id)
    if as_json:
        print_json({"left": left.id, "serves": None if restored is None else restored.id})
        return
    serves = "the store's own encoder" if restored is None else restored.id
    click.echo(f"{left.id} no longer serves; {serves} does")


@models_command.command("retire", short_help="Make a version unusable and remove its files.")
@click.argument("version")
@store_options
@json_option
def retire_command(*, store: StoreChoice, version: str, as_json: bool) -> None:
    """Make a VERSION unusable for good and remove its files, for instance as it was trained on what was forgotten.

    \b
    Example:
      memsdk models retire 20260701
    """
    from memsdk.trainer import publish

    with store.open() as memory:
        parts = memory._parts  # noqa: SLF001 -- the command line is a room of Memory
        found = publish.retire(parts, publish.find(parts, version).id)
    _say(found, "is retired, and its files are gone", as_json=as_json)


def print_version(version: QueryVersion) -> None:
    """All that is known of a version, a line each."""
    share = version.dense_weight
    pairs = [
        ("version", version.id),
        ("state", version.state),
        ("task", version.task.value),
        ("tier", version.tier),
        ("for", version.user_id or "everybody"),
        ("searches", version.fingerprint),
        ("dense share", "the default" if share is None else f"{share:.2f}"),
        ("parent", version.parent or "the store's own encoder"),
        ("made", day(version.created_at)),
    ]
    if version.forgotten:
        pairs.append(
            ("forgotten", f"{version.forgotten} of the texts it was trained on have been forgotten since")
        )
    print_pairs(pairs)
    systems = {name: values for name, values in version.metrics.items() if isinstance(values, dict)}
    if systems:
        names = list(next(iter(systems.values())))
        print_table(
            ["on held-out queries", *names],
            [[system, *(f"{values[name]:.4f}" for name in names)] for system, values in systems.items()],
            right=names,
        )


def _versions(memory: Memory) -> QueryVersions:
    return memory._parts.store.versions  # noqa: SLF001 -- the command line is a room of Memory


def _say(version: QueryVersion, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(version)
    else:
        click.echo(
            f"{version.id} ({version.tier}, {version.task.value}, {version.user_id or 'everybody'}) {what}"
        )


def _figure(version: QueryVersion, system: str) -> str:
    values = version.metrics.get(system)
    figure = values.get("nDCG@10") if isinstance(values, dict) else None
    return f"{figure:.4f}" if isinstance(figure, float) else ""
