"""`memory.tools`: the tools an agent could call, found by what they do, given back in the dialect of its LLM."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from memsdk import inputs
from memsdk.beside import helping
from memsdk.clauses import clauses
from memsdk.errors import InvalidInputError, NotFoundError
from memsdk.garbage import no_full_collection
from memsdk.models import Draft, Forgotten, Hit, Kind, Metadata, Record, Scope, Synced
from memsdk.ports import RecordFilter, TokenCounter, Written
from memsdk.recalled import Recall, counter_of
from memsdk.selecting import spread
from memsdk.shelf import Shelf, condition
from memsdk.toolformats.reading import read_tools
from memsdk.toolformats.tool import Tool, tool_of_data, words_of
from memsdk.toolformats.writing import Dialect, call_names, fit_budget, write

if TYPE_CHECKING:
    from memsdk.memory import Memory

MAX_REQUESTS = 50
PAGE = 1_000
POOL, FEWEST = 4, 20
"""How many hits are looked at, in times k and at least, so that near-twins can be passed over."""

AHEAD = 25
"""The first of so many tools in a list are embedded while the others are read and checked, which takes about as long."""

DIVERSIFY, TWINS = 0.5, 8
"""How much a near-twin's likeness counts against it, and how near it has to be; see `selecting.spread`."""


class ToolRecall(Recall):
    """The tools that one request found, best first."""

    def as_openai(
        self, max_tokens: int | None = None, *, counter: TokenCounter | None = None
    ) -> builtins.list[dict[str, object]]:
        """For OpenAI's `tools=`; best first, those that fit the budget (of the tools as JSON)."""
        return [tool for _, tool in self._written("openai", max_tokens, counter)]

    def as_anthropic(
        self, max_tokens: int | None = None, *, counter: TokenCounter | None = None
    ) -> builtins.list[dict[str, object]]:
        """For Anthropic's `tools=`; best first, those that fit the budget (of the tools as JSON)."""
        return [tool for _, tool in self._written("anthropic", max_tokens, counter)]

    def as_mcp(
        self, max_tokens: int | None = None, *, counter: TokenCounter | None = None
    ) -> builtins.list[dict[str, object]]:
        """As MCP's `tools/list` gives them, each with its server in `_meta["memsdk/source"]`."""
        return [tool for _, tool in self._written("mcp", max_tokens, counter)]

    def called(self, name: str) -> Hit:
        """The tool that a model means which calls this name: `.name` is its own name, `.source` its server.

        The APIs take no dots and no name twice, so `math.add` is offered as `math_add`, and where two servers have a
        `search`, they are offered as `github__search` and `jira__search`.

        Raises:
            NotFoundError: no tool of this recall was offered under that name.
        """
        tools = [_tool_of(hit) for hit in self.hits]
        for dialect in ("openai", "mcp"):
            offered = dict(zip(call_names(tools, dialect=dialect), self.hits, strict=True))
            if name in offered:
                return offered[name]
        raise NotFoundError(
            f"no tool was offered as {name!r:.80}; there are {', '.join(call_names(tools, dialect='openai'))}"
        )

    def _written(
        self, dialect: Dialect, max_tokens: int | None, counter: TokenCounter | None
    ) -> builtins.list[tuple[Hit, dict[str, object]]]:
        budget = self.max_tokens if max_tokens is None else max_tokens
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
            raise InvalidInputError(f"max_tokens is {budget!r:.40}, expected a whole number")
        tools = [_tool_of(hit) for hit in self.hits]
        names = call_names(tools, dialect=dialect)
        written = [write(tool, name=name, dialect=dialect) for tool, name in zip(tools, names, strict=True)]
        count = (counter or counter_of(self.tokenizer)).count
        places = fit_budget(written, max_tokens=budget, count=count)
        return [(self.hits[place], {**written[place]}) for place in places]


