"""What holds for every test: no network, no settings of the machine, few threads, repeatable random choices."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY: Final = Path(__file__).parents[1]
KEPT: Final = ("MEMSDK_TEST_", "MEMSDK_SHARED_DATA")  # what may be said to the tests themselves
GUARDED: Final = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo")


class NetworkUsedError(AssertionError):
    """A test, or what it tests, tried to reach another machine."""


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook that lets through Unix sockets and this machine, and nothing else.

    It sees Python's own sockets in this process. Subprocesses inherit HF_HUB_OFFLINE, and no more.
    """
    if event not in GUARDED:
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    is_path = isinstance(address, str | bytes) and event != "socket.getaddrinfo"  # a Unix socket
    host = address[0] if isinstance(address, tuple) and address else address
    if not is_path and not _is_this_machine(host):
        raise NetworkUsedError(f"{event} to {host!r}: tests stay on this machine")


def _is_this_machine(host: object) -> bool:
    if host is None or host in ("", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def pytest_configure() -> None:
    """Before anything of ours, or torch, is imported."""
    for name in [name for name in os.environ if name.startswith("MEMSDK_") and not name.startswith(KEPT)]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # subprocesses would compile all of memsdk, each time
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # torch reads it; on a busy machine one thread is the fastest
    sys.addaudithook(refuse_network)


settings.register_profile(
    "memsdk",
    deadline=None,  # a busy machine is no failure
    derandomize=True,  # the same examples every time
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("memsdk")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The evaluation data, which is not part of the repository; the test is skipped where it is not there."""
    named = os.environ.get("MEMSDK_SHARED_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set MEMSDK_SHARED_DATA to its folder")
    return folder
