"""What `memory.tools` promises: found by what they do, given back as the API wants them, equal to their source."""

# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue

from memsdk import AsyncMemory, Memory
from memsdk.errors import InvalidInputError, NotFoundError, ScopeError

Open = Callable[..., Memory]


def tool(name: str, description: str, *parameters: str) -> dict[str, JsonValue]:
    properties: dict[str, JsonValue] = {parameter: {"type": "string"} for parameter in parameters}
    return {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": properties},
    }


MAIL = tool("sendMail", "Send an e-mail.", "to", "body")
FLIGHT = tool("book_flight", "Book a flight between two cities.", "origin", "destination")
WEATHER = tool("getWeather", "Say what the weather will be.", "city")


MANY = [tool(f"open_door_{number}", f"Open the door of room {number}.") for number in range(100)]


def names(found: object) -> list[str]:
    return [hit.name for hit in found]  # type: ignore[attr-defined]  # records or hits


def test_a_tool_is_found_by_its_name_parameters_and_requests(memory: Memory) -> None:
    """A user who asks to throw a die names neither the tool nor a word of its description."""
    memory.tools.add([MAIL, FLIGHT, WEATHER])
    memory.tools.add(tool("rng", "Draw a number."), requests=["throw a die for me", "flip a coin"])
    assert names(memory.tools.recall("what destination", k=1)) == ["book_flight"]
    assert names(memory.tools.recall("get the weather", k=1)) == ["getWeather"]
    assert names(memory.tools.recall("throw a die for me", k=1)) == ["rng"]
    assert memory.verify().clean


def test_a_hit_has_its_name_schema_and_server(memory: Memory) -> None:
    """An agent calls a tool by its name, with its schema, on its server."""
    memory.tools.add(MAIL, source="gmail")
    (hit,) = memory.tools.recall("send an e-mail")
    assert (hit.name, hit.source, hit.text) == ("sendMail", "gmail", "Send an e-mail.")
    assert hit.schema == {
        "name": "sendMail", "description": "Send an e-mail.", "parameters": MAIL["inputSchema"],
    }  # fmt: skip
    (mixed,) = memory.recall("send an e-mail", kinds=["tool"])
    assert (mixed.name, mixed.schema) == (hit.name, hit.schema)
    assert "sendMail(to?, body?) [gmail]: Send an e-mail." in memory.recall("e-mail", kinds=["tool"]).render()


def test_tools_come_back_in_the_callers_dialect_within_a_budget(memory: Memory) -> None:
    """The list is passed on as it is; one API's shape is refused by the other."""
    memory.tools.add([MAIL, FLIGHT, WEATHER], source="all")
    found = memory.tools.recall("send an e-mail", k=3, max_tokens=110)
    assert found.as_openai()[0]["function"]["name"] == "sendMail"  # type: ignore[index]  # as OpenAI nests it
    assert found.as_anthropic()[0]["input_schema"] == MAIL["inputSchema"]
    assert found.as_mcp()[0] == {**MAIL, "_meta": {"memsdk/source": "all"}}
    assert len(found.as_openai()) < len(found.as_openai(10_000)) == 3
    assert found.as_openai(1) == []
    with pytest.raises(InvalidInputError, match="max_tokens"):
        found.as_mcp("many")  # type: ignore[arg-type]  # that is the claim


def test_a_call_finds_its_tool_again(memory: Memory) -> None:
    """Two servers have a `search`; the model's call must reach the one it was offered."""
    memory.tools.add(tool("search", "Search issues."), source="github")
    memory.tools.add(tool("search", "Search tickets."), source="jira")
    found = memory.tools.recall("search issues and tickets", k=2)
    offered = [entry["function"]["name"] for entry in found.as_openai()]  # type: ignore[index]  # as OpenAI nests it
    assert sorted(offered) == ["github__search", "jira__search"]
    assert found.called("jira__search").source == "jira"
    with pytest.raises(NotFoundError, match="github__search"):
        found.called("nope")


def test_sync_makes_the_source_equal_to_the_list(memory: Memory) -> None:
    """A server that dropped a tool still has it offered, and each call of it fails."""
    first = memory.tools.sync("server", {"tools": [MAIL, FLIGHT]})
    assert (first.added, first.removed) == (("sendMail", "book_flight"), ())
    memory.tools.add(WEATHER, source="other")
    ids = {record.name: record.id for record in memory.tools.list(source="server")}
    changed = {**MAIL, "description": "Send an e-mail, at once or later."}
    second = memory.tools.sync("server", [changed, tool("new", "A new one.")])
    assert (second.added, second.updated, second.removed) == (("new",), ("sendMail",), ("book_flight",))
    again = memory.tools.sync("server", [changed, tool("new", "A new one.")])
    assert again.unchanged == ("sendMail", "new")
    assert (again.added, again.updated, again.removed) == ((), (), ())
    after = {record.name: record for record in memory.tools.list(source="server")}
    assert after["sendMail"].id == ids["sendMail"]  # what was learned of it stays its own
    assert names(memory.tools.list(source="other")) == ["getWeather"]
    assert memory.tools.sync("server", []).removed == ("sendMail", "new")
    assert memory.verify().clean


