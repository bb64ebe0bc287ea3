"""`tools`: add, import, list, recall, remove."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from memsdk.cli.options import (
    StoreChoice,
    filter_option,
    json_option,
    label_options,
    read_stdin,
    scope_options,
    store_options,
    text_or_stdin,
)
from memsdk.cli.output import (
    note,
    print_erased,
    print_indented,
    print_json,
    print_json_lines,
    print_page,
    print_table,
    style,
)
from memsdk.errors import IngestError, InvalidInputError

if TYPE_CHECKING:
    from memsdk import Record, ToolRecall

LIMIT = 50
MAX_BYTES = 20 * 2**20
TIMEOUT_S = 30.0
SHARED = "Say that all users are meant, where the store requires a --user."
SOURCE = "The server or group of the tools."


@click.group(short_help="Keep the tools an agent can call, and find those for a request.")
def tools_command() -> None:
    """Keep the tools an agent can call, and find those for a request.

    Tools are taken as people have them: OpenAI and Anthropic schemas, MCP `tools/list` results, OpenAPI documents.

    \b
    Example:
      memsdk tools import openapi.yaml
      memsdk tools recall "book me a flight" --as openai
    """


@tools_command.command("add")
@click.argument("schema", metavar="JSON")
@click.option("--source", metavar="NAME", help=SOURCE)
@click.option(
    "--request",
    "requests",
    multiple=True,
    metavar="TEXT",
    help="What users ask when they need it, repeatable.",
)
@scope_options(session=False)
@label_options
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def add(
    *,
    store: StoreChoice,
    schema: str,
    source: str | None,
    requests: tuple[str, ...],
    user_id: str | None,
    agent_id: str | None,
    metadata: Mapping[str, object] | None,
    tags: list[str] | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Add the tool in JSON, a file or - for stdin; one of the same source and name is replaced. Prints the ids.

    \b
    Example:
      memsdk tools add '{"name": "roll", "description": "Roll dice.", "parameters": {}}' --request "throw a die"
    """
    is_inline = schema.lstrip().startswith(("{", "["))
    found = _parsed(schema if is_inline else _read(schema), name="the schema" if is_inline else schema)
    with store.open(make=True, embeds=True) as memory:
        records = memory.tools.add(
            found, source=source, requests=requests, user_id=user_id, agent_id=agent_id, metadata=metadata, tags=tags,
            shared=shared,
        )  # fmt: skip
    if as_json:
        print_json_lines(records)
    else:
        for record in records:
            click.echo(f"{record.id}  {record.name}")