class ToolShelf:
    """Tools by source: `add`, `sync`, `recall`, `list`, `remove`."""

    def __init__(self, memory: Memory, *, scope: Scope | None = None) -> None:
        """Args: `scope` limits what can be reached, and whose a tool is that is added; None is everybody's."""
        self._shelf = Shelf(memory, Kind.TOOL, scope=scope)

    def add(
        self,
        tools: object,
        *,
        source: str | None = None,
        requests: Sequence[str] | Mapping[str, Sequence[str]] = (),
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> builtins.list[Record]:
        """Add one tool or many, in any dialect that people have; a tool of the same source and name is replaced.

        Args:
            tools: OpenAI or Anthropic schemas, MCP tools or a `tools/list` result, LangChain tools, an OpenAPI document
                (each operation a tool), typed Python callables; or a list of any of them.
            source: the server or group that they belong to. An OpenAPI document's is its title unless given.
            requests: what users ask when they need it, to be found by: a list for one tool, or lists by tool name.
            wait: False returns after the commit; the tools are found a moment later.

        Raises:
            InvalidInputError: something is no tool; nothing was written.
            IndexingError, EmbedderError: they are stored, and will be found once the cause is mended.
        """
        drafts_of = partial(
            drafts_of_tools,
            scope=self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared),
            source=inputs.clean_id(source, what="source"),
            metadata=inputs.clean_metadata(metadata, tags=tags),
        )
        first: builtins.list[Tool] = []
        with no_full_collection(), helping():  # who reads tools takes a core, and helps once they are read
            if wait and not requests and isinstance(tools, builtins.list):
                few = len(tools) // AHEAD
                first, tools = read_tools(tools[:few]), tools[few:]
            ahead = self._shelf.parts.writer.embed_ahead(drafts_of(first)) if first else None
            drafts = drafts_of([*first, *read_tools(tools)], requests=requests)
            return [item.record for item in self._shelf.add(drafts, wait=wait, ahead=ahead)]

    def sync(
        self,
        source: str,
        tools: object,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        shared: bool = False,
    ) -> Synced:
        """Make the tools of this source equal to these: adds, updates and removes; doing it again changes nothing.

        The example requests of a tool that stays are kept. What is new is there before what is gone is erased, so a kill
        in between leaves too many tools, never too few, and the next sync finishes.

        Raises:
            InvalidInputError: something is no tool; nothing was changed.
        """
        name = inputs.clean_id(source, what="source")
        if name is None:
            raise InvalidInputError("sync needs the source's name: a server or a group of tools")
        scope = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        there = {record.name or "": record for record in self._of_source(name, scope=scope)}
        found = read_tools(tools)
        _refuse_twice(found)
        drafts = [_kept(tool, there.get(tool.name), source=name, scope=scope) for tool in found]
        written = self._shelf.add(drafts)
        offered = {tool.name for tool in found}
        gone = [record for each, record in there.items() if each not in offered]
        if gone:
            self._shelf.remove([record.id for record in gone])
        return _synced(written, removed=[record.name or "" for record in gone])

    def recall(
        self,
        request: str,
        *,
        k: int = 5,
        source: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        filters: Mapping[str, object] | None = None,
        diversify: float | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
        shared: bool = False,
    ) -> ToolRecall:
        """Find the tools for a request, best first: the user's own and the shared ones.

        A request of several parts is also searched part by part, and near-twins (the same tool on another server, an older
        version) make room, so that a request which needs several tools gets a set of them.

        Args:
            k: how many tools at most, 1 to 1,000.
            source: only this server or group.
            diversify: how much likeness to a better tool counts against a near-twin of it, 0 (not at all) to 1; .5 by default.
            max_tokens: the budget that `as_openai()` and the others keep.

        Raises:
            InvalidInputError: an argument can't be used.
        """
        count = inputs.clean_k(k)
        weight = inputs.clean_share(diversify, what="diversify", default=DIVERSIFY)
        where = condition(filters, title=inputs.clean_id(source, what="source"))
        encoder = self._shelf.parts.lexical
        recall = self._shelf.search(
            inputs.clean_text(request, what="the request", most=inputs.MAX_QUERY_CHARS),
            scope=self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared),
            k=count,
            pool=min(inputs.MAX_K, max(FEWEST, POOL * count)),
            where=where,
            parts_of_query=clauses(request),
            choose=partial(spread, k=count, weight=weight, encoder=encoder, text=_gist, sharpness=TWINS),
            max_tokens=inputs.clean_budget(max_tokens),
            explain=explain,
        )
        return ToolRecall.model_construct(**vars(recall))

    def list(
        self,
        *,
        source: str | None = None,
        user_id: str | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """Tools, oldest first: of one user, or without a user_id all within reach. Page with `after`."""
        where = condition(None, title=inputs.clean_id(source, what="source"))
        return self._shelf.list(user_id=user_id, where=where, limit=limit, after=after)

    def remove(
        self,
        tool: Record | UUID | str | None = None,
        *,
        source: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Forgotten:
        """Erase one tool, by record, id or name (of `source`), or without one all tools of `source`.

        By name it is looked for in exactly the scope that it was added in; by id in all that is within reach.

        Raises:
            NotFoundError: no such tool.
            InvalidInputError: neither a tool nor a source was given.
        """
        if isinstance(tool, Record):
            return self._shelf.remove([tool.id])
        if tool is not None and (wanted := _as_uuid(tool)) is not None:
            return self._shelf.remove([wanted])
        name, group = inputs.clean_id(tool, what="tool"), inputs.clean_id(source, what="source")
        if name is None and group is None:
            raise InvalidInputError("remove what? give a tool's id or name, or a source; nothing was erased")
        scope = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=user_id is None)
        found = [
            record.id for record in self._of_source(group, scope=scope) if name is None or record.name == name
        ]
        if not found:
            raise NotFoundError(
                f"no tool {name or ''!r:.80} of {f'the source {group!r:.80}' if group else 'no source'} in this scope;"
                " `tools.list()` shows what there is"
            )
        return self._shelf.remove(found)

    def _of_source(self, source: str | None, *, scope: Scope) -> builtins.list[Record]:
        """Every tool of this source in exactly this scope."""
        where = RecordFilter(
            users=(scope.user_id,), agents=(scope.agent_id,), kinds=(Kind.TOOL,), current_only=True,
            metadata=condition(None, title=source),
        )  # fmt: skip
        found: builtins.list[Record] = []
        after: UUID | None = None
        while page := self._shelf.parts.store.records.page(where, limit=PAGE, after=after):
            found += page
            after = page[-1].id
        return found if source is not None else [record for record in found if record.title is None]


def drafts_of_tools(
    tools: Sequence[Tool],
    *,
    scope: Scope,
    source: str | None,
    metadata: Metadata,
    requests: Sequence[str] | Mapping[str, Sequence[str]] = (),
) -> list[Draft]:
    """What is stored of tools, each once. Raises InvalidInputError where one comes twice or requests are of none."""
    _refuse_twice(tools)
    asked = _requests(requests, tools)
    return [
        _draft(tool, asked.get(tool.name, ()), scope=scope, source=source, metadata=metadata)
        for tool in tools
    ]


def _draft(
    tool: Tool, requests: Sequence[str], *, scope: Scope, source: str | None, metadata: Metadata
) -> Draft:
    """What is stored of a tool: its description as the text, its schema beside it, its name as the id in its source."""
    data = tool.as_data()
    if requests:
        data["requests"] = list(requests)
    return Draft(
        kind=Kind.TOOL,
        text=tool.description or words_of(tool.name) or tool.name,
        scope=scope,
        metadata=metadata,
        data=data,
        name=tool.name,
        title=source or inputs.clean_id(tool.source, what="a tool's source"),
        external_id=tool.name,
    )


def _kept(tool: Tool, known: Record | None, *, source: str, scope: Scope) -> Draft:
    """The tool with the requests and metadata that its record has."""
    data = {} if known is None else known.data
    requests = data.get("requests")
    asked = [str(each) for each in requests] if isinstance(requests, list) else []
    return _draft(tool, asked, scope=scope, source=source, metadata={} if known is None else known.metadata)


def _refuse_twice(tools: Sequence[Tool]) -> None:
    seen: set[tuple[str | None, str]] = set()
    for tool in tools:
        if (tool.source, tool.name) in seen:
            raise InvalidInputError(f"the tool {tool.name!r:.80} comes twice in one list; give each once")
        seen.add((tool.source, tool.name))


def _requests(
    requests: Sequence[str] | Mapping[str, Sequence[str]], tools: Sequence[Tool]
) -> dict[str, tuple[str, ...]]:
    if isinstance(requests, Mapping):
        unknown = sorted(set(requests) - {tool.name for tool in tools})
        if unknown:
            raise InvalidInputError(
                f"requests are given for {unknown[0]!r:.80}, which is none of these tools"
            )
        return {name: _clean_requests(texts) for name, texts in requests.items()}
    cleaned = _clean_requests(requests)
    if cleaned and len(tools) != 1:
        raise InvalidInputError(
            f"requests is a list, but there are {len(tools)} tools; give a mapping of tool name to requests"
        )
    return {tools[0].name: cleaned} if cleaned else {}


def _clean_requests(texts: object) -> tuple[str, ...]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidInputError(f"requests is {texts!r:.60}, expected a list of texts")
    if len(texts) > MAX_REQUESTS:
        raise InvalidInputError(
            f"there are {len(texts)} example requests, at most {MAX_REQUESTS} can be taken"
        )
    return tuple(inputs.clean_text(text, what="an example request", most=2_000) for text in texts)


def _synced(written: Sequence[Written], *, removed: Sequence[str]) -> Synced:
    by_outcome: dict[str, list[str]] = {"added": [], "updated": [], "unchanged": []}
    for item in written:
        by_outcome[item.outcome].append(item.record.name or "")
    return Synced(
        added=tuple(by_outcome["added"]),
        updated=tuple(by_outcome["updated"]),
        unchanged=tuple(by_outcome["unchanged"]),
        removed=tuple(removed),
    )


def _tool_of(hit: Hit) -> Tool:
    tool = tool_of_data(hit.data)
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        extra=tool.extra,
        source=hit.title,
    )


def _gist(hit: Hit) -> str:
    """What two tools are compared by."""
    return f"{words_of(hit.name or '')} {hit.text}"


def _as_uuid(value: UUID | str) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except ValueError:
        return None
