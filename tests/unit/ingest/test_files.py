from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from memsdk.errors import IngestError, MissingExtraError
from memsdk.ingest import files
from memsdk.ingest.files import FORMATS, FileReader
from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed, Section


def shout(source: Source) -> list[Parsed]:
    """A third party's format."""
    return [source.document(Section(headings=(), text=source.text().upper()))]


SHOUTED = Format(media_types=("text/x-shout",), suffixes=(".shout", ".txt"), parse=shout)


def write(folder: Path, *names: str) -> None:
    """Small files of these names."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")


def found(folder: Path, *paths: Path) -> list[str]:
    """What is readable under the paths (or the folder), relative to the folder."""
    return [file.relative_to(folder).as_posix() for file in FileReader().sources(paths or (folder,))]


def test_a_folder_gives_its_readable_files_sorted(tmp_path: Path) -> None:
    """The same folder must give the same records on every machine, and no dependency's read-me."""
    write(
        tmp_path,
        "b.md",
        "a.txt",
        "z.bin",
        "sub/c.py",
        ".hidden.md",
        ".git/x.md",
        "node_modules/x.md",
        "__pycache__/x.py",
    )
    assert found(tmp_path) == ["a.txt", "b.md", "sub/c.py"]


def test_each_file_comes_once_however_often_it_is_reached(tmp_path: Path) -> None:
    """Links that loop would never end; a file named twice would be counted twice."""
    write(tmp_path, "sub/a.md")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again.md").symlink_to(tmp_path / "sub" / "a.md")
    assert found(tmp_path) == ["again.md"]
    assert found(tmp_path, tmp_path / "sub", tmp_path, tmp_path / "sub" / "a.md") == ["sub/a.md"]


def test_a_file_named_itself_is_read_whatever_its_name(tmp_path: Path) -> None:
    """Whoever names a file wants it; hiding it would look like success."""
    write(tmp_path, ".notes", "LICENSE")
    assert found(tmp_path, tmp_path / "LICENSE", tmp_path / ".notes") == ["LICENSE", ".notes"]
    assert FileReader().read(tmp_path / "LICENSE")[0].sections[0].text == "text"


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    """`[Errno 2]` from deep inside says neither which path nor what to do."""
    with pytest.raises(IngestError, match="nowhere: no such file"):
        list(FileReader().sources([tmp_path / "nowhere"]))
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    assert found(tmp_path) == ["gone.md"]
    for path, says in (
        (tmp_path / "gone.md", "can't be read: No such file"),
        (tmp_path, "not a regular file"),
    ):
        with pytest.raises(IngestError, match=says):
            FileReader().read(path)
    with pytest.raises(IngestError, match="no usable path"):
        FileReader().read(Path("a\0b"))


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root and Windows may read everything"
)
def test_unreadable_files_and_folders_are_named(tmp_path: Path) -> None:
    """One closed file among a thousand must be findable."""
    write(tmp_path, "a.md", "sub/b.md")
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "sub").chmod(0)
    with pytest.raises(IngestError, match=r"a\.md: can't be read: Permission"):
        FileReader().read(tmp_path / "a.md")
    with pytest.raises(IngestError, match="sub: can't be listed"):
        found(tmp_path)
    with pytest.raises(IngestError, match="none that may be seen"):
        found(tmp_path, tmp_path / "sub" / "b.md")
    (tmp_path / "sub").chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_a_named_pipe_does_not_hang_the_ingest(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to waits for ever."""
    os.mkfifo(tmp_path / "pipe.txt")
    assert found(tmp_path) == []
    with pytest.raises(IngestError, match="not a regular file"):
        FileReader().read(tmp_path / "pipe.txt")


@pytest.mark.parametrize(
    "name", ["a.txt", "a.md", "a.html", "a.rst", "a.pdf", "a.docx", "a.csv", "a.json", "a.jsonl", "a.py"]
)
@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_file_has_no_sections(tmp_path: Path, name: str, content: bytes) -> None:
    """A new, still empty note is no error in a folder of hundreds."""
    (tmp_path / name).write_bytes(content)
    (parsed,) = FileReader().read(tmp_path / name)
    assert (parsed.sections, parsed.messages, parsed.title) == ((), (), "a")


def test_too_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """A log of many gigabytes would take the machine's memory with it."""
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(IngestError, match=r"big\.txt: has 1099511627776 bytes, more than the 209715200"):
        FileReader().read(tmp_path / "big.txt")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfcaf\xc3\xa9", "café"),
        ("café".encode("utf-16"), "café"),
        ("café".encode("utf-32"), "café"),
        (b"a\r\nb\rc", "a\nb\nc"),
        (
            "Die Straße führt über die Brücke zum schönen alten Rathaus. ".encode("latin-1") * 5,
            "Straße führt",
        ),
    ],
    ids=["bom", "utf-16", "utf-32", "line ends", "latin-1"],
)
def test_encodings_are_told(tmp_path: Path, data: bytes, text: str) -> None:
    """Files from other decades and systems are what people want to search."""
    (tmp_path / "a.txt").write_bytes(data)
    assert text in FileReader().read(tmp_path / "a.txt")[0].sections[0].text


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0",
        b"text\0more",
        os.urandom(2000).replace(b"\0", b"\1") + b"\xff\xfe\x80",
        b"\xef\xbb\xbf\xff",
    ],
    ids=["png", "nul", "noise", "false mark"],
)
def test_binary_content_is_refused(tmp_path: Path, data: bytes) -> None:
    """A picture read as text fills the index with noise."""
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(IngestError, match=r"a\.txt"):
        FileReader().read(tmp_path / "a.txt")


