"""What client and index host say to each other: msgpack messages over a local connection that both have proved.

A call is `[operation, *arguments]`; the host answers `[DONE, value]`, `[FAILED, error, text]`, or, any number of times
before that, `[PROGRESS, text]`. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import cast

import msgpack  # type: ignore[import-untyped]  # it ships no types

from memsdk import errors

VERSIONS = (1,)
"""The protocol versions spoken, the newest first. A release that adds one keeps the one before it."""
DONE, FAILED, PROGRESS = 0, 1, 2
LARGEST = 256 * 2**20  # bytes a message
HANDSHAKE_S = 5.0

LOST = (EOFError, OSError, AuthenticationError)
"""What a broken connection raises."""
GARBAGE = (ValueError, TypeError, IndexError, msgpack.UnpackException)
"""What a message that is no call of ours raises while it is read."""


def pack(message: object) -> bytes:
    """The message's bytes. Raises IndexingError for what is no plain data."""
    try:
        return cast("bytes", msgpack.packb(message, default=_beyond_64_bits))
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.IndexingError(f"the index is given plain data only: {error}") from error


def send(connection: Connection, message: object) -> None:
    """Send one message."""
    connection.send_bytes(pack(message))


def receive(connection: Connection) -> Sequence[object]:
    """Wait for one message: a list. Raises one of LOST or GARBAGE."""
    message = msgpack.unpackb(connection.recv_bytes(LARGEST), strict_map_key=False)
    if not isinstance(message, list) or not message:
        raise ValueError("a message is a list that is not empty")
    return message


def failure(error: errors.MemsdkError) -> list[object]:
    """An error as a message."""
    return [FAILED, type(error).__name__, str(error)]


def error_of(name: object, text: object) -> errors.MemsdkError:
    """The error that the host sent; one that this release does not know is an IndexingError."""
    kind = getattr(errors, str(name), errors.IndexingError)
    if not (isinstance(kind, type) and issubclass(kind, errors.MemsdkError)):
        kind = errors.IndexingError
    return kind(str(text))


def know_client(connection: Connection, key: bytes, *, within_s: float) -> None:
    """The host's half of proving that both have the key; reads and writes fail after so long from now on. Raises one of LOST."""
    limit_wait(connection, within_s)
    deliver_challenge(connection, key)
    answer_challenge(connection, key)


def know_host(connection: Connection, key: bytes, *, within_s: float) -> None:
    """The client's half of the same."""
    limit_wait(connection, within_s)
    answer_challenge(connection, key)
    deliver_challenge(connection, key)


def greet_client(connection: Connection, key: bytes, *, generation: str) -> int:
    """The host's half of the handshake; returns the protocol version. Raises one of LOST or GARBAGE."""
    know_client(connection, key, within_s=HANDSHAKE_S)
    _, offered = receive(connection)[:2]
    common = [version for version in VERSIONS if version in cast("Sequence[int]", offered)]
    if not common:
        text = (
            f"the index host speaks protocol {VERSIONS} and this process {offered}; another program with another"
            " memsdk release serves this store: close it, or use the same release"
        )
        send(connection, failure(errors.IndexUnavailableError(text)))
        raise EOFError(text)
    send(connection, [DONE, [common[0], generation, os.getpid()]])
    limit_wait(connection, None)
    return common[0]


def greet_host(connection: Connection, key: bytes, *, wait_s: float) -> str:
    """The client's half of the handshake; returns the engine's generation. Raises one of LOST, or the host's refusal."""
    know_host(connection, key, within_s=HANDSHAKE_S)
    send(connection, ["hello", list(VERSIONS)])
    status, *rest = receive(connection)
    if status == FAILED:
        raise error_of(*rest)
    _, generation, _ = cast("Sequence[object]", rest[0])
    limit_wait(connection, wait_s)
    return str(generation)


def limit_wait(connection: Connection, seconds: float | None) -> None:
    """Let reads and writes fail after so long; a Windows pipe has no such setting and waits only for the first byte."""
    if sys.platform == "win32":
        if seconds is not None and seconds <= HANDSHAKE_S and not connection.poll(seconds):
            raise EOFError("nothing was said for too long")
        return
    whole = int(seconds or 0)
    timeout = struct.pack("ll", whole, int(((seconds or 0) - whole) * 1e6))
    with socket.socket(
        fileno=os.dup(connection.fileno())
    ) as twin:  # options belong to the socket, not to its number
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)


def _beyond_64_bits(value: object) -> object:
    """A whole number that msgpack has no room for, as the engine would store it: a double."""
    if isinstance(value, int):
        return float(value) if abs(value) < 2**1023 else (1 if value > 0 else -1) * sys.float_info.max
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")