@tools_command.command("import")
@click.argument("place", metavar="FILE|URL")
@click.option("--source", metavar="NAME", help=f"{SOURCE} Left out: the API's title, or the file's name.")
@scope_options(session=False)
@click.option("--shared", is_flag=True, help=SHARED)
@store_options
@json_option
def import_(
    *,
    store: StoreChoice,
    place: str,
    source: str | None,
    user_id: str | None,
    agent_id: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Make the tools of a source equal to those in FILE, at URL, or - for stdin: adds, updates and removes.

    JSON or YAML: a list of schemas, an MCP `tools/list` result, an OpenAPI document. A URL is fetched because you name
    it; nothing else is sent.

    \b
    Example:
      memsdk tools import github-mcp-tools.json --source github
      memsdk tools import https://api.example.org/openapi.json
    """
    found = _parsed(_read(place), name=place)
    named = source or _title_of(found) or _name_of(place)
    with store.open(make=True, embeds=True) as memory:
        synced = memory.tools.sync(named, found, user_id=user_id, agent_id=agent_id, shared=shared)
    if as_json:
        print_json(synced)
        return
    counts = [
        f"{len(names):,} {what}"
        for what, names in (
            ("added", synced.added), ("updated", synced.updated), ("removed", synced.removed),
            ("unchanged", synced.unchanged),
        )
        if names
    ]  # fmt: skip
    click.echo(f"{named}: {', '.join(counts) or 'no tools'}")


@tools_command.command("list")
@click.option("--source", metavar="NAME", help="Only of this server or group.")
@click.option("--user", "user_id", metavar="ID", help="Whose: a user's id.")
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="How many at most.")
@click.option("--after", metavar="ID", help="Go on after this one.")
@store_options
@json_option
def list_(
    *,
    store: StoreChoice,
    source: str | None,
    user_id: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List tools, oldest first.

    \b
    Example:
      memsdk tools list --source github
    """
    with store.open() as memory:
        records = memory.tools.list(source=source, user_id=user_id, limit=limit, after=after)
    print_page(records, _print_tools, limit=limit, as_json=as_json, none="no tools")


@tools_command.command("recall")
@click.argument("request")
@click.option("-k", "k", type=int, default=5, show_default=True, help="How many tools at most, 1 to 1,000.")
@click.option("--source", metavar="NAME", help="Only of this server or group.")
@scope_options(session=False)
@filter_option
@click.option(
    "--as",
    "dialect",
    type=click.Choice(("openai", "anthropic", "mcp")),
    help="Print the schemas in this dialect, as JSON.",
)
@click.option("--max-tokens", type=int, metavar="N", help="The budget of those schemas.")
@click.option("--shared", is_flag=True, help="Say that no user is meant, where the store requires a --user.")
@store_options
@json_option
def recall(
    *,
    store: StoreChoice,
    request: str,
    k: int,
    source: str | None,
    user_id: str | None,
    agent_id: str | None,
    filters: Mapping[str, object] | None,
    dialect: str | None,
    max_tokens: int | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Find the tools for REQUEST (- for stdin), best first; a request that needs several gets a set.

    \b
    Example:
      memsdk tools recall "book me a flight and mail Ana the times" -k 3
      memsdk tools recall "book me a flight" --as openai --max-tokens 800
    """
    with store.open(embeds=True) as memory:
        found = memory.tools.recall(
            text_or_stdin(request), k=k, source=source, user_id=user_id, agent_id=agent_id, filters=filters,
            max_tokens=max_tokens, shared=shared,
        )  # fmt: skip
    if dialect is not None:
        click.echo(json.dumps(_written(found, dialect), indent=None if as_json else 2))
        note(f"recall {found.id}")
    elif as_json:
        print_json(found)
    else:
        for number, hit in enumerate(found, 1):
            server = f" [{hit.source}]" if hit.source else ""
            click.echo(
                f"{number:>2}  {style(f'{hit.score:.3f}', colour='green')}  {style(hit.name or '', bold=True)}{server}"
            )
            print_indented(hit.text.strip(), indent="    ")
            click.echo(style(f"    {hit.id}", dim=True))
        click.echo(style(f"recall {found.id}  {len(found) or 'nothing'} found", dim=True))


@tools_command.command("remove")
@click.argument("tool", required=False)
@click.option("--source", metavar="NAME", help="Of this server or group; without TOOL all of its tools.")
@scope_options(session=False)
@store_options
@json_option
def remove(
    *,
    store: StoreChoice,
    tool: str | None,
    source: str | None,
    user_id: str | None,
    agent_id: str | None,
    as_json: bool,
) -> None:
    """Erase TOOL, by its id or name, or all tools of a --source.

    \b
    Example:
      memsdk tools remove create_issue --source github
      memsdk tools remove --source github
    """
    if tool is None and source is None:
        raise click.UsageError("give a TOOL (its id or name), or --source")
    with store.open() as memory:
        receipt = memory.tools.remove(tool, source=source, user_id=user_id, agent_id=agent_id)
    print_erased(receipt, what="tool", as_json=as_json)


def _print_tools(records: list[Record]) -> None:
    rows = [[str(record.id), record.title or "", record.name or "", record.text] for record in records]
    print_table(["id", "source", "tool", "what it does"], rows)


def _written(found: ToolRecall, dialect: str) -> list[dict[str, object]]:
    by_dialect = {"openai": found.as_openai, "anthropic": found.as_anthropic, "mcp": found.as_mcp}
    return by_dialect[dialect]()


def _read(place: str) -> str:
    """What the file, the URL or the standard input holds."""
    if place == "-":
        return read_stdin()
    if "://" in place and urlsplit(place).scheme not in ("http", "https"):
        raise InvalidInputError(f"{place!r:.200} is no http or https address; name a file, or such a URL")
    try:
        data = _fetched(place) if "://" in place else Path(place).read_bytes()
    except (OSError, ValueError) as error:  # a URL's errors are OSErrors too
        raise IngestError(f"can't read {place!r:.200}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise IngestError(f"{place} has more than the {MAX_BYTES:,} bytes that are read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise IngestError(f"{place} is not UTF-8 text; expected JSON or YAML") from None


def _fetched(url: str) -> bytes:
    from urllib.request import urlopen  # only where somebody asked for a fetch

    with urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- the scheme was checked
        data: bytes = answer.read(MAX_BYTES + 1)
    return data


def _parsed(text: str, *, name: str) -> object:
    """The JSON, JSON lines or YAML in the text, with nothing in it that JSON can't say."""
    try:
        return json.loads(text)
    except RecursionError:
        raise IngestError(f"{name} is nested too deeply to be read") from None
    except ValueError as error:
        problem = error
    import yaml  # slower than JSON, and seldom needed

    try:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines):
            return [json.loads(line) for line in lines]
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise IngestError(f"{name} is neither JSON ({problem}) nor YAML") from None
    if not isinstance(loaded, dict | list):
        raise IngestError(f"{name} is neither JSON ({problem}) nor a YAML document of tools")
    plain: object = json.loads(json.dumps(loaded, default=str))  # YAML has dates
    return plain


def _title_of(found: object) -> str | None:
    """An OpenAPI document's own title."""
    info = found.get("info") if isinstance(found, dict) else None
    title = info.get("title") if isinstance(info, dict) else None
    return title if isinstance(title, str) and title.strip() else None


def _name_of(place: str) -> str:
    if place == "-":
        raise click.UsageError("the tools from stdin need a --source")
    if "://" in place:
        return urlsplit(place).hostname or place
    return Path(place).stem
