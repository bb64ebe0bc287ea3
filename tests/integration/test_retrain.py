"""The whole loop: rows out of feedback, a map, the gate, the switch; and what a kill, noise or a flood do to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from memsdk import Memory
from memsdk.cli.main import cli
from memsdk.errors import StoreLockedError
from memsdk.models import Task
from memsdk.testing import feedback
from memsdk.testing.reward_server import RewardServer
from memsdk.testing.tiny_llama import save_tiny_llama
from memsdk.trainer.planning import RetrainSettings, by_time, capped
from memsdk.trainer.retrain import retrain
from memsdk.trainer.rows import Row
from memsdk.trainer.staging import only_one
from memsdk.trainer.tiers import ResidualSettings

QUICK = RetrainSettings(residual=ResidualSettings(learning_rate=1e-3, passes=8, bags=1))
RETRAIN = """
import sys
from pathlib import Path
from memsdk.testing import feedback
from memsdk.trainer.planning import RetrainSettings
from memsdk.trainer.retrain import retrain
from memsdk.trainer.tiers import ResidualSettings
settings = RetrainSettings(residual=ResidualSettings(learning_rate=1e-3, passes=8, bags=1))
with feedback.open_store(Path(sys.argv[1])) as memory:
    print(retrain(memory, settings=settings)[0].ending)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with good feedback."""
    folder = tmp_path_factory.mktemp("filled") / "store"
    with feedback.open_store(folder) as memory:
        feedback.ask_all(memory, feedback.fill(memory), times=8)
    return folder


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled, tmp_path / "store"))


@pytest.fixture
def memory(store: Path) -> Iterator[Memory]:
    """The copy, open."""
    with feedback.open_store(store) as opened:
        yield opened


def records_of(memory: Memory) -> list[list[feedback.Record]]:  # type: ignore[name-defined]  # imported for types
    """The records by topic, as `fill` made them."""
    found = memory.list(limit=1_000)
    return [found[start : start + 5] for start in range(0, len(found), 5)]


def test_good_feedback_is_learnt_gated_switched_to_and_rolled_back(memory: Memory) -> None:
    """The promise of the product, from end to end."""
    records = records_of(memory)
    before = feedback.held_out_recall(memory, records)
    (outcome,) = retrain(memory, settings=QUICK)
    assert outcome.ending == "promoted", outcome.reason
    assert feedback.held_out_recall(memory, records) > before
    (version,) = memory._parts.store.versions.list()
    assert (version.state, version.id, version.tier) == ("active", outcome.version, "t0")
    assert memory.recall("my ferry", kinds=["memory"]).query_version == version.id
    memory._parts.store.versions.rollback(task=Task.CHAT, user_id=None)
    assert feedback.held_out_recall(memory, records) == before
    left = [path for path in (memory._parts.folder / "training").rglob("*") if path.is_file()]
    assert not any(b"ferry" in path.read_bytes() for path in left)  # no text of the store, anywhere
    used = records[0][0]
    assert memory.forget(used.id).models_trained_on_it == (version.id,)


def test_a_dry_run_reports_and_changes_nothing(memory: Memory) -> None:
    """Who looks first must not find that looking was doing."""
    (outcome,) = retrain(memory, settings=replace(QUICK, dry_run=True))
    assert outcome.ending == "dry-run"
    assert outcome.report is not None
    page = Path(outcome.report).read_text(encoding="utf-8")
    assert "<svg" in page
    assert ">loss</tspan>" in page
    assert outcome.reason in page.replace("&#x27;", "'")
    assert memory._parts.store.versions.list() == []
    assert not list(memory._parts.folder.glob("models/*"))


def test_what_is_not_due_is_not_done(memory: Memory) -> None:
    """A nightly job on a quiet store should cost nothing."""
    due = replace(QUICK, if_due=True, dry_run=True)
    assert retrain(memory, settings=due)[0].ending == "dry-run"
    (outcome,) = retrain(memory, settings=due)
    assert (outcome.ending, outcome.task) == ("not due", None)
    assert retrain(memory, settings=replace(QUICK, least_rows=10_000))[0].ending == "not due"


def test_two_retrains_do_not_meet(memory: Memory) -> None:
    """Cron starts the next one whether the last has ended or not."""
    with only_one(memory._parts.folder), pytest.raises(StoreLockedError, match="another `memsdk retrain`"):
        retrain(memory, settings=QUICK)


@pytest.mark.parametrize(
    "moment",
    [
        "version-written",
        pytest.param("retrain-stage:2", marks=pytest.mark.slow),
        pytest.param("version-added", marks=pytest.mark.slow),
        pytest.param("version-switch", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_stage_it_serves_as_before_and_the_next_run_goes_on(store: Path, moment: str) -> None:
    """A power cut in the night must not leave a store that can't be asked, or half a version that answers."""
    killed = subprocess.run(
        [sys.executable, "-c", RETRAIN, str(store)],
        env={**os.environ, "MEMSDK_FAILPOINT": moment},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with feedback.open_store(store) as memory:
        assert memory.recall("my ferry", kinds=["memory"]).query_version.count("-") == 0
        (outcome,) = retrain(memory, settings=QUICK)
        assert outcome.ending == "promoted"
        (version,) = memory._parts.store.versions.list()
        assert version.state == "active"
        assert [path.name for path in (store / "models").iterdir()] == [version.id]
        assert len(memory._parts.store.runs.list()) == 1  # the same run, gone on with


def test_killed_after_the_switch_the_next_run_says_so(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise be judged against itself, and the mail would say that nothing was promoted."""

    class KilledError(Exception):
        pass

    def die(*given: object, **named: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("memsdk.trainer.retrain.note_end", die)
        with pytest.raises(KilledError):
            retrain(memory, settings=QUICK)
    (outcome,) = retrain(memory, settings=QUICK)
    assert outcome.ending == "promoted"
    assert "before the run was killed" in outcome.reason
    assert outcome.version == memory.recall("my ferry", kinds=["memory"]).query_version
    assert set(outcome.metrics) >= {"candidate", "current"}


def test_random_feedback_changes_nothing(tmp_path: Path) -> None:
    """Noise is learnt by heart by any model; it must not be switched to."""
    with feedback.open_store(tmp_path / "store") as memory:
        records = feedback.fill(memory)
        feedback.ask_all(memory, records, times=8, choose=feedback.at_random)
        before = feedback.held_out_recall(memory, records)
        (outcome,) = retrain(memory, settings=QUICK)
        assert feedback.held_out_recall(memory, records) >= before - QUICK.gate.tolerance, outcome
        if outcome.ending != "promoted":
            assert memory._parts.store.versions.list() == []


def test_more_of_the_same_feedback_is_not_held_back(memory: Memory) -> None:
    """The questions that a version was promoted for are a guard of the next one, which must not block what agrees."""
    records = records_of(memory)
    assert retrain(memory, settings=QUICK)[0].ending == "promoted"
    feedback.ask_all(memory, records, times=4, seed=5)
    (outcome,) = retrain(memory, settings=QUICK)
    assert outcome.report is not None
    told = json.loads(Path(outcome.report).with_suffix(".json").read_text(encoding="utf-8"))
    (guard,) = [check for check in told["checks"] if check["name"] == "guard: earlier feedback"]
    assert guard["gain"]["queries"] > 0
    assert guard["passed"], outcome.reason


def test_a_crowd_of_new_users_is_not_heard_alone_and_is_after_a_week(memory: Memory) -> None:
    """Accounts cost nothing; but who stays must be heard some day, or the memory stops learning."""
    records = records_of(memory)
    assert retrain(memory, settings=QUICK)[0].ending == "promoted"
    for user in range(4):
        feedback.ask_all(memory, records, times=3, user_id=f"user{user}", seed=user)

    def checks(settings: RetrainSettings) -> dict[str, bool]:
        (outcome,) = retrain(memory, settings=settings)
        assert outcome.report is not None
        told = json.loads(Path(outcome.report).with_suffix(".json").read_text(encoding="utf-8"))
        return {check["name"]: check["passed"] for check in told["checks"]}

    assert not checks(QUICK)["users who were heard before"]
    assert checks(replace(QUICK, heard_days=0.0))["users who were heard before"]


def test_users_who_contradict_what_was_learnt_do_not_turn_it_round(memory: Memory) -> None:
    """Four accounts cost nothing; what a memory was promoted for must not be theirs to take away in a night."""
    records = records_of(memory)
    assert retrain(memory, settings=QUICK)[0].ending == "promoted"
    before = feedback.held_out_recall(memory, records)
    moved = [*records[1:], records[0]]
    for user in range(4):
        feedback.ask_all(memory, moved, times=3, user_id=f"user{user}", seed=user)
    (outcome,) = retrain(memory, settings=QUICK)
    assert feedback.held_out_recall(memory, records) >= before - QUICK.gate.tolerance, outcome


def test_the_command_says_what_it_did_by_its_exit_code(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron and systemd read nothing else."""
    monkeypatch.setenv("MEMSDK_STORE", str(store))
    monkeypatch.setenv("MEMSDK_INDEX", "embedded-inline")

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, list(words), prog_name="memsdk", catch_exceptions=False)
        return result.exit_code, result.output

    code, said = run("retrain", "--dry-run")
    assert (code, "report" in said) == (10, True)
    assert run("retrain", "--least-rows", "10000")[0] == 11
    assert run("models", "list")[0] == 0
    code, said = run("train", "evaluate")
    assert code == 0
    assert "bm25" in said
    code, said = run("models", "show", "nothing")
    assert (code, "no query version" in said) == (3, True)
    assert run("models", "rollback")[0] == 3


def test_a_servers_model_and_tokenizer_are_named_to_the_nightly_job(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with several models, or without /tokenize, could otherwise be used by `train score` alone."""
    monkeypatch.setenv("MEMSDK_STORE", str(store))
    monkeypatch.setenv("MEMSDK_INDEX", "embedded-inline")
    save_tiny_llama(tmp_path / "llama")
    with RewardServer(tmp_path / "llama", speaks=frozenset({"prompt_logprobs"})) as server:
        words = ["retrain", "--rewards", server.url, "--least-rows", "10000", "--server-model", "other"]
        result = CliRunner().invoke(cli, words, prog_name="memsdk")
        assert "--tokenizer" in result.output  # what it lacks, and how to name it
        assert result.exit_code == 8
        result = CliRunner().invoke(
            cli, [*words, "--tokenizer", str(tmp_path / "llama")], prog_name="memsdk", catch_exceptions=False
        )
        assert result.exit_code == 11, result.output
        assert "/v1/models" not in server.paths  # it had been told which


def test_the_newest_are_held_out_and_no_user_has_most() -> None:
    """A gate that judges on what was learnt, or learns from one user alone, judges nothing."""
    rows = [
        Row(
            id=str(n),
            task=Task.QA,
            query=f"q{n}",
            output=None,
            candidates=(),
            user_id="flood" if n % 4 else "bo",
        )
        for n in range(100)
    ]
    some = capped(rows, share=0.25)
    assert sum(row.user_id == "flood" for row in some) == 25
    assert sum(row.user_id == "bo" for row in some) == 25
    older, newest = by_time([*rows[:10], replace(rows[3], id="x")], share=0.2)
    assert not {row.query for row in older} & {row.query for row in newest}
