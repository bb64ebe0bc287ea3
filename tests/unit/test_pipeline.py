from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from memsdk.pipeline import Pipeline
from memsdk.ports import Change


@dataclass
class Encoding:
    changes: Sequence[Change]
    encoded: Future[None] = field(default_factory=Future)


@dataclass
class Work:
    """What a pipeline is given to do, written down as it does it."""

    fails: str = ""
    error: BaseException = field(default_factory=lambda: RuntimeError("no"))
    done: list[str] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    def expect(self, changes: Sequence[Change], after: Future[None] | None) -> Encoding:
        """Have encoded what is not committed yet."""
        self.note("expect", changes)
        return Encoding(changes)

    def begin(
        self, changes: Sequence[Change], after: Future[None] | None, expected: Encoding | None
    ) -> Encoding:
        """Read and have encoded."""
        self.note("go on with" if expected is not None and expected.changes == changes else "begin", changes)
        return Encoding(changes)

    def finish(self, batch: Encoding) -> None:
        """Send."""
        self.note("finish", batch.changes)

    def note(self, step: str, changes: Sequence[Change]) -> None:
        """Write it down, or fail."""
        if self.fails == f"{step} {changes[0].seq}":
            raise self.error
        self.done.append(f"{step} {changes[0].seq}")

    def pipeline(self) -> Pipeline[Encoding]:
        """One that does this work."""
        return Pipeline(
            expect=self.expect,
            begin=self.begin,
            finish=self.finish,
            release=lambda changes: self.released.extend(change.seq for change in changes),
        )


def change(seq: int) -> list[Change]:
    """A batch of one."""
    return [Change(seq, UUID(int=seq))]


def test_the_next_batch_begins_before_the_last_one_is_finished() -> None:
    """Else the encoder is idle while a batch is sent, which is a fifth of an ingest's time."""
    work = Work()
    with work.pipeline() as pipeline:
        for seq in (1, 2, 3):
            pipeline.take(change(seq))
    assert work.done == ["begin 1", "begin 2", "finish 1", "begin 3", "finish 2", "finish 3"]
    assert work.released == []


@pytest.mark.parametrize(("fails", "kept"), [("begin 2", {1}), ("finish 1", {2}), ("finish 3", {1, 2})])
def test_after_a_failure_the_caller_goes_on_and_what_is_not_indexed_is_given_back(
    fails: str, kept: set[int]
) -> None:
    """An embedder that fails at the first of ten batches must not keep the other nine from being stored."""
    work, written = Work(fails), list[int]()

    def write() -> None:
        with work.pipeline() as pipeline:
            for seq in (1, 2, 3):
                written.append(seq)
                pipeline.take(change(seq))

    with pytest.raises(RuntimeError, match="no"):
        write()
    assert written == [1, 2, 3]
    assert set(work.released) == {1, 2, 3} - kept


def test_what_was_expected_is_gone_on_with_and_nothing_else() -> None:
    """A transaction that failed after all must leave nothing behind that the next batch could be taken for."""
    work = Work()
    with work.pipeline() as pipeline:
        pipeline.expect(change(1))
        pipeline.take(change(1))
        pipeline.expect(change(2))
        pipeline.take(change(3))
        pipeline.take(change(2))
    begun = [step for step in work.done if not step.startswith("finish")]
    assert begun == ["expect 1", "go on with 1", "expect 2", "begin 3", "begin 2"]


def test_what_fails_ahead_undoes_no_transaction() -> None:
    """The embedder's failure is met after the commit: the records are stored, and said to be."""
    work = Work("expect 1")
    with work.pipeline() as pipeline:
        pipeline.expect(change(1))
        pipeline.take(change(1))
    assert work.done == ["begin 1", "finish 1"]


def test_ctrl_c_ends_it_at_once_and_gives_everything_back() -> None:
    """What a living process has claimed, nobody else takes: it would not be found until the next open."""
    work = Work("finish 1", error=KeyboardInterrupt())

    def write() -> None:
        with work.pipeline() as pipeline:
            for seq in (1, 2, 3):
                pipeline.take(change(seq))

    with pytest.raises(KeyboardInterrupt):
        write()
    assert work.done == ["begin 1", "begin 2"]
    assert sorted(work.released) == [1, 2]


def test_an_error_of_the_caller_gives_back_what_was_taken() -> None:
    """The disk runs full at the second slice: the first is stored, and must be found."""
    work = Work()

    def write() -> None:
        with work.pipeline() as pipeline:
            pipeline.take(change(1))
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        write()
    assert work.released == [1]
