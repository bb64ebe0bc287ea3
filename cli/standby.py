"""A standby: a process that has loaded all that `memsdk recall` needs, and runs the next one at once.

A recall beside a program that has the store open leaves one behind. It holds neither the store nor its index between
calls, and leaves by itself: after five minutes without a call, or once nobody has the store open. MEMSDK_STANDBY_S is
another number of seconds; with 0 there is none. Whatever is wrong with it, the command runs in its own process, as on
Windows, where no standby is made.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import cast

import memsdk
from memsdk.cli.places import DEFAULT_STORE, INDEX
from memsdk.errors import MemsdkError
from memsdk.index.address import FAMILY, KEY, address, socket_path
from memsdk.index.detached import start
from memsdk.index.protocol import GARBAGE, LOST, know_host, limit_wait, receive, send

SOCKET = "standby.sock"
STAYS_S = 300.0
SECONDS = "MEMSDK_STANDBY_S"
GREETING_S = 1.0
TAKEN, BUSY = "taken", "busy"
SHOWN_BY = ("COLUMNS", "NO_COLOR", "TERM")  # what of the environment decides how a result looks


@dataclass(frozen=True, slots=True)
class Standby:
    """The standby of a store. Whatever goes wrong with it is no error.

    Attributes:
        folder: of the store's index.
    """

    folder: Path

    def run(self, arguments: Sequence[str]) -> int | None:
        """Have the command run there and print what it printed; its exit code, or None where nobody did it.

        Raises:
            OSError: it was run, and what it printed can't be.
        """
        try:
            with address(self.folder, SOCKET) as name:
                connection = Client(name, family=FAMILY)
        except (OSError, MemsdkError):
            return None  # none is there, as a rule
        with connection:
            try:
                code, out, err = self._ask(connection, arguments)
            except (*LOST, *GARBAGE, MemsdkError):
                return None
        _write(out, err)
        return code

    @property
    def is_wanted(self) -> bool:
        """Whether another program has the store open, so that the next recall will find the index host warm, too."""
        with suppress(MemsdkError):
            path = socket_path(self.folder)
            return path is not None and path.exists()
        return False

    def leave_behind(self) -> None:
        """Start one, unless there is one."""
        with suppress(OSError):
            start("memsdk.cli.standing_by", str(self.folder.parent), folder=self.folder)

    def _ask(self, connection: Connection, arguments: Sequence[str]) -> tuple[int, bytes, bytes]:
        know_host(connection, (self.folder / KEY).read_bytes(), within_s=GREETING_S)
        send(connection, [identity(), _request(arguments)])
        (status,) = receive(connection)
        if status != TAKEN:
            raise EOFError(status)
        limit_wait(connection, None)
        return cast("tuple[int, bytes, bytes]", tuple(receive(connection)))


def standby_for(arguments: Sequence[str]) -> Standby | None:
    """The standby that may run this command; None where it has to be run here: it reads a stream of this process."""
    if arguments[:1] != ["recall"] or sys.platform == "win32" or stays_s() <= 0:
        return None
    if _value(arguments, "--index") or os.environ.get("MEMSDK_INDEX", "embedded") != "embedded":
        return None
    if any(argument in ("-", "--help", "-h") or argument.startswith("--history") for argument in arguments):
        return None
    store = _value(arguments, "--store") or os.environ.get("MEMSDK_STORE") or DEFAULT_STORE
    return Standby((Path(store) / INDEX).absolute())


def identity() -> list[object]:
    """What a standby and who asks it have to agree in: the release, the Python and the settings."""
    settings = sorted(item for item in os.environ.items() if item[0].upper().startswith("MEMSDK_"))
    return [memsdk.__version__, sys.prefix, [list(item) for item in settings]]


def stays_s() -> float:
    """How long a standby stays after its last call; 0 where the setting can't be read."""
    try:
        return float(os.environ.get(SECONDS, STAYS_S))
    except ValueError:
        return 0.0


def _request(arguments: Sequence[str]) -> dict[str, object]:
    """The command, where it is run and what its output is for."""
    shown_by = {name: os.environ[name] for name in SHOWN_BY if name in os.environ}
    if sys.stdout.isatty():
        shown_by.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    streams = [[stream.encoding, stream.isatty()] for stream in (sys.stdout, sys.stderr)]
    return {
        "arguments": list(arguments),
        "folder": str(Path.cwd()),
        "shown_by": shown_by,
        "streams": streams,
    }


def _write(out: bytes, err: bytes) -> None:
    for stream, data in ((sys.stdout, out), (sys.stderr, err)):
        stream.flush()
        stream.buffer.write(data)
        stream.flush()


def _value(arguments: Sequence[str], option: str) -> str | None:
    """What the last such option is followed by. A wrong guess asks a standby that will know better."""
    found = None
    for place, argument in enumerate(arguments):
        if argument == option and place + 1 < len(arguments):
            found = arguments[place + 1]
        elif argument.startswith(f"{option}="):
            found = argument.partition("=")[2]
    return found