def test_sync_keeps_what_a_person_added_to_a_tool(memory: Memory) -> None:
    """Example requests are written by hand, and a server's list knows nothing of them."""
    memory.tools.add(MAIL, source="server", requests=["tell Ana"], metadata={"cost": 2})
    memory.tools.sync("server", [{**MAIL, "description": "Send any e-mail."}])
    (record,) = memory.tools.list()
    assert record.data["requests"] == ["tell Ana"]
    assert record.metadata == {"cost": 2}


def test_a_change_of_the_schema_alone_is_a_change(memory: Memory) -> None:
    """A new required parameter that is not noticed makes every call fail."""
    memory.tools.sync("server", [MAIL])
    schema = {**MAIL, "inputSchema": {**MAIL["inputSchema"], "required": ["to"]}}  # type: ignore[dict-item]  # a mapping, above
    assert memory.tools.sync("server", [schema]).updated == ("sendMail",)
    (hit,) = memory.tools.recall("send an e-mail")
    assert hit.schema is not None
    assert hit.schema["parameters"]["required"] == ["to"]  # type: ignore[index, call-overload]  # as above


def test_tools_keep_to_their_scope(memory: Memory) -> None:
    """A tool with one user's account behind it must be offered to nobody else."""
    ana, bo = memory.scoped(user_id="ana"), memory.scoped(user_id="bo")
    ana.tools.add(MAIL, source="s")
    bo.tools.sync("s", [MAIL, FLIGHT])
    memory.tools.add(WEATHER)
    assert sorted(names(ana.tools.recall("mail flight weather", k=9))) == ["getWeather", "sendMail"]
    assert names(memory.tools.recall("mail flight weather", k=9)) == ["getWeather"]
    bo.tools.sync("s", [])
    assert sorted(names(ana.tools.list())) == ["getWeather", "sendMail"]
    with pytest.raises(NotFoundError):
        bo.tools.remove(ana.tools.list(user_id="ana")[0])
    with pytest.raises(ScopeError):
        bo.tools.list(user_id="ana")
    with pytest.raises(InvalidInputError, match="scoped view"):
        bo.tools.add(MAIL, user_id="ana")


def test_agents_have_their_own_tools_of_one_name(memory: Memory) -> None:
    """Two agents of one user connect the same server; the second must not take the first one's tools over."""
    for agent in ("a", "b"):
        memory.tools.sync("s", [MAIL], user_id="u", agent_id=agent)
    assert [record.agent_id for record in memory.tools.list(user_id="u")] == ["a", "b"]
    memory.tools.sync("s", [], user_id="u", agent_id="a")
    assert [record.agent_id for record in memory.tools.list(user_id="u")] == ["b"]


def test_tools_are_removed_by_id_name_and_source(memory: Memory) -> None:
    """What is typed to remove a tool is its name; of which source has to be said."""
    memory.tools.add([MAIL, FLIGHT], source="s")
    memory.tools.add([MAIL, WEATHER])
    assert memory.tools.remove("sendMail").records == 1
    assert memory.tools.remove("sendMail", source="s").records == 1
    assert memory.tools.remove(memory.tools.list(source="s")[0].id).records == 1
    assert memory.tools.remove(memory.tools.list()[0]).records == 1
    with pytest.raises(NotFoundError, match="no tool"):
        memory.tools.remove(source="s")
    with pytest.raises(InvalidInputError, match="nothing was erased"):
        memory.tools.remove()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"tools": [MAIL, MAIL]}, "comes twice"),
        ({"tools": [MAIL, {"nameless": 1}]}, "needs a `name`"),
        ({"tools": [*MANY, {"nameless": 1}]}, "needs a `name`"),
        ({"tools": [*MANY, MANY[0]]}, "comes twice"),
        ({"tools": [MAIL, FLIGHT], "requests": ["x"]}, "give a mapping"),
        ({"tools": MAIL, "requests": {"nope": ["x"]}}, "none of these"),
        ({"tools": MAIL, "requests": "x"}, "expected a list"),
        ({"tools": MAIL, "requests": [" "]}, "blank"),
        ({"tools": MAIL, "source": "\n"}, "blank"),
        ({"tools": MAIL, "metadata": {"$x": 1}}, "filter operator"),
    ],
)
def test_bad_tools_change_nothing(memory: Memory, arguments: dict[str, object], says: str) -> None:
    """Half a list that was added is half a server, and nobody knows which half."""
    with pytest.raises(InvalidInputError, match=says):
        memory.tools.add(**arguments)  # type: ignore[arg-type]  # that is the claim
    assert memory.tools.list() == []


