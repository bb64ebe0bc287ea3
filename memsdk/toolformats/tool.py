"""`Tool`: what every dialect says about a tool, and what it looks like beside a record's text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydantic import JsonValue
from pydantic_core import from_json

from memsdk.errors import InvalidInputError
from memsdk.inputs import check_unicode, clean_id, clean_text

Fields = Mapping[str, JsonValue]

MAX_TOOL_BYTES = 262_144
MAX_DESCRIPTION_CHARS = 100_000
NO_PARAMETERS: Fields = {"type": "object", "properties": {}}

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_TYPES = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number", "double": "number",
    "bool": "boolean", "dict": "object", "hashmap": "object", "list": "array", "tuple": "array", "arraylist": "array",
}  # fmt: skip
_JSON_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_INSTANCES = frozenset({"enum", "const", "default", "example", "examples"})
"""Keywords whose values are no schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool, whatever dialect it came in.

    Attributes:
        parameters: a JSON Schema of type object.
        extra: what one dialect alone says (MCP's annotations, OpenAI's `strict`), by dialect; given back in that one.
        source: the server or group that it came with, where the dialect names one.
    """

    name: str
    description: str = ""
    parameters: Fields = field(default_factory=lambda: NO_PARAMETERS)
    extra: Mapping[str, Fields] = field(default_factory=dict)
    source: str | None = None

    @property
    def schema(self) -> dict[str, JsonValue]:
        """Name, description and parameters: what a hit's `schema` is."""
        return {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}

    def as_data(self) -> dict[str, JsonValue]:
        """What a record keeps of it, beside its text."""
        kept: dict[str, JsonValue] = {"schema": self.schema}
        if self.extra:
            kept["extra"] = {dialect: dict(fields) for dialect, fields in self.extra.items()}
        return kept


def tool_of_data(data: Fields) -> Tool:
    """The inverse of `Tool.as_data`. Raises InvalidInputError where the data is of no tool."""
    schema, extra = data.get("schema"), data.get("extra", {})
    name = schema.get("name") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(name, str) or not isinstance(extra, dict):
        raise InvalidInputError("the record holds no tool; add it again with `memory.tools.add`")
    parameters = schema.get("parameters")
    return Tool(
        name=name,
        description=str(schema.get("description") or ""),
        parameters=parameters if isinstance(parameters, dict) else NO_PARAMETERS,
        extra={dialect: fields for dialect, fields in extra.items() if isinstance(fields, dict)},
    )


def clean_tool(tool: Tool) -> Tool:
    """The tool as it can be stored: its name and description text, its schema plain JSON. Raises InvalidInputError."""
    name = clean_id(tool.name, what="a tool's name")
    assert name is not None
    what = f"the tool {name!r:.60}"
    if tool.description.strip():
        clean_text(tool.description, what=f"{what}: its description", most=MAX_DESCRIPTION_CHARS)
    parameters = clean_json(tool.parameters, what=what)
    extra = clean_json(tool.extra, what=what) if tool.extra else {}
    assert isinstance(parameters, dict)
    assert isinstance(extra, dict)
    return replace(
        tool,
        name=name,
        description=tool.description.strip(),
        parameters=_object_schema(parameters, what=what),
        extra={dialect: fields for dialect, fields in extra.items() if isinstance(fields, dict)},
    )


def clean_json(value: object, *, what: str, most: int = MAX_TOOL_BYTES) -> JsonValue:
    """The value as plain JSON of at most so many bytes. Raises InvalidInputError."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{what} can't be written as JSON ({error}); convert it first") from None
    check_unicode(written, what=what)
    if len(written.encode()) > most:
        raise InvalidInputError(
            f"{what} has {len(written.encode()):,} bytes as JSON, at most {most:,} can be taken"
        )
    cleaned: JsonValue = from_json(written)  # a quarter of json.loads' time, or less
    return cleaned


@lru_cache(maxsize=4_096)
def words_of(identifier: str) -> str:
    """An identifier's words in lower case: `getUserName`, `get_user_name` and `get.UserName` are `get user name`."""
    return " ".join(word.lower() for word in _WORDS.findall(identifier))


def properties_of(parameters: Fields) -> list[tuple[str, str]]:
    """Each parameter's name and description; of objects within them the names' path as well, to a depth of 3."""
    found: list[tuple[str, str]] = []
    _collect(parameters, "", found, depth=0)
    return found


def _collect(schema: Fields, prefix: str, found: list[tuple[str, str]], *, depth: int) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or depth == 3:
        return
    for name, about in properties.items():
        fields: Fields = about if isinstance(about, dict) else {}
        description = fields.get("description")
        found.append((prefix + name, description if isinstance(description, str) else ""))
        items = fields.get("items")
        _collect(items if isinstance(items, dict) else fields, f"{prefix}{name}.", found, depth=depth + 1)


def _object_schema(schema: dict[str, JsonValue], *, what: str) -> dict[str, JsonValue]:
    """A JSON Schema of type object, its types by their JSON names; a bare mapping of parameters becomes one."""
    if "properties" not in schema and not isinstance(schema.get("type"), str | list) and "$ref" not in schema:
        bare: dict[str, JsonValue] = {
            name: about for name, about in schema.items() if isinstance(about, dict)
        }
        if bare and not any(key in schema for key in ("allOf", "anyOf", "oneOf")):
            rest = {name: about for name, about in schema.items() if name not in bare}
            schema = {"type": "object", "properties": bare, **rest}
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidInputError(
            f"{what}: its parameters' `properties` is {type(properties).__name__}, expected an object"
        )
    named = _json_types(schema)
    assert isinstance(named, dict)
    return {"type": "object", "properties": {}, **named} if "$ref" not in named else named


def _json_types(schema: JsonValue, *, is_properties: bool = False) -> JsonValue:
    """The schema with `dict`, `float`, `OBJECT` and the like under the names that JSON Schema has for them."""
    if isinstance(schema, list):
        return [_json_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = dict(schema)
    for key, value in schema.items():
        if isinstance(value, dict | list) and (is_properties or key not in _INSTANCES):
            changed[key] = _json_types(value, is_properties=key == "properties" and not is_properties)
    kind = changed.get("type")
    if isinstance(kind, str) and not is_properties and kind not in _JSON_TYPES:
        lowered = kind.lower()
        renamed = _TYPES.get(lowered, lowered)
        if renamed in _JSON_TYPES:
            changed["type"] = renamed
        else:  # `any` and what a language calls its own types: no constraint that JSON Schema knows
            del changed["type"]
    return changed
