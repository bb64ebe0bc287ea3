"""Which encoder embeds a query: the store's own, or a trained version that serves its task and user.

A version is used with the vectors it names and no others; anything else is an error that says so, never a search.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memsdk.errors import QueryVersionError
from memsdk.forking import renew_in_child
from memsdk.models import Kind, QueryVersion, Task
from memsdk.ports import Embedder, Space
from memsdk.ranking import DEFAULT_WEIGHTS, Weights

LoadVersion = Callable[[QueryVersion, Embedder], Embedder]
"""Makes a version's encoder from its folder and the store's own embedder. Raises QueryVersionError."""

LOADED = 64
"""How many versions' encoders are kept in memory; of users' residual maps, each takes some 100 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryWay:
    """How queries for one kind are embedded and its legs weighed.

    Attributes:
        version: the query version's id; for the store's own encoder the fingerprint of the space.
    """

    task: Task
    version: str
    embedder: Embedder
    prefix: str
    weights: Weights

    @property
    def key(self) -> tuple[str, str]:
        """Equal for ways that give a text the same vector."""
        return (self.prefix, "" if self.is_own else self.version)

    is_own: bool = True


class VersionLoader:
    """Loads versions when they are first used, and keeps the latest. Thread-safe."""

    def __init__(self, load: LoadVersion) -> None:
        self._load = load
        self._kept: OrderedDict[tuple[str, str], Embedder] = OrderedDict()
        self._renew()
        renew_in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, version: QueryVersion, base: Embedder) -> Embedder:
        """The version's encoder over this embedder."""
        key = (version.id, base.spec.weights)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._load(version, base)
                while len(self._kept) > LOADED:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


class QueryVersionsInUse:
    """The versions that serve at one epoch, by task and user."""

    def __init__(self, versions: Sequence[QueryVersion], *, load: LoadVersion) -> None:
        """Args: `load` is asked when a version is first used."""
        self._versions: dict[tuple[Task, str | None], QueryVersion] = {
            (version.task, version.user_id): version for version in versions
        }
        self._load = load

    def with_version(self, version: QueryVersion, embedder: Embedder) -> QueryVersionsInUse:
        """These, but for one that is tried out: as the gate does, beside what serves."""
        loader = self._load

        def load(wanted: QueryVersion, base: Embedder) -> Embedder:
            return embedder if wanted.id == version.id else loader(wanted, base)

        others = [one for key, one in self._versions.items() if key != (version.task, version.user_id)]
        return QueryVersionsInUse([*others, version], load=load)

    def of(self, task: Task, user_id: str | None) -> QueryVersion | None:
        """The user's own version, else the store's, else none."""
        own = self._versions.get((task, user_id)) if user_id is not None else None
        return own or self._versions.get((task, None))

    def way(
        self, kind: Kind, *, task: Task, user_id: str | None, base: Embedder, spaces: Mapping[Task, Space]
    ) -> QueryWay:
        """How this user's queries for the kind are embedded, as that task's.

        Raises:
            QueryVersionError: the version that serves names another fingerprint, or its folder is not whole.
        """
        prefix = base.spec.prefixes.get(task, ("", ""))[0]
        version = self.of(task, user_id)
        if version is None:
            return QueryWay(
                task=task,
                version=spaces[task].fingerprint,
                embedder=base,
                prefix=prefix,
                weights=DEFAULT_WEIGHTS[kind],
            )
        if version.fingerprint != spaces[task].fingerprint:
            raise QueryVersionError(
                f"the query version {version.id} may search the vectors {version.fingerprint} only, and the task"
                f" {task.value} is served from {spaces[task].fingerprint}; run `memsdk models rollback --task {task.value}"
                + (f" --user {version.user_id}`" if version.user_id else "`")
            )
        share = version.dense_weight
        return QueryWay(
            task=task,
            version=version.id,
            embedder=self._load(version, base),
            prefix=prefix,
            weights=DEFAULT_WEIGHTS[kind] if share is None else Weights(dense=share, lexical=1 - share),
            is_own=False,
        )
