"""Solved examples as few-shot prompts: text or messages, the most similar last, within a budget. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memsdk.models import Record

MESSAGE_TOKENS = 4
"""What a chat format adds to a message's own tokens, at most (role and separators)."""

ChatMessages = list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One solved example."""

    input: str
    output: str
    instruction: str | None = None

    @property
    def text(self) -> str:
        """As a block of a prompt."""
        return f"Input: {self.input}\nOutput: {self.output}"

    @property
    def question(self) -> str:
        """As what a user says, with its own instruction before it."""
        return f"{self.instruction}\n\n{self.input}" if self.instruction else self.input


def shot_of(record: Record) -> Shot:
    """The example that a record holds; one without its parts (an edited import) is all input."""
    parts = {name: record.data.get(name) for name in ("input", "output", "instruction")}
    given, solved, told = (value if isinstance(value, str) else None for value in parts.values())
    return Shot(input=given or record.text, output=solved or "", instruction=told)


def as_text(shots: Sequence[Shot]) -> str:
    """The examples, given best first, as text with the best last; an instruction is said where it changes."""
    blocks: list[str] = []
    said: str | None = None
    for shot in reversed(shots):
        if shot.instruction and shot.instruction != said:
            blocks.append(shot.instruction)
        said = shot.instruction or said
        blocks.append(shot.text)
    return "\n\n".join(blocks)


def as_messages(shots: Sequence[Shot]) -> ChatMessages:
    """The examples, given best first, as turns of a chat with the best last.

    An instruction that all of them share is one system message; others stand before their own input.
    """
    instructions = {shot.instruction for shot in shots}
    shared = next(iter(instructions)) if len(instructions) == 1 else None
    messages: ChatMessages = [{"role": "system", "content": shared}] if shared else []
    for shot in reversed(shots):
        messages.append({"role": "user", "content": shot.input if shared else shot.question})
        messages.append({"role": "assistant", "content": shot.output})
    return messages


def fitting(
    shots: Sequence[Shot], *, budget: int | None, cost: Callable[[Sequence[Shot]], int]
) -> list[Shot]:
    """As many of the best as fit together: the first that does not, and all that are less alike, are left out.

    Args:
        shots: best first.
        cost: the tokens of these examples together; more examples never cost less.
    """
    if budget is None:
        return list(shots)
    fits, too_many = 0, len(shots) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if cost(shots[:middle]) <= budget:
            fits = middle
        else:
            too_many = middle
    return list(shots[:fits])
