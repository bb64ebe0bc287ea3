"""An agent that remembers, learns from examples and finds its tools: one loop against any OpenAI-compatible server.

    python examples/agent.py http://localhost:8000/v1 MODEL

It needs memsdk and the standard library. The server's key, if it wants one, is read from OPENAI_API_KEY.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memsdk import Memory, NotFoundError, Record
from memsdk.scoped import ScopedMemory

Message = dict[str, object]
STEPS = 5
SHELVES = {"memory": 400, "document": 600, "example": 400}
"""What is recalled into the prompt, and how many tokens each kind may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An OpenAI-compatible server: llama.cpp, vLLM, Ollama, a hosted one."""

    url: str
    model: str
    key: str = ""

    def answer(self, messages: list[Message], tools: list[dict[str, object]]) -> Message:
        """The assistant's next message: words, or tool calls."""
        body: dict[str, object] = {"model": self.model, "messages": messages}
        if tools:
            body["tools"] = tools
        request = urllib.request.Request(  # noqa: S310 -- the address is the user's own
            f"{self.url.rstrip('/')}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
            message: Message = json.load(response)["choices"][0]["message"]
        return message


@dataclass(slots=True, kw_only=True)
class Agent:
    """One user's agent in one session."""

    memory: Memory
    server: Server
    functions: Mapping[str, Callable[..., object]]
    user_id: str
    session_id: str

    def turn(self, said: str) -> str:
        """Answer the user: recall, ask, call tools as long as the model wants to, remember."""
        view = self.memory.scoped(user_id=self.user_id, session_id=self.session_id)
        earlier: list[Message] = [
            {"role": record.role or "user", "content": record.text} for record in self._said_before(view)
        ]
        recall = view.recall(said, kinds=list(SHELVES), budget=SHELVES, k=4, history=earlier or None)
        tools = view.tools.recall(said, k=4)
        messages: list[Message] = [
            {"role": "system", "content": f"Answer briefly. What you know:\n\n{recall.render()}"},
            *earlier,
            {"role": "user", "content": said},
        ]
        answer = self._answer(messages, tools.as_openai() if tools else [])
        view.remember([{"role": "user", "content": said}, {"role": "assistant", "content": answer}])
        self.memory.feedback(recall, output=answer)
        return answer

    def _said_before(self, view: ScopedMemory) -> list[Record]:
        """The last turns of this session; none in a new one."""
        try:
            return view.sessions.transcript(self.session_id, last=6)
        except NotFoundError:
            return []

    def _answer(self, messages: list[Message], tools: list[dict[str, object]]) -> str:
        """Ask until there are words; every tool call is answered with what its function returns."""
        for _ in range(STEPS):
            message = self.server.answer(messages, tools)
            calls = message.get("tool_calls")
            if not isinstance(calls, list) or not calls:
                return str(message["content"])
            messages.append(message)
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": self._called(call["function"])}
                for call in calls
            ]
        return "I could not finish this."

    def _called(self, call: Mapping[str, str]) -> str:
        """What the function says; the model is told of a mistake, and may mend it."""
        function = self.functions.get(call["name"])
        if function is None:
            return f"there is no tool {call['name']}"
        try:
            return json.dumps(function(**json.loads(call["arguments"])))
        except (TypeError, ValueError) as error:
            return f"{call['name']} can't be called like that: {error}"


def weather(city: str, day: str = "today") -> str:
    """Say what the weather in a city will be.

    Args:
        city: its name.
        day: such as today or Friday.
    """
    return f"rain in {city} {day}"


def main() -> None:
    """Talk with the agent on the terminal."""
    url, model = sys.argv[1:3]
    server = Server(url=url, model=model, key=os.environ.get("OPENAI_API_KEY", ""))
    with Memory.open("agent-memory") as memory:
        memory.tools.add(weather)
        agent = Agent(
            memory=memory, server=server, functions={"weather": weather}, user_id="me", session_id="terminal"
        )
        while said := input("> ").strip():
            print(agent.turn(said))


if __name__ == "__main__":
    main()
