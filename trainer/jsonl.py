"""Training rows as JSON lines: memsdk's own form, and LLM-Embedder's. Errors name the file and the line."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from memsdk.errors import InvalidInputError, StoreError
from memsdk.models import Task
from memsdk.trainer.rows import Candidate, Row

Form = Literal["memsdk", "llm-embedder"]


class _CandidateLine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1)
    record: UUID | None = None
    reward: FiniteFloat | None = None
    positive: bool = False
    source: str = "given"


class _RowLine(BaseModel):
    """memsdk's own form. A field it does not know is an error: a misspelt one would be lost in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    task: Task
    query: str = Field(min_length=1)
    output: str | None = None
    candidates: list[_CandidateLine]
    history: list[str] = Field(default_factory=list)
    at: AwareDatetime | None = None
    user_id: str | None = None
    asked: str | None = None
    score: float | None = Field(default=None, ge=0, le=1)

    def row(self) -> Row:
        """The row."""
        return Row(
            id=self.id, task=self.task, query=self.query, output=self.output, history=tuple(self.history), at=self.at,
            user_id=self.user_id, asked=self.asked, score=self.score,
            candidates=tuple(
                Candidate(text=one.text, record=one.record, reward=one.reward, positive=one.positive, source=one.source)
                for one in self.candidates
            ),
        )  # fmt: skip


class _EmbedderLine(BaseModel):
    """LLM-Embedder's form; what it does not know is left alone, as the released files hold more.

    `teacher_scores` belong to pos and then neg; for chat and lrlm, where neither is given, to `history`, whose
    entries are the candidates there.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str = Field(min_length=1)
    pos: list[str] = Field(default_factory=list)
    neg: list[str] = Field(default_factory=list)
    answers: list[str] = Field(default_factory=list)
    teacher_scores: list[FiniteFloat] | None = None
    task: Task | None = None
    history: list[str] = Field(default_factory=list)
    query_id: str | int | None = None

    @model_validator(mode="after")
    def _scores_fit(self) -> Self:
        if self.teacher_scores is not None and len(self.teacher_scores) != len(self.texts):
            which = "pos and neg" if self.pos or self.neg else "history"
            raise ValueError(
                f"teacher_scores has {len(self.teacher_scores)} numbers, expected one for each of the"
                f" {len(self.texts)} texts in {which}"
            )
        return self

    @property
    def texts(self) -> list[str]:
        """The candidates."""
        return [*self.pos, *self.neg] or self.history

    def row(self, *, number: int, task: Task) -> Row:
        """The row."""
        has_context = bool(self.pos or self.neg)
        rewards: list[float | None] = (
            [*self.teacher_scores] if self.teacher_scores else [None] * len(self.texts)
        )
        return Row(
            id=str(number if self.query_id is None else self.query_id),
            task=task,
            query=self.query,
            output=self.answers[0] if self.answers else None,
            history=tuple(self.history) if has_context else (),
            candidates=tuple(
                Candidate(text=text, reward=reward, positive=at < len(self.pos))
                for at, (text, reward) in enumerate(zip(self.texts, rewards, strict=True))
                if text.strip()
            ),
        )


def read_rows(path: str | Path, *, task: Task | None = None) -> list[Row]:
    """The rows of a file, in either form; a `.gz` is unpacked.

    Args:
        path: JSON lines.
        task: of LLM-Embedder lines that do not name theirs.

    Raises:
        InvalidInputError: a line is not a row; the message names file, line and field.
        StoreError: the file can't be read.
    """
    file = Path(path)
    try:
        with _opened(file, "rb") as lines:
            return list(_rows(lines, file, task=task))
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{file} can't be read: {reason}; name a file of JSON lines") from error


def write_rows(path: str | Path, rows: Iterable[Row], *, form: Form = "memsdk") -> int:
    """Write the rows; the file appears whole or not at all. Returns how many.

    Args:
        form: LLM-Embedder's has no place for records, times, users and sources: they are lost in it. Positives come
            first there, and rewards are written only where every candidate has one.

    Raises:
        StoreError: the file can't be written.
    """
    file = Path(path)
    made = file.with_name(f".{file.name}.{os.getpid()}")
    written = 0
    try:
        with _opened(made, "wb", packed=file.suffix == ".gz") as out:
            for row in rows:
                plain = _own(row) if form == "memsdk" else _embedders(row)
                out.write(json.dumps(plain, ensure_ascii=False).encode() + b"\n")
                written += 1
        made.replace(file)
    except OSError as error:
        raise StoreError(
            f"{file} can't be written: {error.strerror}; name a file in a folder of yours"
        ) from error
    finally:
        made.unlink(missing_ok=True)
    return written


def _rows(lines: Iterable[bytes], file: Path, *, task: Task | None) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        plain = _parsed(line, where)
        try:
            if "candidates" in plain or "output" in plain:
                yield _RowLine.model_validate(plain).row()
                continue
            given = _EmbedderLine.model_validate(plain)
        except ValidationError as error:
            raise InvalidInputError(f"{where}: {_complaint(error)}") from error
        chosen = given.task or task
        if chosen is None:
            raise InvalidInputError(
                f"{where}: no task is named; give one of {', '.join(Task)} for the whole file"
            )
        yield given.row(number=number, task=chosen)


def _parsed(line: bytes, where: str) -> dict[str, object]:
    try:
        plain = json.loads(line.decode("utf-8-sig"))
        json.dumps(plain, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{where}: it holds a lone surrogate, half a character; cut it out"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{where}: not UTF-8 ({error.reason} at byte {error.start}); convert the file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{where}: not JSON ({error}); each line is one object") from error
    if not isinstance(plain, dict):
        raise InvalidInputError(
            f"{where}: {type(plain).__name__}, expected an object with a query and candidates"
        )
    return plain


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else str(first["msg"])


def _own(row: Row) -> dict[str, object]:
    return {
        "id": row.id, "task": row.task.value, "query": row.query, "output": row.output,
        "history": list(row.history), "at": _iso(row.at), "user_id": row.user_id, "asked": row.asked, "score": row.score,
        "candidates": [
            {
                "text": one.text, "record": str(one.record) if one.record else None, "reward": one.reward,
                "positive": one.positive, "source": one.source,
            }
            for one in row.candidates
        ],
    }  # fmt: skip


def _embedders(row: Row) -> dict[str, object]:
    order = sorted(row.candidates, key=lambda one: not one.positive)  # stable
    rewards = [one.reward for one in order]
    plain: dict[str, object] = {
        "query_id": row.id, "task": row.task.value, "query": row.query, "history": list(row.history),
        "answers": [row.output] if row.output is not None else [],
        "pos": [one.text for one in order if one.positive], "neg": [one.text for one in order if not one.positive],
    }  # fmt: skip
    if rewards and None not in rewards:
        plain["teacher_scores"] = rewards
    return plain


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _opened(
    file: Path, mode: Literal["rb", "wb"], *, packed: bool | None = None
) -> IO[bytes] | gzip.GzipFile:
    if file.suffix == ".gz" if packed is None else packed:
        return gzip.open(file, mode)
    return file.open(mode)
