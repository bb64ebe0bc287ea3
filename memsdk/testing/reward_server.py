"""A local HTTP server that speaks as vLLM, SGLang and OpenAI's do, answers from a real small model, and fails on demand.

It computes everything by the model's plain forward pass, so that clients are checked against something else than
memsdk's own scorer. It listens on the loopback interface only.
"""

from __future__ import annotations

import json
import string
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memsdk.testing.loopback import LoopbackHandler, LoopbackServer

Body = Mapping[str, Any]  # JSON, as it came
ALL = frozenset({"sglang", "prompt_logprobs", "echo", "tokenize", "chat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the next answer is spoilt with.

    Attributes:
        status: an error code instead of an answer.
        retry_after: the header's value with it.
        delay_s: how long the answer is kept back.
        cut: half of the JSON is sent.
        drop: leave out the last of the log-probabilities.
        close: close the connection without a word.
    """

    status: int | None = None
    retry_after: str | None = None
    delay_s: float = 0.0
    cut: bool = False
    drop: bool = False
    close: bool = False


class RewardServer(LoopbackServer):
    """The running server."""

    def __init__(self, folder: Path, *, speaks: frozenset[str] = ALL, spells: bool = False) -> None:
        """Load the model in a transformers folder.

        Args:
            folder: a causal language model with its tokenizer.
            speaks: what the server can do, of `ALL`; other requests are refused or the field is ignored, as real ones do.
            spells: alternatives are capital letters only, as of a model that answers with one when it is told to.
        """
        self._spells = spells
        self.speaks = speaks
        self.faults: deque[Fault] = deque()
        self.paths: list[str] = []
        self._model = AutoModelForCausalLM.from_pretrained(
            str(folder), local_files_only=True, dtype=torch.float32
        ).eval()  # type: ignore[no-untyped-call]  # torch's own
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._lock = threading.Lock()
        super().__init__(_Handler)
        self._server.daemon_threads = (
            False  # closing waits for them: torch must not be at work when Python ends
        )

    def answer(self, path: str, body: Body, *, drop: bool) -> tuple[int, Body]:
        """Status and JSON for a request."""
        with self._lock:
            if path == "/v1/models":
                return 200, {"data": [{"id": "tiny"}]}
            if path == "/tokenize" and "tokenize" in self.speaks:
                ids = self._tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"])
                return 200, {"tokens": ids, "count": len(ids)}
            if path == "/generate" and "sglang" in self.speaks:
                return 200, self._generate(body, drop=drop)
            if path == "/v1/completions" and self.speaks & {"sglang", "prompt_logprobs", "echo"}:
                return 200, self._complete(body, drop=drop)
            if path == "/v1/chat/completions" and "chat" in self.speaks:
                return 200, self._chat(body)
        return 404, {"error": f"no {path} here"}

    def _logprobs(self, ids: list[int]) -> torch.Tensor:
        """[L, V]: row n is of the token at n + 1."""
        with torch.inference_mode():
            found: torch.Tensor = self._model(torch.tensor([ids])).logits[0].double().log_softmax(1)
        return found

    def _prompt_values(self, ids: list[int]) -> list[float]:
        """Of each token but the first."""
        table = self._logprobs(ids)
        return [table[at, token].item() for at, token in enumerate(ids[1:])]

    def _generate(self, body: Body, *, drop: bool) -> Body:
        ids, start = body["input_ids"], body["logprob_start_len"]
        values: list[float | None] = [None, *self._prompt_values(ids)]
        entries = [[values[at] if at > start else None, ids[at], None] for at in range(start, len(ids))]
        return {"text": "", "meta_info": {"input_token_logprobs": entries[:-1] if drop else entries}}

    def _complete(self, body: Body, *, drop: bool) -> Body:
        ids = body["prompt"]
        texts = self._drawn(ids, body) if body.get("n") else [""]
        choices: list[dict[str, Any]] = [{"index": n, "text": text} for n, text in enumerate(texts)]
        values = self._prompt_values(ids)
        if "prompt_logprobs" in body and "prompt_logprobs" in self.speaks:
            told = [{str(token): {"logprob": value}} for token, value in zip(ids[1:], values, strict=True)]
            choices[0]["prompt_logprobs"] = [None, *(told[:-1] if drop else told)]
        if body.get("echo") and "echo" in self.speaks:
            choices[0]["logprobs"] = {"token_logprobs": [None, *(values[:-2] if drop else values), -1.0]}
        return {"choices": choices}

    def _chat(self, body: Body) -> Body:
        ids = self._shown(body["messages"])
        if body.get("n"):
            return {"choices": [{"message": {"content": text}} for text in self._drawn(ids, body)]}
        table = self._logprobs(ids)[-1]
        if self._spells:
            letters = torch.tensor(self._tokenizer.convert_tokens_to_ids(list(string.ascii_uppercase)))
            table = torch.full_like(table, -torch.inf).index_copy(0, letters, table[letters])
        best = table.topk(body["top_logprobs"])
        top = [
            {"token": self._tokenizer.decode([int(token)]), "logprob": value.item()}
            for value, token in zip(best.values, best.indices, strict=True)
        ]
        return {"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}

    def _shown(self, messages: list[dict[str, str]]) -> list[int]:
        """The messages as the model sees them: in its chat template, where it has one."""
        if not self._tokenizer.chat_template:
            return list(self._tokenizer.encode(messages[-1]["content"] + "\n", add_special_tokens=True))
        text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _drawn(self, ids: list[int], body: Body) -> list[str]:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(body["seed"])
            made = self._model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=True, top_k=0,
                num_return_sequences=body["n"], temperature=body["temperature"], top_p=body["top_p"],
                max_new_tokens=body["max_tokens"], pad_token_id=0,
            )  # fmt: skip
        return [
            str(self._tokenizer.decode(row[len(ids) :], skip_special_tokens=True)) for row in made.tolist()
        ]


class _Handler(LoopbackHandler[RewardServer]):
    """One request."""

    def respond(self, body: dict[str, Any]) -> None:
        """What the owner answers, spoilt by its next fault."""
        owner = self.owner
        owner.paths.append(self.path)
        fault = owner.faults.popleft() if owner.faults else Fault()
        time.sleep(fault.delay_s)
        if fault.close:
            self.close_connection = True
            return
        status, plain = (
            (fault.status, {"error": "on demand"})
            if fault.status
            else owner.answer(self.path, body, drop=fault.drop)
        )
        raw = json.dumps(plain).encode()
        self.send(
            raw[: len(raw) // 2] if fault.cut else raw,
            status=status,
            headers={} if fault.retry_after is None else {"retry-after": fault.retry_after},
        )
