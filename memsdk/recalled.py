"""`Recall`: what one query found, best first, and how it is rendered into a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import overload
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from memsdk.errors import InvalidInputError
from memsdk.models import Hit, Kind
from memsdk.ports import TokenCounter
from memsdk.rendering import Count, fit, fit_sections, layout


class Recall(BaseModel):
    """One answered query: a sequence of hits, best first; over several shelves, best first within each kind.

    Attributes:
        id: what `feedback` refers to.
        budget: tokens by kind, for `render`.
        embed_s: seconds that embedding the query took; the rest of `total_s` is memsdk's own.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    query: str
    hits: tuple[Hit, ...]
    at: datetime
    query_version: str
    max_tokens: int | None = None
    budget: dict[Kind, int] = Field(default_factory=dict)
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
        fits it is cut at a word; a budget of 0 or less gives an empty text. Of a recall with a `budget` each kind keeps
        to its share of the tokens, too. Tokens are counted with tiktoken (offline; see the `tokenizer` setting) or `counter`.
        """
        budget = self.max_tokens if max_tokens is None else max_tokens
        if budget is None:
            return self._whole((counter or counter_of(self.tokenizer)).count if self.budget else len)
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise InvalidInputError(f"max_tokens is {budget!r:.40}, expected a whole number")
        if budget <= 0 or not self.hits:
            return ""
        return self._fitted(budget, (counter or counter_of(self.tokenizer)).count)

    def _whole(self, count: Count) -> str:
        """All of it; a recall of one shelf has its own way."""
        if self.budget:
            return fit_sections(self.hits, shares=self.budget, total=None, count=count)
        return layout(self.hits)

    def _fitted(self, budget: int, count: Count) -> str:
        """What fits; a recall of one shelf has its own way."""
        if self.budget:
            return fit_sections(self.hits, shares=self.budget, total=budget, count=count)
        return fit(self.hits, budget=budget, count=count)


@cache
def counter_of(tokenizer: str) -> TokenCounter:
    """The counter of that name, loaded once."""
    from memsdk import wiring  # the one place that names concrete classes

    return wiring.token_counter(tokenizer)
