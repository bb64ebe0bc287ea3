"""Servers: probed once, scored as the local model scores, and every fault a named error or another try."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memsdk.endpoints import Endpoint, NotOfferedError, _retry_after, endpoint
from memsdk.errors import InvalidInputError, RewardServerError
from memsdk.models import Task
from memsdk.testing.reward_server import ALL, Fault, RewardServer
from memsdk.trainer.rewards.labels import LabelRanker
from memsdk.trainer.rewards.local import LocalModel
from memsdk.trainer.rewards.packed import score_plain
from memsdk.trainer.rewards.port import Job, Sampling, ranks, scores
from memsdk.trainer.rewards.scoring import RewardSettings, score_with_report
from memsdk.trainer.rewards.server import ServerModel, connect
from memsdk.trainer.rows import Candidate, Row

JOB = Job((0, 40, 41, 42), ((43, 44), (45,), (46, 47, 48)))
Serve = Callable[..., RewardServer]


@pytest.fixture
def serve(tiny_llama: Path) -> Iterator[Serve]:
    """Starts servers of the tiny model; all are stopped after the test."""
    running: list[RewardServer] = []

    def start(*speaks: str) -> RewardServer:
        server = RewardServer(tiny_llama, speaks=frozenset(speaks or ALL), spells=True)
        running.append(server.__enter__())
        return server

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("way", ["sglang", "prompt_logprobs", "echo"])
def test_each_way_gives_the_models_own_numbers(serve: Serve, model: LocalModel, way: str) -> None:
    """Off by one token is off by a whole reward, and looks plausible."""
    found = connect(serve(way, "tokenize").url + "/v1")
    assert scores(found)
    assert way.replace("_", "-") in found.identity
    wanted = score_plain(model.model, [JOB], batch_tokens=256)
    for given, expected in zip(found.score([JOB]), wanted, strict=True):
        assert [value.total for value in given] == pytest.approx(
            [value.total for value in expected], abs=1e-4
        )
        assert [value.tokens for value in given] == [2, 1, 3]
    assert found.prompt_ids("ab") == model.prompt_ids("ab")
    assert found.output_ids(" c") == model.output_ids(" c")
    assert found.cut("abcdef", most=3, from_end=True) == "def"


def test_rows_get_the_same_rewards_as_from_the_model_itself(
    serve: Serve, model: LocalModel, tiny_llama: Path
) -> None:
    """Whoever moves the model behind a server must not train on other rewards."""
    candidates = tuple(Candidate(text=text) for text in ("Ana lives in Bergen", "tea"))
    row = Row(id="1", task=Task.QA, query="Where?", output="In Bergen.", candidates=candidates)
    settings = RewardSettings(kind="likelihood", drop_unhelped=False, min_spread=0.0)  # type: ignore[arg-type]  # a StrEnum
    found = connect(serve("prompt_logprobs").url, tokenizer=tiny_llama)
    (remote,), (local,) = (score_with_report([row], one, settings=settings).rows for one in (found, model))
    assert [one.reward for one in remote.candidates] == [
        pytest.approx(one.reward, abs=1e-4) for one in local.candidates
    ]


def test_samples_come_through_completions(serve: Serve) -> None:
    """A rank needs them from the same model."""
    found = connect(serve().url)
    assert scores(found)
    drawn = found.sample((0, 40), count=3, sampling=Sampling(max_tokens=4), seed=1)
    assert len(drawn) == 3
    assert not any("\n" in text for text in drawn)


def test_a_server_without_prompt_logprobs_ranks_by_letters(serve: Serve) -> None:
    """Most hosted models give no more than top_logprobs."""
    found = connect(serve("chat").url)
    assert ranks(found)
    values = found.rank("Where does Ana live?", ["In Bergen", "tea", "at five"])
    assert len(set(values)) == 3
    assert values == found.rank("Where does Ana live?", ["In Bergen", "tea", "at five"])
    candidates = tuple(Candidate(text=text) for text in ("Ana lives in Bergen", "tea"))
    row = Row(id="1", task=Task.QA, query="Where?", output="In Bergen.", candidates=candidates)
    settings = RewardSettings(samples=3, samples_with_candidate=1, sampling=Sampling(max_tokens=5))
    scored = score_with_report([row], found, settings=settings)
    assert scored.report.scored == 1


def test_letters_are_permuted(serve: Serve) -> None:
    """A model that always says A must not put the first output first."""
    server = serve("chat")
    shown: list[str] = []
    place = replace(endpoint(server.url, api_key=None, timeout_s=5.0))
    ranker = LabelRanker(place, "tiny", orders=2)
    preferred = [{"token": "A", "logprob": -0.1}, {"token": " b", "logprob": -2.0}]

    def answer(path: str, body: Mapping[str, Any], *, drop: bool) -> tuple[int, Mapping[str, Any]]:
        """Always prefer A."""
        shown.append(body["messages"][0]["content"])
        return 200, {"choices": [{"logprobs": {"content": [{"top_logprobs": preferred}]}}]}

    server.answer = answer  # type: ignore[method-assign]  # a server of one opinion
    assert ranker.rank("q", ["x", "y"]) == pytest.approx([-1.05, -1.05])
    assert len(set(shown)) == 2


def test_nothing_useful_is_an_error_that_says_what_would_be(serve: Serve) -> None:
    """A server found wanting after a night's collecting is found too late."""
    with pytest.raises(RewardServerError, match="top_logprobs") as raised:
        connect(serve("tokenize").url)
    assert "vLLM" in str(raised.value)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, retry_after="0.01"),
        Fault(status=503),
        Fault(status=500),
        Fault(cut=True),
        Fault(close=True),
        Fault(delay_s=0.6),
    ],
    ids=["429", "503", "500", "truncated", "closed", "slow"],
)
def test_what_passes_is_asked_again(serve: Serve, fault: Fault) -> None:
    """One hiccup must not end a night of scoring; one that lasts must not look like a number."""
    server, slept = serve("prompt_logprobs", "tokenize"), list[float]()
    place = Endpoint(base=server.url, timeout_s=0.3, attempts=3, pause_s=0.02, sleep=slept.append)
    asker = _asker(place)
    wanted = asker.score([JOB])
    server.faults.append(fault)
    assert asker.score([JOB]) == wanted
    assert slept == [0.01 if fault.retry_after else 0.02]
    server.faults.extend([fault] * 9)
    with pytest.raises(RewardServerError, match="failed 3 times") as raised:
        asker.score([Job(JOB.prompt, JOB.outputs[:1])])
    said = {"slow": "no answer within 0.3 s", "429": "429", "truncated": "not whole JSON"}
    for name, words in said.items():
        if (
            (name == "slow") == bool(fault.delay_s)
            and (name == "truncated") == fault.cut
            and (name == "429") == (fault.status == 429)
        ):
            assert words in str(raised.value)


