"""A local HTTP server with OpenAI's chat completions, whose replies a function writes. It listens on the loopback only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Reply = Callable[[str], object]
"""A prompt to what the model says; what is no text comes as the message's content all the same."""


class ChatServer:
    """A context manager around the running server; `url` is its address, `requests` what it was sent."""

    def __init__(self, reply: Reply, *, status: int = 200, delay_s: float = 0.0) -> None:
        """Args: `status` is that of every answer, `delay_s` how long it is kept back."""
        self.reply, self.status, self.delay_s = reply, status, delay_s
        self.requests: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
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


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    def __init__(self, owner: ChatServer, *arguments: Any) -> None:
        self._owner = owner
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The models, of which there is one."""
        self._send({"data": [{"id": "scripted"}]})

    def do_POST(self) -> None:
        """A chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._owner.requests.append({**body, "authorization": self.headers["Authorization"]})
        time.sleep(self._owner.delay_s)
        content = self._owner.reply(str(body["messages"][-1]["content"]))
        self._send({"choices": [{"message": {"role": "assistant", "content": content}}]})

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def _send(self, plain: object) -> None:
        raw = json.dumps(plain).encode()
        try:
            self.send_response(self._owner.status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except ConnectionError:
            pass  # the client gave up, as a test wanted
