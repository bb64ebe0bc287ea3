"""A local model: packed, reused and plain scoring agree; boundaries are exact; samples repeat."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from memsdk.errors import InvalidInputError, RewardModelError
from memsdk.testing.tiny_llama import save_tiny_llama
from memsdk.trainer.rewards.loading import load_reward_model
from memsdk.trainer.rewards.local import LocalModel
from memsdk.trainer.rewards.packed import (
    _beginning_alike,
    _Tree,
    _tree_mask,
    agrees,
    prefers_reuse,
    score_packed,
    score_plain,
    score_reused,
)
from memsdk.trainer.rewards.port import Ids, Job, Sampling


def random_jobs(seed: int) -> list[Job]:
    """Prompts and outputs of uneven lengths, some of one token."""
    draw = random.Random(seed)

    def ids() -> Ids:
        return tuple(draw.randrange(2, 250) for _ in range(draw.randrange(1, 9)))

    return [
        Job(ids(), tuple(ids() for _ in range(draw.randrange(1, 5)))) for _ in range(draw.randrange(1, 5))
    ]


@pytest.fixture(scope="session")
def exact(tiny_llama: Path) -> LlamaForCausalLM:
    """The same weights in double precision."""
    loaded = LlamaForCausalLM.from_pretrained(str(tiny_llama), dtype=torch.float64, local_files_only=True)
    assert isinstance(loaded, LlamaForCausalLM)
    loaded.train(False)
    return loaded


def by_definition(exact: LlamaForCausalLM, job: Job) -> list[float]:
    """Sum of log p(token | all before it), an output at a time, in double precision."""
    totals = []
    for output in job.outputs:
        with torch.inference_mode():
            logits = exact(torch.tensor([job.prompt + output])).logits[0].log_softmax(1)
        start = len(job.prompt) - 1
        totals.append(sum(logits[start + n, token].item() for n, token in enumerate(output)))
    return totals


@pytest.mark.parametrize("seed", range(3))
def test_every_way_gives_the_definition(model: LocalModel, exact: LlamaForCausalLM, seed: int) -> None:
    """A wrong mask or position gives plausible numbers, and a model trained on nonsense."""
    asked = random_jobs(seed)
    wanted = [by_definition(exact, job) for job in asked]
    for way in (score_packed, score_reused, score_plain):
        given_ = way(model.model, asked, batch_tokens=64)
        assert [[value.total for value in row] for row in given_] == [
            pytest.approx(row, abs=1e-3) for row in wanted
        ]
        assert [[value.tokens for value in row] for row in given_] == [
            [len(output) for output in job.outputs] for job in asked
        ]


def test_an_output_sees_the_prompt_and_itself_only() -> None:
    """One that saw its neighbours would be scored as their continuation."""
    tree = _Tree([Job((5, 6), ((7, 8, 9), (10, 11)))])
    assert tree.ids == [5, 6, 7, 8, 10]  # no output's last token: nothing is predicted from it
    assert tree.positions == [0, 1, 2, 3, 2]
    assert tree.sources == [[[1, 2, 3], [1, 4]]]
    mask = _tree_mask(torch.tensor([tree.ends]), dtype=torch.float32)[0, 0] == 0
    assert mask.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_prompts_that_begin_alike_are_computed_once(model: LocalModel, exact: LlamaForCausalLM) -> None:
    """Questions about one long record are most of a night's work, and differ in their last tokens only."""
    record = tuple(range(40, 80))
    asked = [
        Job((*record, 3), ((7, 8), (9,))), Job((9,), ((5, 6),)), Job((*record, 3, 4), ((7, 8), (7, 9))),
        Job((*record, 5), ((8,),)), Job((*record[:8], 9), ((7,),)),
    ]  # fmt: skip
    groups = [sorted(group) for group in _beginning_alike(asked, most=1_000)]
    assert sorted(groups) == [[0, 2, 3], [1], [4]]  # eight common tokens are not worth it
    assert len(_Tree([asked[number] for number in (0, 2, 3)])) == 40 + 5
    assert len(list(_beginning_alike(asked, most=42))) == 5
    for given, job in zip(score_packed(model.model, asked, batch_tokens=256), asked, strict=True):
        assert [value.total for value in given] == pytest.approx(by_definition(exact, job), abs=1e-3)


