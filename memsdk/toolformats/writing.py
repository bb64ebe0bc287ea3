"""Tools back in the dialect of the caller's LLM API, no two under one name, within a token budget."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import JsonValue

from memsdk.toolformats.tool import Tool

Dialect = Literal["openai", "anthropic", "mcp"]
Written = dict[str, JsonValue]

MAX_NAME = 64  # OpenAI's and Anthropic's limit; both take ^[a-zA-Z0-9_-]+$
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]+")


def call_names(tools: Sequence[Tool], *, dialect: Dialect) -> list[str]:
    """A name for each tool, no two alike: its own, made fit for the dialect, with its source before it where two meet."""
    fit = [tool.name if dialect == "mcp" else _fit(tool.name) for tool in tools]
    taken: set[str] = set()
    chosen = []
    for tool, name in zip(tools, fit, strict=True):
        wanted = name
        if fit.count(name) > 1 and tool.source:
            wanted = f"{tool.source}__{name}" if dialect == "mcp" else _fit(f"{tool.source}__{name}")
        unique, number = wanted, 2
        while unique in taken:
            unique = f"{wanted[: MAX_NAME - 4]}_{number}"
            number += 1
        taken.add(unique)
        chosen.append(unique)
    return chosen


def write(tool: Tool, *, name: str, dialect: Dialect) -> Written:
    """One tool in that dialect, with what only that dialect says of it."""
    beside = dict(tool.extra.get(dialect, {}))
    parameters = dict(tool.parameters)
    match dialect:
        case "openai":
            function = {"name": name, "description": tool.description, "parameters": parameters, **beside}
            return {"type": "function", "function": function}
        case "anthropic":
            return {"name": name, "description": tool.description, "input_schema": parameters, **beside}
        case "mcp":
            written: Written = {
                "name": name,
                "description": tool.description,
                "inputSchema": parameters,
                **beside,
            }
            if tool.source:
                about = written.get("_meta")
                written["_meta"] = {
                    **(about if isinstance(about, dict) else {}),
                    "memsdk/source": tool.source,
                }
            return written


def fit_budget(tools: Sequence[Written], *, max_tokens: int | None, count: Callable[[str], int]) -> list[int]:
    """The places of the tools that fit, best first; one that does not is left out, and smaller ones are still tried."""
    if max_tokens is None:
        return list(range(len(tools)))
    chosen: list[int] = []
    used = 2  # the list's brackets
    for place, tool in enumerate(tools):
        cost = count(_json(tool)) + 1  # its comma
        if used + cost <= max_tokens:
            chosen.append(place)
            used += cost
    while chosen and count(_json([tools[place] for place in chosen])) > max_tokens:
        chosen.pop()
    return chosen


def _json(value: JsonValue | Sequence[Written]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fit(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name)[:MAX_NAME].strip("_") or "tool"
