"""T0 and T1: what they learn, what they leave alone, and that their folders give the same vectors elsewhere."""

from __future__ import annotations

import copy
import shutil
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from memsdk.conversing import mixed
from memsdk.embedding.adapters import ResidualEmbedder, load_query_version
from memsdk.embedding.loading import load_embedder
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.errors import QueryVersionError
from memsdk.models import QueryVersion, Side, Task
from memsdk.ports import Embedder
from memsdk.testing.embedders import HashingEmbedder
from memsdk.testing.tiny_models import save_tiny_bert
from memsdk.trainer import publish
from memsdk.trainer.fitting import FITTED, Fitted, load_fitted, weakened
from memsdk.trainer.folders import save_residual
from memsdk.trainer.lora import (
    embed_queries,
    fit_lora,
    merge_with,
    mixed_vectors,
    query_encoder,
    save_lora,
    turn_ids,
)
from memsdk.trainer.metrics import ndcg_at
from memsdk.trainer.problem import SHARED, Example, Problem, right_ones, targets
from memsdk.trainer.residual import batch_loss, fit_residual, split
from memsdk.trainer.rows import Candidate, Row
from memsdk.trainer.stored import embedded, turns_of
from memsdk.trainer.tiers import LoraSettings, Loss, ResidualSettings

TEXTS = [
    "a report found the train",
    "peanut food is tea",
    "ask the tool",
    "found is the peanut tea",
    "the food",
]


def ranking_quality(queries: NDArray[np.float32], problem: Problem) -> list[float]:
    """nDCG@10 of each query by dense search alone, over the keys that it may find."""
    figures = []
    for start in range(0, len(queries), 256):
        numbers = range(start, min(start + 256, len(queries)))
        scores = queries[start : start + 256] @ problem.keys.T
        scores[~problem.visible(numbers)] = -np.inf
        top = np.argpartition(-scores, min(10, scores.shape[1] - 1), axis=1)[:, :10]
        for row, number in enumerate(numbers):
            ranked = top[row][np.argsort(-scores[row, top[row]], kind="stable")].tolist()
            figures.append(ndcg_at(ranked, problem.examples[number].relevant, k=10))
    return figures


def rotated(*, queries: int = 96, keys: int = 48, dims: int = 16, seed: int = 0) -> Problem:
    """Queries that look for a key turned by one fixed rotation: what a linear map can learn, and nothing else."""
    rng = np.random.default_rng(seed)
    stored = rng.standard_normal((keys, dims))
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    turn, _ = np.linalg.qr(np.eye(dims) + 0.6 * rng.standard_normal((dims, dims)))
    right = np.arange(queries) % keys
    asked = stored[right] @ turn + 0.05 * rng.standard_normal((queries, dims))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    examples = tuple(
        Example(
            candidates=np.array([place, (place + 1) % keys]), rewards=np.array([1.0, -1.0], np.float32),
            relevant=frozenset({int(place)}),
        )
        for place in right
    )  # fmt: skip
    return Problem(
        queries=asked.astype(np.float32), keys=stored.astype(np.float32),
        owners=np.full(keys, SHARED), examples=examples,
    )  # fmt: skip


SETTINGS = ResidualSettings(learning_rate=1e-2, temperature=0.1, penalty=1e-4, passes=25, bags=1)


def test_the_map_finds_a_rotation_and_generalises_to_answers_it_never_saw() -> None:
    """T0 is worth its name only if what it learns holds for the records of tomorrow."""
    problem = rotated()
    found = fit_residual(problem, settings=SETTINGS)
    _, aside = split(problem, seed=0)
    before = np.mean(ranking_quality(problem.part(aside).queries, problem.part(aside)))
    embedder = ResidualEmbedder(HashingEmbedder(dims=16), down=found.down, up=found.up, name="v")
    after = np.mean(ranking_quality(embedder.map(problem.part(aside).queries), problem.part(aside)))
    assert found.passes > 0
    assert after > before + 0.2


def test_it_starts_as_the_identity_and_stays_there_where_nothing_helps() -> None:
    """A map fitted on noise that is used all the same makes every query a little worse."""
    problem = rotated()
    rng = np.random.default_rng(5)
    noise = tuple(
        replace(example, candidates=np.array([a, b]), relevant=frozenset({int(a)}))
        for example in problem.examples
        for a, b in [rng.choice(48, 2, replace=False)]
    )
    found = fit_residual(replace(problem, examples=noise), settings=replace(SETTINGS, passes=3))
    if found.passes == 0:
        assert not found.up.any()
    assert found.curve[0][1] <= max(quality for _, quality in found.curve)
    untouched = fit_residual(problem, settings=replace(SETTINGS, passes=0))
    assert untouched.passes == 0
    assert not untouched.up.any()


