"""T2: what it learns, that a kill costs nothing, and that its folder gives the same vectors everywhere."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from memsdk.cli.main import cli
from memsdk.embedding.loading import load_embedder
from memsdk.errors import InvalidInputError, StoreError
from memsdk.models import Side, Task
from memsdk.testing.tiny_models import save_tiny_bert
from memsdk.trainer.batches import LABEL, batch_loss, draw, prepare
from memsdk.trainer.checkpoints import NAME
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.export import model_card, save_encoder
from memsdk.trainer.fit_rows import ranking_figures
from memsdk.trainer.full import FullSettings, backward, choose_merge, fit_full, merged
from memsdk.trainer.jsonl import write_rows
from memsdk.trainer.loop import LOG, LoopSettings, Pace, Progress, rate_at, read_log
from memsdk.trainer.losses.anchor import anchor
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.tasks import PRESETS, preset, shortened

PREFIXES = {task: (config.query_prefix, config.key_prefix) for task, config in PRESETS["default"].items()}
TABLE = {
    task: replace(config, query_prefix="ask ", key_prefix="the ")  # the tiny tokenizer spells long ones out
    for task, config in shortened(PRESETS["default"], query_tokens=24, key_tokens=24, group=4).items()
}


@pytest.fixture(scope="module", params=["mean", "cls"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights."""
    folder: Path = tmp_path_factory.mktemp("base")
    save_tiny_bert(folder, pooling=request.param, max_tokens=128)
    return folder


def rows_of(tasks: Sequence[Task] = (Task.QA, Task.TOOL), *, each: int = 12) -> list[Row]:
    """Each query names the word of its right candidate."""
    drawn = random.Random(4)
    words = ["peanut", "ask", "found", "tool", "report", "train", "tea", "food", "is", "the", "x7", "q2"]
    rows = []
    for task in tasks:
        for number in range(each):
            word = words[number % len(words)]
            wrong = drawn.sample([other for other in words if other != word], 4)
            rows.append(
                Row(
                    id=f"{task.value} {number}", task=task, query=f"where is {word}", output=None,
                    candidates=(Candidate(text=f"here the {word}", positive=True), *(Candidate(text=f"here the {w}") for w in wrong)),
                )
            )  # fmt: skip
    return rows


def settings_for(steps: int, *, cached: bool = False, every: int = 100, anchor: float = 0.1) -> FullSettings:
    """A small training."""
    return FullSettings(
        loop=LoopSettings(steps=steps, learning_rate=1e-3, checkpoint_every=every, seed=3), table=TABLE, batch=6,
        temperature=0.1, anchor=anchor, chunk_tokens=96, cached=cached,
    )  # fmt: skip


def test_it_learns_all_tasks_at_once(base: Path) -> None:
    """Its ranking of what it learnt from must get better, in each task."""
    encoder, seen = TrainableEncoder(base), list[Progress]()
    encoder.lighten(layers=0)
    before = ranking_figures(encoder, rows_of(), table=TABLE)
    settings = settings_for(40, anchor=0.0)
    settings = replace(settings, loop=replace(settings.loop, learning_rate=3e-3))
    fit_full(encoder, rows_of(), settings=settings, progress=seen.append)
    after = ranking_figures(encoder, rows_of(), table=TABLE)
    assert set(after) == {"qa", "tool"} == set(seen[-1].losses)
    assert all(after[task] > before[task] + 0.1 for task in after), (before, after)
    assert "left" in str(seen[-1])


def test_a_light_training_draws_no_dropout_and_leaves_the_lower_part(base: Path) -> None:
    """It is for a CPU: both cost time in every step, and the first noise too."""
    encoder = TrainableEncoder(base)
    encoder.lighten(layers=1)
    ids = encoder.token_ids(["here the tea"], max_tokens=24)
    before = encoder.train().state()
    assert torch.equal(encoder(ids), encoder(ids))
    fit_full(encoder, rows_of(), settings=settings_for(2))
    changed = {name for name, value in encoder.state().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed), changed


