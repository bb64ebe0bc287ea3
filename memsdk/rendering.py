"""Hits as text for a prompt, within a budget of tokens. Pure: hits and a counter in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from memsdk.fewshot import shot_of
from memsdk.models import Hit, Kind
from memsdk.shelf_texts import tool_signature

Count = Callable[[str], int]
"""The number of tokens of a text."""

HEADINGS = {
    Kind.MEMORY: "Memories",
    Kind.DOCUMENT: "Documents",
    Kind.EXAMPLE: "Examples",
    Kind.TOOL: "Tools",
    Kind.PASSAGE: "Passages",
}
SEAM = "\n\n"
SEAM_TOKENS = 2  # at most, where two sections meet


def layout(hits: Sequence[Hit]) -> str:
    """All hits, a section a kind."""
    kinds = dict.fromkeys(hit.kind for hit in hits)
    blocks = [[f"## {HEADINGS[kind]}", *(_line(hit) for hit in hits if hit.kind is kind)] for kind in kinds]
    return SEAM.join("\n".join(block) for block in blocks)


def fit(hits: Sequence[Hit], *, budget: int, count: Count) -> str:
    """The hits that fit, best first; smaller ones after one that does not are still tried."""
    chosen = _that_fit(hits, budget=budget, count=count)
    return layout(chosen) if chosen else cut_words(_line(hits[0]), budget=budget, count=count)


def fit_sections(hits: Sequence[Hit], *, shares: Mapping[Kind, int], total: int | None, count: Count) -> str:
    """A section a kind, each within its own share of the tokens, all of them within the total.

    Kinds with a share come first to their tokens; the others are given what is left, in their order. A best hit that
    is too long for its section is cut at a word.

    Args:
        hits: best first within each kind.
        shares: tokens by kind; a kind without one may take all that is left.
        total: tokens in all; None is no limit.
    """
    kinds = list(dict.fromkeys(hit.kind for hit in hits))
    texts: dict[Kind, str] = {}
    left = total
    for kind in sorted(kinds, key=lambda each: each not in shares):
        room = min((tokens for tokens in (shares.get(kind), left) if tokens is not None), default=None)
        own = [hit for hit in hits if hit.kind is kind]
        text = texts[kind] = layout(own) if room is None else _section(own, budget=room, count=count)
        if left is not None and text:
            left = max(0, left - count(text) - SEAM_TOKENS)
    whole = SEAM.join(texts[kind] for kind in kinds if texts[kind])
    return whole if total is None or count(whole) <= total else cut_words(whole, budget=total, count=count)


def cut_words(text: str, *, budget: int, count: Count) -> str:
    """The longest run of whole words, from the first one, that fits."""
    words = text.split(" ")
    fits, too_many = 0, len(words) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if count(" ".join(words[:middle])) <= budget:
            fits = middle
        else:
            too_many = middle
    return " ".join(words[:fits])


def _that_fit(hits: Sequence[Hit], *, budget: int, count: Count) -> list[Hit]:
    chosen: list[Hit] = []
    used = 0
    for hit in hits:
        cost = count(_line(hit)) + 1  # its newline
        if used + cost > budget:
            continue
        chosen.append(hit)
        used += cost
    while chosen and count(layout(chosen)) > budget:  # headings count too
        chosen.pop()
    return chosen


def _section(hits: Sequence[Hit], *, budget: int, count: Count) -> str:
    chosen = _that_fit(hits, budget=budget, count=count)
    if chosen:
        return layout(chosen)
    heading = f"## {HEADINGS[hits[0].kind]}\n-"
    cut = cut_words(layout(hits[:1]), budget=budget, count=count)
    return cut if len(cut) > len(heading) else ""  # a heading alone says nothing


def _line(hit: Hit) -> str:
    if hit.kind is Kind.DOCUMENT:
        where = " > ".join(part for part in (hit.title, *hit.section) if part)
        return f"- [{where}] {hit.text}" if where else f"- {hit.text}"
    if hit.kind is Kind.TOOL:
        return f"- {tool_signature(hit)}"
    if hit.kind is Kind.EXAMPLE:
        return f"- {shot_of(hit).text}"
    speaker = hit.name or hit.role
    said = f"{speaker}: {hit.text}" if speaker else hit.text
    return f"- ({hit.occurred_at:%Y-%m-%d}) {said}"
