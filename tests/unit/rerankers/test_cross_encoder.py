"""Cross-encoders: a folder of transformers, loaded when first used, or refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from memsdk.errors import InvalidInputError, RerankerError
from memsdk.rerankers import CrossEncoder, LateInteraction, load_reranker
from memsdk.testing.tiny_models import save_tiny_bert, save_tiny_cross_encoder

QUERY, TEXTS = "the tea", ["tea is food", "a train", "peanut " * 100]


def no_encoder() -> object:
    """Nothing asks for it here."""
    raise AssertionError


def test_scores_are_the_models_own_one_pair_at_a_time(tmp_path: Path) -> None:
    """Sorting and padding must neither swap two texts' scores nor change one."""
    save_tiny_cross_encoder(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        wanted = [
            model(**tokenizer(QUERY, text, truncation=True, max_length=64, return_tensors="pt")).logits.item()
            for text in TEXTS
        ]
    assert load_reranker(tmp_path, encoder=no_encoder).score(QUERY, TEXTS) == pytest.approx(wanted, abs=1e-4)


def test_of_two_labels_the_second_says_relevant(tmp_path: Path) -> None:
    """The first would turn the order round."""
    save_tiny_cross_encoder(tmp_path, labels=2)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        no, yes = model(**tokenizer(QUERY, TEXTS[0], return_tensors="pt")).logits[0].tolist()
    assert CrossEncoder(tmp_path).score(QUERY, TEXTS[:1]) == pytest.approx([yes - no], abs=1e-4)


def test_an_encoder_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    """transformers would make up a random head, and order by chance."""
    save_tiny_bert(tmp_path)
    with pytest.raises(RerankerError, match="lacks weights"):
        CrossEncoder(tmp_path).score(QUERY, TEXTS)


def test_what_is_no_cross_encoder_is_refused(tmp_path: Path) -> None:
    """Each at the latest when it first scores, with the folder's name."""
    with pytest.raises(RerankerError, match=r"no config\.json"):
        CrossEncoder(tmp_path)
    save_tiny_cross_encoder(tmp_path, labels=3)
    with pytest.raises(RerankerError, match="3 labels"):
        CrossEncoder(tmp_path).score(QUERY, TEXTS)
    save_tiny_cross_encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such"}))
    with pytest.raises(RerankerError, match="can't be loaded"):
        CrossEncoder(tmp_path).score(QUERY, TEXTS)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """A download that broke off."""
    save_tiny_cross_encoder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("classifier.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RerankerError, match=r"classifier\.weight"):
        CrossEncoder(tmp_path).score(QUERY, TEXTS)


@pytest.mark.parametrize("wrong", ["", " ", "a\0b", 3, "no/such/place at all"])
def test_names_that_mean_nothing_are_refused(wrong: object) -> None:
    """A misspelt reranker must not be found out by the order of the hits."""
    with pytest.raises(InvalidInputError):
        load_reranker(wrong, encoder=no_encoder)  # type: ignore[arg-type]  # what callers get wrong


def test_a_hub_id_that_is_not_cached_is_no_reranker() -> None:
    """Nothing is downloaded unless that is allowed."""
    with pytest.raises(RerankerError, match="not in the hub's cache"):
        load_reranker("nobody/no-cross-encoder", encoder=no_encoder)


def test_late_is_late_interaction() -> None:
    """The short name that needs no file."""
    assert isinstance(load_reranker("late", encoder=no_encoder), LateInteraction)


def test_importing_rerankers_loads_no_torch() -> None:
    """A command that recalls without a cross-encoder would wait for it."""
    code = "import sys, memsdk.rerankers; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
