"""A process to be killed: it remembers, updates and forgets, and says in a journal what it is about to do and has done.

`python -m memsdk.testing.crash_worker STORE JOURNAL < orders.json`. A journal's lines are `{"n", "do", ...}` before an
operation, `{"n", "ok"}` after it, `{"n", "error"}` where it raised. Each line is one write, so that a kill tears none.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from memsdk.errors import MemsdkError
from memsdk.memory import Memory
from memsdk.testing import failpoints

MARK = "zq"
"""What every unique word starts with, followed by 14 hex digits: `MARKED` finds them all in a file."""
MARKED = rb"zq[0-9a-f]{14}"
_TOPICS = (
    "The ferry to Naxos leaves at seven",
    "Ana is allergic to peanuts and to walnuts",
    "The deploy failed as the disk was full",
    "Ben prefers the window seat on long trains",
    "Our budget for hotels is ninety euros a night",
    "The cat sleeps on the warm printer",
)

Work = Literal["write", "reindex", "optimize"]


class Known(BaseModel):
    """A record that is there: its texts, oldest revision first."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    user: str
    texts: list[str]
    external_id: str | None = None
    is_message: bool = False


class Orders(BaseModel):
    """What a worker is to do."""

    model_config = ConfigDict(extra="forbid")

    seed: int
    name: str  # no two workers of a store share one: it names users, sessions and ids
    operations: int
    work: Work = "write"
    reindex_to: list[str] = []  # the first that is not in use already
    embedder: str | None = None
    known: list[Known] = []
    client_failpoint: str | None = None
    host_failpoint: str | None = None