def test_the_same_seed_gives_the_same_map() -> None:
    """A result that can't be repeated can't be looked into."""
    problem, settings = rotated(), replace(SETTINGS, passes=3)
    one, other = (fit_residual(problem, settings=settings) for _ in range(2))
    assert (one.up == other.up).all()
    assert (one.down == other.down).all()


def test_what_is_kept_aside_shares_no_answer_with_what_is_learnt() -> None:
    """A step chosen on answers that were learnt is the step that knows them by heart."""
    problem = rotated(queries=60, keys=60)
    chained = tuple(
        replace(each, relevant=frozenset({number, number + 1} if number % 3 else {number}))
        for number, each in enumerate(problem.examples)
    )
    learnt, aside = split(replace(problem, examples=chained), seed=0)
    right = [set().union(*(chained[number].relevant for number in some)) for some in (learnt, aside)]
    assert not right[0] & right[1]
    assert sorted([*learnt, *aside]) == list(range(60))
    assert len(aside) == 9


def test_where_all_queries_share_their_answers_single_queries_are_kept_aside() -> None:
    """One of twelve topics, kept aside whole, would choose the step on what nobody could have learnt."""
    problem = rotated(queries=60, keys=60)
    topics = tuple(
        replace(each, relevant=frozenset({number % 12})) for number, each in enumerate(problem.examples)
    )
    learnt, aside = split(replace(problem, examples=topics), seed=0)
    assert len(aside) == 9
    assert sorted([*learnt, *aside]) == list(range(60))
    assert {number % 12 for number in aside} <= {number % 12 for number in learnt}
    few = replace(problem, examples=topics[:20], queries=problem.queries[:20])
    assert split(few, seed=0) == (list(range(20)), [])


def test_bags_are_averaged_as_maps() -> None:
    """Factors of two maps can't be averaged, only what they do: a mean of U and of V is neither map, nor between them."""
    problem, settings = rotated(), replace(SETTINGS, passes=2, bags=2)
    both = fit_residual(problem, settings=settings)
    each = [fit_residual(problem, settings=replace(settings, bags=1, seed=seed)) for seed in (0, 1_000)]
    wanted = sum(one.up @ one.down for one in each) / 2
    np.testing.assert_allclose(both.up @ both.down, wanted, atol=1e-6)


@pytest.mark.parametrize("loss", ["graded", "kl"])
def test_the_last_weights_are_kept_where_that_is_asked_for(loss: Loss) -> None:
    """Two rewards can't be compared if each stops at another step; and KL has to move the map as well."""
    problem = rotated()
    settings = replace(SETTINGS, passes=4, keep="last", loss=loss)
    assert split(problem, seed=0, keep="last") == (list(range(96)), [])
    found = fit_residual(problem, settings=settings)
    assert found.passes == 4
    assert np.abs(found.up).max() > 1e-3


def loss_of(problem: Problem, places: list[int], *, loss: Loss = "graded") -> float:
    """Of both queries, with these keys as negatives."""
    keys = torch.from_numpy(problem.keys[places])
    found = batch_loss(
        torch.from_numpy(problem.queries), problem, [0, 1], keys=keys, places=np.array(places), temperature=0.1,
        reward_temperature=1.0, loss=loss,
    )  # fmt: skip
    return float(found)


def test_other_users_records_are_no_negatives() -> None:
    """What a user can't find can't be found instead: as a negative it would only bend the map."""
    problem = rotated(queries=2, keys=4)
    owners = np.array([SHARED, SHARED, 7, 7])
    examples = tuple(
        replace(each, candidates=np.array([0, 1]), relevant=frozenset({0}), owner=3)
        for each in problem.examples
    )
    mine = replace(problem, owners=owners, examples=examples)
    assert loss_of(mine, [0, 1]) == pytest.approx(loss_of(mine, [0, 1, 2, 3]))
    seen = replace(mine, owners=np.full(4, SHARED))
    assert loss_of(seen, [0, 1, 2, 3]) > loss_of(mine, [0, 1])