def test_prompt_and_output_are_tokenised_apart(model: LocalModel) -> None:
    """Subtracting lengths of joined texts puts the boundary in the wrong place for tokenizers that merge."""
    assert model.prompt_ids("ab")[0] == 0  # the first special token
    assert model.output_ids(" c") == model.prompt_ids("ab c")[-2:]


def test_the_chat_template_is_applied_once_and_only_to_prompts(tiny_llama: Path) -> None:
    """A second first-token, or a template around the output, is nothing that the model was trained on."""
    chat = LocalModel(tiny_llama, name="tiny", chat=True)
    assert chat.tokens.text(chat.prompt_ids("hi")) == "<user>hi</user><model>"
    assert chat.tokens.text(chat.output_ids("yes")) == "yes"
    assert chat.identity != LocalModel(tiny_llama, name="tiny").identity


def test_a_model_without_a_template_says_so(tmp_path: Path) -> None:
    """transformers would raise from within, at the first prompt."""
    save_tiny_llama(tmp_path, chat=False)
    with pytest.raises(RewardModelError, match="no chat template"):
        LocalModel(tmp_path, name="plain", chat=True)


def test_cutting_keeps_the_start_or_the_end(model: LocalModel) -> None:
    """Of a long candidate the start counts, of a long conversation the end."""
    assert model.cut("abcdef", most=3) == "abc"
    assert model.cut("abcdef", most=3, from_end=True) == "def"
    assert model.cut("abc", most=3) == "abc"
    assert model.cut("ab\u00e9", most=3) == "ab"  # half a letter is none


def test_samples_repeat_and_do_not_disturb_the_caller(model: LocalModel) -> None:
    """A reward that changes between runs can't be cached; a seed set behind the caller's back breaks theirs."""
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    sampling = Sampling(max_tokens=6)
    drawn = [
        model.sample(model.prompt_ids("ab"), count=3, sampling=sampling, seed=seed) for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.rand(1), first)
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len(drawn[0]) == 3
    assert all(text.strip() for text in drawn[0])  # none begins with a line's end


def test_an_architecture_that_takes_no_mask_is_scored_plainly(model: LocalModel) -> None:
    """A model that ignores the tree mask gives other numbers without a word."""

    class Deaf(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, **inputs: object) -> object:
            inputs.pop("attention_mask")
            return self.body(**inputs)

    parts = model.model
    deaf = type(parts)(
        model=parts.model, body=Deaf(parts.body), head=parts.head, device=parts.device, dtype=parts.dtype, pad_id=1
    )  # fmt: skip
    assert agrees(parts, score_packed, vocabulary=258)
    assert not agrees(deaf, score_packed, vocabulary=258)


def test_long_outputs_are_scored_through_the_cache(model: LocalModel) -> None:
    """The mask of a packed row grows with the square of its length."""
    long: Ids = tuple(range(2, 102))
    assert not prefers_reuse(Job((1, 2), (long[:20],)))
    assert prefers_reuse(Job((1, 2), (long, long, long)))
    job = Job((1, 2), (long, long[:50], long[10:]))
    first, plain = model.score([job])[0][0], score_plain(model.model, [job], batch_tokens=999)[0][0]
    assert first.total == pytest.approx(plain.total, abs=1e-2)
    assert first.tokens == 100


def test_what_does_not_fit_the_window_is_refused(model: LocalModel) -> None:
    """Beyond its window a model answers nonsense, quietly."""
    with pytest.raises(InvalidInputError, match="sees 512"):
        model.score([Job(tuple([5] * 500), (tuple([6] * 13),))])
    with pytest.raises(InvalidInputError, match="no token"):
        model.score([Job((1,), ((),))])


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    """Each says what would help."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    for name, said in (
        (tmp_path / "empty", "can't be loaded"),
        (tmp_path / "none.gguf", "there is no file"),
        ("nobody/nothing", "hf download"),
    ):
        with pytest.raises(RewardModelError, match=said):
            load_reward_model(name, cache=tmp_path)
    with pytest.raises(RewardModelError, match=r"broken\.gguf|memsdk"):
        load_reward_model(tmp_path / "broken.gguf", cache=tmp_path)
    with pytest.raises(InvalidInputError):
        load_reward_model("")
