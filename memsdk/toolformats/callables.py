"""Python callables and LangChain tools: the schema from type hints and docstring, or from the object's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.errors import PydanticUserError

from memsdk.errors import InvalidInputError
from memsdk.toolformats.tool import NO_PARAMETERS, Fields, Tool


@runtime_checkable
class NamedTool(Protocol):
    """What LangChain's tools (and others made like them) look like; recognised by shape, so that none is imported."""

    name: str
    description: str
    args_schema: object


def read_named(value: NamedTool) -> Tool:
    """A LangChain tool. Its `tool_call_schema` leaves out what the framework injects; else `args_schema` is taken."""
    described: object = getattr(value, "tool_call_schema", None) or value.args_schema
    return Tool(
        name=value.name,
        description=value.description or "",
        parameters=_plain(_json_schema(described, value.name)),
    )


def read_callable(function: Callable[..., object]) -> Tool:
    """A function, method or other callable: its name, its docstring, and a schema of its typed parameters.

    The docstring may be in Google's, NumPy's or Sphinx's style; what it says of a parameter describes that one.

    Raises:
        InvalidInputError: a parameter can't be named in JSON (positional only, `*args`), or its type has no schema.
    """
    from docstring_parser import parse  # needed for callables only

    called: object = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004 -- its schema is wanted
    name = getattr(function, "__name__", None) or type(function).__name__
    try:
        schema = cast("dict[str, JsonValue]", TypeAdapter(cast("type[object]", called)).json_schema())
    except (PydanticUserError, NameError, TypeError) as error:
        raise InvalidInputError(
            f"the parameters of {name} have no JSON Schema ({str(error).splitlines()[0]}); give the tool as a schema"
        ) from None
    if schema.get("type") != "object":
        raise InvalidInputError(
            f"{name} takes parameters without names, which no model can fill in; give the tool as a schema"
        )
    told = parse(inspect.getdoc(called) or ("" if called is function else inspect.getdoc(function)) or "")
    about = {param.arg_name: " ".join((param.description or "").split()) for param in told.params}
    parameters = dict(_plain(schema))
    properties = parameters.get("properties")
    if isinstance(properties, dict):
        parameters["properties"] = {
            key: {**field, "description": about[key]}
            if isinstance(field, dict) and about.get(key) and "description" not in field
            else field
            for key, field in properties.items()
        }
    parts = [told.short_description, told.long_description]
    return Tool(name=name, description="\n".join(part for part in parts if part), parameters=parameters)


def _json_schema(described: object, name: str) -> Fields:
    if described is None:
        return NO_PARAMETERS
    if isinstance(described, dict):
        return described
    if isinstance(described, type) and issubclass(described, BaseModel):
        return described.model_json_schema()
    raise InvalidInputError(
        f"the tool {name!r:.60} has an args_schema of type {type(described).__name__}, expected a pydantic model or a"
        " JSON Schema"
    )


def _plain(schema: Fields) -> Fields:
    """Without the titles that pydantic makes of the names, and the model's own name and docstring."""
    kept = {
        key: value
        for key, value in schema.items()
        if key not in ("title", "description", "additionalProperties")
    }
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = {
            name: {key: value for key, value in field.items() if key != "title"}
            if isinstance(field, dict) else field
            for name, field in properties.items()
        }  # fmt: skip
    return kept
