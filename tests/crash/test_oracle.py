"""The judge of the crash rounds, judged: it must see each sort of fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from memsdk import Memory
from memsdk.testing.crash_oracle import Findings, Oracle

TEXT, OTHER = "tea at five zq00000000000001", "the ferry at seven zq00000000000002"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """A store without a host."""
    with Memory.open(tmp_path / "store", embedder="hashing", index="exact", log_recalls=False) as opened:
        yield opened


def judge(memory: Memory, tmp_path: Path, *lines: dict[str, object]) -> dict[str, int]:
    """The findings that are not zero, after this journal."""
    journal, oracle = tmp_path / "journal", Oracle()
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    oracle.read(journal)
    findings: Findings = oracle.check(memory, tmp_path / "store")
    return {name: count for name, count in findings.counts().items() if count}


def added(id_: UUID, text: str = TEXT, *, n: int = 1) -> list[dict[str, object]]:
    """The lines of an acknowledged write."""
    return [{"n": n, "do": "add", "user": "u", "texts": [text]}, {"n": n, "ok": [str(id_)]}]


def test_what_was_acknowledged_and_is_there_is_right(memory: Memory, tmp_path: Path) -> None:
    """Else every round would fail."""
    record = memory.remember(TEXT, user_id="u")
    assert judge(memory, tmp_path, *added(record.id)) == {}


def test_a_lost_record_is_seen(memory: Memory, tmp_path: Path) -> None:
    """Acknowledged, and gone."""
    record = memory.remember(TEXT, user_id="u")
    memory.forget(record.id)
    found = judge(memory, tmp_path, *added(record.id))
    assert found["lost"] == 1
    assert found["unfound"] >= 1


def test_a_doubled_record_is_seen(memory: Memory, tmp_path: Path) -> None:
    """Written once, there twice."""
    record = memory.remember(TEXT, user_id="u")
    memory.remember({"role": "user", "content": TEXT}, user_id="u")
    assert judge(memory, tmp_path, *added(record.id))["doubled"] == 2  # never asked for, and twice the text


def test_a_resurrected_record_is_seen(memory: Memory, tmp_path: Path) -> None:
    """Forgotten, and listed again; its bytes are in the files too."""
    record = memory.remember(TEXT, user_id="u")
    lines = [*added(record.id), {"n": 2, "do": "forget", "ids": [str(record.id)]}, {"n": 2, "ok": []}]
    assert judge(memory, tmp_path, *lines)["resurrected"] >= 2


def test_a_torn_operation_is_seen(memory: Memory, tmp_path: Path) -> None:
    """An operation in flight happens wholly or not at all."""
    memory.remember(TEXT, user_id="u")
    intent = {"n": 1, "do": "add", "user": "u", "texts": [TEXT, OTHER]}
    assert judge(memory, tmp_path, intent) == {"torn": 1}


def test_an_operation_in_flight_may_have_happened_or_not(memory: Memory, tmp_path: Path) -> None:
    """Nobody was told how it ended."""
    memory.remember(TEXT, user_id="u")
    intents = [{"n": n, "do": "add", "user": "u", "texts": [text]} for n, text in enumerate((TEXT, OTHER))]
    assert judge(memory, tmp_path, *intents) == {}


def test_a_lost_revision_is_seen(memory: Memory, tmp_path: Path) -> None:
    """An update that was acknowledged, and the old text still stands."""
    record = memory.remember(TEXT, user_id="u")
    update = [{"n": 2, "do": "update", "id": str(record.id), "text": OTHER}, {"n": 2, "ok": [str(record.id)]}]
    assert judge(memory, tmp_path, *added(record.id), *update)["lost"] == 1
