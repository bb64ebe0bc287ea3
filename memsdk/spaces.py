"""Which embedder serves: its spaces found, loaded once, and changed when another process switched them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from memsdk.errors import EmbedderMismatchError
from memsdk.forking import renew_in_child
from memsdk.models import TASK_OF, Kind, QueryVersion, Task
from memsdk.payloads import collection_spec
from memsdk.ports import Embedder, EmbedderSpec, Index, QueryVersions, Space, Spaces
from memsdk.querying import LoadVersion, QueryVersionsInUse, QueryWay, VersionLoader

logger = logging.getLogger(__name__)

SPARSE = "bm25"
DENSE = "dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """An embedder, the spaces that hold its vectors, and the query versions that search them."""

    embedder: Embedder
    spaces: Mapping[Task, Space]
    epoch: int
    versions: QueryVersionsInUse | None = None

    def task(self, kind: Kind, *, amid: bool = False) -> Task:
        """The task that a search for this kind is; amid a conversation, where the store has enabled that, another."""
        is_convsearch = amid and kind is Kind.DOCUMENT and Task.CONVSEARCH in self.spaces
        return Task.CONVSEARCH if is_convsearch else TASK_OF[kind]

    def collection(self, kind: Kind, *, amid: bool = False) -> str:
        """Where records of this kind are searched."""
        return self.spaces[self.task(kind, amid=amid)].collection

    @property
    def twin(self) -> str | None:
        """Where documents are indexed a second time, for conversations; None where their own space serves for that too."""
        space = self.spaces.get(Task.CONVSEARCH)
        return None if space is None or space.collection in self.own else space.collection

    @property
    def own(self) -> tuple[str, ...]:
        """The collections of the kinds themselves, each once."""
        kept = (space.collection for task, space in self.spaces.items() if task is not Task.CONVSEARCH)
        return tuple(dict.fromkeys(kept))

    def way(self, kind: Kind, *, user_id: str | None, amid: bool = False) -> QueryWay:
        """How this user's queries for the kind are embedded and its legs weighed. Raises QueryVersionError."""
        versions = self.versions or _NO_VERSIONS
        return versions.way(
            kind, task=self.task(kind, amid=amid), user_id=user_id, base=self.embedder, spaces=self.spaces
        )

    def trying(self, version: QueryVersion, embedder: Embedder) -> Serving:
        """The same, with this version in its place: to see what it would find."""
        return replace(self, versions=(self.versions or _NO_VERSIONS).with_version(version, embedder))

    @property
    def collections(self) -> tuple[str, ...]:
        """Every collection that serves, each once."""
        return tuple(dict.fromkeys(space.collection for space in self.spaces.values()))


def _no_version(version: QueryVersion, base: Embedder) -> Embedder:
    raise AssertionError(version.id)


_NO_VERSIONS = QueryVersionsInUse([], load=_no_version)