def test_a_killed_training_ends_in_the_same_weights(base: Path, tmp_path: Path) -> None:
    """Bit for bit: dropout, sampling, the optimizer's moments and the rate all go on where they were."""

    class KilledError(Exception):
        pass

    def die(now: Progress) -> None:
        if now.step == 7:
            raise KilledError

    whole, broken = TrainableEncoder(base), TrainableEncoder(base)
    fit_full(whole, rows_of(), settings=settings_for(10, every=3), folder=tmp_path / "whole")
    with pytest.raises(KilledError):
        fit_full(
            broken, rows_of(), settings=settings_for(10, every=3), folder=tmp_path / "broken", progress=die
        )
    resumed, steps = TrainableEncoder(base), list[int]()
    fit_full(
        resumed, rows_of(), settings=settings_for(10, every=3), folder=tmp_path / "broken",
        progress=lambda now: steps.append(now.step),
    )  # fmt: skip
    assert steps == [7, 8, 9, 10]  # from the checkpoint after step 6
    for name, value in whole.state().items():
        assert torch.equal(value, resumed.state()[name]), name
    logs = [read_log(tmp_path / name / LOG) for name in ("whole", "broken")]
    assert [row["step"] for row in logs[1]] == [str(step) for step in range(1, 11)]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]


def test_a_checkpoint_of_other_rows_is_not_gone_on_from(base: Path, tmp_path: Path) -> None:
    """It would be a model of data that nobody named."""
    fit_full(TrainableEncoder(base), rows_of(), settings=settings_for(2), folder=tmp_path)
    steps: list[int] = []
    fit_full(
        TrainableEncoder(base), rows_of(each=11), settings=settings_for(2), folder=tmp_path,
        progress=lambda now: steps.append(now.step),
    )  # fmt: skip
    assert steps == [1, 2]


