"""Rows as JSON lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from memsdk.errors import InvalidInputError, StoreError
from memsdk.models import Task
from memsdk.trainer.jsonl import read_rows, write_rows
from memsdk.trainer.rows import Candidate, Row

FULL = Row(
    id="r1",
    task=Task.CHAT,
    query="who?\nwhere \u00e9\U0001f600",
    output="In Bergen.",
    candidates=(
        Candidate(text="Ana lives in Bergen.", record=uuid4(), reward=-0.25, positive=True, source="shown"),
        Candidate(text="other", source="bm25"),
    ),
    history=("user: hello",),
    at=datetime(2026, 5, 1, 12, 30, 1, 7, tzinfo=UTC),
    user_id="ana",
    score=0.5,
)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    """A field that is lost in a file is missed after a night of training."""
    bare = Row(id="r2", task=Task.QA, query="q", output=None, candidates=())
    assert write_rows(tmp_path / name, [FULL, bare]) == 2
    assert read_rows(tmp_path / name) == [FULL, bare]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_llm_embedders_form_is_read(tmp_path: Path) -> None:
    """Its released sets must train as they are: scores belong to pos, then neg; for chat to the history."""
    lines = [
        {"query": "q", "pos": ["p"], "neg": ["n1", "n2"], "answers": ["a", "b"], "teacher_scores": [0.5, -1, -2],
         "task": "qa", "query_id": 7, "unknown": 1},
        {"query": "and now?", "history": ["turn 1", "turn 2"], "answers": ["x"], "teacher_scores": [0.1, 0.2], "task": "chat"},
        {"query": "q", "pos": ["p"], "neg": ["n"], "history": ["before"], "task": "convsearch"},
    ]  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    qa, chat, search = read_rows(file)
    assert (qa.id, qa.task, qa.output) == ("7", Task.QA, "a")
    assert [(one.text, one.reward, one.positive) for one in qa.candidates] == [
        ("p", 0.5, True), ("n1", -1, False), ("n2", -2, False),
    ]  # fmt: skip
    assert [(one.text, one.reward) for one in chat.candidates] == [("turn 1", 0.1), ("turn 2", 0.2)]
    assert (chat.history, search.history) == ((), ("before",))
    assert [one.reward for one in search.candidates] == [None, None]


def test_llm_embedders_form_is_written_and_read_back(tmp_path: Path) -> None:
    """Other trainers take this form; what it can hold must survive."""
    file = tmp_path / "rows.jsonl"
    write_rows(file, [FULL], form="llm-embedder")
    plain = json.loads(file.read_text(encoding="utf-8"))
    assert plain["pos"] == ["Ana lives in Bergen."]
    assert "teacher_scores" not in plain  # one candidate has none
    (row,) = read_rows(file)
    assert (row.query, row.output, row.task, row.history) == (
        FULL.query,
        FULL.output,
        FULL.task,
        FULL.history,
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"query": "q", "pos": ["a"], "neg": ["b"], "teacher_scores": [1], "task": "qa"}', "1 numbers, expected one for each of the 2"),
        ('{"query": "q", "pos": ["a"]}', "no task is named"),
        ('{"query": "", "pos": ["a"], "task": "qa"}', "query"),
        ('{"query": "q", "pos": "a", "task": "qa"}', "pos"),
        ('{"query": "q", "pos": ["a"], "task": "poetry"}', "task"),
        ('{"query": "q \\ud800", "pos": ["a"], "task": "qa"}', "surrogate"),
        ('{"id": "1", "task": "qa", "query": "q", "candidate": []}', "no task is named|candidates"),
        ('{"id": "1", "task": "qa", "query": "q", "output": "o", "candidates": [{"text": "t", "reward": NaN}]}', "reward"),
        ('{"id": "1", "task": "qa", "query": "q", "candidates": [], "scores": 1}', "scores"),
        ('{"id": "1", "task": "qa", "query": "q", "candidates": [], "at": "2026-01-01T00:00:00"}', "at"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_field(tmp_path: Path, line: str, said: str) -> None:
    """In a file of a hundred thousand lines `not JSON` helps nobody."""
    file = tmp_path / "rows.jsonl"
    write_rows(file, [FULL])
    file.write_text(file.read_text(encoding="utf-8") + "\n" + line + "\n", encoding="utf-8")
    if 'candidate"' in line:
        file.write_text(
            file.read_text(encoding="utf-8").replace('"candidate": []', '"output": "x"'), encoding="utf-8"
        )
    with pytest.raises(InvalidInputError, match=said) as raised:
        read_rows(file)
    assert f"{file}, line 3" in str(raised.value)


def test_files_that_can_not_be_read_or_written(tmp_path: Path) -> None:
    """A traceback of gzip's tells nobody what to do."""
    (tmp_path / "cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (tmp_path / "latin.jsonl").write_bytes(b'{"query": "\xe9"}')
    for name in ("none.jsonl", "cut.jsonl.gz"):
        with pytest.raises(StoreError, match=name):
            read_rows(tmp_path / name)
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        read_rows(tmp_path / "latin.jsonl")
    with pytest.raises(StoreError, match="can't be written"):
        write_rows(tmp_path / "no folder" / "rows.jsonl", [FULL])