def test_a_querys_own_candidates_are_no_negatives_of_it() -> None:
    """Drawn among the negatives, in whatever order, a right answer would be pushed away as one."""
    problem = rotated(queries=2, keys=4)
    examples = (
        replace(problem.examples[0], candidates=np.array([2, 0]), relevant=frozenset({2})),
        replace(problem.examples[1], candidates=np.array([1, 3]), relevant=frozenset({1})),
    )
    mixed_up = replace(problem, examples=examples)
    assert loss_of(mixed_up, [3, 1, 0, 2]) == pytest.approx(loss_of(mixed_up, [0, 1, 2, 3]))
    parts = [
        batch_loss(
            torch.from_numpy(problem.queries[[row]]), mixed_up, [row], keys=torch.from_numpy(problem.keys[others]),
            places=np.array(others), temperature=0.1, reward_temperature=1.0,
        )
        for row, others in ((0, [1, 3]), (1, [0, 2]))
    ]  # fmt: skip
    assert loss_of(mixed_up, [0, 1, 2, 3]) == pytest.approx(float(sum(parts)) / 2)
    assert loss_of(mixed_up, [0, 1, 2, 3], loss="kl") == pytest.approx(loss_of(mixed_up, [0], loss="kl"))


def test_targets_and_right_ones() -> None:
    """A label says more than a small model's score; a row where all is level says nothing."""
    scored = [
        Candidate(text="a", reward=1.0),
        Candidate(text="b", reward=3.0),
        Candidate(text="c", positive=True),
    ]
    row = Row(id="r", task=Task.QA, query="q", output="o", candidates=tuple(scored))
    found = targets(row)
    assert found is not None
    assert found[2] == max(found) == found[1]
    assert [each.text for each in right_ones(row)] == ["c"]
    unlabelled = replace(row, candidates=tuple(scored[:2]))
    assert [each.text for each in right_ones(unlabelled)] == ["b"]
    level = replace(row, candidates=(Candidate(text="a", reward=1.0), Candidate(text="b", reward=1.0)))
    assert targets(level) is None
    assert right_ones(level) == []


