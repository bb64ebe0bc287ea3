"""A local HTTP server with OpenAI's chat completions, whose replies a function writes. It listens on the loopback only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from memsdk.testing.loopback import LoopbackHandler, LoopbackServer

Reply = Callable[[str], object]
"""A prompt to what the model says; what is no text comes as the message's content all the same."""


class ChatServer(LoopbackServer):
    """The running server; `requests` is what it was sent."""

    def __init__(self, reply: Reply, *, status: int = 200, delay_s: float = 0.0) -> None:
        """Args: `status` is that of every answer, `delay_s` how long it is kept back."""
        self.reply, self.status, self.delay_s = reply, status, delay_s
        self.requests: list[dict[str, Any]] = []
        super().__init__(_Handler)


class _Handler(LoopbackHandler[ChatServer]):
    """One request."""

    def respond(self, body: dict[str, Any]) -> None:
        """The models, of which there is one; or a chat completion."""
        if self.command == "GET":
            self._answer({"data": [{"id": "scripted"}]})
            return
        self.owner.requests.append({**body, "authorization": self.headers["Authorization"]})
        time.sleep(self.owner.delay_s)
        content = self.owner.reply(str(body["messages"][-1]["content"]))
        self._answer({"choices": [{"message": {"role": "assistant", "content": content}}]})

    def _answer(self, plain: object) -> None:
        self.send(json.dumps(plain).encode(), status=self.owner.status, headers={})
