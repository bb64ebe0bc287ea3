"""The embedded index through its host: any number of processes share it, and it survives the host's death."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path

from filelock import FileLock, Timeout

from memsdk.beside import cores
from memsdk.errors import ClosedError, DiskFullError, IndexUnavailableError, MemsdkError
from memsdk.index.address import FAMILY, KEY, LOG, STARTING, address, key_of
from memsdk.index.detached import start
from memsdk.index.facade import Call, EngineFacade, silent
from memsdk.index.guards import FLOOR, free_bytes
from memsdk.index.host import LINGER_S
from memsdk.index.protocol import FAILED, PROGRESS, error_of, greet_host, pack, receive

IDLE = 8  # connections kept for the next call
LOOK_S = 2e-3
"""So long a search looks for its answer before it sleeps: a processor takes a twentieth of a millisecond to wake up, and the
host as much to wake it."""
CAN_LOOK = hasattr(select, "poll") and cores() > 1  # else the host could not answer meanwhile
UNANSWERED = 8
"""So many calls of a stream are sent before the first has to be answered: an error is not noticed much too late."""
INLINE = 'index="embedded-inline" needs no host'


class _HostLostError(Exception):
    """The connection broke in the middle of a call."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection that both sides have proved, and the run of the engine at its other end."""

    connection: Connection
    generation: str

    @property
    def holds(self) -> bool:
        """Whether the host is still there: between calls it says nothing, so what can be read is its end."""
        return not self.connection.poll(0)