def test_a_query_amid_a_conversation_is_learnt_as_recall_embeds_it() -> None:
    """A map that was fitted on joined texts would be judged and used on mixed vectors: two different queries."""
    embedder = HashingEmbedder(dims=16)
    row = Row(
        id="r", task=Task.CHAT, query="the flat is small\nwhat is its rent?", asked="what is its rent?",
        history=("the flat is small",), output=None, candidates=(),
    )  # fmt: skip
    alone = replace(row, query="what is its rent?", asked=None, history=())
    both = embedded([row, alone], embedder, Task.CHAT)
    turns = embedder.embed(["what is its rent?", "the flat is small"], task=Task.CHAT, side=Side.QUERY)
    np.testing.assert_allclose(both[0], mixed(turns), atol=1e-6)
    np.testing.assert_allclose(both[1], turns[0], atol=1e-6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """A tiny BERT with random weights."""
    folder = tmp_path_factory.mktemp("base")
    save_tiny_bert(folder)
    return load_embedder(folder)


def version(tier: str, base: Embedder) -> QueryVersion:
    """One that fits the tests' folders."""
    return QueryVersion.model_validate(
        {"id": f"a-{tier}", "tier": tier, "task": Task.QA, "fingerprint": "f" * 16,
         "created_at": datetime(2026, 7, 1, tzinfo=UTC)}
    )  # fmt: skip


def by_sentence_transformers(folder: Path) -> np.ndarray:
    """The vectors that the library gives for the folder."""
    library = pytest.importorskip("sentence_transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: np.ndarray = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    return found


def test_a_t0_folder_gives_the_same_vectors_in_sentence_transformers(base: Embedder, tmp_path: Path) -> None:
    """A version that only memsdk can read is a dead end for who wants to leave, or to look."""
    rng = np.random.default_rng(0)
    down, up = (rng.standard_normal(shape).astype(np.float32) * 0.3 for shape in ((4, 32), (32, 4)))
    wanted = version("t0", base)
    folder = publish.write_version(
        tmp_path,
        wanted,
        build=lambda into: save_residual(into, down=down, up=up, base=base),
        lineage={},
        card="# x",
    )
    mine = load_query_version(folder, wanted, base).embed(TEXTS, task=Task.QA, side=Side.QUERY)
    np.testing.assert_allclose(mine, by_sentence_transformers(folder), atol=1e-5)
    assert np.abs(mine - base.embed(TEXTS, task=Task.QA, side=Side.QUERY)).max() > 1e-2


def test_t1_learns_a_query_amid_its_conversation_as_recall_embeds_it(base: Embedder) -> None:
    """Learnt from the turns joined to one text, it would be tuned to vectors that no recall ever makes."""
    assert isinstance(base, TransformerEmbedder)
    rows = [
        Row(id="1", task=Task.QA, query="joined", asked=TEXTS[0], history=(TEXTS[2], TEXTS[1]), output=None, candidates=()),
        Row(id="2", task=Task.QA, query=TEXTS[3], output=None, candidates=()),
    ]  # fmt: skip
    encoder = query_encoder(base, copy.deepcopy(base.model).requires_grad_(True), device=None)
    ids = turn_ids(encoder, [turns_of(row) for row in rows], embedder=base, task=Task.QA, max_tokens=128)
    assert [len(turns) for turns in ids] == [3, 1]
    served = embedded(rows, base, Task.QA)
    np.testing.assert_allclose(embed_queries(encoder, ids), served, atol=1e-5)
    learnt = mixed_vectors(encoder.eval(), ids)
    assert learnt.requires_grad
    np.testing.assert_allclose(learnt.detach().numpy(), served, atol=1e-5)


def test_a_weakened_candidate_lies_on_the_way_from_what_serves(base: Embedder, tmp_path: Path) -> None:
    """Weakened towards the base, a second version gave up what the first had gained, and the guard refused it."""
    dims, drawn = base.spec.dims, np.random.default_rng(0)
    maps = [drawn.standard_normal((dims, dims)).astype(np.float32) for _ in range(2)]
    for name, change in zip(("now", "later"), maps, strict=True):
        (tmp_path / name).mkdir()
        save_residual(tmp_path / name, down=np.eye(dims, dtype=np.float32), up=change, base=base)
        (tmp_path / name / FITTED).write_text("{}", encoding="utf-8")
    fitted = Fitted(folder=tmp_path / "later", tier="t0", passes=1, curve=(), seconds=0.0, settings={})
    query = base.embed(TEXTS, task=Task.QA, side=Side.QUERY)

    def moved(change: NDArray[np.float32]) -> NDArray[np.float32]:
        found = query + query @ change.T
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    for serving, begin in ((tmp_path / "now", maps[0]), (None, 0 * maps[0])):
        for strength in (0.25, 0.5):
            some = weakened(fitted, base, strength=strength, serving=serving)
            found = load_fitted(some, base).embed(TEXTS, task=Task.QA, side=Side.QUERY)
            wanted = moved((1 - strength) * begin + strength * maps[1])
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_t1_learns_merges_and_loads_elsewhere(base: Embedder, tmp_path: Path) -> None:
    """Merged weights that differ from what was trained would be judged by the gate and then not served."""
    queries = TEXTS * 4  # too few to keep any aside
    keys = np.roll(base.embed(TEXTS, task=Task.QA, side=Side.KEY), 1, axis=0)
    examples = tuple(
        Example(
            candidates=np.arange(5), rewards=np.eye(5, dtype=np.float32)[number % 5], relevant=frozenset({number % 5})
        )
        for number in range(len(queries))
    )  # fmt: skip
    problem = Problem(
        queries=base.embed(queries, task=Task.QA, side=Side.QUERY), keys=keys, owners=np.full(5, SHARED),
        examples=examples,
    )  # fmt: skip
    before = base.embed(TEXTS, task=Task.QA, side=Side.QUERY)
    settings = LoraSettings(learning_rate=5e-3, passes=4, batch=10, temperature=0.1, dropout=0.0)
    found = fit_lora(problem, [(query,) for query in queries], embedder=base, task=Task.QA, settings=settings)
    assert found.curve[-1][0] < found.curve[1][0]
    assert (before == base.embed(TEXTS, task=Task.QA, side=Side.QUERY)).all()
    wanted = version("t1", base)
    folder = publish.write_version(
        tmp_path, wanted, build=lambda into: save_lora(into, found, base=base), lineage={}, card="# x"
    )
    mine = load_query_version(folder, wanted, base).embed(TEXTS, task=Task.QA, side=Side.QUERY)
    np.testing.assert_allclose(mine, by_sentence_transformers(folder), atol=1e-5)
    assert found.passes > 0
    assert np.abs(mine - before).max() > 1e-3
    weights = [load_file(folder / "model.safetensors")]
    other = shutil.copytree(folder, tmp_path / "other")
    merge_with(other, base, strength=0.0)
    weights.append(load_file(other / "model.safetensors"))
    merge_with(other, folder, strength=0.75)  # three quarters of the base, a quarter of the version
    for name, value in load_file(other / "model.safetensors").items():
        torch.testing.assert_close(value, 0.25 * weights[0][name] + 0.75 * weights[1][name])
    merge_with(folder, base, strength=0.0)
    with pytest.raises(QueryVersionError, match="not as it was published"):
        load_query_version(folder, wanted, base)
