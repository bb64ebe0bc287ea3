from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel, JsonValue

from memsdk.errors import InvalidInputError
from memsdk.toolformats.reading import read_tools
from memsdk.toolformats.tool import Tool, properties_of, tool_of_data, words_of
from memsdk.toolformats.writing import Dialect, call_names, fit_budget, write

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"to": {"type": "string", "description": "The address."}, "body": {"type": "string"}},
    "required": ["to"],
}
OPENAI: dict[str, JsonValue] = {
    "type": "function",
    "function": {"name": "send_mail", "description": "Send a mail.", "parameters": SCHEMA, "strict": True},
}
ANTHROPIC: dict[str, JsonValue] = {
    "name": "send_mail",
    "description": "Send a mail.",
    "input_schema": SCHEMA,
    "cache_control": {"type": "ephemeral"},
}
MCP: dict[str, JsonValue] = {
    "name": "send_mail",
    "description": "Send a mail.",
    "inputSchema": SCHEMA,
    "annotations": {"destructiveHint": False},
    "outputSchema": {"type": "object"},
}
GIVEN: dict[Dialect, dict[str, JsonValue]] = {"openai": OPENAI, "anthropic": ANTHROPIC, "mcp": MCP}


@pytest.mark.parametrize("dialect", list(GIVEN))
def test_a_tool_comes_back_as_it_was_given(dialect: Dialect) -> None:
    """What a dialect says beside the schema (strict, caching, annotations) decides how the API treats a call."""
    (tool,) = read_tools(GIVEN[dialect])
    assert write(tool, name=tool.name, dialect=dialect) == GIVEN[dialect]
    assert write(tool_of_data(tool.as_data()), name=tool.name, dialect=dialect) == GIVEN[dialect]


@pytest.mark.parametrize("source", list(GIVEN))
@pytest.mark.parametrize("target", list(GIVEN))
def test_every_dialect_says_the_same_of_a_tool(source: Dialect, target: Dialect) -> None:
    """An MCP server's tools are called through OpenAI's API or Anthropic's: name, description and schema must survive."""
    (tool,) = read_tools(GIVEN[source])
    (again,) = read_tools(write(tool, name=tool.name, dialect=target))
    assert again.schema == {"name": "send_mail", "description": "Send a mail.", "parameters": SCHEMA}


@pytest.mark.parametrize(
    "given",
    [
        {"tools": [MCP, ANTHROPIC | {"name": "other"}]},
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": [MCP, MCP | {"name": "other"}]}},
        [OPENAI, [ANTHROPIC | {"name": "other"}]],
        [{"type": "function", "name": "send_mail", "parameters": SCHEMA}, {"name": "other"}],
    ],
    ids=["tools/list", "JSON-RPC", "nested", "responses"],
)
def test_lists_are_taken_in_every_wrapping(given: object) -> None:
    """People paste what their client printed; unwrapping it is not their work."""
    assert [tool.name for tool in read_tools(given)] == ["send_mail", "other"]


def test_types_have_their_json_names_and_parameters_keep_theirs() -> None:
    """`dict`, `float` and OBJECT are refused by the APIs; a parameter that is called `type` or `list` is none of them."""
    given: dict[str, JsonValue] = {
        "name": "f",
        "parameters": {
            "type": "dict",
            "properties": {
                "type": {"type": "String"},
                "list": {"type": "ArrayList", "items": {"type": "float"}},
                "x": {"type": "any", "enum": ["int"], "default": {"type": "int"}},
            },
        },
    }
    (tool,) = read_tools(given)
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "list": {"type": "array", "items": {"type": "number"}},
            "x": {"enum": ["int"], "default": {"type": "int"}},
        },
    }


def test_a_bare_mapping_of_parameters_becomes_a_schema() -> None:
    """Half the lists in the wild name parameters without `properties`; sent on as they are no API takes them."""
    (tool,) = read_tools({"name": "f", "parameters": {"city": {"type": "str"}}, "required": ["city"]})
    assert tool.parameters == {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    }  # fmt: skip


def weather(city: str, unit: Literal["c", "f"] = "c", *, days: int = 3) -> str:
    """Say what the weather will be.

    It asks no service.

    Args:
        city: Where,
            as people write it.
        days: How many.
    """
    return f"{city} {unit} {days}"


def test_a_function_is_told_by_its_hints_and_docstring() -> None:
    """Writing a schema beside each function is what people forget to keep up to date."""
    (tool,) = read_tools(weather)
    assert tool.name == "weather"
    assert tool.description == "Say what the weather will be.\nIt asks no service."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where, as people write it."},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "days": {"type": "integer", "default": 3, "description": "How many."},
        },
        "required": ["city"],
    }


