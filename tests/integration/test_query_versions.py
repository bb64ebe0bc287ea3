"""Trained query versions serve: switched in one transaction, with their own vectors only, for whom they are meant."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from memsdk import Memory
from memsdk.errors import NotFoundError, QueryVersionError
from memsdk.models import QueryVersion, Task
from memsdk.testing.embedders import HashingEmbedder
from memsdk.trainer import publish
from memsdk.trainer.folders import save_residual

EMBEDDER = HashingEmbedder(dims=64)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """A store with one shared fact and one of Ana's."""
    with Memory.open(
        tmp_path / "store", embedder=EMBEDDER, index="embedded-inline", synchronous="NORMAL"
    ) as opened:
        opened.remember("the ferry leaves at nine")
        opened.remember("ana has a red bicycle", user_id="ana")
        yield opened


def make(
    memory: Memory,
    name: str,
    *,
    user_id: str | None = None,
    towards: str | None = None,
    share: float | None = None,
) -> QueryVersion:
    """A written and registered T0 version; its map turns every query into `towards`."""
    parts = memory._parts
    serving = parts.serving.current()
    down, up = np.zeros((1, 64), np.float32), np.zeros((64, 1), np.float32)
    if towards is not None:
        (key,) = EMBEDDER.embed([towards], task=Task.CHAT, side="key")  # type: ignore[arg-type]  # a StrEnum's value
        down, up = np.ones((1, 64), np.float32), key[:, None] * 100
    version = QueryVersion(
        id=name, tier="t0", task=Task.CHAT, user_id=user_id, dense_weight=share,
        fingerprint=serving.spaces[Task.CHAT].fingerprint, created_at=datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    publish.write_version(
        parts.folder / "models", version, lineage={}, card="# a version\n",
        build=lambda into: save_residual(into, down=down, up=up, base=EMBEDDER),
    )  # fmt: skip
    publish.register(parts, version, trained_on=[])
    return version


def test_a_switch_is_seen_by_another_process_at_its_next_recall(tmp_path: Path) -> None:
    """Two agents on one store would disagree for as long as one of them runs."""
    settings = {"embedder": EMBEDDER, "synchronous": "NORMAL", "host_idle_s": 0.2}
    with (
        Memory.open(tmp_path, index="embedded", **settings) as one,  # type: ignore[arg-type]
        Memory.open(tmp_path, index="embedded", **settings) as other,  # type: ignore[arg-type]
    ):
        one.remember("the ferry leaves at nine")
        own = other.recall("when does the ferry leave?", kinds=["memory"]).query_version
        make(one, "v1")
        assert other.recall("ferry", kinds=["memory"]).query_version == own
        publish.activate(one._parts, "v1")
        assert other.recall("ferry", kinds=["memory"]).query_version == "v1"
        one._parts.store.versions.rollback(task=Task.CHAT, user_id=None)
        assert other.recall("ferry", kinds=["memory"]).query_version == own


def test_a_users_own_version_is_used_for_that_user_only(memory: Memory) -> None:
    """What one user's habits taught must not bend another's recall."""
    make(memory, "everybody")
    make(memory, "anas", user_id="ana")
    for name in ("everybody", "anas"):
        publish.activate(memory._parts, name)
    asked = {user: memory.recall("ferry", user_id=user).query_version for user in ("ana", "bo", None)}
    assert {user: version.split(",")[0] for user, version in asked.items()} == {
        "ana": "anas", "bo": "everybody", None: "everybody",
    }  # fmt: skip


def test_the_map_and_the_share_decide_what_is_found(memory: Memory) -> None:
    """A version that is named in the log but not used would make every figure of the gate a lie."""
    memory.remember("bo keeps bees behind the barn")
    kinds = ["memory"]
    assert memory.recall("ferry", k=1, kinds=kinds)[0].text == "the ferry leaves at nine"
    make(memory, "v1", towards="bo keeps bees behind the barn", share=1.0)
    publish.activate(memory._parts, "v1")
    recall = memory.recall("ferry", k=1, kinds=kinds, explain=True)
    assert recall[0].text == "bo keeps bees behind the barn"
    assert recall[0].why is not None
    assert "bm25" not in recall[0].why.parts


def test_the_log_names_the_version(memory: Memory) -> None:
    """Feedback on what one version found teaches the next; without the name nobody knows which it was."""
    make(memory, "v1")
    publish.activate(memory._parts, "v1")
    memory.recall("ferry", kinds=["memory"])
    memory._parts.background.write_log()
    (logged,) = memory._parts.store.recall_log.recalls(users=None, after=None, limit=9)
    assert logged["query_version"] == "v1"


def test_a_version_of_other_vectors_is_refused(memory: Memory) -> None:
    """Vectors of two makings have meaningless angles: worse than an error is an answer."""
    version = make(memory, "v1").model_copy(update={"id": "v2", "fingerprint": "f" * 16})
    memory._parts.store.versions.add(version, trained_on=[])
    with pytest.raises(QueryVersionError, match="trained against the vectors ffff"):
        memory._parts.store.versions.activate("v2")
    engine = sa.create_engine(f"sqlite:///{memory._parts.folder / 'memory.db'}")
    with engine.begin() as connection:  # as no release would do it
        connection.execute(sa.text("UPDATE query_versions SET state = 'active' WHERE id = 'v2'"))
        connection.execute(sa.text("UPDATE counters SET value = value + 1 WHERE name = 'epoch'"))
    engine.dispose()
    with pytest.raises(QueryVersionError, match=r"models rollback --task chat"):
        memory.recall("ferry")
    memory._parts.store.versions.rollback(task=Task.CHAT, user_id=None)
    assert memory.recall("ferry")


def test_new_vectors_release_the_versions_of_the_old_ones(memory: Memory) -> None:
    """A reindex must not leave a store that can't be asked."""
    make(memory, "v1")
    publish.activate(memory._parts, "v1")
    memory._parts.reindex(HashingEmbedder(dims=64, name="other"), progress=None)
    assert memory.recall("ferry").query_version != "v1"
    assert [version.state for version in memory._parts.store.versions.list()] == ["ready"]


def test_a_folder_that_is_not_whole_is_never_switched_to(memory: Memory) -> None:
    """A half-copied or edited version would embed queries with whatever it holds."""
    make(memory, "v1")
    adapter = memory._parts.folder / "models" / "v1" / "adapter.safetensors"
    whole = adapter.read_bytes()
    adapter.write_bytes(whole[:-4])
    with pytest.raises(QueryVersionError, match="not as it was published"):
        publish.activate(memory._parts, "v1")
    adapter.unlink()
    with pytest.raises(QueryVersionError, match="no whole query version"):
        publish.activate(memory._parts, "v1")
    adapter.write_bytes(whole)
    assert publish.activate(memory._parts, "v1").state == "active"


def test_a_vanished_folder_is_an_error_with_its_cure(memory: Memory) -> None:
    """Serving with another encoder than the one that was switched to would pass for a worse memory."""
    make(memory, "v1")
    publish.activate(memory._parts, "v1")
    shutil.rmtree(memory._parts.folder / "models" / "v1")
    with pytest.raises(QueryVersionError, match="memsdk models rollback"):
        memory.recall("ferry")
    memory._parts.store.versions.rollback(task=Task.CHAT, user_id=None)
    assert memory.recall("ferry")


def test_rollback_goes_back_step_by_step(memory: Memory) -> None:
    """The way back must lead to every version that served, and at last to the store's own encoder."""
    versions = memory._parts.store.versions
    for name in ("v1", "v2", "v3"):
        make(memory, name)
        publish.activate(memory._parts, name)
    publish_order = []
    for _ in range(3):
        left, restored = versions.rollback(task=Task.CHAT, user_id=None)
        publish_order.append((left.id, restored.id if restored else None))
    assert publish_order == [("v3", "v2"), ("v2", "v1"), ("v1", None)]
    with pytest.raises(NotFoundError, match="no query version serves"):
        versions.rollback(task=Task.CHAT, user_id=None)


def test_rollback_passes_over_what_was_retired(memory: Memory) -> None:
    """A version may be retired as it saw what was forgotten; rolling back to it would bring that back."""
    for name in ("v1", "v2"):
        make(memory, name)
        publish.activate(memory._parts, name)
    publish.retire(memory._parts, "v1")
    assert not (memory._parts.folder / "models" / "v1").exists()
    with pytest.raises(QueryVersionError, match="serves"):
        publish.retire(memory._parts, "v2")
    left, restored = memory._parts.store.versions.rollback(task=Task.CHAT, user_id=None)
    assert (left.id, restored) == ("v2", None)
    with pytest.raises(QueryVersionError, match="retired"):
        memory._parts.store.versions.activate("v1")


def test_forget_names_the_versions_that_saw_the_text(memory: Memory) -> None:
    """What was learnt from a text can't be unlearnt by erasing it: who erases it has to know."""
    record = memory.remember("the safe's code is 4711", user_id="ana")
    version = make(memory, "v1").model_copy(update={"id": "v2"})
    memory._parts.store.versions.add(version, trained_on=[record.id])
    assert memory.forget(record.id).models_trained_on_it == ("v2",)
    assert {each.id: each.forgotten for each in memory._parts.store.versions.list()} == {"v1": 0, "v2": 1}


def test_forgetting_a_user_retires_the_users_own_versions(memory: Memory) -> None:
    """A map fitted on one person's questions is that person's data."""
    make(memory, "anas", user_id="ana")
    publish.activate(memory._parts, "anas")
    receipt = memory.forget(user_id="ana")
    assert receipt.models_trained_on_it == ("anas",)
    assert [version.state for version in memory._parts.store.versions.list()] == ["retired"]
    assert not (memory._parts.folder / "models" / "anas").exists()


def test_a_backup_has_the_versions_that_serve(memory: Memory, tmp_path: Path) -> None:
    """A restored store that names a version without its files can't be asked at all."""
    make(memory, "v1")
    publish.activate(memory._parts, "v1")
    copy = memory.backup(tmp_path / "copy")
    with Memory.open(copy, embedder=EMBEDDER, index="embedded-inline", synchronous="NORMAL") as restored:
        assert restored.recall("ferry", kinds=["memory"]).query_version == "v1"
