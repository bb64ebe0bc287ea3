"""What goes wrong around a store: its folder, its disk, its database, its index, its other users."""

# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memsdk import Memory
from memsdk.errors import (
    DiskFullError,
    EmbedderMismatchError,
    IndexCorruptError,
    IndexUnavailableError,
    IngestError,
    InvalidInputError,
    MemsdkError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreVersionError,
)

Open = Callable[..., Memory]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MB of its own; skipped where this user may not mount one."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs more rights than this user has")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def texts(memory: Memory) -> list[str]:
    return [record.text for record in memory.list()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"embedder": 5}, "embedder"),
        ({"embedder": "no such model here"}, "no such model here"),
        ({"embedder": "hashing:x"}, "hashing:DIMS"),
        ({"index": "exakt"}, "exakt"),
        ({"index": 5}, "index is 5"),
        ({"index": None}, "index is None"),
        ({"require_users": True}, "require_users"),
        ({"neighbours": -1}, "neighbours"),
        ({"busy_timeout_s": 0}, "busy_timeout_s"),
        ({"synchronous": "OFF"}, "synchronous"),
        ({"recall_retention_days": "long"}, "recall_retention_days"),
    ],
    ids=str,
)
def test_a_bad_option_is_named_and_no_store_is_made(
    tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    """A misspelt `require_user` that is ignored opens a store to everybody."""
    with pytest.raises(MemsdkError, match=said):
        Memory.open(tmp_path / "store", **{"embedder": "hashing", "index": "exact", **arguments})  # type: ignore[arg-type]  # that is the claim
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "path",
    ["", " ", None, 5, "a\0b", "x" * 300, "~no-such-user-here/store", "postgresql://x/y", "a\ud800"],
    ids=ascii,
)
def test_a_bad_path_is_a_named_error(path: object) -> None:
    """A path comes from a setting; `None` must not make a store called None."""
    with pytest.raises(MemsdkError):
        Memory.open(path, embedder="hashing", index="exact")  # type: ignore[arg-type]  # that is the claim


