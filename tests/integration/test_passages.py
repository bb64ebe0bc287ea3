"""What `memory.passages` promises: the text is kept to the last space, and what is found lies before what is in view."""

# ruff: noqa: D102, D103 -- helpers are told by their names
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import ConflictError, InvalidInputError, NotFoundError, ScopeError

Open = Callable[..., Memory]


def chapter(number: int) -> str:
    filler = " ".join(f"On day {day} of voyage {number} nothing was seen but water." for day in range(9))
    return f"Chapter {number}. The ship Aurora{number} left for Lisbon{number}. {filler}\n\n"


BOOK = "".join(map(chapter, range(12)))


def chunks(memory: Memory, stream: str) -> list[str]:
    found = memory.list(kinds=["passage"], filters={"session_id": stream}, limit=1_000)
    return [record.text for record in sorted(found, key=lambda record: record.position or 0)]


def test_a_draft_in_pieces_is_the_draft_at_once(memory: Memory) -> None:
    """An agent appends a sentence at a time, and another imports the finished text: both find the same."""
    for start in range(0, len(BOOK), 71):
        memory.passages.append("pieces", BOOK[start : start + 71])
    whole = memory.passages.append("whole", BOOK)
    assert memory.passages.read("pieces") == memory.passages.read("whole") == BOOK
    assert chunks(memory, "pieces") == chunks(memory, "whole")
    assert (whole.chars, whole.chunks) == (len(BOOK), len(chunks(memory, "whole")))
    assert memory.verify().clean


def test_what_may_have_been_appended_is_appended_once(memory: Memory) -> None:
    """After a crash nobody knows whether the last call was kept; said again with its place it is harmless."""
    for _ in range(2):
        memory.passages.append("draft", BOOK[:500], at=0)
        memory.passages.append("draft", BOOK[500:900], at=500)
    memory.passages.append("draft", BOOK, at=0)  # the whole text as it is now
    assert memory.passages.read("draft") == BOOK
    with pytest.raises(ConflictError, match="from character 907 on"):
        memory.passages.append("draft", BOOK[900:907] + "# other words", at=900)
    with pytest.raises(InvalidInputError, match="beyond the stream's end"):
        memory.passages.append("draft", "x", at=len(BOOK) + 1)
    assert memory.passages.read("draft", start=len(BOOK) - 20) == BOOK[-20:]


def test_a_blank_line_is_part_of_a_draft_and_begins_none(memory: Memory) -> None:
    """A language model's stream has tokens that are nothing but space."""
    with pytest.raises(InvalidInputError, match="blank"):
        memory.passages.append("draft", "\n\n")
    for piece in ("One.", "\n\n", "Two."):
        memory.passages.append("draft", piece)
    assert memory.passages.read("draft") == "One.\n\nTwo."


def test_passages_come_in_the_text_s_order_with_what_followed(memory: Memory) -> None:
    """A reader makes sense of a story told forwards; what came next is what helps to go on."""
    memory.passages.append("book", BOOK)
    found = memory.passages.recall("book", "Aurora7 Lisbon7 and, before that, Aurora3 Lisbon3", k=2)
    assert ["Aurora3" in found[0].text, "Aurora7" in found[1].text] == [True, True]
    for passage in found:
        assert BOOK[passage.start : passage.end] == passage.text
        assert passage.continuation
        assert BOOK[passage.end :].startswith(passage.continuation)
    shown = found.render()
    assert shown.index("Aurora3") < shown.index("[...]") < shown.index("Aurora7")
    assert [hit.score for hit in found] != sorted((hit.score for hit in found), reverse=True) or len(
        found
    ) < 2


def test_what_is_in_view_is_not_found_again(memory: Memory) -> None:
    """The recent text is most like itself; finding it would tell the model what it reads already."""
    memory.passages.append("book", BOOK)
    recent = BOOK[-700:]
    found = memory.passages.recall("book", recent, k=50)
    assert found
    assert all(passage.end <= len(BOOK) - 700 for passage in found)
    seen = [len(passage.continuation or "") + passage.end for passage in found]
    assert max(seen) <= len(BOOK) - 700
    early = memory.passages.recall("book", recent, k=50, before=1_000)
    assert early
    assert all(passage.end <= 1_000 for passage in early)