class ServingSpaces:
    """The spaces that serve now. The embedder is loaded when it is first needed, and once."""

    def __init__(
        self,
        *,
        spaces: Spaces,
        index: Index,
        load: Callable[[EmbedderSpec], Embedder],
        default: Callable[[], Embedder],
        fingerprint: Callable[[EmbedderSpec, Task], str],
        wanted: Embedder | None,
        refill: Callable[[], None],
        versions: QueryVersions,
        load_version: LoadVersion,
    ) -> None:
        """Put together by wiring.

        Args:
            load_version: makes a trained query version's encoder, when it is first used.
            load: makes an embedder from what a store recorded.
            wanted: the caller's own, if any.
            refill: asks for every record to be indexed anew; called where a serving collection is gone.
        """
        self._spaces = spaces
        self._index = index
        self._load = load
        self._default = default
        self._fingerprint = fingerprint
        self._wanted = wanted
        self._refill = refill
        self._versions = versions
        self._load_version = VersionLoader(load_version)
        self._serving: Serving | None = None
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def load_version(self, version: QueryVersion, base: Embedder) -> Embedder:
        """The encoder of a version, whether it serves or not. Raises QueryVersionError."""
        return self._load_version(version, base)

    def check(self) -> None:
        """Raise EmbedderMismatchError where the caller's embedder is not the store's."""
        active = self._spaces.active()
        if self._wanted is None or active is None:
            return
        spec, spaces = active
        if not self._made_by(self._wanted.spec, spaces):
            raise EmbedderMismatchError(store=spec.name, given=self._wanted.spec.name)

    def _made_by(self, spec: EmbedderSpec, spaces: Mapping[Task, Space]) -> bool:
        """Whether this release would index with that embedder as these spaces were indexed."""
        return all(self._fingerprint(spec, task) == space.fingerprint for task, space in spaces.items())

    @property
    def loaded(self) -> bool:
        """Whether the embedder is in memory already."""
        return self._serving is not None

    def adopt(self, embedder: Embedder) -> None:
        """Use this object where its spaces become the serving ones; it may be one that can't be loaded by name."""
        self._wanted = embedder

    def prepare(self) -> None:
        """Give a new store its embedder and spaces; for any other nothing is loaded or asked of the index."""
        if self._serving is None and self._spaces.active() is None:
            self.current()

    def known(self) -> Serving:
        """What served when it was last asked for; who uses it compares its epoch afterwards."""
        return self._serving or self.current()

    def current(self) -> Serving:
        """The embedder, spaces and query versions in use; a new store gets its first ones here."""
        serving, epoch = self._serving, self._spaces.epoch()
        if serving is not None and serving.epoch == epoch:
            return serving
        with self._lock:
            if self._serving is None or self._serving.epoch != epoch:
                self._serving = self._find()
            return self._serving

    def fingerprints(self, spec: EmbedderSpec) -> dict[Task, str]:
        """The fingerprint of every task that records have or the store enabled, under this embedder."""
        active = self._spaces.active()
        enabled = () if active is None else tuple(active[1])  # such as convsearch, which is no kind's own
        return {task: self._fingerprint(spec, task) for task in dict.fromkeys((*TASK_OF.values(), *enabled))}

    def fingerprint(self, spec: EmbedderSpec, task: Task) -> str:
        """The fingerprint of one task under this embedder."""
        return self._fingerprint(spec, task)

    def ensure(self, spec: EmbedderSpec, spaces: Mapping[Task, Space]) -> None:
        """Create the collections of these spaces where they are missing."""
        shape = collection_spec(dims=spec.dims, sparse=(SPARSE,))
        for collection in dict.fromkeys(space.collection for space in spaces.values()):
            self._index.ensure(collection, shape)

    def recreate(self) -> None:
        """Drop the serving collections and make them again, empty; `repair` then fills them."""
        active = self._spaces.active()
        if active is None:
            return
        spec, spaces = active
        for collection in dict.fromkeys(space.collection for space in spaces.values()):
            self._index.drop(collection)
        self.ensure(spec, spaces)

    def _find(self) -> Serving:
        if self._spaces.active() is None:
            self._begin()
        epoch = (
            self._spaces.epoch()
        )  # asked first: what another process switches after this is seen next time
        active = self._spaces.active()
        assert active is not None  # it is never taken back
        spec, spaces = active
        if not self._made_by(spec, spaces):
            logger.warning(
                "this store was indexed by an older release, and filters may miss records; run `memsdk reindex`"
            )
        versions = QueryVersionsInUse(self._versions.list(active_only=True), load=self._load_version)
        with ThreadPoolExecutor(max_workers=1) as pool:  # the index host starts while the model is loaded
            looking = pool.submit(self._index.collections)
            embedder = self._embedder_for(spec)
        there = looking.result()
        if any(space.collection not in there for space in spaces.values()):
            self.ensure(spec, spaces)
            self._refill()
        return Serving(embedder=embedder, spaces=spaces, epoch=epoch, versions=versions)

    def _begin(self) -> None:
        """A new store: register the embedder; another process may win, then its embedder is in use."""
        spec = (self._wanted or self._default()).spec
        spaces = self._spaces.begin(spec, self.fingerprints(spec))
        self.ensure(spec, spaces)
        self._spaces.switch(spec, seen_seq=0)
        self.check()

    def _embedder_for(self, spec: EmbedderSpec) -> Embedder:
        if self._serving is not None and self._serving.embedder.spec == spec:
            return self._serving.embedder
        if self._wanted is not None and self._wanted.spec.weights == spec.weights:
            return self._wanted
        return self._load(spec)