@pytest.mark.parametrize("below", [".", "below"])
def test_a_store_path_that_is_a_file_is_a_named_error(tmp_path: Path, below: str) -> None:
    """The file must not be replaced by a folder."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"file|can't be made"):
        Memory.open(tmp_path / "file" / below, embedder="hashing", index="exact")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_store_made_with_another_embedder_says_how_to_go_on(open_memory: Open) -> None:
    """Vectors of two models in one space find nonsense, without a word."""
    memory = open_memory(index="embedded-inline")
    memory.remember("peanuts", user_id="ana")
    memory.close()
    with pytest.raises(
        EmbedderMismatchError, match=r"hashing:64:256:hashing.*memsdk reindex --embedder hashing:32"
    ):
        open_memory(embedder="hashing:32", index="embedded-inline")
    again = open_memory(embedder=None, index="embedded-inline")  # and the refused open let go of everything
    assert [hit.text for hit in again.recall("peanuts", user_id="ana")] == ["peanuts"]


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path, open_memory: Open) -> None:
    """An old process that writes to a new schema loses what it does not know."""
    open_memory().close()
    with sqlite3.connect(tmp_path / "store" / "memory.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StoreVersionError, match="newer memsdk"):
        open_memory()


@pytest.mark.parametrize("damage", ["garbage", "another database", "cut"])
def test_a_damaged_database_is_a_named_error_and_is_not_touched(
    tmp_path: Path, open_memory: Open, damage: str
) -> None:
    """Whoever wants to salvage a damaged file needs it as it was."""
    memory = open_memory()
    memory.remember([f"text number {number} " * 40 for number in range(200)], user_id="ana")
    memory.close()
    file = tmp_path / "store" / "memory.db"
    whole = file.read_bytes()
    if damage == "garbage":
        file.write_bytes(b"not a database " * 1_000)
    elif damage == "cut":
        file.write_bytes(whole[: len(whole) // 3])
    else:
        file.unlink()
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE mine (x)")
        database.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"damaged|not memsdk's"):
        open_memory().list(limit=10_000)
    if damage != "cut":
        assert file.read_bytes() == before


def test_a_damaged_table_is_found_by_verify(tmp_path: Path, open_memory: Open) -> None:
    """`memsdk verify` is what an operator runs after a disk error; it has to see one."""
    memory = open_memory(background=False)
    memory.remember([f"text number {number} " * 40 for number in range(200)], user_id="ana")
    memory.close()
    file = tmp_path / "store" / "memory.db"
    data = bytearray(file.read_bytes())
    for page in range(20, 30):
        data[page * 4096 + 100 : page * 4096 + 2_000] = b"\xaa" * 1_900
    file.write_bytes(data)
    with contextlib.suppress(StoreCorruptError):  # found while opening or reading: as good
        assert not open_memory(background=False).verify().clean


def test_a_locked_database_is_a_named_error_after_the_timeout(tmp_path: Path, open_memory: Open) -> None:
    """A backup tool that holds the file must not hang the agent for ever."""
    memory = open_memory(busy_timeout_s=0.2, background=False)
    memory.remember("peanuts", user_id="ana")
    holder = sqlite3.connect(tmp_path / "store" / "memory.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreLockedError, match="locked"):
        memory.remember("walnuts", user_id="ana")
    assert [hit.text for hit in memory.recall("peanuts", user_id="ana")] == ["peanuts"]  # reading goes on
    holder.execute("ROLLBACK")
    holder.close()
    assert texts(memory) == ["peanuts"]
    memory.remember("walnuts", user_id="ana")
    memory.flush()
    assert memory.verify().clean


def test_a_second_process_can_not_open_an_inline_index(open_memory: Open) -> None:
    """Two writers of one shard destroy it."""
    first = open_memory(index="embedded-inline")
    first.remember("peanuts", user_id="ana")
    with pytest.raises(IndexUnavailableError, match="another process"):
        open_memory(index="embedded-inline")
    assert [hit.text for hit in first.recall("peanuts", user_id="ana")][:1] == ["peanuts"]


def test_a_damaged_shard_is_a_named_error_and_repair_builds_it_anew(
    tmp_path: Path, open_memory: Open
) -> None:
    """The index is rebuildable; a torn file there must cost minutes, never a memory."""
    memory = open_memory(index="embedded-inline")
    records = memory.remember(["peanuts are bad", "tea is good", "the harbour is near"], user_id="ana")
    memory.flush()
    memory.close()
    for file in (tmp_path / "store" / "index").rglob("*"):
        if file.is_file() and file.suffix in (".json", ".bin", ".mmap"):
            file.write_bytes(b"\xff" * min(64, file.stat().st_size or 64))
    memory = open_memory(index="embedded-inline")
    assert len(memory.list()) == 3
    with pytest.raises(IndexCorruptError, match="memsdk repair"):
        memory.recall("peanuts", user_id="ana")
    assert memory.repair().clean
    assert memory.recall("peanuts", user_id="ana")[0].id == records[0].id


def test_an_index_that_was_deleted_is_filled_again(tmp_path: Path, open_memory: Open) -> None:
    """Deleting `index/` is what people do first when something is odd."""
    memory = open_memory(index="embedded-inline")
    memory.remember(["peanuts are bad", "tea is good"], user_id="ana")
    memory.close()
    shutil.rmtree(tmp_path / "store" / "index")
    memory = open_memory(index="embedded-inline")
    assert memory.recall("peanuts", user_id="ana")[0].text == "peanuts are bad"
    memory.flush()
    assert memory.verify().clean


def test_a_full_disk_is_refused_before_the_engine_writes(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine maps its files: a write that finds no room kills the process."""
    memory = open_memory(index="embedded-inline", background=False)
    memory.remember("peanuts", user_id="ana")
    nearly_full = shutil.disk_usage("/")._replace(free=1_000_000)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: nearly_full)
        with pytest.raises(DiskFullError, match=r"disk|free"):
            memory.remember("walnuts", user_id="ana")
    stored = texts(memory)
    memory.flush()
    found = [hit.text for hit in memory.recall("walnuts peanuts", user_id="ana")]
    assert sorted(found) == sorted(stored)  # kept and found, or neither
    assert memory.verify().clean


