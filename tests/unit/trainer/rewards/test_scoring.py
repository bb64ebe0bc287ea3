"""Rows get their rewards: the right questions, in the right order, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import InvalidInputError
from memsdk.models import Task
from memsdk.ports import LogProb
from memsdk.trainer.collecting import collect
from memsdk.trainer.rewards.caching import MemoryCache
from memsdk.trainer.rewards.formulas import RewardKind
from memsdk.trainer.rewards.local import LocalModel
from memsdk.trainer.rewards.port import Ids, Job, Sampling
from memsdk.trainer.rewards.scoring import RewardSettings, score_rows, score_with_report
from memsdk.trainer.rewards.templates import TEMPLATES
from memsdk.trainer.rows import Candidate, Row


@dataclass
class WordModel:
    """Implements Scorer: an output is the likelier, the more of its words the prompt holds. Counts what it is asked."""

    identity: str = "words"
    drawn: tuple[str, ...] = ("in Oslo", "does what", "in Bergen")
    jobs: list[Job] = field(default_factory=list)
    draws: int = 0
    known: list[str] = field(default_factory=list)

    def prompt_ids(self, text: str) -> Ids:
        """A word is a token."""
        return tuple(self._id(word) for word in text.split())

    def output_ids(self, text: str) -> Ids:
        """A word is a token."""
        return tuple(self._id(word) for word in text.split())

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """By words."""
        words = text.split(" ")
        return " ".join(words[-most:] if from_end else words[:most])

    def score(self, jobs: Sequence[Job]) -> list[list[LogProb]]:
        """See the class."""
        self.jobs += jobs
        return [
            [LogProb(sum(-0.5 if token in job.prompt else -3.0 for token in output), len(output)) for output in job.outputs]
            for job in jobs
        ]  # fmt: skip

    def sample(self, prompt: Ids, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """The same ones, in turn."""
        self.draws += count
        return [self.drawn[n % len(self.drawn)] for n in range(count)]

    def _id(self, word: str) -> int:
        plain = word.strip(".?").lower()
        if plain not in self.known:
            self.known.append(plain)
        return self.known.index(plain)


def row(output: str | None = "In Bergen.", *texts: str, id: str = "1", positive: str = "") -> Row:
    """A row of these candidates."""
    chosen = texts or ("Ana lives in Bergen", "Bo likes tea")
    candidates = tuple(Candidate(text=text, positive=text == positive) for text in chosen)
    return Row(id=id, task=Task.QA, query="Where does Ana live?", output=output, candidates=candidates)


@pytest.mark.parametrize("kind", list(RewardKind))
def test_the_helpful_candidate_gets_the_higher_reward(kind: RewardKind) -> None:
    """This is what all the rest is for."""
    (scored,) = score_rows([row()], WordModel(), settings=RewardSettings(kind=kind))
    rewards = [one.reward for one in scored.candidates]
    assert rewards[0] is not None
    assert rewards[1] is not None
    assert rewards[0] > rewards[1]


def test_the_second_run_asks_the_model_nothing() -> None:
    """A nightly retraining scores mostly what it scored the night before."""
    model, cache = WordModel(), MemoryCache()
    first = score_with_report([row()], model, cache=cache)
    asked, draws = len(model.jobs), model.draws
    again = score_with_report([row()], model, cache=cache)
    assert again.rows == first.rows
    assert (len(model.jobs), model.draws) == (asked, draws)
    assert (again.report.tally.scored, again.report.tally.sampled) == (0, 0)
    assert again.report.tally.known_scores > 0
    score_rows([row()], replace(model, identity="other", jobs=model.jobs), cache=cache)
    assert len(model.jobs) > asked  # another model's scores are its own


def test_nothing_is_sampled_where_candidates_make_no_difference() -> None:
    """Sampling is most of the cost; it would buy a tie."""
    model = WordModel()
    found = score_with_report([row("In Bergen.", "Bo likes tea", "Cy likes cake")], model)
    assert model.draws == 0
    assert found.report.flat == 1
    assert [one.reward for one in found.rows[0].candidates] == [None, None]


def test_rows_that_no_candidate_helped_are_dropped_unless_a_label_is_known() -> None:
    """They would teach to find the least useless text; a label stays a label."""
    model = WordModel()
    unhelped = replace(
        row("Ana", "tea", "cake", positive="tea"), query="Ana", candidates=(Candidate(text="tea", positive=True), Candidate(text="cake"))
    )  # fmt: skip
    flat = score_with_report([unhelped], model, settings=RewardSettings(min_spread=0.0))
    assert (flat.report.unhelped, flat.report.dropped, len(flat.rows)) == (1, 0, 1)
    bare = replace(unhelped, candidates=(Candidate(text="tea"), Candidate(text="cake")))
    dropped = score_with_report([bare], model, settings=RewardSettings(min_spread=0.0))
    assert (dropped.report.dropped, dropped.rows) == (1, [])
    kept = score_with_report([bare], model, settings=RewardSettings(min_spread=0.0, drop_unhelped=False))
    assert len(kept.rows) == 1


def test_rows_without_an_output_or_with_one_candidate_pass_through() -> None:
    """Labels are worth training on without any model."""
    rows = [row(None, id="1"), row("x", "alone", id="2")]
    found = score_with_report(rows, WordModel())
    assert found.rows == rows
    assert (found.report.without_output, found.report.alone) == (1, 1)


def test_samples_that_say_the_same_or_the_desired_are_dropped() -> None:
    """Ranked against itself the desired output can't be first."""
    model = WordModel(drawn=("In  Bergen", "in oslo.", "In Oslo"))
    found = score_with_report([row()], model)
    outputs = {output for job in model.jobs for output in job.outputs}
    assert len(outputs) == 2  # the desired one and Oslo, once
    assert found.report.places == 2
    only = WordModel(drawn=("in bergen.",))
    nothing = score_with_report([row()], only)
    assert nothing.report.without_samples == 1
    assert [one.reward for one in nothing.rows[0].candidates] == [None, None]