def test_a_damaged_checkpoint_is_an_error_that_names_it(base: Path, tmp_path: Path) -> None:
    """Beginning anew in silence would cost hours."""
    (tmp_path / NAME).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(StoreError, match=NAME):
        fit_full(TrainableEncoder(base), rows_of(), settings=settings_for(2), folder=tmp_path)


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_cached_gradients_are_the_plain_ones_anchor_included(base: Path, weight: float) -> None:
    """Chunked for memory, it is still the same training; and the anchor pulls towards the old vectors, so much."""
    old, encoder = TrainableEncoder(base).eval(), TrainableEncoder(base).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    ready, _ = prepare(rows_of(), encoder=encoder, table=TABLE)
    drawn = draw(ready, [0, 1, 2, 3], table=TABLE, seed=0, epoch=0)

    def loss(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return batch_loss(queries, keys, drawn, config=TABLE[Task.QA], temperature=0.1)

    gradients, told = [], 0.0
    for cached in (False, True):
        encoder.zero_grad()
        settings = settings_for(1, cached=cached, anchor=weight)
        told = backward(encoder, drawn, loss=loss, old=old if weight else None, settings=settings, scale=0.5)
        gradients.append([one.grad.clone() for one in encoder.parameters() if one.grad is not None])
    queries, keys = encoder(drawn.queries), encoder(drawn.keys)
    plain = loss(queries, keys)
    assert told == pytest.approx(float(plain.detach()), rel=1e-4)
    held = anchor(torch.cat([queries, keys]), torch.cat([old(drawn.queries), old(drawn.keys)]).detach())
    encoder.zero_grad()
    (0.5 * (plain + weight * held)).backward()  # type: ignore[no-untyped-call]  # torch
    expected = [one.grad for one in encoder.parameters() if one.grad is not None]
    for found in gradients:
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_nothing_to_learn_is_said(base: Path) -> None:
    """Steps over nothing would look like a training."""
    level = [
        replace(row, candidates=tuple(replace(one, positive=False) for one in row.candidates))
        for row in rows_of()
    ]
    with pytest.raises(InvalidInputError, match="nothing to learn"):
        fit_full(TrainableEncoder(base), level, settings=settings_for(2))


def test_the_folder_gives_the_same_vectors_in_memsdk_and_sentence_transformers(
    base: Path, tmp_path: Path
) -> None:
    """A model that is another one elsewhere can't be judged, shared or served."""
    encoder = TrainableEncoder(base)
    fit_full(encoder, rows_of(), settings=settings_for(3))
    card = model_card(
        "tuned", base="tiny", lineage={"seed": 3}, data={"rows.jsonl": "ab12"}, metrics={"qa": 0.5}
    )
    save_encoder(encoder, tmp_path / "tuned", prefixes=PREFIXES, card=card)
    texts = ["ask the tool", "a report found peanut tea"]
    ids = encoder.token_ids(texts, prefix=PREFIXES[Task.QA][0], max_tokens=128)
    own = encoder.embed(ids, batch_tokens=256).numpy()
    ours = load_embedder(tmp_path / "tuned")
    np.testing.assert_allclose(ours.embed(texts, task=Task.QA, side=Side.QUERY), own, atol=1e-5)
    assert dict(ours.spec.prefixes) == PREFIXES
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tmp_path / "tuned"), device="cpu").encode(texts, prompt_name="qa.query")
    np.testing.assert_allclose(theirs, own, atol=1e-5)
    assert "ab12" in (tmp_path / "tuned" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(InvalidInputError, match="there already"):
        save_encoder(encoder, tmp_path / "tuned", prefixes=PREFIXES, card=card)


def test_the_merge_that_harms_nothing_is_taken(base: Path) -> None:
    """The best mean alone would trade one task for another."""
    encoder = TrainableEncoder(base)
    old = encoder.state()
    name = next(name for name, value in old.items() if value.is_floating_point())
    encoder.load_state(
        {key: value + (key == name) if value.is_floating_point() else value for key, value in old.items()}
    )

    def measure(tried: TrainableEncoder, told: float) -> dict[str, float]:
        share = float((tried.state()[name] - old[name]).flatten()[0])
        assert share == pytest.approx(told)
        return {"qa": 0.5 + share / 2, "tool": 0.5 - 0.02 * (share > 0.7)}

    chosen = choose_merge(encoder, base=old, before={"qa": 0.5, "tool": 0.5}, measure=measure)
    assert chosen.share == 0.6
    torch.testing.assert_close(encoder.state()[name], old[name] + 0.6)
    assert set(chosen.figures) == {0.0, 0.4, 0.6, 0.8, 1.0}


def test_a_merge_is_a_weighted_mean() -> None:
    """Whole numbers, such as positions, are not averaged."""
    base = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor([1, 2])}
    trained = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor([1, 2])}
    found = merged(base, trained, share=0.25)
    torch.testing.assert_close(found["w"], torch.tensor([0.25, 2.5]))
    assert torch.equal(found["n"], base["n"])


def test_candidates_are_drawn_anew_each_epoch_the_right_one_first(base: Path) -> None:
    """The same few negatives again and again are learnt by heart."""
    ready, kept = prepare(rows_of(), encoder=TrainableEncoder(base), table=TABLE)
    assert kept == list(range(24))
    draws = [draw(ready, [0, 1], table=TABLE, seed=1, epoch=epoch) for epoch in (0, 0, 1, 2)]
    assert draws[0].numbers.tolist() == draws[1].numbers.tolist()
    assert len({tuple(one.numbers.tolist()) for one in draws}) > 1
    assert draws[0].offsets.tolist() == [0, 4, 8]
    assert draws[0].rewards.tolist() == [LABEL, 0, 0, 0, LABEL, 0, 0, 0]


def test_rewards_are_taken_on_the_scale_of_their_row(base: Path) -> None:
    """Log-probabilities of one model spread over .2, of another over 20; one temperature has to suit both."""

    def scored(scale: float) -> Row:
        return Row(
            id="1", task=Task.QA, query="tea", output="tea",
            candidates=tuple(Candidate(text=f"{n}", reward=scale * n) for n in range(4)),
        )  # fmt: skip

    encoder = TrainableEncoder(base)
    first, second = (
        prepare([scored(scale)], encoder=encoder, table=TABLE)[0].rows[0].rewards for scale in (1, 100)
    )
    assert first == pytest.approx(second)
    released = prepare([scored(1)], encoder=encoder, table=preset("llm-embedder"))[0].rows[0].rewards
    assert released == (0, 1, 2, 3)


