"""Ranking by a chat model that gives no prompt log-probabilities: the outputs get letters, and the model names one.

The log-probabilities of the letters (`top_logprobs`) order all outputs in one call. Models prefer some letters, so
the outputs are shuffled and asked about again the other way round. It measures what the model recognises as the right
reply, rather than what it would say.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from hashlib import sha256

from pydantic import JsonValue

from memsdk.endpoints import Endpoint, Json
from memsdk.errors import InvalidInputError, RewardServerError
from memsdk.trainer.rewards.port import Sampling

MOST_OUTPUTS = 20  # top_logprobs ends there
UNSEEN = 1.0  # nats below the least likely letter that was named, for those that were not
CHARS_A_TOKEN = 4  # a limit of length, not a count: the server cuts nothing and has no tokenizer for us


class LabelRanker:
    """Implements Ranker over HTTP."""

    def __init__(self, place: Endpoint, model: str, *, orders: int = 2) -> None:
        """Args: `orders` is how many arrangements of the letters are averaged over."""
        if orders < 1:
            raise InvalidInputError(f"orders is {orders}, expected 1 or more")
        self._place, self._model, self._orders = place, model, orders

    @property
    def identity(self) -> str:
        """The model's name and how it is asked."""
        return f"server labels {self._model} orders={self._orders}"

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """By characters: about four make a token."""
        keep = most * CHARS_A_TOKEN
        return text if len(text) <= keep else text[-keep:] if from_end else text[:keep]

    def rank(self, prompt: str, outputs: Sequence[str]) -> list[float]:
        """The mean log-probability of each output's letter over the arrangements.

        Raises:
            InvalidInputError: there are more outputs than letters that a server tells of.
            RewardServerError: the server gives no top_logprobs.
        """
        if not 2 <= len(outputs) <= MOST_OUTPUTS:
            raise InvalidInputError(
                f"{len(outputs)} outputs to rank, expected 2 to {MOST_OUTPUTS}; lower samples"
            )
        totals = [0.0] * len(outputs)
        orders = self._arrangements(prompt, len(outputs))
        for order in orders:
            values = self._letters(prompt, [outputs[number] for number in order])
            for number, value in zip(order, values, strict=True):
                totals[number] += value / len(orders)
        return totals

    def sample_text(self, prompt: str, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """Draw replies to the prompt."""
        answer = self._ask(
            prompt,
            {"n": count, "temperature": sampling.temperature, "top_p": sampling.top_p,
             "max_tokens": sampling.max_tokens, "seed": seed},
        )  # fmt: skip
        choices = answer.get("choices")
        messages = (
            [one.get("message") for one in choices if isinstance(one, Mapping)]
            if isinstance(choices, list)
            else []
        )
        texts = [one.get("content") for one in messages if isinstance(one, Mapping)]
        found = [
            text.strip().partition(sampling.stop or "\0")[0].strip()
            for text in texts
            if isinstance(text, str)
        ]
        if not found:
            raise RewardServerError(f"{self._place.base} drew no reply where {count} were asked for")
        return found

    def _arrangements(self, prompt: str, count: int) -> list[list[int]]:
        """Shuffled by the prompt, and each also backwards, so that first letters become last."""
        draw = random.Random(sha256(prompt.encode("utf-8", "surrogatepass")).digest())  # noqa: S311 -- no secret
        orders: list[list[int]] = []
        while len(orders) < self._orders:
            order = draw.sample(range(count), count)
            orders += [order, order[::-1]]
        return orders[: self._orders]

    def _letters(self, prompt: str, outputs: Sequence[str]) -> list[float]:
        letters = string.ascii_uppercase[: len(outputs)]
        listed = "\n".join(
            f"{letter}. {output.strip()}" for letter, output in zip(letters, outputs, strict=True)
        )
        question = (
            f"{prompt.rstrip()}\n\nWhich of these is the right reply?\n{listed}\n\nAnswer with one letter."
        )
        answer = self._ask(
            question, {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": MOST_OUTPUTS}
        )
        top = _top(answer)
        if not top:
            raise RewardServerError(f"{self._place.base} answers without top_logprobs")
        named: dict[str, float] = {}
        for token, value in top:
            letter = token.strip().strip(".():").upper()
            if len(letter) == 1 and letter in letters:
                named[letter] = max(value, named.get(letter, value))
        least = min(named.values() or [value for _, value in top]) - UNSEEN
        return [named.get(letter, least) for letter in letters]

    def _ask(self, text: str, options: Json) -> Json:
        messages: list[JsonValue] = [{"role": "user", "content": text}]
        return self._place.post(
            "/v1/chat/completions", {"model": self._model, "messages": messages, **options}
        )


def _top(answer: Json) -> list[tuple[str, float]]:
    """The first token's alternatives of a chat completion."""
    node: JsonValue = answer.get("choices")
    for step in (0, "logprobs", "content", 0, "top_logprobs"):
        if isinstance(node, list) and isinstance(step, int) and node:
            node = node[step]
        elif isinstance(node, Mapping) and isinstance(step, str):
            node = node.get(step)
        else:
            return []
    found = []
    for entry in node if isinstance(node, list) else []:
        token = entry.get("token") if isinstance(entry, Mapping) else None
        value = entry.get("logprob") if isinstance(entry, Mapping) else None
        if isinstance(token, str) and isinstance(value, int | float):
            found.append((token, float(value)))
    return found
