from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from memsdk.cli.options import duration, key_value
from memsdk.cli.output import columns, cut, print_pairs, print_table, printable, size, when, wrap


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0), ("a\u200bb", 2), ("🙂", 2)]
)
def test_columns_counts_what_the_terminal_shows(text: str, expected: int) -> None:
    """Tables with Chinese or accents in them would not line up."""
    assert columns(text) == expected


@pytest.mark.parametrize("text", ["plain words here", "東京は日本の首都です", "a" * 30])
@pytest.mark.parametrize("width", [3, 7, 12])
def test_wrapped_and_cut_text_fits_and_wrapping_loses_nothing(text: str, width: int) -> None:
    """A line too long by one breaks the whole table; a lost word is worse."""
    lines = wrap(text, width)
    assert all(columns(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert columns(cut(text, width)) <= width


def test_a_text_cannot_steer_the_terminal() -> None:
    """A remembered web page could otherwise clear the screen or turn the line round."""
    assert printable("a\x1b[2Jb\r\x07\u202ec\ud800\x9b") == "a�[2Jb���c��"
    assert printable("zoë 東京 👩\u200d🔬") == "zoë 東京 👩\u200d🔬"


@pytest.mark.parametrize("width", ["40", "60", "80", "200"])
def test_a_table_is_no_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    """Rows that run over can't be read."""
    monkeypatch.setenv("COLUMNS", width)
    row = ["01980f6e-0000-7000-8000-000000000000", "東京 " * 40]
    print_table(["id", "text"], [row])
    print_table(["id", "text"], [row], wrapped=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(columns, lines)) <= int(width)
    assert sum(line.count("東京") for line in lines) >= 40


def test_pairs_keep_the_lines_of_a_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remembered poem is shown as a poem."""
    monkeypatch.setenv("COLUMNS", "60")
    print_pairs([("id", "7"), ("text", "one\n\n" + "two " * 20)])
    assert capsys.readouterr().out.splitlines()[:4] == [
        "id    7",
        "text  one",
        "",
        "      " + "two " * 12 + "two",
    ]


def test_times_are_utc_and_sizes_have_units() -> None:
    """A time without its zone is wrong for half of its readers."""
    assert when(datetime(2025, 1, 5, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "2025-01-04T23:30:00Z"
    assert when(datetime(2025, 1, 5, tzinfo=UTC)) == "2025-01-05T00:00:00Z"
    assert [size(1), size(2048), size(5 * 2**30)] == ["1 bytes", "2.0 KiB", "5.0 GiB"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_durations(text: str, seconds: float) -> None:
    """`--older-than 30d` erases: a unit misread erases too much."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "d", "-3d", "3 months", "3M", "1e3", "٣d", "9" * 30])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """As above: guessing is not an option."""
    with pytest.raises(click.BadParameter, match=re.escape("90s, 15m, 12h, 30d or 2w")):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=3", 3),
        ("n=true", True),
        ("n=[1]", [1]),
        ("n=3 kg", "3 kg"),
        ("n=", ""),
        ("n=a=b", "a=b"),
        ("n=NaN", "NaN"),
    ],
)
def test_metadata_is_json_where_it_is_json(text: str, expected: object) -> None:
    """`--meta n=3` has to be found by a filter on numbers."""
    assert key_value(text) == ("n", expected)
