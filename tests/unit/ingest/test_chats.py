from __future__ import annotations

import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from memsdk.errors import IngestError
from memsdk.ingest.files import FileReader
from memsdk.ingest.times import moment
from memsdk.ports import Message

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from memsdk.ports import Parsed


def read(value: JsonValue, *, media_type: str = "application/json") -> list[Parsed]:
    """The value written as JSON and read."""
    return FileReader().read_text(json.dumps(value), title="chat", media_type=media_type)


def node(id: str, parent: str | None, role: str, text: str, **message: JsonValue) -> dict[str, JsonValue]:
    """One entry of an OpenAI export's mapping."""
    content: JsonValue = {"content_type": "text", "parts": [text, {"asset_pointer": "image"}]}
    return {"id": id, "parent": parent, "children": [], "message": {
        "id": id, "author": {"role": role}, "content": content, "create_time": 1_700_000_000.5, "metadata": {}, **message,
    }}  # fmt: skip


def test_plain_messages_keep_all_that_they_say_of_themselves() -> None:
    """Who spoke, when and in which session decides what recall can answer."""
    (parsed,) = read([
        {"role": "human", "content": "Hi", "name": "Ana", "time": "2025-01-14T09:00:00+01:00", "id": 7, "session_id": "s1"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}, {"type": "image"}], "metadata": {"a": 1}},
        {"role": "assistant", "content": None},
    ])  # fmt: skip
    assert parsed.messages == (
        Message(
            role="user",
            content="Hi",
            name="Ana",
            time=datetime(2025, 1, 14, 8, tzinfo=UTC),
            id="7",
            session_id="s1",
        ),
        Message(role="assistant", content="Hello", metadata={"a": 1}),
    )


def test_several_conversations_of_a_file_are_sessions_of_their_own() -> None:
    """Merged, two conversations would answer each other."""
    message: JsonValue = {"role": "user", "content": "Hi"}
    one, two = read([{"id": "c1", "title": "One", "messages": [message]}, {"messages": [message]}])
    assert (one.title, one.key, one.messages[0].session_id) == ("One", "chat#c1", "c1")
    assert two.messages[0].session_id not in {None, "c1"}
    assert two.key != one.key


def test_jsonl_holds_messages_or_conversations() -> None:
    """Both are common, and the suffix is the same."""
    line = '{"role": "user", "content": "Hi"}\n'
    reader = FileReader()
    (parsed,) = reader.read_text(line * 2, title="a", media_type="application/jsonl")
    assert len(parsed.messages) == 2
    both = reader.read_text(
        f'{{"messages": [{line.strip()}]}}\n' * 2, title="a", media_type="application/jsonl"
    )
    assert [len(each.messages) for each in both] == [1, 1]


def test_openai_export_follows_the_current_branch() -> None:
    """Answers that the user had regenerated were never part of the conversation."""
    mapping: dict[str, JsonValue] = {
        "root": {"id": "root", "message": None, "parent": None, "children": ["s"]},
        "s": node("s", "root", "system", "rules", metadata={"is_visually_hidden_from_conversation": True}),
        "q": node("q", "s", "user", "Name a boat."),
        "old": node("old", "q", "assistant", "Larch."),
        "call": node("call", "q", "assistant", "search()", recipient="browser"),
        "new": node("new", "call", "assistant", "Anselm's Hour."),
    }
    (parsed,) = read([{"title": "Boat", "conversation_id": "c1", "mapping": mapping, "current_node": "new"}])
    assert [(m.role, m.content) for m in parsed.messages] == [
        ("user", "Name a boat."),
        ("assistant", "Anselm's Hour."),
    ]
    assert parsed.title == "Boat"
    assert {(m.session_id, m.time) for m in parsed.messages} == {
        ("c1", datetime.fromtimestamp(1_700_000_000.5, UTC))
    }


def test_an_openai_export_with_a_loop_ends() -> None:
    """A damaged file must not hang the ingest."""
    mapping: dict[str, JsonValue] = {
        "a": node("a", "b", "user", "A"),
        "b": node("b", "a", "user", "B"),
        "c": None,
    }
    (parsed,) = read({"mapping": mapping})
    assert sorted(message.content for message in parsed.messages) == ["A", "B"]


