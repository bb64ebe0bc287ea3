"""Chat turns to measure with: made from a seed, or read from LoCoMo. Lengths are LoCoMo's: 19 words at the median."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MEDIAN_LN, SPREAD_LN, LONGEST = 2.94, 0.6, 70  # words a turn: log-normal, as in LoCoMo
PEOPLE = ("Ana", "Ben", "Chloe", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Kemi", "Liam")
OPENERS = (
    "honestly I", "last week we", "my sister", "the neighbours", "after work I", "do you remember when we", "by the way I",
    "our old friend", "tomorrow we", "the kids", "you always", "this morning my brother", "on Saturday we", "nobody here",
)  # fmt: skip
VERBS = (
    "bought", "lost", "painted", "cooked", "visited", "planned", "repaired", "borrowed", "finished", "photographed", "sold",
    "cleaned", "practised", "forgot", "recommended", "dropped", "carried", "found", "built", "tasted", "organised", "tried",
)  # fmt: skip
THINGS = (
    "bicycle", "garden", "recipe", "guitar", "ticket", "kitchen", "mountain", "painting", "library", "camera", "jacket",
    "dentist", "violin", "puppy", "passport", "bakery", "museum", "harbour", "tent", "novel", "marathon", "garage", "lake",
    "laptop", "wedding", "festival", "pottery class", "train", "orchard", "chess set", "piano", "cabin", "market", "boat",
    "apartment", "telescope", "blanket", "cathedral", "workshop", "river", "notebook", "restaurant", "bridge", "sweater",
)  # fmt: skip
TRAITS = (
    "red", "tiny", "expensive", "broken", "old", "wonderful", "noisy", "quiet", "Norwegian", "wooden", "crowded", "rainy",
    "famous", "cheap", "new", "second-hand", "blue", "terrible", "sunny", "borrowed", "heavy", "friendly", "Italian", "lost",
)  # fmt: skip
LINKS = (
    "because of",
    "next to",
    "instead of",
    "together with",
    "right after",
    "long before",
    "not far from",
    "thanks to",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one call of `remember` is given."""

    user_id: str
    session_id: str
    messages: tuple[dict[str, object], ...]


def synthetic(turns: int, *, users: int, batch: int, seed: int) -> Iterator[Batch]:
    """Batches of at most `batch` turns, a session of two people each, users in turn."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    began = datetime(2023, 5, 8, 13, 0, tzinfo=UTC)
    for number, start in enumerate(range(0, turns, batch)):
        pair = chance.sample(PEOPLE, 2)
        day = began + timedelta(days=number // users)
        messages: tuple[dict[str, object], ...] = tuple(
            {
                "role": "user" if place % 2 else "assistant",
                "name": pair[place % 2],
                "content": sentence(chance),
                "time": day + timedelta(minutes=place),
            }
            for place in range(min(batch, turns - start))
        )
        yield Batch(user_id=f"user-{number % users}", session_id=f"session-{number}", messages=messages)


def sentence(chance: random.Random, *, words: int | None = None) -> str:
    """So many words, or a chat turn's number of them, that read somewhat like English."""
    wanted = words or max(3, min(LONGEST, round(chance.lognormvariate(MEDIAN_LN, SPREAD_LN))))
    said: list[str] = []
    while len(said) < wanted:
        said += f"{chance.choice(OPENERS)} {chance.choice(VERBS)} the {chance.choice(TRAITS)} {chance.choice(THINGS)}".split()
        said += f"{chance.choice(LINKS)} {chance.randrange(2, 99)} {chance.choice(TRAITS)} {chance.choice(THINGS)}s".split()
    return f"{' '.join(said[:wanted]).capitalize()}."


def locomo(folder: Path, *, batch: int) -> Iterator[Batch]:
    """LoCoMo's turns: a conversation is a user, and its turns are joined to batches as one session."""
    conversations: dict[str, list[dict[str, object]]] = defaultdict(list)
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            turn = json.loads(line)
            meta = turn["meta"]
            said = re.sub(r"\s+", " ", meta["session_date_time"].strip())
            began = datetime.strptime(said, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
            conversations[meta["group"]].append(
                {
                    "role": "user",
                    "name": meta["speaker"],
                    "content": turn["text"],
                    "time": began + timedelta(seconds=meta["turn"]),
                }
            )
    for group, turns in conversations.items():
        for start in range(0, len(turns), batch):
            yield Batch(user_id=group, session_id=group, messages=tuple(turns[start : start + batch]))