def test_of_a_long_list_every_tool_is_found(memory: Memory) -> None:
    """Its first ones are embedded while the others are still being read."""
    added = memory.tools.add(MANY)
    assert names(added) == [each["name"] for each in MANY]
    for number in (0, 1, 2, 31, 32, 99):
        assert memory.tools.recall(f"door of room {number}", k=1)[0].name == f"open_door_{number}"
    assert memory.verify().clean


def test_a_tools_text_is_changed_by_adding_it_again(memory: Memory) -> None:
    """A description that differs from the schema beside it would be found as one thing and offered as another."""
    (record,) = memory.tools.add(MAIL)
    with pytest.raises(InvalidInputError, match=r"memory\.tools\.add"):
        memory.update(record.id, "Send spam.")
    assert memory.update(record.id, metadata={"cost": 1}).metadata == {"cost": 1}


def test_a_forgotten_tool_leaves_no_byte(tmp_path: Path, open_memory: Open) -> None:
    """Schemas name hosts, fields and people; promise 3 holds for them too."""
    memory = open_memory()
    word = "zq8marker"
    memory.tools.add(
        tool(f"{word}_name", f"{word} description", f"{word}_parameter"), source=f"{word}source",
        requests=[f"{word} request"], user_id="ana",
    )  # fmt: skip
    memory.tools.add(MAIL, source="stays")
    memory.tools.recall(f"{word} request", user_id="ana")
    memory.flush()
    memory.forget(user_id="ana")
    found = [
        path.name
        for path in (tmp_path / "store").rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]
    assert found == []
    assert names(memory.tools.list()) == ["sendMail"]


def test_tools_survive_export_and_import(memory: Memory, tmp_path: Path, open_memory: Open) -> None:
    """A store that is moved without its schemas finds tools that nobody can call."""
    memory.tools.add(MAIL, source="s", requests=["tell Ana"])
    memory.export_jsonl(tmp_path / "export.jsonl")
    other = open_memory(tmp_path / "other")
    other.import_jsonl(tmp_path / "export.jsonl")
    assert other.tools.recall("tell Ana").as_mcp() == memory.tools.recall("tell Ana").as_mcp()
    assert other.tools.sync("s", [MAIL]).unchanged == ("sendMail",)
    assert other.verify().clean


def test_ingest_knows_a_list_of_tools(memory: Memory, tmp_path: Path) -> None:
    """A folder of an agent's files holds its tools; cut into chunks of JSON they would help nobody."""
    (tmp_path / "mail.json").write_text(json.dumps({"tools": [MAIL, FLIGHT]}))
    (tmp_path / "notes.json").write_text(json.dumps({"tools": ["hammer", "saw"]}))
    (tmp_path / "broken.json").write_text(json.dumps([{**MAIL, "name": "x" * 600}]))
    report = memory.documents.ingest(tmp_path)
    assert (report.tools, len(report.added), len(report.failed)) == (2, 1, 1)
    assert {record.title for record in memory.tools.list()} == {"mail"}
    assert memory.documents.ingest(tmp_path).tools == 0


def test_what_is_shown_is_what_is_logged(memory: Memory, tmp_path: Path) -> None:
    """The trainer learns from what the agent saw, not from what was passed over."""
    memory.tools.add([MAIL, FLIGHT, WEATHER])
    found = memory.tools.recall("send an e-mail and then book a flight to Oslo", k=2, explain=True)
    memory.feedback(found, score=1.0, used=[found[0].id])
    for hit in found:
        assert hit.why is not None
        assert sum(hit.why.parts.values()) == pytest.approx(hit.score, abs=1e-5)
    memory.export_jsonl(tmp_path / "export.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "export.jsonl").read_text().splitlines()]
    (logged,) = [row for row in rows if row["type"] == "recall"]
    assert [candidate["record"] for candidate in logged["candidates"]] == [str(hit.id) for hit in found]


def test_tools_and_examples_work_under_asyncio(memory: Memory) -> None:
    """The same promises, awaited."""

    async def use() -> None:
        aio = AsyncMemory(memory)
        await aio.tools.add(MAIL, source="s")
        assert (await aio.tools.sync("s", [MAIL])).unchanged == ("sendMail",)
        assert (await aio.tools.recall("mail")).as_mcp()
        await aio.examples.add("great", "positive", task="t")
        view = aio.scoped(user_id="ana")
        assert [hit.name for hit in await view.examples.recall("great")] == ["t"]
        assert len(await view.tools.list()) == 1
        assert (await aio.tools.remove("sendMail", source="s")).records == 1

    asyncio.run(use())