def test_a_method_is_a_tool_without_self() -> None:
    """Agents' tools are often methods of what holds their connection."""

    class Box:
        def put(self, what: str) -> None:
            """:param what: The thing."""

    (tool,) = read_tools(Box().put)
    assert properties_of(tool.parameters) == [("what", "The thing.")]


def test_a_langchain_tool_is_known_by_its_shape() -> None:
    """LangChain must not have to be installed, nor be imported, for its tools to be taken."""

    class Arguments(BaseModel):
        query: str

    class Search:
        name = "search"
        description = "Search the web."
        args_schema = Arguments

        def __call__(self, query: str) -> str:
            return query

    (tool,) = read_tools(Search())
    assert tool.schema == {
        "name": "search",
        "description": "Search the web.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    }


PETS: dict[str, JsonValue] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets"},
    "servers": [{"url": "https://pets.example"}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {"operationId": "getPet", "summary": "Get a pet."},
            "patch": {
                "description": "Change a pet.",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
            },
        }
    },
    "components": {
        "parameters": {"id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "schemas": {
            "Pet": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parent": {"$ref": "#/components/schemas/Pet"}},
            }
        },
    },
}  # fmt: skip


def test_each_operation_of_an_openapi_document_is_a_tool() -> None:
    """A schema with `$ref`s into a document that the model never sees can't be filled in."""
    get, patch = read_tools(PETS)
    assert (get.name, get.source, get.description) == ("getPet", "Pets", "Get a pet.")
    assert get.extra["openapi"] == {
        "method": "GET", "path": "/pets/{id}", "in": {"id": "path"}, "server": "https://pets.example",
    }  # fmt: skip
    assert patch.name == "patch_pets_id"
    assert patch.parameters["required"] == ["id", "name"]
    assert patch.parameters["properties"] == {
        "id": {"type": "integer"}, "name": {"type": "string"}, "parent": {"type": "object"},
    }  # fmt: skip
    assert "$ref" not in json.dumps(patch.parameters)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "a tool is 3"),
        ("x", "expected an OpenAI"),
        ([[[[[OPENAI]]]]], "nested more than 3 deep"),
        ({"description": "x"}, "needs a `name`"),
        ({"name": "x\0"}, "NUL"),
        ({"name": "x", "description": "\ud800"}, "lone surrogate"),
        ({"name": "x", "description": 3}, "expected text"),
        ({"name": "x", "parameters": {"a": {"default": float("nan")}}}, "can't be written as JSON"),
        ({"name": "x", "parameters": {"properties": 3}}, "expected an object"),
        ({"name": "x", "parameters": {"a": {"description": "b" * 300_000}}}, "bytes as JSON"),
        ({"type": "web_search_20250305", "name": "web_search"}, "runs at its provider"),
        ({"openapi": "3.0.0"}, "no `paths`"),
        ({"openapi": "3", "paths": {"/": {"get": {"parameters": [{"$ref": "#/x"}]}}}}, "leads nowhere"),
        (lambda *numbers: numbers, "takes parameters without names"),
        (print, "have no JSON Schema"),
    ],
)
def test_what_is_no_tool_is_said_to_be_none(given: object, says: str) -> None:
    """A list of fifty tools with one that is broken must say which and why, not fail in the middle of a call."""
    with pytest.raises(InvalidInputError, match=says):
        read_tools(given)


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("getUserName", "get user name"),
        ("foo_bar", "foo bar"),
        ("HTTPServer2", "http server 2"),
        ("math.add-all", "math add all"),
        ("größe", "gr öß e"),
        ("", ""),
    ],
)
def test_identifiers_are_split_into_words(identifier: str, words: str) -> None:
    """Nobody asks for `getUserName`: they ask for the name of a user."""
    assert words_of(identifier) == words


def test_no_two_tools_are_offered_under_one_name() -> None:
    """The APIs refuse two tools of one name, and a dot in it: every call would fail, or reach the wrong server."""
    names = ["search", "search", "math.add", "math_add", "x" * 80, "...", "..."]
    tools = [Tool(name=name, source=f"server{n}") for n, name in enumerate(names)]
    offered = call_names(tools, dialect="openai")
    assert offered[:2] == ["server0__search", "server1__search"]
    assert len(set(offered)) == len(names)
    assert all(len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() for name in offered)
    assert call_names([Tool(name="math.add")], dialect="mcp") == ["math.add"]


def test_the_budget_is_kept_and_the_best_come_first() -> None:
    """A list of tools beyond the budget pushes the conversation out of the model's window."""
    written = [
        write(Tool(name=f"t{n}", description="word " * n), name=f"t{n}", dialect="mcp") for n in (3, 90, 5)
    ]
    assert fit_budget(written, max_tokens=None, count=len) == [0, 1, 2]
    room = len(json.dumps([written[0], written[2]]))
    assert fit_budget(written, max_tokens=room, count=len) == [0, 2]
    assert fit_budget(written, max_tokens=0, count=len) == []
