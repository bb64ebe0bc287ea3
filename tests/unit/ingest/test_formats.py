from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memsdk.errors import IngestError
from memsdk.ports import Parsed, Section

Read = Callable[[str, bytes | str], Parsed]


def test_markdown_keeps_the_heading_path_and_whole_blocks(read: Read) -> None:
    """A chunk that lost its headings can't be told from one of another chapter; a `#` in code is no heading."""
    parsed = read(
        "a.md",
        "# Handbook\n\nHi.\n\n## *Travel* `now`\n\n```sh\n# no heading\n```\n\n### Hotels\n\n| a | b |\n|--|--|\n",
    )
    assert parsed.title == "Handbook"
    assert parsed.sections == (
        Section(headings=(), text="Hi."),
        Section(headings=("Travel now",), text="```sh\n# no heading\n```"),
        Section(headings=("Travel now", "Hotels"), text="| a | b |\n|--|--|"),
    )


def test_a_heading_with_nothing_below_is_not_lost(read: Read) -> None:
    """To-do lists are often headings alone."""
    parsed = read("todo.md", "# Buy milk\n# Call Ana\n")
    assert [section.text for section in parsed.sections] == ["Buy milk", "Call Ana"]
    assert parsed.title == "todo"


def test_front_matter_becomes_metadata(read: Read) -> None:
    """Otherwise each document's first chunk would be settings."""
    parsed = read("a.md", "---\ntitle: 'Safety'\nowner: Marine\n---\n## Drills\nWeekly.\n")
    assert (parsed.title, parsed.metadata["owner"]) == ("Safety", "Marine")
    assert parsed.sections == (Section(headings=("Drills",), text="Weekly."),)


def test_html_gives_what_a_reader_sees(read: Read) -> None:
    """Scripts and menus would drown the text; table cells run together would be unreadable."""
    parsed = read(
        "a.html",
        "<?xml version='1.0'?><html><title>T</title><script>x()</script><nav>Home</nav><h1>Top</h1><p>One <b>two</b></p><ul><li>a<li>b"
        "</ul><h2>Sub</h2><table><tr><th>h</th><td>c</td></tr><tr><td>1</td><td>2</td></tr></table><pre>x  = 1</pre>",
    )
    assert parsed.title == "Top"
    assert parsed.sections == (
        Section(headings=(), text="One two\n\n- a\n- b"),
        Section(headings=("Sub",), text="| h | c |\n| --- | --- |\n| 1 | 2 |\n\n```\nx  = 1\n```"),
    )


def test_html_may_nest_deeper_than_python_recurses(read: Read) -> None:
    """A hostile page must not end the ingest with a RecursionError."""
    assert read("deep.html", "<div>" * 20_000 + "bottom").sections[0].text == "bottom"


def test_rst_keeps_headings_and_unknown_directives_text(read: Read) -> None:
    """Sphinx pages are full of directives that docutils does not know; their text is what people search for."""
    parsed = read(
        "a.rst", "Top\n===\n\nIntro.\n\nSub\n---\n\n- a\n- b\n\n.. versionadded-x:: 1\n\n   Kept text.\n"
    )
    assert parsed.title == "Top"
    assert parsed.sections[0] == Section(headings=(), text="Intro.")
    assert parsed.sections[1].headings == ("Sub",)
    assert "- a\n- b" in parsed.sections[1].text
    assert "Kept text." in parsed.sections[1].text


