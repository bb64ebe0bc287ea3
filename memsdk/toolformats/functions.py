"""One tool given as a mapping: OpenAI's and Anthropic's schemas, an MCP tool, a plug-in's manifest, a bare function."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from memsdk.errors import InvalidInputError
from memsdk.toolformats.tool import NO_PARAMETERS, Fields, Tool

_NAMES = ("name", "name_for_model", "api_name")
_DESCRIPTIONS = ("description", "api_description")
_OWN = ("function", "custom")


def is_tool(value: JsonValue) -> bool:
    """Whether a mapping names a tool in a dialect that `read_mapping` takes."""
    if not isinstance(value, dict):
        return False
    inner = value.get("function") if value.get("type") == "function" else None
    fields = inner if isinstance(inner, dict) else value
    return _first(fields, _NAMES) is not None and any(
        key in fields
        for key in ("parameters", "input_schema", "inputSchema", "description_for_model", "api_description")
    )


def read_mapping(value: Fields) -> Tool:
    """The tool that a mapping describes. Raises InvalidInputError."""
    kind = value.get("type")
    if kind is not None and kind not in _OWN and "parameters" not in value:
        raise InvalidInputError(
            f"a tool of type {kind!r:.40} runs at its provider and has no schema to search; keep it beside the shelf,"
            " and add it to what recall gives"
        )
    if "inputSchema" in value:
        return _mcp(value)
    if "input_schema" in value:
        return _anthropic(value)
    return _openai(value)


def _openai(value: Fields) -> Tool:
    """Chat completions nest it under `function`; responses and plain function lists don't."""
    inner = value.get("function", value)
    if not isinstance(inner, Mapping):
        raise InvalidInputError(f"a tool's `function` is {inner!r:.60}, expected a mapping with a name")
    fields = {key: item for key, item in inner.items() if key != "type" or item != "function"}
    beside = {"strict": fields["strict"]} if "strict" in fields else {}
    parameters = dict(_schema(fields, "parameters"))
    required = fields.get("required")
    if isinstance(required, list) and "required" not in parameters:
        parameters["required"] = required  # of a bare mapping of parameters
    return Tool(
        name=_name(fields),
        description=_description(fields),
        parameters=parameters,
        extra={"openai": beside} if beside else {},
    )


def _anthropic(value: Fields) -> Tool:
    beside = {key: item for key, item in value.items() if key not in ("name", "description", "input_schema")}
    return Tool(
        name=_name(value),
        description=_description(value),
        parameters=_schema(value, "input_schema"),
        extra={"anthropic": beside} if beside else {},
    )


def _mcp(value: Fields) -> Tool:
    beside = {
        key: item
        for key, item in value.items()
        if key not in ("name", "description", "inputSchema") and item is not None
    }
    return Tool(
        name=_name(value),
        description=_description(value),
        parameters=_schema(value, "inputSchema"),
        extra={"mcp": beside} if beside else {},
    )


def _name(fields: Fields) -> str:
    name = _first(fields, _NAMES)
    if name is None:
        raise InvalidInputError(f"a tool needs a `name`, got {dict(fields)!r:.120}")
    return name


def _description(fields: Fields) -> str:
    """What it is for; of a plug-in's manifest what it tells people and, where that says more, what it tells models."""
    for key in (*_DESCRIPTIONS, "description_for_model", "description_for_human"):
        if not isinstance(fields.get(key), str | None):
            raise InvalidInputError(f"a tool's `{key}` is {fields[key]!r:.60}, expected text")
    told = _first(fields, (*_DESCRIPTIONS, "description_for_human")) or ""
    model = _first(fields, ("description_for_model",)) or ""
    return "\n".join(dict.fromkeys(part.strip() for part in (told, model) if part.strip()))


def _schema(fields: Fields, key: str) -> Fields:
    schema = fields.get(key)
    if schema is None:
        return NO_PARAMETERS
    if not isinstance(schema, Mapping):
        raise InvalidInputError(
            f"the tool {_name(fields)!r:.60}: its `{key}` is {type(schema).__name__}, expected a JSON Schema"
        )
    return schema


def _first(fields: Fields, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return None