def test_wrong_lengths_are_named(serve: Serve) -> None:
    """A proxy that drops a token would shift every reward."""
    server = serve("prompt_logprobs", "tokenize")
    asker = _asker(endpoint(server.url, api_key=None, timeout_s=5.0))
    server.faults.append(Fault(drop=True))
    with pytest.raises(RewardServerError, match="6 were sent"):
        asker.score([Job(JOB.prompt, JOB.outputs[:1])])


def test_refusals_are_not_repeated(serve: Serve) -> None:
    """A wrong key is wrong four times too."""
    server = serve()
    server.faults.append(Fault(status=401))
    with pytest.raises(NotOfferedError, match="401"):
        endpoint(server.url, api_key="x", timeout_s=5.0).get("/v1/models")
    assert len(server.paths) == 1


def test_nobody_there() -> None:
    """The address is what people get wrong first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Endpoint(base=f"http://127.0.0.1:{port}", attempts=2, pause_s=0.0)
    with pytest.raises(RewardServerError, match="refused"):
        place.get("/v1/models")
    for wrong in ("ftp://x", "http://", "localhost:8000"):
        with pytest.raises(InvalidInputError):
            endpoint(wrong, api_key=None, timeout_s=1.0)


def test_retry_after_is_read_in_both_its_forms() -> None:
    """Seconds, or a date; anything else is as if it were not there."""
    from email.message import Message
    from urllib.error import HTTPError

    def waits(value: str) -> float | None:
        headers = Message()
        headers["retry-after"] = value
        error = HTTPError("http://x", 429, "busy", headers, None)
        try:
            return _retry_after(error)
        finally:
            error.close()

    assert waits("2") == 2.0
    assert waits("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert waits("soon") is None


def _asker(place: Endpoint) -> ServerModel:
    from memsdk.trainer.rewards.server import WAYS, ServerTokens

    return ServerModel(
        place, "tiny", tokens=ServerTokens(place, "tiny"), ask=WAYS["vllm-prompt-logprobs"], identity="test"
    )
