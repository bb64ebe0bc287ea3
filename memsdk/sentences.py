"""Where sentences end, well enough to cut long paragraphs in several scripts. Not a linguist."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSERS = "\"'”’»)\\]】』」）》"  # noqa: RUF001
# A run of stops with what closes the sentence; those of CJK end it with no space after. Possessive: linear.
_STOP = re.compile(
    rf"(?P<spaced>[.!?…‽।॥؟۔։።៕။]++[{_CLOSERS}]*+)(?P<space>\s++)?"  # noqa: RUF001
    rf"|(?P<tight>[。！？｡．]++[{_CLOSERS}]*+)\s*+"  # noqa: RUF001
)
_LAST_WORD = re.compile(r"([^\W\d_]+(?:\.[^\W\d_]+)*)\.$")
_LOOK_BACK = 24
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr vs e.g i.e cf ed eds al approx ca resp dept est inc ltd "  # noqa: SIM905
    "corp co gen col sgt capt lt rev hon gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec "
    "mt ave blvd z.b d.h u.a bzw str hr fr evtl ggf vgl abs usw p.ex "
    "mme mlle env sig dott ing sra dra ud uds".split()
)
_BEFORE_NUMBERS = frozenset(("no", "nos", "nr", "fig", "figs", "vol", "eq", "pp", "p"))


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Positions within `text[start:end]` behind a sentence and its trailing space, ascending."""
    for match in _STOP.finditer(text, start, end):
        if match["tight"] is not None or (
            match["space"] is not None and not _goes_on(text, match, start, end)
        ):
            yield match.end()


def _goes_on(text: str, match: re.Match[str], start: int, end: int) -> bool:
    """Whether the stop is part of an abbreviation or an initial, or the next word is in lower case."""
    if match.end() < end and text[match.end()].islower():
        return True
    if match["spaced"] != ".":
        return False
    stop = match.start() + 1
    found = _LAST_WORD.search(text[max(start, stop - _LOOK_BACK) : stop])
    if found is None:
        return False
    word = found[1].lower()
    if word in _BEFORE_NUMBERS:
        return match.end() < end and text[match.end()].isdigit()
    return word in _ABBREVIATIONS or (len(word) == 1 and word != "i")
