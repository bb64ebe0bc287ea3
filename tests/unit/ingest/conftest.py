"""Small files made by code: a PDF by hand, a Word document by python-docx."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from memsdk.ingest.files import FileReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from memsdk.ports import Parsed


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, bytes | str], Parsed]:
    """Writes a file of that name with that content and reads it: the one source in it."""

    def write_and_read(name: str, content: bytes | str) -> Parsed:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        (parsed,) = FileReader().read(file)
        return parsed

    return write_and_read


@pytest.fixture
def make_pdf() -> Callable[[Sequence[str]], bytes]:
    """See `pdf`."""
    return pdf


@pytest.fixture
def locked_pdf() -> bytes:
    """A PDF behind a password."""
    return encrypted(pdf(["secret plans"]))


@pytest.fixture
def word_file() -> bytes:
    """A Word document with a title, headings, a list and a table."""
    return word()


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with a line of text a page; an empty string makes a page without any."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1, table, len(objects) + 1, len(data),
    )  # fmt: skip


def encrypted(data: bytes) -> bytes:
    """The PDF behind a password."""
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt("secret", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def word() -> bytes:
    """A handbook page with headings, a list and a table."""
    import docx

    document = docx.Document()
    document.add_heading("Travel", 0)
    document.add_paragraph("How to travel.")
    document.add_heading("Hotels", 1)
    document.add_paragraph("Up to 135 euros.", style="List Bullet")
    document.add_paragraph("In Oslo 180.", style="List Bullet")
    document.add_heading("Rates", 2)
    table = document.add_table(2, 2)
    for place, text in enumerate(("Hours", "Euros", "8", "18")):
        table.cell(place // 2, place % 2).text = text
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()
