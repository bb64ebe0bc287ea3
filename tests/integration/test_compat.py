from __future__ import annotations

import pytest

from memsdk import Memory
from memsdk.compat import Memory as Mem0Style
from memsdk.errors import InvalidInputError, NotFoundError


def test_mem0s_names_do_what_they_do_there(memory: Memory) -> None:
    """Whoever moves from mem0 changes an import, not an agent."""
    m = Mem0Style(memory)
    (added,) = m.add("Ana likes tea", user_id="ana", metadata={"n": 1})["results"]
    assert (added["memory"], added["event"]) == ("Ana likes tea", "ADD")
    m.add([{"role": "user", "content": "hello"}], user_id="ana", run_id="r1", agent_id="planner")
    found = m.search("tea", user_id="ana", limit=1)["results"]
    assert [(hit["id"], hit["user_id"], hit["metadata"]) for hit in found] == [(added["id"], "ana", {"n": 1})]
    assert isinstance(found[0]["score"], float)
    assert [hit["memory"] for hit in m.search("hello", user_id="ana", run_id="r1")["results"]] == ["hello"]
    assert len(m.get_all(user_id="ana")["results"]) == 2
    identifier = str(added["id"])
    m.update(identifier, "Ana likes coffee")
    assert m.get(identifier)["memory"] == "Ana likes coffee"
    assert [past["memory"] for past in m.history(identifier)] == ["Ana likes tea", "Ana likes coffee"]
    m.delete(identifier)
    with pytest.raises(NotFoundError):
        m.get(identifier)
    with pytest.raises(InvalidInputError):
        m.delete_all()
    m.delete_all(user_id="ana")
    assert m.get_all(user_id="ana") == {"results": []}