def test_rst_can_not_include_other_files(read: Read, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A document from a stranger must not pull the password file into the store."""
    secret = tmp_path_factory.mktemp("s") / "secret.txt"
    secret.write_text("hunter2")
    parsed = read("a.rst", f"Hi.\n\n.. include:: {secret}\n\n.. csv-table::\n   :file: {secret}\n")
    assert "hunter2" not in "".join(section.text for section in parsed.sections)


def test_pdf_gives_its_pages(read: Read, make_pdf: Callable[[Sequence[str]], bytes]) -> None:
    """The page is what a person needs to look a quotation up."""
    parsed = read("a.pdf", make_pdf(["First page", "", "Third page"]))
    assert parsed.sections == (
        Section(headings=("page 1",), text="First page"),
        Section(headings=("page 3",), text="Third page"),
    )
    assert parsed.metadata["pages"] == 3


def test_pdfs_without_text_or_behind_a_password_say_so(
    read: Read, make_pdf: Callable[[Sequence[str]], bytes], locked_pdf: bytes
) -> None:
    """An empty document in silence would look like success."""
    with pytest.raises(IngestError, match=r"scan\.pdf.*probably a scan"):
        read("scan.pdf", make_pdf(["", ""]))
    with pytest.raises(IngestError, match=r"locked\.pdf.*encrypted"):
        read("locked.pdf", locked_pdf)


def test_docx_keeps_headings_lists_and_tables(read: Read, word_file: bytes) -> None:
    """Word's structure is in its styles, which a plain text dump loses."""
    parsed = read("a.docx", word_file)
    assert parsed.title == "Travel"
    assert parsed.sections == (
        Section(headings=(), text="How to travel."),
        Section(headings=("Hotels",), text="- Up to 135 euros.\n- In Oslo 180."),
        Section(headings=("Hotels", "Rates"), text="| Hours | Euros |\n| --- | --- |\n| 8 | 18 |"),
    )


@pytest.mark.parametrize("suffix", [".pdf", ".docx"])
def test_damaged_files_are_refused_by_name(
    read: Read, make_pdf: Callable[[Sequence[str]], bytes], word_file: bytes, suffix: str
) -> None:
    """The parsers raise a dozen kinds of exceptions on damage; a caller should need one."""
    whole = make_pdf(["Hello"]) if suffix == ".pdf" else word_file
    for end in range(10, len(whole), max(1, len(whole) // 40)):
        try:
            read(f"broken{suffix}", whole[:end])
        except IngestError as error:
            assert f"broken{suffix}" in str(error)  # noqa: PT017  # pypdf mends some of them, which is fine too
    with pytest.raises(IngestError, match=f"broken{suffix}"):
        read(f"broken{suffix}", b"not at all")


def test_old_word_files_are_told_apart(read: Read) -> None:
    """`BadZipFile` would help nobody."""
    with pytest.raises(IngestError, match="old format"):
        read("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 100)


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")])
def test_csv_rows_name_their_columns(read: Read, name: str, delimiter: str) -> None:
    """A bare row is a list of words that no question resembles."""
    rows = ["name,post", '"Ines\nH.",pay', "Jonas,,extra"]
    parsed = read(name, "\n".join(rows).replace(",", delimiter))
    assert parsed.sections[0].text == "name: Ines H.\npost: pay\n\nname: Jonas\ncolumn 3: extra"


def test_broken_csv_names_the_line(read: Read) -> None:
    """An open quote swallows the rest of the file."""
    with pytest.raises(IngestError, match=r"a\.csv, line 4.*quote"):
        read("a.csv", 'a,b\n1,2\n"open,3\n4,5\n')


def test_json_items_become_readable_sections(read: Read) -> None:
    """Braces and quotes are noise to an encoder."""
    parsed = read(
        "a.json",
        '{"v": 1, "Puffin": {"built": 1998, "ports": ["A", "B"], "crew": [{"name": "Jo"}]}, "none": []}',
    )
    assert parsed.sections == (
        Section(headings=(), text="v: 1\nnone: none"),
        Section(headings=("Puffin",), text="built: 1998\nports: A, B\ncrew[0].name: Jo"),
    )


def test_json_lines_are_items(read: Read) -> None:
    """A line is a record; its title leads."""
    parsed = read("a.jsonl", '{"title": "One", "x": 1}\n\n{"x": true}\n')
    assert parsed.sections == (
        Section(headings=("One",), text="title: One\nx: 1"),
        Section(headings=(), text="x: true"),
    )


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", '{\n"a": 1,\n}', r"a\.json, line 3"),
        ("a.json", '{"a": 1}\n{"a": 2}', r"name it \.jsonl"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ("a.json", "9" * 10_000, r"a\.json: is no JSON that can be read"),
        ("a.jsonl", '{"a": 1}\n\n{"a": \n', r"a\.jsonl, line 3"),
        ("a.jsonl", "{}\n" + "[" * 100_000, r"line 2: is nested too deeply"),
    ],
    ids=["place", "lines", "deep list", "deep object", "huge number", "jsonl", "deep line"],
)
def test_broken_json_names_the_place(read: Read, name: str, content: str, says: str) -> None:
    """In a file of 10,000 lines, `Expecting value` is no help."""
    with pytest.raises(IngestError, match=says):
        read(name, content)


def test_json_can_not_smuggle_in_what_no_store_can_hold(read: Read) -> None:
    """A lone surrogate or NUL from an escape would fail at the very end, in the database."""
    parsed = read("a.json", r'{"a": "x\ud800y\u0000z", "\ud800b": {"c": 1}}')
    assert parsed.sections[0].text == "a: x\ufffdyz"
    assert parsed.sections[1].headings == ("\ufffdb",)


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("a.py", "import x\n\n# why\n@dec\ndef one():\n    def inner(): ...\n\nclass Two:\n    pass\n", ["one", "Two"]),
        ("a.js", "import x;\n\nexport default async function one() {}\nconst two = () => 1;\n", ["one", "two"]),
        ("a.ts", "export interface One {}\nexport abstract class Two {}\n", ["One", "Two"]),
        ("a.go", "package a\n\n// Doc.\nfunc (s *S) One() {}\n\ntype Two struct {}\n", ["One", "Two"]),
        ("a.rs", "use x;\n\n#[derive(Debug)]\npub struct One;\n\nimpl<T> Two<T> {}\n\npub(crate) fn three() {}\n", ["One", "Two", "three"]),
        ("a.java", "package a;\n\n/** Doc. */\npublic final class One {\n}\n", ["One"]),
        ("a.c", "#include <x.h>\n\nstatic int one(void)\n{\n}\n\nstruct two {\n};\n", ["one", "two"]),
        ("a.cpp", "template <class T>\nvoid A::one(T x) {\n}\nclass Two : public A {\n};\n", ["A::one", "Two"]),
    ],
)  # fmt: skip
def test_code_is_cut_at_its_definitions(read: Read, name: str, content: str, names: list[str]) -> None:
    """Half a function explains nothing; every line must be somewhere."""
    parsed = read(name, content)
    assert [section.headings[0] for section in parsed.sections if section.headings] == names
    assert "\n".join(section.text for section in parsed.sections).split() == content.split()


def test_comments_and_decorators_stay_with_what_they_explain(read: Read) -> None:
    """A docstring-like comment in the chunk before its function is found for the wrong one."""
    parsed = read("a.py", "x = 1\n\n# why\n@dec\ndef one():\n    pass\n")
    assert parsed.sections[1].text.startswith("# why\n@dec\ndef one")