@dataclass(slots=True)
class _Worker:
    memory: Memory
    orders: Orders
    journal: int
    rng: random.Random
    known: dict[UUID, Known]
    count: int = 0
    sessions: list[str] = field(default_factory=list)

    def tell(self, **line: object) -> None:
        os.write(self.journal, (json.dumps(line) + "\n").encode())

    def do(self, what: str, act: Callable[[], list[UUID]], **intent: object) -> list[UUID] | None:
        """Announce, act, acknowledge; None where it raised one of our errors."""
        self.count += 1
        self.tell(n=self.count, do=what, **intent)
        try:
            done = act()
        except MemsdkError as error:
            self.tell(n=self.count, error=f"{type(error).__name__}: {error}")
            return None
        self.tell(n=self.count, ok=[str(each) for each in done])
        return done

    def text(self) -> str:
        """A sentence with words that no other has; now and then with 300 of them, which take several points.

        A few, so that its own text finds it among hundreds of the same topic, also where it is mixed with its neighbours.
        """
        own = 300 if self.rng.random() < 0.05 else 5
        words = [f"w{self.rng.getrandbits(32):08x}" for _ in range(own)]
        return " ".join([self.rng.choice(_TOPICS), f"{MARK}{self.rng.getrandbits(56):014x}", *words])

    def user(self) -> str:
        return f"{self.orders.name}-{self.rng.randrange(3)}"

    def add(self) -> None:
        user, text = self.user(), self.text()
        external = f"{self.orders.name}-id-{self.rng.randrange(10**9)}" if self.rng.random() < 0.2 else None
        done = self.do(
            "add",
            lambda: [self.memory.remember(text, user_id=user, id=external).id],
            user=user, texts=[text], external=external,
        )  # fmt: skip
        if done:
            self.known[done[0]] = Known(id=done[0], user=user, texts=[text], external_id=external)

    def add_many(self) -> None:
        """Turns of one session, so that those before them are indexed anew in the background."""
        user, session = self.user(), f"{self.orders.name}-s{self.rng.randrange(2)}"
        texts = [self.text() for _ in range(self.rng.choice((2, 3, 20)))]
        turns = [{"role": "user", "content": text} for text in texts]
        done = self.do(
            "add",
            lambda: [each.id for each in self.memory.remember(turns, user_id=user, session_id=session)],
            user=user, texts=texts, message=True,
        )  # fmt: skip
        for each, text in zip(done or (), texts, strict=False):
            self.known[each] = Known(id=each, user=user, texts=[text], is_message=True)

    def again(self) -> None:
        """The same text, or the same id, once more: it must stay one record."""
        chosen = self.one_of(
            [each for each in self.known.values() if not each.is_message and len(each.texts) == 1]
        )
        if chosen is not None:
            self.do(
                "again",
                lambda: [
                    self.memory.remember(chosen.texts[0], user_id=chosen.user, id=chosen.external_id).id
                ],
                id=str(chosen.id),
            )

    def update(self) -> None:
        chosen, text = self.one_of(list(self.known.values())), self.text()
        if chosen is None:
            return
        done = self.do(
            "update", lambda: [self.memory.update(chosen.id, text).id], id=str(chosen.id), text=text
        )
        if done:
            chosen.texts.append(text)

    def forget(self) -> None:
        some = sorted(self.known)
        if some:
            ids = self.rng.sample(some, min(len(some), self.rng.choice((1, 1, 3))))
            self.forget_these(ids, lambda: list(self.memory.forget(ids).ids))

    def forget_user(self) -> None:
        user = self.user()
        ids = [each.id for each in self.known.values() if each.user == user]
        if ids and len(ids) < 15:
            self.forget_these(ids, lambda: list(self.memory.forget(user_id=user).ids))

    def forget_these(self, ids: list[UUID], act: Callable[[], list[UUID]]) -> None:
        if self.do("forget", act, ids=[str(each) for each in ids]) is not None:
            for each in ids:
                del self.known[each]

    def recall(self) -> None:
        """By the topic alone: a query is the user's own words and stays in the recall log."""
        self.do(
            "recall",
            lambda: [hit.id for hit in self.memory.recall(self.rng.choice(_TOPICS), user_id=self.user())],
        )

    def one_of(self, some: list[Known]) -> Known | None:
        return self.rng.choice(some) if some else None

    def large(self) -> None:
        """What the orders name beside writing: a rebuild by another embedder, or the graph."""

        def reindex() -> list[UUID]:
            serving = self.memory.stats().embedder
            target = next(each for each in self.orders.reindex_to if each != serving)
            self.memory.reindex(embedder=target)
            return []

        def optimize() -> list[UUID]:
            self.memory.optimize()
            return []

        if self.orders.work == "reindex":
            self.do("reindex", reindex)
        elif self.orders.work == "optimize":
            user = self.user()
            texts = [self.text() for _ in range(300)]
            done = self.do(
                "add",
                lambda: [each.id for each in self.memory.remember(texts, user_id=user)],
                user=user, texts=texts,
            )  # fmt: skip
            for each, text in zip(done or (), texts, strict=False):
                self.known[each] = Known(id=each, user=user, texts=[text])
            self.do("optimize", optimize)

    def steps(self) -> Iterator[Callable[[], None]]:
        """The operations, by weight; the large one early among them."""
        kinds = (self.add, self.add_many, self.again, self.update, self.forget, self.forget_user, self.recall)
        for number in range(self.orders.operations):
            if number == 3 and self.orders.work != "write":
                yield self.large
            yield self.rng.choices(kinds, weights=(8, 3, 1, 4, 4, 1, 2))[0]


def main(arguments: list[str]) -> int:
    """Do what stdin says; returns the exit code."""
    store, journal = arguments
    orders = Orders.model_validate_json(sys.stdin.read())
    if orders.host_failpoint:
        os.environ[failpoints.VARIABLE] = orders.host_failpoint  # the host that we start inherits it
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Memory.open(Path(store), embedder=orders.embedder, host_idle_s=0.3) as memory:
        memory.recall("Is the host up?", user_id="nobody")
        os.environ.pop(failpoints.VARIABLE, None)  # the next host shall live
        failpoints.arm(orders.client_failpoint)
        known = {each.id: each for each in orders.known}
        worker = _Worker(memory, orders, descriptor, random.Random(orders.seed), known)  # noqa: S311 -- no secret
        worker.tell(ready=True)
        for step in worker.steps():
            step()
        failpoints.arm(None)
    worker.tell(done=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
