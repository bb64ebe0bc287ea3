"""A local HTTP server for tests, on the loopback only: what starts and ends it, and how it reads and answers a request."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Owner = TypeVar("Owner", bound="LoopbackServer")


class LoopbackServer:
    """A context manager around the running server; `url` is its address."""

    def __init__(self, handler: type[LoopbackHandler[Any]]) -> None:
        """Args: `handler` answers the requests, with this server as its owner."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LoopbackHandler(BaseHTTPRequestHandler, ABC, Generic[Owner]):
    """One request to its owner."""

    def __init__(self, owner: Owner, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer what has no body."""
        self.respond({})

    def do_POST(self) -> None:
        """Answer a body."""
        self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    @abstractmethod
    def respond(self, body: dict[str, Any]) -> None:
        """Answer, by `send` or not at all; `body` is empty for a GET."""

    def send(self, raw: bytes, *, status: int, headers: Mapping[str, str]) -> None:
        """Answer, unless the client gave up, as a test may want."""
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except ConnectionError:
            pass