def test_locomo_sessions_in_order_with_speakers_times_and_captions() -> None:
    """session_10 sorts before session_2 as text; a picture's caption is all that is known of it."""
    conversation: JsonValue = {
        "speaker_a": "Mel", "speaker_b": "Jo", "session_10": [{"speaker": "Jo", "dia_id": "D10:1", "text": "Late"}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [{"speaker": "Mel", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red boat"}],
    }  # fmt: skip
    (parsed,) = read([{"sample_id": "conv-1", "conversation": conversation, "qa": []}])
    assert parsed.messages == (
        Message(
            role="user", content="Look! [shares image: a red boat]", name="Mel", time=datetime(2023, 5, 8, 13, 56, tzinfo=UTC),
            id="D2:1", session_id="conv-1/session_2", metadata={"image_caption": "a red boat"},
        ),
        Message(role="user", content="Late", name="Jo", id="D10:1", session_id="conv-1/session_10"),
    )  # fmt: skip
    assert read(conversation)[0].messages[0].content == parsed.messages[0].content


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([{"role": "user", "content": "a"}, "b"], "message 2: expected"),
        ([{"role": "user", "content": "a", "time": "yesterday"}], "message 1: 'yesterday' is no time"),
        (
            [{"messages": [{"role": "user", "content": "a"}]}, {"messages": 3}],
            "conversation 2, expected a list",
        ),
        ([{"mapping": {}}, 5], "conversation 2: expected an object"),
        (
            {"session_1": [{"speaker": "A"}], "session_1_date_time": "noon"},
            "chat: session_1: 'noon' is no time",
        ),
        (
            {"session_1": [{"speaker": "A"}], "session_2": [{"text": "b"}]},
            "session_2, turn 1: has no speaker",
        ),
    ],
    ids=["no message", "no time", "no list", "no mapping", "no date", "no speaker"],
)
def test_a_broken_chat_names_the_place(value: JsonValue, says: str) -> None:
    """An export has thousands of messages; half of it in the store without a word would be worse than none."""
    with pytest.raises(IngestError, match=says):
        read(value)


@pytest.mark.parametrize(
    "value", [[], {}, [1], [{"role": "admin", "content": "x"}], {"messages": []}, {"messages": {"a": 1}}]
)
def test_data_is_not_taken_for_a_chat(value: JsonValue) -> None:
    """A table of staff with a column `role` is no conversation."""
    assert all(not parsed.messages for parsed in read(value))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12:05 am on 1 January, 2024", datetime(2024, 1, 1, 0, 5, tzinfo=UTC)),
        ("12:05 pm on 1 Jan 2024", datetime(2024, 1, 1, 12, 5, tzinfo=UTC)),
        ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-01T01:00:00+02:00", datetime(2023, 12, 31, 23, tzinfo=UTC)),
        (1_704_067_200, datetime(2024, 1, 1, tzinfo=UTC)),
        (1_704_067_200_000, datetime(2024, 1, 1, tzinfo=UTC)),
        (None, None),
        ("", None),
    ],
)
def test_times_are_read_as_exports_write_them(written: JsonValue, meant: datetime | None) -> None:
    """A time off by a zone or by half a day answers `when` wrongly for ever."""
    assert moment(written) == meant


@pytest.mark.parametrize(
    "written", ["soon", 1e300, float("nan"), True, [1], "1:00 pm on 99 May, 2023", "1:00 pm on 1 Foo, 2023"]
)
def test_what_is_no_time_is_refused(written: JsonValue) -> None:
    """Guessing would file a memory under the wrong day."""
    with pytest.raises(ValueError, match="is no time"):
        moment(written)


def test_real_locomo_conversations_are_read_whole(shared_data: Path) -> None:
    """The format as it is in the wild: every turn once, in order, with its time."""
    sessions: dict[str, dict[str, list[JsonValue]]] = defaultdict(lambda: defaultdict(list))
    times: dict[str, dict[str, JsonValue]] = defaultdict(dict)
    turns = 0
    with gzip.open(shared_data / "chat/locomo/corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            meta = row["meta"]
            turn = {"speaker": meta["speaker"], "dia_id": meta["dia_id"], "text": row["text"]}
            if meta.get("image_caption"):
                turn["blip_caption"] = meta["image_caption"]
            sessions[meta["group"]][f"session_{meta['session']}"].append(turn)
            times[meta["group"]][f"session_{meta['session']}_date_time"] = meta["session_date_time"]
            turns += 1
    read_in = read(
        [{"sample_id": group, "conversation": {**sessions[group], **times[group]}} for group in sessions]
    )
    messages = [message for parsed in read_in for message in parsed.messages]
    assert len(read_in) == len(sessions) > 1
    assert len(messages) == turns > 1000
    assert all(message.time is not None and message.name for message in messages)
    assert len({(message.session_id, message.id) for message in messages}) == turns


def test_nameless_chats_of_two_folders_are_two_sessions(tmp_path: Path) -> None:
    """Two people's `chat.json` in one session would read as one conversation."""
    sessions = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file, value in (
            ("l.json", {"session_1": [{"speaker": "A", "text": "x"}]}),
            ("o.json", [{"mapping": {"n": node("n", None, "user", "x")}}]),
        ):
            (tmp_path / name / file).write_text(json.dumps(value))
            (parsed,) = FileReader().read(tmp_path / name / file)
            sessions.add(parsed.messages[0].session_id)
    assert len(sessions) == 4
