"""The one place that names concrete classes: ports to adapters, services to ports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memsdk.access import Access
from memsdk.background import Background
from memsdk.clock import SystemClock
from memsdk.composing import COMPOSITION
from memsdk.embedding.adapters import load_query_version
from memsdk.embedding.lexical import Bm25Encoder
from memsdk.embedding.loading import from_spec, load_embedder
from memsdk.embedding.prefixes import LLM_EMBEDDER, NO_PREFIXES, fingerprint
from memsdk.embedding.runtime import Runtime
from memsdk.errors import InvalidInputError, StoreError
from memsdk.forgetting import Forgetter
from memsdk.indexing import Indexer
from memsdk.ingest.chunking import StructuralChunker
from memsdk.ingest.late import LateReader
from memsdk.inputs import clean_path
from memsdk.models import QueryVersion, Task
from memsdk.parts import MODELS, Parts
from memsdk.payloads import Hasher
from memsdk.ports import Chunker, Clock, Embedder, EmbedderSpec, Index, Reranker, TokenCounter
from memsdk.recalling import Recaller
from memsdk.records.store import open_store
from memsdk.reindexing import Rebuilder
from memsdk.remembering import Writer
from memsdk.secondstage import SecondStage
from memsdk.settings import Settings
from memsdk.spaces import Serving, ServingSpaces
from memsdk.verification import Verifier

if TYPE_CHECKING:
    from memsdk.records.store import SqlStore

Load = Callable[["str | Path | Embedder | None"], Embedder]
INDEX = "index"
LEAVING_S = 2.0
REFILL = 1_000


def build(
    path: str | Path,
    *,
    embedder: str | Path | Embedder | None,
    index: str | Index,
    settings: Mapping[str, object],
    reranker: str | Path | Reranker | None = None,
    clock: Clock | None = None,
) -> Parts:
    """Open the store folder and put its services together. See `Memory.open`."""
    folder = _folder(path)
    _check_index(index)
    chosen = _settings(settings)
    runtime = _runtime(chosen)

    def load(source: str | Path | Embedder | None) -> Embedder:
        return load_embedder(source, runtime=runtime, allow_download=chosen.allow_download)

    wanted = None if embedder is None else load(embedder)
    second = (
        None
        if reranker is None
        else second_stage(reranker, encoder=lambda: parts.serving.current().embedder, settings=chosen)
    )
    clock = clock or SystemClock()
    store = open_store(
        folder,
        synchronous=chosen.synchronous,
        busy_timeout_s=chosen.busy_timeout_s,
        neighbours=chosen.neighbours,
        clock=clock,
    )
    try:
        engine = _index(index, folder=folder, idle_s=chosen.host_idle_s)
        parts = _services(
            folder,
            settings=chosen,
            store=store,
            index=engine,
            clock=clock,
            runtime=runtime,
            wanted=wanted,
            load=load,
            second=second,
        )
        parts.serving.check()
        parts.tend()
    except BaseException:
        store.close()
        raise
    return parts


def embedder_of(source: str | Path | Embedder | None, *, turn_prefixes: bool = False) -> Embedder:
    """An embedder for an evaluation; with `turn_prefixes` without its prefixes, or with LLM-Embedder's if it has none.

    Raises:
        InvalidInputError: an object whose prefixes can't be turned.
    """
    embedder = load_embedder(source)
    if not turn_prefixes:
        return embedder
    if source is not None and not isinstance(source, str | Path):
        raise InvalidInputError(
            "prefixes can be ablated of an embedder given by name or folder, not of an object"
        )
    return load_embedder(source, prefixes=NO_PREFIXES if embedder.spec.prefixes else LLM_EMBEDDER)


def second_stage(
    reranker: str | Path | Reranker,
    *,
    encoder: Callable[[], object],
    settings: Settings,
    weight: float | None = None,
) -> SecondStage:
    """A reranker as recall uses it.

    Args:
        reranker: as `Memory.open` takes it.
        encoder: gives the store's embedder, for late interaction.
        weight: instead of that of the settings.

    Raises:
        RerankerError, InvalidInputError: there is no such reranker.
    """
    from memsdk.rerankers.loading import load_reranker  # with urllib, which a cold start can do without

    found = load_reranker(
        reranker, encoder=encoder, runtime=_runtime(settings), allow_download=settings.allow_download
    )
    return SecondStage(
        reranker=found,
        candidates=settings.reranker_candidates,
        weight=settings.reranker_weight if weight is None else weight,
    )


@lru_cache(maxsize=8)
def token_counter(tokenizer: str) -> TokenCounter:
    """The counter of that name, loaded once."""
    from memsdk.tokens import load_counter  # tiktoken takes a while, and is needed for budgets only

    return load_counter(tokenizer)


def _services(
    folder: Path,
    *,
    settings: Settings,
    store: SqlStore,
    index: Index,
    clock: Clock,
    runtime: Runtime,
    wanted: Embedder | None,
    load: Load,
    second: SecondStage | None,
) -> Parts:
    hasher = Hasher(store.admin.secret())
    lexical = Bm25Encoder()

    def owner() -> str:
        return store.token  # another one in a forked child

    def chunker(serving: Serving) -> Chunker:
        return StructuralChunker(serving.embedder.count_tokens)

    def refill() -> None:
        records = [record for record, _, _ in store.outbox_state.stamps()]
        for start in range(0, len(records), REFILL):
            store.outbox.touch(records[start : start + REFILL])

    def reload(spec: EmbedderSpec) -> Embedder:
        return from_spec(spec, runtime=runtime, allow_download=settings.allow_download)

    def remove_models(names: Sequence[str]) -> None:
        retired = {version.id for version in store.versions.list() if version.state == "retired"}
        for name in retired.intersection(names):
            shutil.rmtree(folder / MODELS / name, ignore_errors=True)

    def load_version(version: QueryVersion, base: Embedder) -> Embedder:
        return load_query_version(folder / MODELS / version.id, version, base, runtime=runtime)

    serving = ServingSpaces(
        spaces=store.spaces, index=index, load=reload, default=lambda: load(None), fingerprint=_fingerprint, wanted=wanted,
        refill=refill, versions=store.versions, load_version=load_version,
    )  # fmt: skip
    indexer = Indexer(
        outbox=store.outbox, state=store.outbox_state, care=store.outbox_care, index=index, serving=serving, lexical=lexical, chunker=chunker,
        hasher=hasher, owner=owner, neighbours=settings.neighbours, notes_later=settings.background,
    )  # fmt: skip
    background = Background(drainer=indexer, log=store.recall_log, enabled=settings.background)
    writer = Writer(
        records=store.records,
        indexer=indexer,
        background=background,
        owner=owner,
        prepare=serving.prepare,
    )
    forgetter = Forgetter(
        eraser=store.eraser, documents=store.documents, indexer=indexer, background=background, clock=clock,
        owner=owner, retention_days=settings.recall_retention_days, remove_models=remove_models,
    )  # fmt: skip
    return Parts(
        folder=folder,
        settings=settings,
        clock=clock,
        hasher=hasher,
        store=store,
        index=index,
        serving=serving,
        indexer=indexer,
        background=background,
        writer=writer,
        recaller=Recaller(
            records=store.records, index=index, serving=serving, lexical=lexical, hasher=hasher, clock=clock,
            tokenizer=settings.tokenizer, catch_up=indexer.catch_up,
        ),
        forgetter=forgetter,
        access=Access(
            records=store.records, recall_log=store.recall_log, writer=writer, forgetter=forgetter,
            background=background, clock=clock,
        ),
        verifier=Verifier(
            outbox=store.outbox, state=store.outbox_state, index=index, serving=serving, indexer=indexer, admin=store.admin, owner=owner
        ),
        rebuilder=Rebuilder(
            spaces=store.spaces, outbox=store.outbox, state=store.outbox_state, index=index, serving=serving,
            indexer=indexer, neighbours=settings.neighbours,
        ),
        reader=LateReader(),
        lexical=lexical,
        chunker=chunker,
        load=load,
        second=second,
    )  # fmt: skip


def _index(index: str | Index, *, folder: Path, idle_s: float) -> Index:
    match index:
        case "embedded":
            from memsdk.index.client import HostedIndex

            return HostedIndex(folder / INDEX, linger_s=idle_s)
        case "embedded-inline":
            from memsdk.index.edge import EdgeIndex

            return EdgeIndex(folder / INDEX, wait_s=idle_s + LEAVING_S)  # a host may be about to leave
        case "exact":
            from memsdk.index.exact import ExactIndex

            return ExactIndex()
        case _:
            assert not isinstance(index, str)  # as checked
            return index


def _check_index(index: object) -> None:
    """Refuse before anything is made what `_index` can't use."""
    named = isinstance(index, str) and index in ("embedded", "embedded-inline", "exact")
    if not named and not callable(getattr(index, "upsert", None)):
        raise InvalidInputError(
            f"index is {index!r:.60}, expected embedded, embedded-inline, exact or an Index object"
        )


def _folder(path: object) -> Path:
    if "://" in str(path):
        raise InvalidInputError(f"{path!s:.200} is a URL; this version keeps a store in a local folder")
    folder = clean_path(path, what="the store's path")
    try:
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file; a store is a folder, name another path")
        return folder.absolute()
    except OSError as error:
        raise StoreError(
            f"{str(folder)[:200]} can't be a store: {error.strerror}; name another path"
        ) from error


def _settings(given: Mapping[str, object]) -> Settings:
    try:
        return Settings(**given)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        known = ", ".join(Settings.model_fields)
        raise InvalidInputError(f"settings: {problems}; there are {known}") from None


def _runtime(settings: Settings) -> Runtime:
    return Runtime(device=settings.device, dtype=settings.dtype, threads=settings.threads)


def _fingerprint(spec: EmbedderSpec, task: Task) -> str:
    return fingerprint(spec, task, composition=COMPOSITION)
