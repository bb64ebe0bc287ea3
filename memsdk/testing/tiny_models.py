"""Randomly initialised BERTs of a few kilobytes, made in milliseconds: a sentence encoder's folder, a cross-encoder's folder."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_WORDS = ("peanut", "ask", "found", "tool", "the", "is", "report", "train", "tea", "food")


def save_tiny_bert(
    folder: Path,
    *,
    pooling: str = "mean",
    prompts: Mapping[str, str] | None = None,
    max_tokens: int = 64,
    seed: int = 0,
) -> None:
    """Write the model into the folder. Equal arguments give equal weights."""
    tokenizer = _tokenizer()
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=max_tokens, initializer_range=0.5),
        add_pooling_layer=False)  # fmt: skip
    torch.random.set_rng_state(torch_state)
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.enable_truncation(16)  # baked in, as in all-MiniLM-L6-v2's file: a loader must undo it
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(folder / "tokenizer.json"))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    contents: Mapping[str, object] = {
        "modules.json": modules,
        "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": True},
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]",
                                  "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
        "config_sentence_transformers.json": {"prompts": dict(prompts or {}), "default_prompt_name": None},
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def save_tiny_cross_encoder(folder: Path, *, labels: int = 1, max_tokens: int = 64, seed: int = 0) -> None:
    """Write a random BERT that classifies pairs of texts into the folder. Equal arguments give equal weights."""
    tokenizer = _tokenizer()
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=max_tokens, initializer_range=0.5)  # fmt: skip
    config.num_labels = labels
    model = BertForSequenceClassification(config)
    torch.random.set_rng_state(torch_state)
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
                "cls_token": "[CLS]", "sep_token": "[SEP]"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _tokenizer() -> Tokenizer:
    """WordPiece over a few words and the letters."""
    pieces = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    entries = [*_SPECIAL, *_WORDS, *pieces, *(f"##{piece}" for piece in pieces)]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=_SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