def test_the_key_is_the_same_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise ingesting the same folder again would double it."""
    write(tmp_path, "sub/a.md")
    absolute = FileReader().read(tmp_path / "sub" / "a.md")[0].key
    monkeypatch.chdir(tmp_path / "sub")
    assert (
        FileReader().read(Path("a.md"))[0].key == absolute == (tmp_path / "sub" / "a.md").resolve().as_posix()
    )


def test_texts_are_read_by_media_type() -> None:
    """A page fetched by the agent has no file."""
    (parsed,) = FileReader().read_text("# T\n\nx\0\ud800", title="t", media_type="text/markdown", key="k")
    assert (parsed.key, parsed.title, parsed.sections) == ("k", "T", (Section(headings=(), text="x\ufffd"),))
    with pytest.raises(IngestError, match="'text/odd' can't be read; there are application/json, "):
        FileReader().read_text("x", title="t", media_type="text/odd")


@pytest.mark.parametrize(
    ("suffix", "module"), [(".pdf", "pypdf"), (".docx", "docx"), (".rst", "docutils.core")]
)
def test_a_missing_parser_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str
) -> None:
    """`No module named ...` does not tell what to install."""
    write(tmp_path, f"a{suffix}")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'memsdk\[documents\]'"):
        FileReader().read(tmp_path / f"a{suffix}")


def test_plug_ins_add_formats_and_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others must be able to read what we don't, without a change here."""
    write(tmp_path, "a.shout", "b.txt")
    entry = EntryPoint("shout", f"{__name__}:SHOUTED", "memsdk.readers")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(files, "entry_points", lambda group: EntryPoints([entry]).select(group=group))
    reader = FileReader()
    texts = [reader.read(file)[0].sections[0].text for file in reader.sources([tmp_path])]
    assert texts == ["TEXT", "TEXT"]
    assert reader.suffixes[".shout"] == "text/x-shout"


@pytest.mark.parametrize(
    ("value", "says"), [("no.such:thing", "can't be loaded"), ("json:loads", "not a memsdk")]
)
def test_broken_plug_ins_are_named(monkeypatch: pytest.MonkeyPatch, value: str, says: str) -> None:
    """The package to blame must be in the message."""
    entry = EntryPoint("odd", value, "memsdk.readers")
    monkeypatch.setattr(files, "entry_points", lambda group: [entry])
    with pytest.raises(IngestError, match=says):
        FileReader()


def test_no_suffix_and_no_media_type_is_claimed_twice() -> None:
    """Which format reads a file must not depend on the order of a tuple."""
    for names in ([s for f in FORMATS for s in f.suffixes], [m for f in FORMATS for m in f.media_types]):
        assert len(names) == len(set(names))


def test_reading_pdfs_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """pypdf logs pages of warnings on damaged files, into the agent's own log."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\ngarbage\nstartxref\n99\n%%EOF")
    with caplog.at_level(logging.DEBUG), pytest.raises(IngestError):
        FileReader().read(tmp_path / "a.pdf")
    assert not [
        record
        for record in caplog.records
        if record.name.startswith("pypdf") and record.levelno < logging.CRITICAL
    ]


def test_the_examples_are_read_and_small(repository: Path) -> None:
    """They are the first thing a newcomer tries, without any extra installed."""
    examples = repository / "examples"
    sources = list(FileReader().sources([examples / "handbook", examples / "chats"]))
    parsed = [each for file in sources for each in FileReader().read(file)]
    assert len(sources) == 8
    assert sum(len(each.sections) for each in parsed) > 15
    assert {message.session_id for each in parsed for message in each.messages} > {"ana-2025-03-18", "c-7f21"}
    assert not any(
        "Larch" in message.content for each in parsed for message in each.messages
    )  # the discarded answer
    assert sum(file.stat().st_size for file in examples.rglob("*") if file.is_file()) < 60_000
