"""Changes on their way into the index: while one batch is encoded, the next is read and described, and the last one sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from memsdk.ports import Change

SAFE = "what was written is safe in the store and will be indexed later; recall can't find it yet"


class Batch(Protocol):
    """Changes whose texts are being encoded."""

    @property
    def changes(self) -> Sequence[Change]:
        """The claimed outbox entries."""

    @property
    def encoded(self) -> Future[None]:
        """Done once the encoder is free for the next batch."""


BatchT = TypeVar("BatchT", bound=Batch)


class Pipeline(Generic[BatchT]):
    """Takes batches of claimed changes; on leaving its `with` block all of them are indexed, or given back.

    One batch at a time is with the encoder, in the order taken. After a failure the batches that follow are only given back:
    what is written later must not be lost for it. The first error is raised at the end.
    """

    def __init__(
        self,
        *,
        expect: Callable[[Sequence[Change], Future[None] | None], BatchT | None],
        begin: Callable[[Sequence[Change], Future[None] | None, BatchT | None], BatchT],
        finish: Callable[[BatchT], None],
        release: Callable[[Sequence[Change]], None],
        after: Future[None] | None = None,
    ) -> None:
        """Put together by the indexer.

        Args:
            expect: has changes encoded that are not committed yet, if it can.
            begin: has changes encoded, unless that is what was expected, which is its last argument.
            after: what the encoder has to wait for first; both are given it, and then the batch before.
        """
        self._expect = expect
        self._begin = begin
        self._finish = finish
        self._release = release
        self._after = after
        self._claimed: dict[int, Change] = {}  # by their numbers
        self._last: BatchT | None = None
        self._expected: BatchT | None = None
        self._error: Exception | None = None

    def expect(self, changes: Sequence[Change]) -> None:
        """Have these encoded while the disk keeps them; `take` them once they are committed. Raises nothing."""
        if self._error is None:
            with suppress(Exception):  # `take` meets it again, when no transaction is undone by it
                self._expected = self._expect(changes, self._busy_with(self._last))

    def take(self, changes: Sequence[Change]) -> None:
        """Begin with these changes, then finish those taken before."""
        expected, self._expected = self._expected, None
        if not changes:
            return
        self._claimed.update((change.seq, change) for change in changes)
        before, self._last = self._last, None
        if self._error is None:
            self._step(lambda: self._begin_after(before, changes, expected))
        if before is not None:
            self._step(lambda: self._end(before))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and (last := self._last) is not None:
                self._step(lambda: self._end(last))
        finally:
            if self._claimed:  # nobody else takes what a living process has claimed
                self._release(list(self._claimed.values()))
        if error is not None:
            error.add_note(SAFE)
        elif self._error is not None:
            raise self._error

    def _begin_after(self, before: BatchT | None, changes: Sequence[Change], expected: BatchT | None) -> None:
        self._last = self._begin(changes, self._busy_with(before), expected)

    def _busy_with(self, before: BatchT | None) -> Future[None] | None:
        """What the encoder does first."""
        return self._after if before is None else before.encoded

    def _end(self, batch: BatchT) -> None:
        self._finish(batch)
        for change in batch.changes:
            del self._claimed[change.seq]

    def _step(self, work: Callable[[], None]) -> None:
        """Do it, and keep the first error. Ctrl-C passes through."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- raised at the end
            error.add_note(SAFE)
            self._error = self._error or error