class HostedIndex(EngineFacade):
    """Qdrant Edge in the index host of this folder, which is started where none serves. Thread-safe and fork-safe.

    Args:
        folder: where the collections are; made if it is missing.
        linger_s: how long the host stays after its last client, if this client starts it.
        start_s: how long a host may take to start.
        wait_s: how long the host may be silent within a call.
    """

    def __init__(
        self, folder: Path, *, linger_s: float = LINGER_S, start_s: float = 30.0, wait_s: float = 120.0
    ) -> None:
        self._folder = folder.absolute()
        self._linger_s = linger_s
        self._start_s = start_s
        self._wait_s = wait_s
        self._closed = False
        self._idle: list[_Line] = []
        self._forget_connections()
        folder.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Hang up; the host leaves when nobody is left. Twice is once."""
        self._closed = True
        self._drop_idle()

    @property
    def generation(self) -> str:
        """Names one run of the engine. The handshake told it, so it is asked for only where no connection is at hand."""
        self._forget_the_parents()
        with self._lock:
            at_hand = self._idle[-1] if self._idle and not self._closed else None
            if at_hand is not None and at_hand.holds:
                return at_hand.generation
        return super().generation

    def _call(self, operation: str, *arguments: object, progress: Callable[[str], None] = silent) -> object:
        """One call; repeated once with the next host where this one dies, as every call may be done twice."""
        message = pack([operation, *arguments])
        is_brief = operation == "search"
        try:
            status, *values = self._attempt(message, progress, is_brief=is_brief)
        except _HostLostError as first:
            self._refuse_full_disk(first)
            try:
                status, *values = self._attempt(message, progress, is_brief=is_brief)
            except _HostLostError as second:
                self._refuse_full_disk(second)
                raise IndexUnavailableError(
                    f"the index host died twice in the call {operation!r}; see {self._folder / LOG}; {INLINE}"
                ) from second
        if status == FAILED:
            raise error_of(*values)
        return values[0]

    def _call_each(self, calls: Iterator[Call]) -> None:
        """Each call is sent while the host is still at those before it: to make them takes as long as to do them.

        What a host that dies has not answered is asked of the next one, and from there on call by call.
        """
        if (first := next(calls, None)) is None:
            return
        unanswered: deque[Call] = deque()
        line = self._take()
        try:
            self._stream(chain([first], calls), line, unanswered)
        except _HostLostError as lost:
            self._refuse_full_disk(lost)
            super()._call_each(chain(unanswered, calls))
        finally:
            if unanswered:
                line.connection.close()
            else:
                self._give(line)

    def _stream(self, calls: Iterator[Call], line: _Line, unanswered: deque[Call]) -> None:
        """Send the calls; each is in `unanswered` until its answer was read."""
        try:
            for call in calls:
                message = pack(call)
                unanswered.append(call)
                self._send(message, line)
                if len(unanswered) == UNANSWERED:
                    self._take_answer(line, unanswered)
            while unanswered:
                self._take_answer(line, unanswered)
        except (_HostLostError, IndexUnavailableError):
            raise
        except Exception:
            with suppress(_HostLostError, IndexUnavailableError):
                while unanswered:  # nothing more is written once the caller knows of the error
                    self._next_answer(line)
                    unanswered.popleft()
            raise

    def _take_answer(self, line: _Line, unanswered: deque[Call]) -> None:
        status, *values = self._next_answer(line)
        unanswered.popleft()
        if status == FAILED:
            raise error_of(*values)

    def _attempt(
        self, message: bytes, progress: Callable[[str], None], *, is_brief: bool
    ) -> Sequence[object]:
        line = self._take()
        try:
            self._send(message, line)
            if is_brief and CAN_LOOK:
                self._look_out(line.connection)
            answer = self._next_answer(line, progress)
        except BaseException:
            line.connection.close()  # in the middle of a message: nobody else may use it
            raise
        self._give(line)
        return answer

    def _next_answer(self, line: _Line, progress: Callable[[str], None] = silent) -> Sequence[object]:
        while True:
            try:
                answer = receive(line.connection)
            except (EOFError, OSError) as error:
                raise self._meant(error) from error
            if answer[0] != PROGRESS:
                return answer
            progress(str(answer[1]))

    def _send(self, message: bytes, line: _Line) -> None:
        try:
            line.connection.send_bytes(message)
        except OSError as error:
            raise self._meant(error) from error

    def _meant(self, error: OSError | EOFError) -> MemsdkError | _HostLostError:
        """What it means that the connection raises this."""
        if isinstance(error, BlockingIOError):
            return IndexUnavailableError(
                f"the index host has been silent for {self._wait_s:.0f} s; see {self._folder / LOG}; if it hangs,"
                f" end it, and the next call starts another; {INLINE}"
            )
        self._drop_idle()
        return _HostLostError(str(error))

    def _look_out(self, connection: Connection) -> None:
        """Return once something can be read, or after `LOOK_S` seconds; at once where another thread looks."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            poller = select.poll()
            poller.register(connection.fileno(), select.POLLIN)
            until = time.perf_counter() + LOOK_S
            while not poller.poll(0) and time.perf_counter() < until:
                pass
        finally:
            self._looking.release()

    def _take(self) -> _Line:
        """A connection of this process, idle or new."""
        self._forget_the_parents()
        if self._closed:
            raise ClosedError("the index was closed; open the memory again")
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return self._dial() or self._start()
        except OSError as error:
            raise IndexUnavailableError(
                f"the index host can't be reached or started: {error}; {INLINE}"
            ) from error

    def _give(self, line: _Line) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(line)
                return
        line.connection.close()

    def _drop_idle(self) -> None:
        self._forget_the_parents()
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.connection.close()

    def _forget_the_parents(self) -> None:
        """In a forked child: the host would mix up our calls and its, and another of its threads may have held the lock."""
        if os.getpid() != self._pid:
            self._forget_connections()

    def _forget_connections(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._looking = threading.Lock()  # by one thread at a time
        self._idle = []

    def _dial(self) -> _Line | None:
        """A connection that both sides have proved; None where no host serves."""
        key = key_of(self._folder)
        try:
            with address(self._folder) as name:
                connection = Client(name, family=FAMILY)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        try:
            generation = greet_host(connection, key, wait_s=self._wait_s)
        except AuthenticationError as error:
            connection.close()
            raise IndexUnavailableError(
                f"the index host of {self._folder} has another key than {KEY}; close all programs that use this"
                " store, and try again"
            ) from error
        except BlockingIOError as error:
            connection.close()
            raise IndexUnavailableError(
                f"the index host does not greet; see {self._folder / LOG}; {INLINE}"
            ) from error
        except (EOFError, OSError):  # it is leaving, or was killed
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return _Line(connection, generation)

    def _start(self) -> _Line:
        """Start a host, unless another process is at it, and wait until it serves."""
        deadline = time.monotonic() + self._start_s
        try:
            with FileLock(self._folder / STARTING, timeout=self._start_s):
                process: subprocess.Popen[bytes] | None = None
                while (line := self._dial()) is None:
                    if process is None or process.returncode == 0:  # 0: it saw another host, which has left
                        process = self._spawn()
                    elif process.returncode is not None or time.monotonic() > deadline:
                        raise self._not_started(f"it ended with {process.returncode}")
                    time.sleep(0.01)
                return line
        except Timeout:
            raise self._not_started("another process has been starting it all the while") from None

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = start("memsdk.index.host", str(self._folder), str(self._linger_s), folder=self._folder)
        threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie
        return process

    def _not_started(self, why: str) -> IndexUnavailableError:
        return IndexUnavailableError(
            f"the index host of {self._folder} did not start within {self._start_s:.0f} s: {why};"
            f" see {self._folder / LOG}; {INLINE}"
        )

    def _refuse_full_disk(self, lost: _HostLostError) -> None:
        """A disk that fills up kills the host; the next one would go the same way."""
        left = free_bytes(self._folder)
        if left < FLOOR:
            raise DiskFullError(
                f"the index host ended while the disk of {self._folder} had {left // 2**20} MB left; make room and"
                " try again: the next call starts another host"
            ) from lost
