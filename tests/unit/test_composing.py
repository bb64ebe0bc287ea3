# ruff: noqa: D103 -- helpers and fixtures are told by their names
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from memsdk.composing import NEIGHBOUR_WORDS, WINDOW_WORDS, chunk_text, compose, read_turn
from memsdk.models import Kind, Record

NOW = datetime(2023, 5, 8, tzinfo=UTC)
BARE = Record(
    id=UUID(int=1),
    kind=Kind.MEMORY,
    text="hello",
    occurred_at=NOW,
    created_at=NOW,
    updated_at=NOW,
    last_seen_at=NOW,
)


def turn(text: str, **fields: object) -> Record:
    return BARE.model_copy(update={"text": text, "role": "user", **fields})


def test_a_turn_is_a_line_with_speaker_and_date() -> None:
    """The question who said it, and when, is asked of memories more than anything else."""
    assert read_turn(turn("hello", name="Ana")).line == "Ana (8 May 2023): hello"
    assert read_turn(turn("hello")).line == "user (8 May 2023): hello"
    assert read_turn(BARE).line == "hello"
    assert (
        read_turn(BARE.model_copy(update={"occurred_at": NOW - timedelta(days=1)})).line
        == "(7 May 2023): hello"
    )
    assert read_turn(turn("look", metadata={"image_caption": "a cat"})).line.endswith(
        "look [shares image: a cat]"
    )
    assert read_turn(turn("look", metadata={"image_caption": 5})).line.endswith(": look")


def test_neighbours_weigh_less_with_distance_and_for_long_turns() -> None:
    """A turn that says everything itself must not be blurred by small talk around it."""
    before, after = [turn("far"), turn("near")], [turn("next"), turn("last")]
    context = dict(compose(turn("yes"), before=before, after=after).context)
    weights = [context[read_turn(item).line] for item in (*before, *after)]
    assert weights == [0.3, 0.6, 0.4, 0.2]
    long = compose(turn("word " * 40), before=before).context
    assert [round(weight, 3) for _, weight in long] == [0.15, 0.3]


def test_the_window_is_bounded() -> None:
    """One endless neighbour would drown the turn's own words."""
    composed = compose(
        turn("mine"), before=[turn("old " * 500), turn("before " * 500)], after=[turn("after " * 500)]
    )
    words = " ".join(composed.lexical[1].pieces).split()
    assert len(words) <= WINDOW_WORDS + 10
    assert words.count("before") == NEIGHBOUR_WORDS
    assert {"mine", "old", "after"} < set(words)


def test_of_a_long_neighbour_the_nearest_words_count() -> None:
    """What was said last before a turn, and first after it, is what it answers and what answers it."""
    numbered = " ".join(f"w{number}" for number in range(100))
    composed = compose(turn("mine"), before=[turn(numbered)], after=[turn(numbered)])
    words = " ".join(composed.lexical[1].pieces).split()
    assert {"w99", "w60", "w0", "w39"} <= set(words)
    assert not {"w59", "w40"} & set(words)


def test_a_chunk_has_its_headings_before_it_each_once() -> None:
    """That it opens at six is found by the name of the chapter it stands in."""
    chunk = BARE.model_copy(
        update={"kind": Kind.DOCUMENT, "title": "Harbour", "section": ("Harbour", "Hours")}
    )
    assert chunk_text(chunk) == "Harbour > Hours\nhello"
    assert compose(chunk, before=[turn("x")]).context == ()
    assert chunk_text(chunk.model_copy(update={"title": None, "section": ()})) == "hello"


def test_an_assistants_long_answers_tell_little_of_what_a_user_wrote_at_length() -> None:
    """Beside every message stands an answer that repeats half of it: each would be found by the other's words."""
    answer = turn("answer " * 50, role="assistant")
    long, short = turn("word " * 60), turn("yes, the second one")
    composed = compose(long, before=[turn("earlier"), answer], after=[answer])
    assert [text for text, _ in composed.context] == [read_turn(turn("earlier")).line]
    assert not any("answer" in piece for piece in composed.lexical[1].pieces)
    assert composed.lexical[0].weight > composed.lexical[1].weight
    assert any("answer" in piece for piece in compose(short, before=[answer]).lexical[1].pieces)
    assert dict(compose(answer, before=[long]).context)
