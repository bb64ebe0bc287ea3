"""Bytes to text: UTF-8 first, other encodings by their mark or a guess, and a clear no to binary files."""

from __future__ import annotations

import codecs
import re

from memsdk.errors import IngestError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 65_536
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def decode(data: bytes, *, name: str) -> str:
    """The text of a file, with plain newlines. Raises IngestError for binary content."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise IngestError(
                f"{name}: marked as {encoding}, but byte {error.start} is not; save it as UTF-8"
            ) from error
        text = _guessed(data, name=name)
    if "\x00" in text:
        raise IngestError(
            f"{name}: holds NUL bytes, so it is not a text file; convert it to text or leave it out"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def storable(text: str) -> str:
    """The text without what no store can hold: NUL is dropped, lone surrogates become U+FFFD."""
    if _UNSTORABLE.search(text) is None:
        return text
    return _UNSTORABLE.sub(lambda match: "" if match[0] == "\x00" else "\ufffd", text)


def _guessed(data: bytes, *, name: str) -> str:
    if b"\x00" in data[:_SAMPLE_BYTES]:
        raise IngestError(
            f"{name}: is a binary file of a kind that memsdk can't read; convert it to text or leave it out"
        )
    try:
        import charset_normalizer
    except ImportError as error:
        raise IngestError(
            f"{name}: is not UTF-8; save it as UTF-8, or `pip install charset-normalizer`"
        ) from error
    best = charset_normalizer.from_bytes(data[:_SAMPLE_BYTES]).best()
    if best is not None:
        text = data.decode(best.encoding, errors="replace")
        sample = text[:_SAMPLE_BYTES]
        if len(_CONTROL.findall(sample)) + sample.count("\ufffd") <= len(sample) // 100:
            return text
    raise IngestError(f"{name}: is neither UTF-8 nor text in an encoding that can be told; save it as UTF-8")