def test_what_is_not_reached_in_time_is_left_for_the_next_run() -> None:
    """A night has an end; what was computed by then is not computed again, and a sample of all rows was scored."""
    model, cache, rows = WordModel(), MemoryCache(), [row(id=str(number)) for number in range(20)]
    late = score_with_report(rows, model, cache=cache, deadline=-1.0)
    assert (late.rows, late.report.not_reached) == ([], 20)
    assert "20 with not reached in time" in str(late.report)
    whole = score_with_report(rows, model, cache=cache, deadline=float("inf"))
    assert whole.rows == score_with_report(rows, model, cache=cache).rows  # in the order given
    assert whole.report.not_reached == 0


def test_rates_are_reported() -> None:
    """A reward that is all ties looks like a loss that does not fall."""
    found = score_with_report(
        [row("In Bergen.", "Ana lives in Bergen", "tea is hot", "cake is sweet")], WordModel()
    )
    assert (found.report.pairs, found.report.places) == (3, 3)
    assert found.report.tie_rate == pytest.approx(1 / 3)
    assert 0 < found.report.saturation_rate <= 1


def test_results_do_not_depend_on_what_else_is_scored(model: LocalModel) -> None:
    """A row scored in another batch, or after others, must get the same rewards."""
    rows = [row("In Bergen.", "Ana lives in Bergen", "Bo", id=str(n)) for n in range(3)]
    rows = [replace(one, query=f"{one.query} {n}") for n, one in enumerate(rows)]
    settings = RewardSettings(
        samples=3,
        samples_with_candidate=1,
        sampling=Sampling(max_tokens=5),
        drop_unhelped=False,
        min_spread=0.0,
    )
    together = score_rows(rows, model, settings=settings)
    alone = [score_rows([one], model, settings=settings)[0] for one in reversed(rows)]
    for one, other in zip(together, reversed(alone), strict=True):
        assert [each.reward for each in one.candidates] == [
            pytest.approx(each.reward, abs=1e-4) for each in other.candidates
        ]


def test_forgetting_reaches_what_was_sampled_for_a_store(tmp_path: Path) -> None:
    """Promise 3: no sample and no score of a forgotten text stays."""
    with Memory.open(tmp_path / "store", embedder="hashing", index="exact", synchronous="NORMAL") as memory:
        secret = memory.remember("Ana lives in zq7Bergen", user_id="ana")
        memory.remember("Ana likes tea", user_id="ana")
        memory.feedback(memory.recall("Where does Ana live?", user_id="ana"), output="In zq7Bergen.")
        cache = memory._parts.store.rewards
        model = WordModel(drawn=("in zq7Bergen, I say", "in Oslo"))
        found = score_with_report(collect(memory), model, cache=cache)
        assert found.report.scored == 1
        assert b"zq7" in (tmp_path / "store" / "memory.db").read_bytes() + b"".join(
            path.read_bytes() for path in (tmp_path / "store").glob("memory.db-*")
        )
        again = score_with_report(collect(memory), model, cache=cache)
        assert again.report.tally.scored == 0
        memory.forget(secret.id)
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"zq7" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "wrong",
    [{"samples_with_candidate": 9}, {"temperature": 0.0}, {"samples": 0, "samples_with_candidate": 0}],
)
def test_settings_that_can_not_be_meant(wrong: dict[str, object]) -> None:
    """Found out before the first of ten thousand rows."""
    with pytest.raises(InvalidInputError):
        RewardSettings(**wrong)  # type: ignore[arg-type]  # the mistakes in question


def test_templates_join_and_never_format() -> None:
    """Braces in data are data."""
    for template in TEMPLATES.values():
        prompt = template.prompt("{query}", "{0} {key!r}")
        assert "{query}" in prompt
        assert "{0} {key!r}" in prompt
        assert not prompt.endswith(" ")  # the space belongs to the output's first token
        assert template.prompt("q", None).startswith(template.query.strip("\n ").split(":")[0] or "q")
    assert TEMPLATES[Task.QA].prompt("q", "k") == "Knowledge: k\n\nQuestion: q\n\nAnswer:"
    assert TEMPLATES[Task.QA].prompt("q", None) == "Question: q\n\nAnswer:"
    assert TEMPLATES[Task.CHAT].prompt("q", "k") == "k\nSpeaker 1: q\nSpeaker 2:"
