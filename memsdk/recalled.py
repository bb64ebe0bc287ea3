"""`Recall`: what one query found, best first, and how it is rendered into a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import overload
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from memsdk.errors import InvalidInputError
from memsdk.fewshot import shot_of
from memsdk.models import Hit, Kind
from memsdk.ports import TokenCounter
from memsdk.shelf_texts import tool_signature

Count = Callable[[str], int]
"""The number of tokens of a text."""

HEADINGS = {
    Kind.MEMORY: "Memories",
    Kind.DOCUMENT: "Documents",
    Kind.EXAMPLE: "Examples",
    Kind.TOOL: "Tools",
    Kind.PASSAGE: "Passages",
}


class Recall(BaseModel):
    """One answered query: a sequence of hits, best first.

    Attributes:
        id: what `feedback` refers to.
        embed_s: seconds that embedding the query took; the rest of `total_s` is memsdk's own.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    query: str
    hits: tuple[Hit, ...]
    at: datetime
    query_version: str
    max_tokens: int | None = None
    tokenizer: str = "cl100k_base"
    embed_s: float = 0.0
    total_s: float = 0.0

    def __iter__(self) -> Iterator[Hit]:  # type: ignore[override]  # a recall is its hits, not its fields
        """The hits, best first."""
        return iter(self.hits)

    def __len__(self) -> int:
        """How many hits there are."""
        return len(self.hits)

    def __bool__(self) -> bool:
        """True where something was found."""
        return bool(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        """A hit by rank, from 0."""
        return self.hits[index]

    def render(self, max_tokens: int | None = None, *, counter: TokenCounter | None = None) -> str:
        """The hits as text for a prompt, best first, a heading a kind, never above `max_tokens`.

        A hit that does not fit is left out, and smaller ones after it are still tried; where not even the best one
        fits it is cut at a word; a budget of 0 or less gives an empty text. Tokens are counted with tiktoken (offline; see the `tokenizer` setting) or `counter`.
        """
        budget = self.max_tokens if max_tokens is None else max_tokens
        if budget is None:
            return self._whole()
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise InvalidInputError(f"max_tokens is {budget!r:.40}, expected a whole number")
        if budget <= 0 or not self.hits:
            return ""
        return self._fitted(budget, (counter or counter_of(self.tokenizer)).count)

    def _whole(self) -> str:
        """All of it; a recall of one shelf has its own way."""
        return _layout(self.hits)

    def _fitted(self, budget: int, count: Count) -> str:
        """What fits; a recall of one shelf has its own way."""
        return _fit(self.hits, budget=budget, count=count)


def _fit(hits: tuple[Hit, ...], *, budget: int, count: Count) -> str:
    chosen: list[Hit] = []
    used = 0
    for hit in hits:
        cost = count(_line(hit)) + 1  # its newline
        if used + cost > budget:
            continue
        chosen.append(hit)
        used += cost
    while chosen and count(_layout(tuple(chosen))) > budget:  # headings count too
        chosen.pop()
    return _layout(tuple(chosen)) if chosen else cut_words(_line(hits[0]), budget=budget, count=count)


def cut_words(text: str, *, budget: int, count: Count) -> str:
    """The longest run of whole words, from the first one, that fits."""
    words = text.split(" ")
    fits, too_many = 0, len(words) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(" ".join(words[:middle])) <= budget:
            fits = middle
        else:
            too_many = middle
    return " ".join(words[:fits])


def _layout(hits: tuple[Hit, ...]) -> str:
    kinds = dict.fromkeys(hit.kind for hit in hits)
    blocks = [[f"## {HEADINGS[kind]}", *(_line(hit) for hit in hits if hit.kind is kind)] for kind in kinds]
    return "\n\n".join("\n".join(block) for block in blocks)


def _line(hit: Hit) -> str:
    if hit.kind is Kind.DOCUMENT:
        where = " > ".join(part for part in (hit.title, *hit.section) if part)
        return f"- [{where}] {hit.text}" if where else f"- {hit.text}"
    if hit.kind is Kind.TOOL:
        return f"- {tool_signature(hit)}"
    if hit.kind is Kind.EXAMPLE:
        return f"- {shot_of(hit).text}"
    speaker = hit.name or hit.role
    said = f"{speaker}: {hit.text}" if speaker else hit.text
    return f"- ({hit.occurred_at:%Y-%m-%d}) {said}"


@cache
def counter_of(tokenizer: str) -> TokenCounter:
    """The counter of that name, loaded once."""
    from memsdk import wiring  # the one place that names concrete classes

    return wiring.token_counter(tokenizer)
