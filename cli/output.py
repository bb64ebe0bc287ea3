"""What the commands print: tables as wide as the terminal, plain lines for a pipe, JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from memsdk import Forgotten, Record

GAP = "  "
NARROWEST = 24  # a last column with less room than this goes onto a line of its own
_STEERS_TERMINAL = ("Cc", "Cs", "Zl", "Zp")
_TURNS_TEXT = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def note(message: str) -> None:
    """A line for the person, on stderr, where no pipe reads it."""
    click.echo(message, err=True)


def print_json(value: BaseModel | Mapping[str, object]) -> None:
    """One value as one line of JSON."""
    plain_value = value if isinstance(value, Mapping) else value.model_dump(mode="json")
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(plain_value, ensure_ascii=not is_unicode, default=str))


def print_json_lines(values: Iterable[BaseModel | Mapping[str, object]]) -> None:
    """A line of JSON a value."""
    for value in values:
        print_json(value)


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), wrapped: bool = False
) -> None:
    """A table whose last column takes the room that is left: cut there, or with `wrapped` continued below.

    Where the terminal is too narrow for that the last column goes under its row; for a pipe nothing is cut.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(columns(row[n]) for row in [headers, *cells]) for n in range(len(headers))]
    room = terminal_width()
    left = None if room is None else room - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    stacked = left is not None and left < min(NARROWEST, widths[-1])
    shown = len(headers) - 1 if stacked else len(headers)
    click.echo(style(_line(headers[:shown], widths, right=right, headers=headers), bold=True))
    for row in cells:
        if stacked:
            click.echo(_line(row[:shown], widths, right=right, headers=headers))
            _print_block(row[-1], indent="    ", room=room, wrapped=wrapped)
            continue
        first, *rest = _fitted(row[-1], left, wrapped=wrapped)
        click.echo(_line([*row[:-1], first], widths, right=right, headers=headers))
        indent = " " * (sum(widths[:-1]) + len(GAP) * (len(widths) - 1))
        for line in rest:
            click.echo(indent + line)


def print_page(
    records: list[Record], show: Callable[[list[Record]], None], *, limit: int, as_json: bool, none: str
) -> None:
    """A page of records, and how to go on where there may be more.

    Args:
        show: prints them as a table.
        none: what is said where there is nothing.
    """
    if as_json:
        print_json_lines(records)
        return
    if not records:
        note(none)
        return
    show(records)
    if len(records) == limit:
        note(f"there may be more: --after {records[-1].id}")


def print_erased(receipt: Forgotten, *, what: str, as_json: bool) -> None:
    """How many of them were erased."""
    if as_json:
        print_json(receipt)
    else:
        click.echo(f"erased {receipt.records:,} {what}{'' if receipt.records == 1 else 's'}")


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line; long values go on below."""
    listed = list(pairs)
    width = max((columns(name) for name, _ in listed), default=0)
    room = terminal_width()
    left = None if room is None else max(NARROWEST, room - width - len(GAP))
    for name, value in listed:
        lines = [piece for line in value.split("\n") for piece in wrap(printable(line), left)]
        for number, line in enumerate(lines):
            label = style(pad(name, width), dim=True) if number == 0 else " " * width
            click.echo(f"{label}{GAP}{line}".rstrip())


def print_indented(text: str, *, indent: str) -> None:
    """A text in its own lines, wrapped to the terminal."""
    room = terminal_width()
    left = None if room is None else max(NARROWEST, room - columns(indent))
    for line in text.split("\n"):
        for piece in wrap(printable(line), left):
            click.echo(f"{indent}{piece}".rstrip())


def style(text: str, *, bold: bool = False, dim: bool = False, colour: str | None = None) -> str:
    """The text styled for a terminal; as it is for a pipe and where NO_COLOR is set."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, bold=bold or None, dim=dim or None, fg=colour)


def terminal_width() -> int | None:
    """How many columns there are; None for a pipe, which takes any."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return max(40, shutil.get_terminal_size().columns)


def when(moment: datetime | None) -> str:
    """A time in UTC as ISO 8601, to the second."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(moment: datetime) -> str:
    """The day of it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def size(count: int) -> str:
    """Bytes as people say them."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def printable(text: str) -> str:
    """The text without what would steer the terminal: control characters, and those that turn the writing round."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    """The text on one line."""
    return printable(" ".join(text.split()))


def columns(text: str) -> int:
    """How many terminal columns the text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled up with spaces."""
    space = " " * (width - columns(text))
    return space + text if right else text + space


def cut(text: str, width: int | None) -> str:
    """As much of the text as fits, with an ellipsis where something is missing."""
    if width is None or columns(text) <= width:
        return text
    return _head(text, width - 1).rstrip() + "…"


def wrap(text: str, width: int | None) -> list[str]:
    """The text in lines no wider than that, broken at spaces where there are some; at least one line."""
    if width is None or columns(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if columns(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while columns(line) > width:
            head = _head(line, width)
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line]


def _line(
    cells: Sequence[str], widths: Sequence[int], *, right: Sequence[str], headers: Sequence[str]
) -> str:
    padded = [
        pad(cell, widths[n], right=headers[n] in right) if n < len(cells) - 1 or headers[n] in right else cell
        for n, cell in enumerate(cells)
    ]
    return GAP.join(padded).rstrip()


def _fitted(text: str, width: int | None, *, wrapped: bool) -> list[str]:
    return wrap(text, width) if wrapped else [cut(text, width)]


def _print_block(text: str, *, indent: str, room: int | None, wrapped: bool) -> None:
    if text:
        for line in _fitted(text, None if room is None else room - len(indent), wrapped=wrapped):
            click.echo(indent + line)


def _head(text: str, width: int) -> str:
    """The start of the text that fits; at least one character."""
    used = 0
    for number, character in enumerate(text):
        used += _columns(character)
        if used > width and number:
            return text[:number]
    return text


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _shown(character: str) -> str:
    if character == "\t":
        return "    "
    if character in _TURNS_TEXT or unicodedata.category(character) in _STEERS_TERMINAL:
        return "\ufffd"
    return character
