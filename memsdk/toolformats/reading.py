"""Whatever people have to tools: a mapping, an object, a document, or a list of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from pydantic import BaseModel, JsonValue

from memsdk.errors import InvalidInputError
from memsdk.toolformats.callables import NamedTool, read_callable, read_named
from memsdk.toolformats.functions import read_mapping
from memsdk.toolformats.openapi import is_openapi, read_openapi
from memsdk.toolformats.tool import Fields, Tool, clean_tool

EXPECTED = (
    "expected an OpenAI, Anthropic or MCP tool, a LangChain tool, an OpenAPI document, a Python callable, or a list of"
    " them"
)


def read_tools(value: object) -> list[Tool]:
    """The tools in what was given, checked, in order.

    Takes OpenAI's function schemas (chat completions, responses, bare functions), Anthropic's tools, MCP tools and
    `tools/list` results (as JSON or as the `mcp` package's objects), LangChain tools, OpenAPI documents, plug-in
    manifests, typed callables, and any list of these.

    Raises:
        InvalidInputError: something in it is no tool; then none is given.
    """
    return [clean_tool(tool) for tool in _read(value, depth=0)]


def _read(value: object, *, depth: int) -> list[Tool]:
    if depth > 3:
        raise InvalidInputError(f"the list of tools is nested more than 3 deep; {EXPECTED}")
    if isinstance(value, Mapping):
        return _of_mapping(cast("Fields", value), depth=depth)
    if isinstance(value, BaseModel) and not isinstance(
        value, NamedTool
    ):  # the mcp package's results and tools
        return _read(value.model_dump(mode="json", by_alias=True, exclude_none=True), depth=depth)
    if isinstance(value, NamedTool) and not isinstance(value, type):
        return [read_named(value)]
    if callable(value):
        return [read_callable(value)]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [tool for item in value for tool in _read(item, depth=depth + 1)]
    raise InvalidInputError(f"a tool is {value!r:.80}, {EXPECTED}")


def _of_mapping(value: Fields, *, depth: int) -> list[Tool]:
    if is_openapi(cast("JsonValue", value)):
        return read_openapi(value)
    result = value.get("result")
    inner = result if isinstance(result, Mapping) else value  # a JSON-RPC answer
    listed = inner.get("tools", inner.get("functions"))
    if isinstance(listed, list) and "name" not in inner:
        return [tool for item in listed for tool in _read(item, depth=depth + 1)]
    return [read_mapping(value)]
