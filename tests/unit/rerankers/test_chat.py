"""The agent's language model as a reranker: what it is asked, how its replies are read, and every way they can be wrong."""

from __future__ import annotations

import pytest

from memsdk.errors import InvalidInputError, RerankerError
from memsdk.rerankers.chat import ChatReranker, prompt_of, read_order
from memsdk.testing.chat_server import ChatServer

TEXTS = ["The ferry\nleaves at six. ", "Ana eats no peanuts.", "Ben stays."]


@pytest.mark.parametrize(
    ("reply", "order"),
    [
        ("[2] > [3] > [1]", [1, 2, 0]),
        ("2, 3, 1", [1, 2, 0]),
        ("2\n1", [1, 0]),
        ("Of the 3 passages the best is [2], then [2] and [1].", [1, 0]),
        ("<think>[1] or [3]?</think>[3] > [1]", [2, 0]),
        ("[9] > [0] > [3]", [2]),
        ("I can't tell.", []),
        ("", []),
    ],
)
def test_replies_are_read_however_they_are_written(reply: str, order: list[int]) -> None:
    """Small models repeat numbers, leave some out and invent others."""
    assert read_order(reply, count=3) == order


def test_the_prompt_has_each_passage_on_a_line_of_its_own_and_no_more_than_its_share() -> None:
    """A line that a passage brings along would look like another passage."""
    lines = prompt_of("What can't\nAna eat?", [*TEXTS, "word " * 500], words=120).splitlines()
    assert lines[2:5] == ["[1] The ferry leaves at six.", "[2] Ana eats no peanuts.", "[3] Ben stays."]
    assert len(lines[5].split()) == 121
    assert "Query: What can't Ana eat?" in lines


def test_the_first_named_has_the_highest_score_and_the_unnamed_none() -> None:
    """Those that it did not name keep the first stage's order among themselves."""
    with ChatServer(lambda _: "[2]") as server:
        assert ChatReranker(server.url + "/v1", api_key="k").score("Ana?", TEXTS) == [0.0, 3.0, 0.0]
        (request,) = server.requests
    assert request["model"] == "scripted"
    assert request["temperature"] == 0
    assert request["authorization"] == "Bearer k"


def test_a_model_that_is_named_is_asked() -> None:
    """A server's first model may be its smallest."""
    with ChatServer(lambda _: "1 2 3") as server:
        ChatReranker(server.url, model="large").score("Ana?", TEXTS)
        assert server.requests[0]["model"] == "large"


@pytest.mark.parametrize("reply", ["I can't tell.", None, {"no": "text"}])
def test_replies_without_an_order_are_errors(reply: object) -> None:
    """An order made up of nothing would be blamed on the model."""
    with ChatServer(lambda _: reply) as server, pytest.raises(RerankerError):
        ChatReranker(server.url).score("Ana?", TEXTS)


def test_a_server_that_refuses_is_late_or_gone_is_an_error_and_asked_once() -> None:
    """Somebody waits for the recall."""
    with ChatServer(lambda _: "1", status=503) as server:
        with pytest.raises(RerankerError, match="503"):
            ChatReranker(server.url, model="m").score("Ana?", TEXTS)
        assert len(server.requests) == 1
    with pytest.raises(RerankerError):
        ChatReranker(server.url, model="m").score("Ana?", TEXTS)  # it is gone by now
    with ChatServer(lambda _: "1", delay_s=0.5) as slow, pytest.raises(RerankerError, match=r"0\.1 s"):
        ChatReranker(slow.url, model="m", timeout_s=0.1).score("Ana?", TEXTS)


@pytest.mark.parametrize(("url", "timeout_s"), [("localhost:8000", 1.0), ("http://", 1.0), ("http://x", 0.0)])
def test_addresses_that_are_none_are_refused(url: str, timeout_s: float) -> None:
    """When the store is opened, not at the first recall."""
    with pytest.raises(InvalidInputError):
        ChatReranker(url, timeout_s=timeout_s)
