"""Runs the examples of a Markdown page: Python blocks, `$ memsdk` lines, and the output that is shown beneath them.

The rules that a page follows:

- A `python` block is run; the blocks of a page share one namespace and one empty folder, with `examples/` in it.
- A `text` block is what the `python` block before it prints. A `console` block has `$ memsdk ...` lines and their output.
- In shown output `...` stands for anything, also over several lines.
- `<!--- skip: next "reason" -->` before a block leaves it out; the reason is not optional.
"""

from __future__ import annotations

import doctest
import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final
from unittest import SkipTest

import pytest
from click.testing import CliRunner
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from memsdk.cli.main import cli

REPOSITORY: Final = Path(__file__).parents[2]
PAGES: Final = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
FENCE: Final = re.compile(r"^```(?P<language>[^\n`]*)$\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED: Final = "printed"

_run_python: Final = PythonEvaluator()
_checker: Final = doctest.OutputChecker()


def run_page(page: Path) -> int:
    """Run every example of the page in the current folder; returns how many there were."""
    document = Sybil(
        parsers=[
            CodeBlockParser("python", _python),
            CodeBlockParser("text", _shown_output),
            CodeBlockParser("console", _console),
            SkipParser(),
        ]
    ).parse(page)
    return sum(_evaluate(example) for example in document.examples())


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and body of every fenced block."""
    return [(found["language"], found["body"]) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


def _evaluate(example: Example) -> bool:
    try:
        example.evaluate()
    except SkipTest:
        return False
    return True


def _python(example: Example) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        _run_python(example)
    example.namespace[PRINTED] = out.getvalue()


def _shown_output(example: Example) -> None:
    _compare(str(example.parsed), example.namespace[PRINTED], where=_where(example))


def _console(example: Example) -> None:
    for command, shown in _commands(str(example.parsed)):
        words = shlex.split(command)
        assert words[0] == "memsdk", f"{_where(example)}: only memsdk is run here, not {command!r}"
        result = CliRunner().invoke(cli, words[1:], prog_name="memsdk", catch_exceptions=False)
        expected = re.search(r"^\[exit (\d+)\]$", shown, re.MULTILINE)
        assert result.exit_code == int(expected[1] if expected else 0), f"{_where(example)}: {result.output}"
        printed = result.output + (f"[exit {result.exit_code}]\n" if expected else "")
        if shown.strip():
            _compare(shown, printed, where=f"{_where(example)}: $ {command}")


def _commands(block: str) -> list[tuple[str, str]]:
    """Each `$ ` line, continued where it ends with a backslash, and the lines beneath it."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block begins with `$ `: {block!r:.80}"
    found = []
    for part in parts[1:]:
        command, _, shown = part.replace("\\\n", " ").partition("\n")
        found.append((command, shown))
    return found


def _compare(shown: str, printed: str, *, where: str) -> None:
    want, got = _lines(shown), _lines(printed)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert _checker.check_output(want, got, flags), f"{where}\n--- shown\n{want}--- printed\n{got}"


def _lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def _where(example: Example) -> str:
    return f"{name_of(Path(example.path))}:{example.line}"


LANGUAGES = {"python", "text", "console", "json", "toml", "ini", ""}
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)|<img[^>]*src=\"(?P<image>[^\"]+)\"")
SKIP = re.compile(r"<!---? skip: .*?-->")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = [found["title"].replace("`", "") for found in HEADING.finditer(text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.timeout(240)  # the first page loads torch and the packaged model
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_example_runs_and_prints_what_is_shown(page: Path, workplace: Path) -> None:
    """An example that fails is the first thing a newcomer meets."""
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_a_kind_that_is_run_or_shown(page: Path) -> None:
    """A block in an unknown language would be run by nobody, and rot."""
    assert {language for language, _ in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_skipped_block_says_why(page: Path) -> None:
    """A skip without a reason hides a broken example."""
    for comment in SKIP.findall(page.read_text(encoding="utf-8")):
        assert re.fullmatch(r'<!--- skip: next ".{10,}" -->', comment), comment


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    """A dead link ends a reader's way through the docs."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for found in LINK.finditer(text):
        target = found["target"] or found["image"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        assert not fragment or fragment in anchors(file), f"{name_of(page)}: {target}"


def test_the_index_lists_every_page(repository: Path) -> None:
    """A page that nothing links to is a page that nobody finds."""
    index = (repository / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page.relative_to(repository / "docs").as_posix() for page in (repository / "docs").rglob("*.md")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


def test_readme_and_quickstart_are_short(repository: Path) -> None:
    """Who wants to know whether this is for them reads one screen, not ten."""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert len(re.sub(r"<!--.*?-->", "", readme).split()) <= 550
    assert len((repository / "docs" / "quickstart.md").read_text(encoding="utf-8").splitlines()) <= 240


def test_files_named_in_the_docs_exist() -> None:
    """The promises are only as good as the tests that the design page names."""
    named = {
        found
        for page in PAGES
        for found in re.findall(
            r"`((?:tests|memsdk|cli|migrations|benchmarks|trainer)/[\w./]+)`",
            page.read_text(encoding="utf-8"),
        )
    }
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []
