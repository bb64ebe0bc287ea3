"""Forgotten means gone from the files, whatever SQLite did with its pages meanwhile."""

from __future__ import annotations

import os
import random
import re
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest

from memsdk.models import Document, Draft, Kind, Scope
from memsdk.ports import RecordFilter
from memsdk.records import SqlStore, open_store
from memsdk.testing.store_drafts import EVERYTHING, START, chunk, document, entry

SIZES = (16, 40, 200, 900, 2_000, 4_000, 5_000, 50_000)
PROBE = 12
STEPS = int(os.environ.get("MEMSDK_TEST_ERASING_STEPS", "200"))


@dataclass
class Life:
    """A store under random use, and which texts have to be gone."""

    stores: list[SqlStore]
    chance: random.Random
    living: dict[UUID, list[str]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    @property
    def store(self) -> SqlStore:
        """One of the connections."""
        return self.chance.choice(self.stores)

    def text(self) -> str:
        """A text that is found nowhere else."""
        return self.chance.randbytes(self.chance.choice(SIZES) // 2).hex()

    def add(self) -> None:
        """Remember some texts."""
        drafts = []
        for _ in range(self.chance.randint(1, 5)):
            scope = Scope(user_id="u", session_id=self.chance.choice(["s", None]))
            drafts.append(Draft(kind=Kind.MEMORY, text=self.text(), scope=scope, metadata={"m": self.text()}))
        for draft, written in zip(drafts, self.store.records.add(drafts, owner=None), strict=True):
            self.living[written.record.id] = [draft.text, str(draft.metadata["m"])]

    def update(self) -> None:
        """Revise a record."""
        if self.living:
            id_, text = self.chance.choice(list(self.living)), self.text()
            self.store.records.update(id_, visible=EVERYTHING, owner=None, text=text)
            self.living[id_].append(text)

    def forget(self) -> None:
        """Forget up to three records."""
        if self.living:
            ids = self.chance.sample(list(self.living), min(len(self.living), self.chance.randint(1, 3)))
            self.store.eraser.forget(RecordFilter(ids=tuple(ids)), owner=None)
            for id_ in ids:
                self.gone += self.living.pop(id_)

    def ask(self) -> None:
        """Log a recall and what was answered."""
        logged = replace(entry(self.text(), list(self.living)[:3]), id=UUID(int=self.chance.getrandbits(128)))
        self.store.recall_log.log([logged])
        output = self.text()
        self.store.recall_log.feedback(
            logged.id, output=output, score=None, used=[], metadata={}, visible=EVERYTHING
        )
        self.gone += [logged.query, output]  # by the expiry at the end

    def ingest(self) -> None:
        """Add a document, shorten it, remove it."""
        source: Document = document(self.text()[:40]).model_copy(update={"title": self.text()})
        pieces = [chunk(self.text(), n) for n in range(4)]
        stored, *_ = self.store.documents.replace(source, chunks=pieces, owner=None)
        kept = pieces[:2]
        self.store.documents.replace(source, chunks=kept, owner=None)
        self.store.documents.remove(stored.id, users=None, owner=None)
        self.gone += [source.title, source.key, *(piece.text for piece in pieces)]


def test_a_forgotten_text_is_overwritten_where_it_lies(tmp_path: Path) -> None:
    """DELETE leaves a copy of about one text in 2,500, too seldom for the random test below to notice."""
    store = open_store(tmp_path)
    (written,) = store.records.add(
        [Draft(kind=Kind.MEMORY, text="x" * 99, scope=Scope(), metadata={"m": 1})], owner=None
    )
    with sqlite3.connect(tmp_path / "memory.db") as connection:
        sizes = connection.execute("SELECT id, length(body), length(extra) FROM texts").fetchall()
        store.eraser.forget(RecordFilter(ids=(written.record.id,)), owner=None)
        rows = connection.execute("SELECT id, body, extra FROM texts").fetchall()
    connection.close()
    assert [(number, len(body), len(extra)) for number, body, extra in rows] == sizes
    assert all(not any(body) and not any(extra) for _, body, extra in rows)
    store.close()


def test_every_connection_deletes_securely(tmp_path: Path) -> None:
    """Without secure_delete even overwritten texts were found again."""
    store = open_store(tmp_path)
    with store._database.plain() as connection:
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    store.close()


@pytest.mark.parametrize("seed", range(2))
def test_no_byte_of_a_forgotten_text_stays_in_any_file(tmp_path: Path, seed: int) -> None:
    """SQLite leaves copies of what it moves; a grep of the store's files must still find nothing.

    `MEMSDK_TEST_ERASING_STEPS=1500` with `--timeout=0` looks longer (a minute a seed).
    """
    life = Life([open_store(tmp_path, synchronous="NORMAL") for _ in range(2)], random.Random(seed))
    for _ in range(STEPS):
        life.chance.choices(
            [life.add, life.update, life.forget, life.ask, life.ingest], weights=[6, 3, 4, 1, 0.5]
        )[0]()
    life.store.eraser.expire(now=START, recalls_before=START.replace(year=2027), owner=None)
    assert life.store.eraser.scrub()
    found = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    words = b" ".join(re.findall(rb"[0-9a-f]{%d,}" % PROBE, found))  # all texts are hexadecimal digits
    assert len(life.gone) > STEPS
    assert [text for text in life.gone if _holds(words, text)] == []
    assert all(_holds(words, texts[-1]) for texts in life.living.values())  # the grep itself works
    for store in life.stores:
        store.close()


def _holds(words: bytes, text: str) -> bool:
    """Whether the files hold the beginning, the middle or the end of the text."""
    whole = text.encode()
    middle = (len(whole) - PROBE) // 2
    return any(whole[at:][:PROBE] in words for at in (0, middle, len(whole) - PROBE))
