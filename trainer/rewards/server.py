"""A language model behind an OpenAI-compatible server, asked once what it can do: score prompts, or only rank.

vLLM gives a prompt's log-probabilities by `prompt_logprobs`, others by `echo`; SGLang by `/generate`, which reuses the
prompt's cache up to `logprob_start_len`. Token ids are sent, never text: the boundary is then the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from memsdk.endpoints import Endpoint, Json, NotOfferedError, endpoint
from memsdk.errors import RewardServerError
from memsdk.ports import LogProb
from memsdk.trainer.rewards.labels import LabelRanker
from memsdk.trainer.rewards.port import Ids, Job, Ranker, Sampling, Scorer

AT_ONCE = 8  # requests in flight: servers batch what comes together


class _Tokens(Protocol):
    """Texts to ids: by a tokenizer on this machine, or by the server's."""

    def prompt_ids(self, text: str) -> Ids:
        """A prompt's."""

    def output_ids(self, text: str) -> Ids:
        """An output's."""

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first or last tokens."""


PromptLogProbs = Callable[[Endpoint, str, Ids, int], list[float]]
"""Endpoint, model, ids and a start to the log-probabilities of ids[start:]."""


def connect(
    url: str,
    *,
    model: str | None = None,
    tokenizer: Path | None = None,
    chat: bool = False,
    api_key: str | None = None,
    timeout_s: float = 60.0,
) -> Scorer | Ranker:
    """The best use that can be made of the server at this address.

    Args:
        url: with or without `/v1`.
        model: which of its models; its first by default.
        tokenizer: a folder with its tokenizer; without one the server is asked for token ids.
        chat: put prompts into the tokenizer's chat template (needs `tokenizer`).
        api_key: sent as a bearer token.
        timeout_s: how long one answer may take.

    Raises:
        RewardServerError: it can't be reached, or can neither score nor rank.
    """
    place = endpoint(url, api_key=api_key, timeout_s=timeout_s)
    name = model or _first_model(place)
    tokens = _tokens(place, name, tokenizer=tokenizer, chat=chat)
    if tokens is not None:
        probe = tokens.output_ids("a b")
        for way, ask in WAYS.items():
            if _can(ask, place, name, probe):
                identity = f"server {way} {name} {'chat' if chat else 'plain'}"
                return ServerModel(place, name, tokens=tokens, ask=ask, identity=identity)
    ranker = LabelRanker(place, name)
    try:
        ranker.rank("Two and two are", [" four", " Paris"])
    except RewardServerError as error:
        lacks = (
            ""
            if tokens
            else " (and it has no /tokenize, so name its tokenizer with server_tokenizer, --tokenizer)"
        )
        raise RewardServerError(
            f"{place.base} can neither give a prompt's log-probabilities{lacks} nor top_logprobs of a reply: {error};"
            " use vLLM, SGLang, or a server whose chat completions have top_logprobs"
        ) from error
    return ranker


class ServerModel:
    """Implements Scorer over HTTP."""

    def __init__(
        self, place: Endpoint, model: str, *, tokens: _Tokens, ask: PromptLogProbs, identity: str
    ) -> None:
        """Args: `ask` is the way that the probe found."""
        self._place, self._model, self._tokens, self._ask = place, model, tokens, ask
        self.identity = identity

    def prompt_ids(self, text: str) -> Ids:
        """A prompt's tokens."""
        return self._tokens.prompt_ids(text)

    def output_ids(self, text: str) -> Ids:
        """An output's tokens, by themselves."""
        return self._tokens.output_ids(text)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first or last tokens of a text, as text."""
        return self._tokens.cut(text, most=most, from_end=from_end)

    def score(self, jobs: Sequence[Job]) -> list[list[LogProb]]:
        """A request a pair, several at once; outputs of one prompt follow each other, for the server's prefix cache."""

        def one(pair: tuple[Ids, Ids]) -> LogProb:
            prompt, output = pair
            values = self._ask(self._place, self._model, prompt + output, len(prompt))
            return LogProb(sum(values), len(output))

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            values = pool.map(one, [(job.prompt, output) for job in jobs for output in job.outputs])
            return [[next(values) for _ in job.outputs] for job in jobs]

    def sample(self, prompt: Ids, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """Draw outputs by `/v1/completions`; whether a seed repeats is up to the server."""
        answer = self._place.post("/v1/completions", {
            "model": self._model, "prompt": list(prompt), "n": count, "temperature": sampling.temperature,
            "top_p": sampling.top_p, "max_tokens": sampling.max_tokens, "seed": seed,
        })  # fmt: skip
        choices = _listed(answer, "choices")
        if len(choices) != count:
            raise RewardServerError(f"{self._place.base} drew {len(choices)} outputs, {count} were asked for")
        return [until(_text(choice), sampling.stop) for choice in choices]


def until(text: str, stop: str) -> str:
    """The text before the stop, without space around it; line ends before the first word are no stop."""
    text = text.strip()
    return text.partition(stop)[0].strip() if stop else text


def _sglang(place: Endpoint, model: str, ids: Ids, start: int) -> list[float]:
    answer = place.post("/generate", {
        "input_ids": list(ids), "sampling_params": {"max_new_tokens": 1, "temperature": 0.0},
        "return_logprob": True, "logprob_start_len": start - 1,  # the value at the start itself is null
    })  # fmt: skip
    meta = answer.get("meta_info")
    entries = _listed(meta, "input_token_logprobs") if isinstance(meta, Mapping) else []
    found = entries[1:] if len(entries) == len(ids) - start + 1 else entries[-(len(ids) - start) :]
    values = [entry[0] if isinstance(entry, list) and entry else None for entry in found]
    tokens = [entry[1] if isinstance(entry, list) and len(entry) > 1 else None for entry in found]
    if tokens != list(ids[start:]):
        raise UnfitAnswerError(
            f"{place.base}: the log-probabilities are of {len(tokens)} other tokens than the {len(ids) - start} of the"
            " output; its tokenizer or version is not what was expected"
        )
    return _numbers(values, len(ids) - start, place)


def _prompt_logprobs(place: Endpoint, model: str, ids: Ids, start: int) -> list[float]:
    answer = place.post("/v1/completions", {
        "model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0,
    })  # fmt: skip
    choice = _first(answer)
    entries = _listed(choice, "prompt_logprobs")
    if len(entries) != len(ids):
        raise _wrong_length(place, len(entries), len(ids))
    values: list[JsonValue] = []
    for token, entry in zip(ids[start:], entries[start:], strict=True):
        one = entry.get(str(token)) if isinstance(entry, Mapping) else None
        values.append(one.get("logprob") if isinstance(one, Mapping) else None)
    return _numbers(values, len(ids) - start, place)


def _echo(place: Endpoint, model: str, ids: Ids, start: int) -> list[float]:
    answer = place.post("/v1/completions", {
        "model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1,
    })  # fmt: skip
    choice = _first(answer)
    told = choice.get("logprobs")
    entries = _listed(told, "token_logprobs") if isinstance(told, Mapping) else []
    if len(entries) not in (len(ids), len(ids) + 1):  # with or without the one token that was generated
        raise _wrong_length(place, len(entries), len(ids))
    return _numbers(entries[start : len(ids)], len(ids) - start, place)


WAYS: Mapping[str, PromptLogProbs] = {
    "sglang": _sglang,
    "vllm-prompt-logprobs": _prompt_logprobs,
    "echo": _echo,
}
"""In the order in which they are tried: SGLang's reuses the prompt's cache, vLLM's does not read its own."""


@dataclass(frozen=True, slots=True)
class ServerTokens:
    """Token ids from the server's own `/tokenize`."""

    place: Endpoint
    model: str

    def prompt_ids(self, text: str) -> Ids:
        """With the server's first special token."""
        return self._ids(text, special=True)

    def output_ids(self, text: str) -> Ids:
        """Without any."""
        return self._ids(text, special=False)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """By characters, in proportion, until it fits: the server makes no text of ids."""
        while len(text.encode("utf-8", "surrogatepass")) > most:
            count = len(self._ids(text, special=False))
            if count <= most:
                break
            keep = max(1, min(len(text) - 1, len(text) * most // count))
            text = text[-keep:] if from_end else text[:keep]
        return text

    def _ids(self, text: str, *, special: bool) -> Ids:
        answer = self.place.post(
            "/tokenize", {"model": self.model, "prompt": text, "add_special_tokens": special}
        )
        ids = _listed(answer, "tokens")
        if not all(isinstance(each, int) for each in ids):
            raise RewardServerError(f"{self.place.base}/tokenize gave no token ids")
        return tuple(each for each in ids if isinstance(each, int))


def _tokens(place: Endpoint, model: str, *, tokenizer: Path | None, chat: bool) -> _Tokens | None:
    if tokenizer is not None:
        from memsdk.trainer.rewards.tokens import Tokens

        return Tokens(tokenizer, chat=chat)
    served = ServerTokens(place, model)
    try:
        ids = served.output_ids("a b")
    except NotOfferedError:
        return None
    return served if ids else None


def _first_model(place: Endpoint) -> str:
    models = _listed(place.get("/v1/models"), "data")
    first = models[0] if models else None
    name = first.get("id") if isinstance(first, Mapping) else None
    if not isinstance(name, str):
        raise RewardServerError(f"{place.base}/v1/models names no model; say which one with server_model")
    return name


def _can(ask: PromptLogProbs, place: Endpoint, model: str, ids: Ids) -> bool:
    """Whether the server answers this way. One that is down or busy is an error, not a no."""
    try:
        return len(ask(place, model, ids, 1)) == len(ids) - 1
    except NotOfferedError:
        return False
    except UnfitAnswerError:
        return False


class UnfitAnswerError(RewardServerError):
    """An answer came, but lacks what was asked for: the field was ignored, or is of another length."""


def _wrong_length(place: Endpoint, got: int, expected: int) -> UnfitAnswerError:
    return UnfitAnswerError(
        f"{place.base} gave log-probabilities of {got} tokens, {expected} were sent; is another proxy or model answering?"
    )


def _numbers(values: Sequence[JsonValue], count: int, place: Endpoint) -> list[float]:
    numbers = [
        float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if len(numbers) != count or len(values) != count:
        raise UnfitAnswerError(f"{place.base} gave {len(numbers)} log-probabilities, {count} were expected")
    return numbers


def _first(answer: Json) -> Json:
    choices = _listed(answer, "choices")
    first = choices[0] if choices else None
    return first if isinstance(first, Mapping) else {}


def _listed(answer: Json, name: str) -> list[JsonValue]:
    found = answer.get(name)
    return found if isinstance(found, list) else []


def _text(choice: JsonValue) -> str:
    text = choice.get("text") if isinstance(choice, Mapping) else None
    return text if isinstance(text, str) else ""