def test_the_rate_rises_and_falls() -> None:
    """A first step at the full rate wrecks a pretrained encoder."""
    rates = [rate_at(step, steps=10, warm_up=0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 8)


@pytest.mark.parametrize(("policy", "expected"), [("off", 1.0), ("lossy-faster", 0.5), ("lossy-slower", 2.0)])
def test_self_pacing_goes_the_way_it_is_named(policy: str, expected: float) -> None:
    """The paper's words and its formula disagree."""
    pace = Pace(policy, every=50)  # type: ignore[arg-type]  # a literal
    for step in range(40):
        pace.saw("qa", 4.0 if step == 0 else 0.1, step=step)
    assert pace.factor("qa") == expected
    assert pace.factor("other") == 1.0
    pace.saw("qa", 0.1, step=50)
    assert pace.factor("qa") == pytest.approx(1.0, abs=0.1)  # a new mark


def test_fit_from_the_command_line(base: Path, tmp_path: Path) -> None:
    """What a person types: rows in, a folder out that memsdk loads, figures of held-out rows, loss curves."""
    pytest.importorskip("matplotlib")
    write_rows(tmp_path / "rows.jsonl", rows_of(each=40))
    given = [
        str(tmp_path / "rows.jsonl"),
        str(tmp_path / "tuned"),
        "--base",
        str(base),
        "--max-tokens",
        "100",
        "--batch",
        "6",
    ]
    done = CliRunner().invoke(
        cli,
        [
            "train",
            "fit",
            *given,
            "--rate",
            "1e-3",
            "--self-paced",
            "lossy-faster",
            "--accumulate",
            "2",
            "--json",
        ],
        prog_name="memsdk",
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["rows"] + told["held_out"] == 80
    assert set(told["before"]) == set(told["after"]) == {"qa", "tool"}
    assert load_embedder(tmp_path / "tuned").spec.prefixes[Task.QA] == PREFIXES[Task.QA]
    assert told["picture"] == str(tmp_path / "tuned.work" / "losses.png")
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(cli, ["train", "fit", *given], prog_name="memsdk")
    assert again.exit_code != 0
    assert "there already" in again.output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_torchrun_ends_in_the_weights_of_one_process(base: Path, tmp_path: Path) -> None:
    """Two GPUs that train two models, or two that write one folder, would be found weeks later."""
    still = Path(shutil.copytree(base, tmp_path / "still"))
    config = json.loads((still / "config.json").read_text("utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # each rank draws its own
    (still / "config.json").write_text(json.dumps(config), "utf-8")
    write_rows(tmp_path / "rows.jsonl", rows_of(each=24))
    fit = ["train", "fit", str(tmp_path / "rows.jsonl")]
    given = [
        "--base",
        str(still),
        "--max-tokens",
        "100",
        "--epochs",
        "2",
        "--rate",
        "1e-3",
        "--device",
        "cpu",
    ]
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for name, start, batch in (("one", ["-m"], "6"), ("two", two, "3")):
        command = [
            sys.executable, *start, "memsdk", *fit, str(tmp_path / name), *given, "--batch", batch,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
    texts = [row.query for row in rows_of(each=12)]
    start_, one, two_ = (
        load_embedder(folder, prefixes=PREFIXES).embed(texts, task=Task.QA, side=Side.QUERY)
        for folder in (still, tmp_path / "one", tmp_path / "two")
    )  # weights that nothing depends on, such as the keys' biases, take Adam's steps on rounding noise
    assert np.abs(one - two_).max() < 0.02 * np.abs(one - start_).max()
    logs = [read_log(tmp_path / f"{name}.work" / LOG) for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1])
