"""What lies in a version's folder: the model in sentence-transformers' format, and T0's two factors beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from memsdk.embedding.adapters import ADAPTER
from memsdk.ports import Embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

DENSE = "2_Dense"
_MODULES = "sentence_transformers.models"


def base_folder(embedder: Embedder) -> Path | None:
    """Where the embedder's files lie; None for one that is no model on disk, such as a plug-in's."""
    folder = getattr(embedder, "folder", None)
    return folder if isinstance(folder, Path) else None


def save_residual(into: Path, *, down: Vectors, up: Vectors, base: Embedder) -> None:
    """T0's factors, and the base model with a Dense module of weight I + U V before the normalisation.

    The base pools and normalises; as the map is linear, normalising once at the end gives the same direction.

    Args:
        down: V, [r, d].
        up: U, [d, r].
    """
    save_file({"down": np.ascontiguousarray(down), "up": np.ascontiguousarray(up)}, into / ADAPTER)
    source = base_folder(base)
    if source is None:
        return
    modules = copy_model(source, into)
    kept = [module for module in modules if not module["type"].endswith(".Normalize")]
    weight = np.eye(len(up), dtype=np.float32) + up @ down
    (into / DENSE).mkdir()
    save_file({"linear.weight": np.ascontiguousarray(weight)}, into / DENSE / "model.safetensors")
    settings = {
        "in_features": len(up), "out_features": len(up), "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }  # fmt: skip
    (into / DENSE / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    kept += [
        {"path": DENSE, "type": f"{_MODULES}.Dense"},
        {"path": "3_Normalize", "type": f"{_MODULES}.Normalize"},
    ]
    (into / "3_Normalize").mkdir()
    write_modules(into, kept)


def copy_model(source: Path, into: Path) -> list[dict[str, str]]:
    """Copy a sentence-transformers folder; returns its modules."""
    modules = json.loads((source / "modules.json").read_text(encoding="utf-8"))
    names = [str(module["path"]) for module in modules]
    top = [
        path
        for path in source.iterdir()
        if path.is_file() and path.suffix in (".json", ".txt", ".safetensors")
    ]
    for path in top:
        _copy(path, into / path.name)
    for name in names:
        if name and (source / name).is_dir():
            for path in (source / name).rglob("*"):
                if path.is_file():
                    _copy(path, into / path.relative_to(source))
    return [{"path": str(module["path"]), "type": str(module["type"])} for module in modules]


def write_modules(into: Path, modules: list[dict[str, str]]) -> None:
    """Write `modules.json`."""
    numbered = [{"idx": number, "name": str(number), **module} for number, module in enumerate(modules)]
    target = into / "modules.json"
    target.unlink(missing_ok=True)  # it may be a link to the base model's
    target.write_text(json.dumps(numbered, indent=2), encoding="utf-8")


def model_card(title: str, *, base: str, facts: Mapping[str, object], metrics: Mapping[str, float]) -> str:
    """A model card: what it is, how to load it, what it was measured to do."""
    lines = ["---", "library_name: sentence-transformers", f"base_model: {base}", "---", "", f"# {title}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| measured | value |", "| --- | --- |"]
    lines += [f"| {name} | {value:.4f} |" for name, value in metrics.items()]
    lines += [
        "", "It embeds **queries**; the stored vectors are the base model's. Trained by memsdk on one store's recalls:",
        "treat it as you treat that store.", "",
        "```python", "from sentence_transformers import SentenceTransformer",
        'SentenceTransformer("<this folder>").encode(["a query, with the task\'s prefix"])', "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _copy(source: Path, target: Path) -> None:
    """Copy. A hard link would save 90 MB a version, but whoever edits one file then edits the base model."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
