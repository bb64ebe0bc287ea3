"""CSV and TSV: each row becomes a paragraph of `column: value` lines, so that it can be found by itself."""

from __future__ import annotations

import csv
import io

from memsdk.ingest.source import Format, Source
from memsdk.ports import Parsed, Section

_SAMPLE = 16_384


def parse(source: Source) -> list[Parsed]:
    """One section; the first row names the columns."""
    text = source.text()
    if "\t" in text[:_SAMPLE].split("\n", 1)[0] and source.media_type == "text/tab-separated-values":
        delimiter = "\t"
    else:
        delimiter = _delimiter(text[:_SAMPLE])
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    blocks = []
    try:
        columns = [_flat(cell) for cell in next((row for row in rows if any(row)), [])]
        blocks = [block for row in rows if (block := _lines(columns, row))]
    except csv.Error as error:
        raise source.error(
            f"{error}; is a quote missing, or a cell over {csv.field_size_limit()} characters?",
            line=rows.line_num,
        ) from error
    if not blocks:  # a header alone
        blocks = [f"columns: {', '.join(columns)}"]
    return [
        source.document(Section(headings=(), text="\n\n".join(blocks)), metadata={"columns": list(columns)})
    ]


def _delimiter(sample: str) -> str:
    """The most frequent of the usual ones in the header; a comma where there is none."""
    header = sample.lstrip("\n").split("\n", 1)[0]
    return max(",;\t|", key=header.count)


def _lines(columns: list[str], row: list[str]) -> str:
    named = [
        columns[place] if place < len(columns) and columns[place] else f"column {place + 1}"
        for place in range(len(row))
    ]
    return "\n".join(
        f"{column}: {_flat(cell)}" for column, cell in zip(named, row, strict=True) if cell.strip()
    )


def _flat(cell: str) -> str:
    return " ".join(cell.split())


FORMAT = Format(media_types=("text/csv", "text/tab-separated-values"), suffixes=(".csv", ".tsv"), parse=parse)
