"""What a store must hold after its writers were killed: read from their journals, then asked of the reopened store."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast
from uuid import UUID

from memsdk.memory import Memory
from memsdk.models import Record
from memsdk.testing.crash_worker import MARKED, Known

PAGE = 1_000
Line: TypeAlias = Mapping[str, object]
_MARKS = re.compile(MARKED)


@dataclass(slots=True)
class Findings:
    """What went wrong; all zeros and empty where nothing did."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)  # an operation in flight that happened in part
    unfound: list[str] = field(default_factory=list)  # by a recall with their own text
    unclean: list[str] = field(default_factory=list)  # what `verify` says
    errors: list[str] = field(default_factory=list)  # that a worker which lived was given

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {name: len(getattr(self, name)) for name in self.__slots__}

    def all(self) -> list[str]:
        """Every finding, with what it is."""
        return [f"{name}: {item}" for name in self.__slots__ for item in getattr(self, name)]


@dataclass(slots=True)
class Oracle:
    """The state that the journals of one store add up to."""

    live: dict[UUID, Known] = field(default_factory=dict)
    forgotten: set[UUID] = field(default_factory=set)
    marks_gone: set[bytes] = field(default_factory=set)
    acknowledged: int = 0
    in_flight: list[Line] = field(default_factory=list)  # it may have happened, or not

    def read(self, journal: Path) -> list[str]:
        """Take in a worker's journal; returns the errors that it reports."""
        intents: dict[int, Line] = {}
        errors = []
        for line in map(json.loads, journal.read_text().splitlines()):
            if "do" in line:
                intents[line["n"]] = line
            elif "ok" in line:
                self.acknowledged += 1
                self._happened(intents.pop(line["n"]), [UUID(each) for each in line["ok"]])
            elif "error" in line:
                errors.append(f"{intents[line['n']]['do']}: {line['error']}")
        self.in_flight += intents.values()
        return errors

    def check(self, memory: Memory, folder: Path, *, recall: Iterable[UUID] | None = None) -> Findings:
        """Compare with the reopened store. `recall`: which records are looked for by their text; all by default."""
        findings = Findings()
        wanted = set(self.live if recall is None else recall) & set(self.live)
        self._check_recall(memory, sorted(wanted)[: len(wanted) // 2], findings)  # before anything is drained
        there = {record.id: record for record in everything(memory)}
        for intent in self.in_flight:
            self._resolve(intent, there, findings)
        self.in_flight = []
        self._check_sql(memory, there, findings)
        memory.flush()
        verification = memory.verify()
        if not verification.clean:
            findings.unclean.append(repr(verification)[:500])
        self._check_recall(memory, wanted & set(self.live), findings)
        for path, marks in marks_in(folder).items():
            findings.resurrected += [f"{mark.decode()} in {path}" for mark in marks & self.marks_gone]
        return findings

    def _happened(self, intent: Line, ids: list[UUID]) -> None:
        match intent["do"]:
            case "add":
                for each, text in zip(ids, cast("list[str]", intent["texts"]), strict=True):
                    self._add(each, intent, text)
            case "update":
                self.live[UUID(str(intent["id"]))].texts.append(str(intent["text"]))
            case "forget":
                self._forget(ids_of(intent))

    def _add(self, id: UUID, intent: Line, text: str) -> None:
        self.live[id] = Known(
            id=id, user=str(intent["user"]), texts=[text], external_id=cast("str | None", intent.get("external")),
            is_message=bool(intent.get("message")),
        )  # fmt: skip

    def _forget(self, ids: Iterable[UUID]) -> None:
        for each in ids:
            for text in self.live.pop(each).texts:
                self.marks_gone.update(_MARKS.findall(text.encode()))
            self.forgotten.add(each)

    def _resolve(self, intent: Line, there: Mapping[UUID, Record], findings: Findings) -> None:
        """An operation in flight has happened wholly or not at all; from now on it is known which."""
        match intent["do"]:
            case "add":
                texts = cast("list[str]", intent["texts"])
                found = {record.text: each for each, record in there.items() if record.text in texts}
                if len(found) not in (0, len(texts)):
                    findings.torn.append(f"{len(found)} of {len(texts)} added")
                for text, each in found.items():
                    self._add(each, intent, text)
            case "update":
                known = self.live.get(UUID(str(intent["id"])))
                if known is not None and known.id in there and there[known.id].text == intent["text"]:
                    known.texts.append(str(intent["text"]))
            case "forget":
                ids = [each for each in ids_of(intent) if each in self.live]
                gone = [each for each in ids if each not in there]
                if len(gone) not in (0, len(ids)):
                    findings.torn.append(f"{len(gone)} of {len(ids)} forgotten")
                self._forget(gone)

    def _check_sql(self, memory: Memory, there: Mapping[UUID, Record], findings: Findings) -> None:
        for each, known in self.live.items():
            record = there.get(each)
            if record is None or record.user_id != known.user:
                findings.lost.append(f"{each} {known.texts[-1][:80]!r}")
            elif [past.text for past in memory.history(each)] != known.texts:
                past = [item.text[:80] for item in memory.history(each)]
                (findings.lost if len(past) < len(known.texts) else findings.doubled).append(
                    f"{each} has revisions {past}"
                )
        for each, record in there.items():
            if each in self.forgotten:
                findings.resurrected.append(f"{each} is listed")
            elif each not in self.live:
                findings.doubled.append(f"{each} {record.text[:80]!r} was never asked for")
        texts = Counter((record.user_id, record.text) for record in there.values())
        findings.doubled += [
            f"{text[:80]!r} {count} times" for (_, text), count in texts.items() if count > 1
        ]

    def _check_recall(self, memory: Memory, wanted: Iterable[UUID], findings: Findings) -> None:
        for each in wanted:
            known = self.live[each]
            hits = [hit.id for hit in memory.recall(known.texts[-1], user_id=known.user, k=10)]
            updated = {str(intent.get("id")) for intent in self.in_flight} | {
                str(one) for intent in self.in_flight if intent["do"] == "forget" for one in ids_of(intent)
            }
            if each not in hits and str(each) not in updated:
                findings.unfound.append(f"{each} {known.texts[-1][:80]!r}")
            if len(set(hits)) != len(hits):
                findings.doubled.append(f"recall of {known.texts[-1][:80]!r} gives {hits}")
            findings.resurrected += [f"{hit} is recalled" for hit in hits if hit in self.forgotten]


def ids_of(intent: Line) -> list[UUID]:
    """The records that a `forget` names."""
    return [UUID(each) for each in cast("list[str]", intent["ids"])]


def everything(memory: Memory) -> list[Record]:
    """Every record of the store."""
    found: list[Record] = []
    while page := memory.list(limit=PAGE, after=found[-1].id if found else None):
        found += page
    return found


def marks_in(folder: Path) -> dict[str, set[bytes]]:
    """The unique words in every file under the folder, whatever it is."""
    found: dict[str, set[bytes]] = {}
    for path in (Path(place, name) for place, _, names in os.walk(folder) for name in names):
        with suppress(FileNotFoundError):  # the host removes files while we look
            if path.is_file() and path.stat().st_size:
                with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    found[str(path.relative_to(folder))] = set(_MARKS.findall(content))
    return found
