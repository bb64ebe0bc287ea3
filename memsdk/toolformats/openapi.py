"""OpenAPI documents (3.x, and Swagger 2.0): each operation a tool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from memsdk.errors import InvalidInputError
from memsdk.toolformats.tool import Fields, Tool

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9]+")
_MAX_DEPTH = 12


def is_openapi(value: JsonValue) -> bool:
    """Whether this is an OpenAPI document."""
    return isinstance(value, dict) and isinstance(value.get("openapi") or value.get("swagger"), str)


def read_openapi(document: Fields) -> list[Tool]:
    """A tool an operation, its path, query, header and body parameters in one schema, `$ref`s filled in.

    The name is the `operationId`, or method and path; how to call it stays in `extra["openapi"]`. The body's fields
    stand beside the other parameters where no name is taken twice, else under `body`.

    Raises:
        InvalidInputError: the document has no paths, or a `$ref` that leads nowhere.
    """
    paths = document.get("paths")
    if not isinstance(paths, Mapping):
        raise InvalidInputError("the OpenAPI document has no `paths`, so it describes no operation")
    title = _mapping(document.get("info")).get("title")
    tools = [
        _tool(document, str(path), item, method)
        for path, item in paths.items()
        if isinstance(item, Mapping)
        for method in METHODS
        if isinstance(item.get(method), Mapping)
    ]
    source = title if isinstance(title, str) and title.strip() else None
    return [
        Tool(
            name=tool.name,
            description=tool.description,
            parameters=tool.parameters,
            extra=tool.extra,
            source=source,
        )
        for tool in tools
    ]


def _tool(document: Fields, path: str, item: Fields, method: str) -> Tool:
    operation = _mapping(item[method])
    named = operation.get("operationId")
    name = (
        named
        if isinstance(named, str) and named.strip()
        else _NOT_A_NAME.sub("_", f"{method}_{path}").strip("_")
    )
    told = [operation.get("summary"), operation.get("description")]
    description = "\n".join(
        dict.fromkeys(part.strip() for part in told if isinstance(part, str) and part.strip())
    )
    properties: dict[str, JsonValue] = {}
    required: list[JsonValue] = []
    places: dict[str, JsonValue] = {}
    for parameter in _parameters(document, item, operation):
        key = str(parameter.get("name"))
        if parameter.get("in") == "body":  # Swagger 2.0
            _add_body(document, _mapping(parameter.get("schema")), properties, required, places)
            continue
        properties[key] = _schema_of(document, parameter)
        places[key] = str(parameter.get("in"))
        if parameter.get("required") is True:
            required.append(key)
    _add_body(document, _body(document, operation), properties, required, places)
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {}
    call: dict[str, JsonValue] = {"method": method.upper(), "path": path, "in": places}
    if isinstance(url := _mapping(first).get("url"), str):
        call["server"] = url
    parameters: dict[str, JsonValue] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    return Tool(name=name, description=description, parameters=parameters, extra={"openapi": call})


def _parameters(document: Fields, item: Fields, operation: Fields) -> Iterator[Fields]:
    """The path's and the operation's own; the operation's win."""
    found: dict[tuple[str, str], Fields] = {}
    for listed in (item.get("parameters"), operation.get("parameters")):
        for entry in listed if isinstance(listed, list) else []:
            parameter = _mapping(_filled(document, entry))
            if isinstance(parameter.get("name"), str):
                found[str(parameter.get("in")), str(parameter["name"])] = parameter
    yield from found.values()


def _schema_of(document: Fields, parameter: Fields) -> JsonValue:
    schema = parameter.get("schema")
    if not isinstance(schema, Mapping):  # Swagger 2.0 writes the schema's fields into the parameter
        schema = {
            key: value
            for key, value in parameter.items()
            if key in ("type", "format", "enum", "items", "default")
        }
    filled = dict(_mapping(_filled(document, dict(schema))))
    if isinstance(told := parameter.get("description"), str) and "description" not in filled:
        filled["description"] = told
    return filled


def _body(document: Fields, operation: Fields) -> Fields:
    """The schema of the request's body: JSON where there is one, else the first media type's."""
    content = _mapping(_mapping(_filled(document, operation.get("requestBody"))).get("content"))
    chosen = content.get("application/json") or next(iter(content.values()), None)
    return _mapping(_mapping(chosen).get("schema"))


def _add_body(
    document: Fields,
    schema: Fields,
    properties: dict[str, JsonValue],
    required: list[JsonValue],
    places: dict[str, JsonValue],
) -> None:
    if not schema:
        return
    filled = _mapping(_filled(document, dict(schema)))
    inner = filled.get("properties")
    if isinstance(inner, Mapping) and inner and not properties.keys() & inner.keys():
        properties.update(inner)
        places.update(dict.fromkeys(inner, "body"))
        asked = filled.get("required")
        required.extend(name for name in (asked if isinstance(asked, list) else []) if name in inner)
    else:
        properties["body"] = dict(filled)
        places["body"] = "whole body"


def _filled(document: Fields, value: JsonValue, *, depth: int = 0, within: tuple[str, ...] = ()) -> JsonValue:
    """The value with what its `$ref`s name in their place; one that leads back into itself becomes an open object."""
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str):
            if reference in within or depth > _MAX_DEPTH:
                return {"type": "object"}
            return _filled(document, _at(document, reference), depth=depth + 1, within=(*within, reference))
        return {key: _filled(document, item, depth=depth + 1, within=within) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(document, item, depth=depth + 1, within=within) for item in value]
    return value


def _at(document: Fields, reference: str) -> JsonValue:
    """What a local `$ref` such as `#/components/schemas/Pet` names (RFC 6901)."""
    found: JsonValue = dict(document)
    for part in reference.removeprefix("#/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not reference.startswith("#/") or not isinstance(found, Mapping) or key not in found:
            raise InvalidInputError(
                f"the OpenAPI document's $ref {reference!r:.100} leads nowhere in it; bundle it into one file first"
            )
        found = found[key]
    return found


def _mapping(value: JsonValue | Fields) -> Fields:
    return value if isinstance(value, Mapping) else {}
