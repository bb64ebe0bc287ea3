"""PDF by pypdf (extra `documents`): the text layer, a section a page. Scans have none and are refused."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from typing import TYPE_CHECKING

from memsdk.errors import MissingExtraError
from memsdk.ingest.source import Format, Source
from memsdk.models import Metadata
from memsdk.ports import Parsed, Section

if TYPE_CHECKING:
    from pypdf import PdfReader

# What pypdf raises on damaged files besides its own errors, found by reading damaged files.
_FAULTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, OSError,
    RecursionError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


def parse(source: Source) -> list[Parsed]:
    """A section for each page that has text, under the heading `page N`."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError
    except ImportError as error:
        raise MissingExtraError(what=f"reading {source.name} (PDF)", extra="documents") from error
    _quieten()
    try:
        reader = PdfReader(io.BytesIO(source.data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise source.error("is encrypted; save a copy without the password")
        pages = [page.extract_text() for page in reader.pages]
        title, metadata = _about(reader)
    except (DependencyError, FileNotDecryptedError) as error:
        raise source.error(f"is encrypted ({error}); save a copy without encryption") from error
    except (PyPdfError, *_FAULTS) as error:
        raise source.error(
            f"is no PDF that can be read ({_reason(error)}); open it and save it anew"
        ) from error
    sections = [
        Section(headings=(f"page {number}",), text=text.strip("\n").rstrip())
        for number, text in enumerate(pages, start=1)
        if text.strip()
    ]
    if not sections:
        raise source.error(
            f"has no text on its {len(pages)} page(s), so it is probably a scan; run text recognition first,"
            " for example `ocrmypdf in.pdf out.pdf`"
        )
    return [source.document(*sections, title=title, metadata={**metadata, "pages": len(pages)})]


def _about(reader: PdfReader) -> tuple[str | None, Metadata]:
    about = reader.metadata
    if about is None:
        return None, {}
    title, author = about.title, about.author
    named = (
        isinstance(title, str)
        and title.strip()
        and not title.lower().startswith(("untitled", "microsoft word"))
    )
    return (str(title).strip() if named else None), ({"author": str(author)} if author else {})


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__


def _quieten() -> None:
    """Pypdf logs each oddity that it works around; whoever wants to see them sets its logger's level."""
    logger = logging.getLogger("pypdf")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


FORMAT = Format(media_types=("application/pdf",), suffixes=(".pdf",), parse=parse)
