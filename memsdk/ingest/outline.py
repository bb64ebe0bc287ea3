"""Text collected under its headings: what the parsers of structured formats fill in document order."""

from __future__ import annotations

from dataclasses import dataclass

from memsdk.ports import Section


@dataclass(frozen=True, slots=True)
class _Stretch:
    path: tuple[tuple[int, str], ...]  # (level, heading), outermost first
    text: str


class Outline:
    """Sections in the making. Call `heading` and `add` in document order, then `title` and `sections`.

    A heading that stands alone above everything is the document's title and is left out of the paths, which
    would only repeat it. A heading with nothing below it becomes a section of its own words: no text is lost.
    """

    def __init__(self) -> None:
        self._path: tuple[tuple[int, str], ...] = ()
        self._levels: list[int] = []
        self._first = ""
        self._text_before = False
        self._blocks: list[str] = []
        self._bare = False  # the last heading has nothing below it so far
        self._in_list = False  # the last block is a list
        self._stretches: list[_Stretch] = []

    def heading(self, level: int, title: str) -> None:
        """Begin a stretch under this heading, which closes those of its level and deeper."""
        title = " ".join(title.split())
        if not title:
            return
        self._close(deeper=bool(self._path) and level > self._path[-1][0])
        if not self._levels:
            self._first, self._text_before = title, bool(self._stretches)
        self._levels.append(level)
        self._path = (*(step for step in self._path if step[0] < level), (level, title))
        self._bare = True

    def add(self, block: str, *, item: bool = False) -> None:
        """Add a paragraph, table or code block, or one item of a list; blank ones are ignored."""
        if block := block.strip("\n").rstrip():
            if item and self._in_list:
                self._blocks[-1] += "\n- " + block
            else:
                self._blocks.append("- " + block if item else block)
            self._in_list = item

    def finish(self, *, known: str | None = None) -> tuple[str | None, tuple[Section, ...]]:
        """The document's title, if any, and its sections; a title `known` from elsewhere goes first."""
        self._close(deeper=False)
        stands_alone = bool(self._levels) and min(self._levels[1:], default=9) > self._levels[0]
        has_title = stands_alone and not self._text_before and known in (None, self._first)
        sections = []
        for stretch in self._stretches:
            headings = tuple(heading for _, heading in stretch.path[has_title:])
            sections.append(Section(headings=headings, text=stretch.text))
        return (self._first if has_title else known), tuple(sections)

    def _close(self, *, deeper: bool) -> None:
        if self._blocks:
            self._stretches.append(_Stretch(self._path, "\n\n".join(self._blocks)))
        elif self._bare and not deeper:
            self._stretches.append(_Stretch(self._path, self._path[-1][1]))
        self._blocks, self._bare, self._in_list = [], False, False


def table(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table, the first row its header; cells lose their line ends."""
    lines = ["| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in rows if any(row)]
    if len(lines) > 1:
        lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def fenced(code: str, language: str = "") -> str:
    """A code block, fenced with more backticks than it holds in a row."""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}" if code.strip() else ""
