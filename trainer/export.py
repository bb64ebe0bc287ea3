"""A trained encoder as a folder in sentence-transformers' format: weights, prompts, model card. Whole, or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from memsdk.embedding.prefixes import Prefixes
from memsdk.errors import InvalidInputError
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.folders import copy_model, write_modules

PROMPTS = "config_sentence_transformers.json"


def save_encoder(encoder: TrainableEncoder, into: Path, *, prefixes: Prefixes, card: str) -> None:
    """Write it so that `SentenceTransformer(folder)` and memsdk's own loader give the same vectors.

    Prompts are named `qa.query`, `qa.key` and so on; memsdk puts them before texts by itself, sentence-transformers
    where it is told `prompt_name`.

    Args:
        into: must not exist; it appears when it is complete.
        card: the model card's text.

    Raises:
        InvalidInputError: there is something already.
    """
    if into.exists():
        raise InvalidInputError(f"{into} is there already; name a folder that is not")
    making = into.with_name(f".{into.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    source = encoder.folder.path
    weights = making / encoder.folder.transformer.relative_to(source)
    if (source / "modules.json").is_file():
        write_modules(making, copy_model(source, making))
    else:
        _copy_plain(source, making, encoder)
    save_file(_weights(encoder), weights / "model.safetensors", metadata={"format": "pt"})
    _write_prompts(making / PROMPTS, prefixes)
    (making / "README.md").write_text(card, encoding="utf-8")
    making.rename(into)


def model_card(
    title: str,
    *,
    base: str,
    lineage: Mapping[str, object],
    data: Mapping[str, str],
    metrics: Mapping[str, float],
) -> str:
    """What the model is, what it came from, what it was measured to do, how it is loaded.

    Args:
        lineage: how it was made: settings, merge, seed, times.
        data: sha256 of each file that it learnt from.
        metrics: figures by name.
    """
    lines = ["---", "library_name: sentence-transformers", f"base_model: {base}", "---", "", f"# {title}", ""]
    lines += [f"- {name}: {value}" for name, value in lineage.items()]
    lines += [
        "",
        "| learnt from | sha256 |",
        "| --- | --- |",
        *(f"| {name} | {digest} |" for name, digest in data.items()),
    ]
    lines += [
        "",
        "| measured | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.4f} |" for name, value in metrics.items()),
    ]
    lines += [
        "", "It embeds queries and keys, each with the prompt of its task and side. Stored vectors of another model must be",
        "built anew: `memsdk reindex --embedder <this folder>`. It was trained on the rows above: treat it as you treat them.",
        "", "```python", "from sentence_transformers import SentenceTransformer",
        'SentenceTransformer("<this folder>").encode(["a question"], prompt_name="qa.query")', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _weights(encoder: TrainableEncoder) -> dict[str, Tensor]:
    """The trained weights, and the base's unused pooling layer, without which loaders complain."""
    trained = {name: value.contiguous() for name, value in encoder.state().items()}
    file = encoder.folder.transformer / "model.safetensors"
    if not file.is_file():
        return trained
    unused = {
        name: value for name, value in load_file(file).items() if "pooler" in name and name not in trained
    }
    return {**trained, **unused}


def _copy_plain(source: Path, into: Path, encoder: TrainableEncoder) -> None:
    """A transformers folder gets the modules that sentence-transformers would have guessed, and ours."""
    for file in source.iterdir():
        if file.is_file() and file.suffix in (".json", ".txt", ".model"):
            shutil.copyfile(file, into / file.name)
    (into / "1_Pooling").mkdir()
    dims = int(getattr(encoder.model.config, "hidden_size", 0))
    pooling = {"word_embedding_dimension": dims, "pooling_mode": encoder.pooling.split("+")}
    if "+" not in encoder.pooling:
        pooling["pooling_mode"] = encoder.pooling
    (into / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (into / "2_Normalize").mkdir()
    limit = {"max_seq_length": encoder.folder.max_tokens, "do_lower_case": encoder.folder.lowercase}
    (into / "sentence_bert_config.json").write_text(json.dumps(limit), encoding="utf-8")
    prefix = "sentence_transformers.models"
    write_modules(into, [
        {"path": "", "type": f"{prefix}.Transformer"},
        {"path": "1_Pooling", "type": f"{prefix}.Pooling"},
        {"path": "2_Normalize", "type": f"{prefix}.Normalize"},
    ])  # fmt: skip


def _write_prompts(file: Path, prefixes: Prefixes) -> None:
    settings: dict[str, object] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    prompts = {
        f"{task.value}.{side}": text
        for task, pair in prefixes.items()
        for side, text in zip(("query", "key"), pair, strict=True)
    }
    whole = {**settings, "prompts": prompts, "default_prompt_name": None}
    file.write_text(json.dumps(whole, indent=2), encoding="utf-8")
