from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid"])
def test_another_machine_is_refused(host: str) -> None:
    """A test that needs the network fails where there is none, and leaks where there is one."""
    with pytest.raises(AssertionError, match="tests stay on this machine"):
        socket.create_connection((host, 80), timeout=1)


def test_a_datagram_to_another_machine_is_refused() -> None:
    """UDP needs no connection: a guard on `connect` alone would let it through."""
    refused = pytest.raises(AssertionError, match="tests stay on this machine")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, refused:
        sender.sendto(b"x", ("192.0.2.1", 9))


def test_this_machine_is_reached() -> None:
    """A guard that stops loopback would stop tests with a local server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_a_unix_socket_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index host listens on one."""
    monkeypatch.chdir(tmp_path)  # its path may be no longer than about 100 bytes
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_no_setting_of_the_machine_reaches_a_test() -> None:
    """A developer's MEMSDK_STORE must not be the store that a test fills and forgets."""
    ours = {name for name in os.environ if name.startswith("MEMSDK_")}
    assert {name for name in ours if not name.startswith(("MEMSDK_TEST_", "MEMSDK_SHARED_DATA"))} == set()
