"""Files that hold no prose: lists of tools and solved examples, told by their content."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from memsdk.ingest.source import Source
from memsdk.ports import Parsed

_SCHEMAS = ("parameters", "input_schema", "inputSchema")
_PAIRS = (("input", "output"), ("prompt", "completion"))


def catalogue(value: JsonValue, source: Source) -> Parsed | None:
    """The tools or the examples that this JSON value is a list of; None where it is neither."""
    if _is_tools(value):
        return Parsed(key=source.key, title=source.title, media_type=source.media_type, tools=(value,))
    if isinstance(value, list) and value and all(_is_example(row) for row in value):
        rows = tuple(row for row in value if isinstance(row, dict))
        return Parsed(key=source.key, title=source.title, media_type=source.media_type, examples=rows)
    return None


def _is_tools(value: JsonValue) -> bool:
    """An OpenAPI document, a `tools/list` result, or a list whose every item is a tool's schema."""
    if isinstance(value, dict):
        if isinstance(value.get("openapi") or value.get("swagger"), str):
            return isinstance(value.get("paths"), dict)
        result = value.get("result")
        listed = (result if isinstance(result, dict) else value).get("tools")
        return _is_tools(listed) if isinstance(listed, list) else False
    return isinstance(value, list) and bool(value) and all(_is_tool(item) for item in value)


def _is_tool(item: JsonValue) -> bool:
    if not isinstance(item, dict):
        return False
    inner = item.get("function")
    fields: Mapping[str, JsonValue] = inner if isinstance(inner, dict) else item
    described = any(isinstance(fields.get(key), dict) for key in _SCHEMAS)
    return isinstance(fields.get("name"), str) and (described or item.get("type") == "function")


def _is_example(row: JsonValue) -> bool:
    return isinstance(row, dict) and any(
        isinstance(row.get(given), str) and isinstance(row.get(solved), str | int | float | bool)
        for given, solved in _PAIRS
    )