def test_a_disk_that_runs_full_keeps_what_was_acknowledged(mounted: Path) -> None:
    """The free-space guard can't foresee other writers; then SQLite's own refusal has to come out by name."""
    with Memory.open(mounted / "store", embedder="hashing", index="exact", background=False) as memory:
        kept = [memory.remember(f"text {number}", user_id="ana").id for number in range(3)]
        ballast = mounted / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(mounted).free - 1_000_000))
        with pytest.raises(DiskFullError, match=r"full|free"):  # noqa: PT012 -- which of them is the disk's choice
            for number in range(100):
                memory.remember(f"{number} " * 100_000, user_id="ana", wait=False)
        assert [record.id for record in memory.list(limit=3)] == kept
        ballast.unlink()
        memory.remember("there is room again", user_id="ana")
        memory.flush()
        assert memory.verify().clean


def test_a_read_only_disk_is_a_named_error(mounted: Path) -> None:
    """A container with a read-only mount must say so when the store is opened, not at the first write."""
    with Memory.open(mounted / "store", embedder="hashing", index="exact") as memory:
        memory.remember("peanuts", user_id="ana")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    with pytest.raises(StoreReadOnlyError, match="writ"):
        Memory.open(mounted / "store", embedder="hashing", index="exact")


@pytest.mark.skipif(os.name != "posix", reason="fork is Unix")
@pytest.mark.parametrize("index", ["exact", "embedded-inline", "embedded"])
def test_a_forked_child_works_or_says_why_not(tmp_path: Path, index: str) -> None:
    """gunicorn and Celery fork: a child that writes through its parent's handles destroys the store."""
    script = f"""
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from memsdk import Memory
from memsdk.errors import ForkedProcessError
memory = Memory.open({str(tmp_path / "store")!r}, embedder="hashing", index={index!r})
memory.remember("peanuts", user_id="ana")
child = os.fork()
if child == 0:
    try:
        memory.remember("walnuts", user_id="ana")
        found = [hit.text for hit in memory.recall("walnuts", user_id="ana")]
        os._exit(10 if "walnuts" in found else 1)
    except ForkedProcessError as error:
        os._exit(20 if "open the memory again" in str(error) else 2)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(3)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
memory.remember("tea", user_id="ana")
memory.flush()
clean = memory.verify().clean
memory.close()
sys.exit(code if clean else 4)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    expected = {"exact": (10, 4), "embedded-inline": (20,), "embedded": (10,)}[index]
    assert done.returncode in expected, done.stderr


def test_broken_files_are_listed_and_the_good_ones_kept(tmp_path: Path, open_memory: Open) -> None:
    """One broken attachment in a folder of a thousand must not cost the other 999."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.md").write_text("# Harbour\n\nThe harbour opens at six.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 broken")
    (folder / "broken.json").write_text('{"a": ')
    (folder / "broken.jsonl").write_text('{"a": 1}\nnot json\n')
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (folder / "nothing.txt").write_text("")
    (folder / "dangling.md").symlink_to(folder / "gone.md")
    (folder / "loop").symlink_to(folder)
    memory = open_memory()
    report = memory.documents.ingest(folder)
    failed = {Path(source).name for source, _ in report.failed}
    assert failed >= {"broken.pdf", "broken.docx", "broken.json", "broken.jsonl", "dangling.md"}
    assert {Path(document.key).name for document in report.added} >= {"good.md"}
    assert memory.recall("harbour opens", shared=True)[0].title is not None
    with pytest.raises(IngestError, match=r"broken\.pdf"):
        memory.documents.ingest(folder / "broken.pdf")


def test_a_file_that_can_not_be_read_is_a_named_error(
    tmp_path: Path, open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions differ between the agent's user and the operator's."""
    file = tmp_path / "secret.md"
    file.write_text("secret")
    memory = open_memory()

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        with pytest.raises(IngestError, match=r"secret\.md.*Permission denied"):
            memory.documents.ingest(file)
    assert memory.documents.list() == []


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps file names as UTF-8")
def test_a_file_name_that_is_no_text_does_not_stop_an_ingest(tmp_path: Path, open_memory: Open) -> None:
    """Old archives hold file names in Latin-1; SQLite can't store such a path."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "good.md").write_text("The harbour opens at six.")
    with open(os.fsencode(folder) + b"/caf\xe9.md", "w") as file:  # noqa: PTH123 -- pathlib wants text
        file.write("Coffee is at seven.")
    memory = open_memory()
    report = memory.documents.ingest(folder)
    assert len(report.added) + len(report.failed) == 2
    assert memory.recall("harbour", shared=True)
    with pytest.raises(InvalidInputError):
        memory.documents.ingest(folder, user_id="\ud800")