@pytest.mark.parametrize("budget", [0, 1, 7, 60, 200, 1_000])
def test_passages_keep_to_a_budget(memory: Memory, budget: int) -> None:
    """What is above the budget is cut off by the model's window, at the wrong end."""
    memory.passages.append("book", BOOK)
    found = memory.passages.recall("book", "Aurora7 Lisbon7 Aurora2", k=4, max_tokens=budget or None)
    words = found.render(budget, counter=Words())
    assert len(words.split()) <= budget
    assert bool(words) == bool(budget)


class Words:
    """Counts words."""

    def count(self, text: str) -> int:
        return len(text.split())


def test_streams_of_one_name_are_apart(memory: Memory) -> None:
    """Two users call their draft `draft`; neither may read, lengthen or remove the other's."""
    memory.passages.append("draft", "Ana writes about harbours.", user_id="ana")
    memory.passages.append("draft", "Bo writes about tea.", user_id="bo")
    memory.passages.append("draft", "The planner writes for Ana.", user_id="ana", agent_id="planner")
    assert memory.passages.read("draft", user_id="ana") == "Ana writes about harbours."
    assert memory.passages.read("draft", user_id="ana", agent_id="planner") == "The planner writes for Ana."
    bo = memory.scoped(user_id="bo")
    assert [hit.text for hit in bo.passages.recall("draft", "harbours")] == ["Bo writes about tea."]
    with pytest.raises(NotFoundError):
        memory.scoped(user_id="cy").passages.read("draft")
    with pytest.raises(NotFoundError):
        memory.scoped(user_id="cy").passages.remove("draft")
    with pytest.raises(ScopeError):
        bo.passages.list(user_id="ana")
    assert {stream.user_id for stream in bo.passages.list()} == {"bo"}
    bo.passages.remove("draft")
    assert [stream.user_id for stream in memory.passages.list()] == ["ana", "ana"]


def test_a_shared_stream_is_read_by_all_and_hidden_by_one_s_own(memory: Memory) -> None:
    """A team's log is for everybody; a user's own of that name is what they mean."""
    memory.passages.append("log", "The shared log speaks of rain.")
    ana = memory.scoped(user_id="ana")
    assert ana.passages.read("log") == "The shared log speaks of rain."
    ana.passages.append("log", "Ana's log speaks of sun.")
    assert [hit.text for hit in ana.passages.recall("log", "rain", k=9)] == ["Ana's log speaks of sun."]
    assert memory.passages.read("log") == "The shared log speaks of rain."


def test_two_writers_lose_nothing(memory: Memory) -> None:
    """Two threads that append at once must not both replace the same last chunk."""
    lines = [[f"Writer {writer} line {number}.\n" for number in range(30)] for writer in range(2)]
    threads = [
        threading.Thread(target=lambda mine=mine: [memory.passages.append("log", line) for line in mine])
        for mine in lines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = memory.passages.read("log")
    for mine in lines:
        places = [text.index(line) for line in mine]
        assert places == sorted(places)
    assert len(text) == sum(len(line) for mine in lines for line in mine)


def test_a_stream_is_no_session_and_outlives_its_store_by_export(
    memory: Memory, open_memory: Open, tmp_path: Path
) -> None:
    """A draft listed among the conversations would be played back as one; one that an export loses is lost."""
    memory.passages.append("book", BOOK[:2_000])
    memory.remember([{"role": "user", "content": "hello"}], session_id="s1")
    assert [session.session_id for session in memory.sessions.list()] == ["s1"]
    assert memory.stats().sessions == 1
    memory.export_jsonl(tmp_path / "all.jsonl")
    other = open_memory(tmp_path / "other")
    other.import_jsonl(tmp_path / "all.jsonl")
    other.passages.append("book", BOOK, at=0)
    assert other.passages.read("book") == BOOK
    assert other.passages.recall("book", "Aurora0 Lisbon0", k=1, before=2_000)


def test_a_removed_stream_leaves_no_byte(memory: Memory, tmp_path: Path) -> None:
    """Each append replaces the last chunks; what they said before is as much the writer's as what they say now."""
    for number in range(40):
        memory.passages.append("zq7name", f"zq7marker sentence {number} of a draft. ", user_id="ana")
    recall = memory.passages.recall("zq7name", "sentence 3", user_id="ana")
    memory.feedback(recall, output="it says zq7marker")
    memory.passages.append("kept", "Bo writes about tea.", user_id="bo")
    memory.passages.remove("zq7name", user_id="ana")
    memory.flush()
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert [path.name for path in files if b"zq7" in path.read_bytes()] == []
    assert memory.passages.read("kept", user_id="bo") == "Bo writes about tea."
