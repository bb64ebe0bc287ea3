"""A randomly initialised Llama of a few hundred kilobytes as a transformers folder, made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM

_CHAT = "{% for message in messages %}<user>{{ message['content'] }}</user>{% endfor %}<model>"


def save_tiny_llama(folder: Path, *, seed: int = 0, window: int = 512, chat: bool = True) -> None:
    """Write a byte-level causal language model into the folder. Equal arguments give equal weights."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>",
    }  # fmt: skip
    if chat:
        settings["chat_template"] = _CHAT
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=window, initializer_range=0.3,
            bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip
    torch.random.set_rng_state(torch_state)
    model.config.save_pretrained(str(folder))
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
