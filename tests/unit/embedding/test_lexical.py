"""BM25 vectors: what a word search sees of a text."""

from __future__ import annotations

import math
import random

import pytest
from qdrant_edge import Bm25, Bm25Config, TokenizerType

from memsdk.embedding.lexical import Bm25Encoder
from memsdk.errors import InvalidInputError
from memsdk.models import SparseVector
from memsdk.ports import LexicalText

ENCODER = Bm25Encoder()


def encoded(*pieces: str, average_length: float = 30, b: float = 0.75) -> SparseVector:
    """The vector of one text."""
    (vector,) = ENCODER.encode_keys([[LexicalText(pieces, average_length=average_length, b=b)]])
    return vector


def shared(query: str, key: str) -> int:
    """How many of the query's terms the key has."""
    vector = encoded(key)
    return len(set(ENCODER.encode_query(query).indices) & set(vector.indices))


def test_stems_are_matched() -> None:
    """Who asks for allergies must find an allergy."""
    assert shared("running horses with allergies", "The horse runs; an allergy.") == 3


def test_stopwords_alone_give_an_empty_vector() -> None:
    """The caller skips the lexical leg then; a leg of nothing must not be searched."""
    assert not ENCODER.encode_query("the and of").indices
    assert not encoded("the of").indices
    assert ENCODER.encode_keys([]) == []
    assert [list(vector.indices) for vector in ENCODER.encode_keys([[], []])] == [[], []]


@pytest.mark.parametrize(
    ("query", "key", "least"),
    [
        ("コーヒー", "東京で3杯のコーヒーを飲みました。", 1),
        ("咖啡", "我在2024年喜欢喝咖啡", 1),
        ("茶", "我在2024年喜欢喝茶和咖啡", 1),
        ("東京", "東京で3杯のコーヒーを飲みました。", 1),
        ("กาแฟ", "ฉันชอบกาแฟ", 1),
        ("3", "東京で3杯のコーヒーを飲みました。", 1),
        ("iPhone 2024", "我在2024年买了iPhone", 2),
        ("커피", "안녕하세요 커피 3 잔", 1),
        ("молоко", "Я люблю молоко", 1),
    ],
    ids=[
        "japanese",
        "chinese",
        "one-letter",
        "han-in-japanese",
        "thai",
        "number-in-japanese",
        "latin-in-chinese",
        "korean",
        "russian",
    ],
)
def test_words_are_found_in_any_script(query: str, key: str, least: int) -> None:
    """One token a sentence, or lost numbers, would make lexical search blind for these users."""
    assert shared(query, key) >= least


def test_indices_are_unique_and_sorted() -> None:
    """Qdrant refuses a sparse vector that names an index twice."""
    vector = encoded("tea tea 東京 東京 coffee 12 12 コーヒー")
    assert list(vector.indices) == sorted(set(vector.indices))
    assert len(vector.indices) == len(vector.values)
    assert all(value > 0 for value in vector.values)


def test_weights_are_bm25s() -> None:
    """The formula (Robertson and Zaragoza 2009), term by term: tf (k + 1) / (tf + k (1 - b + b len / average))."""
    vector = encoded("tea tea cake", average_length=6)
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 6)
    expected = [tf * 2.2 / (tf + norm) for tf in (1, 2)]
    assert sorted(vector.values) == pytest.approx(expected, abs=1e-5)


def test_they_are_those_of_qdrants_own_encoder() -> None:
    """Queries are encoded by it, and what an older release indexed: another term or weight would be missed."""
    chance = random.Random(7)
    words = ["horses", "horse", "Ana", "the", "of", "naïve", "3", "2024", "running", "re-run", "l'été", "x"]
    settings = Bm25Config(k=1.2, b=0.6, avg_len=40, tokenizer=TokenizerType.Word, language="english")
    for length in (1, 7, 60, 3_000):
        text = " ".join(chance.choices(words, k=length))
        theirs = Bm25(settings).embed_document(text)
        ours = encoded(text, average_length=40, b=0.6)
        assert dict(zip(ours.indices, ours.values, strict=True)) == pytest.approx(
            dict(zip(theirs.indices, theirs.values, strict=True)), abs=1e-5
        )


def test_a_text_is_the_same_in_pieces() -> None:
    """A turn's words are read once for itself and all turns around it: their weights must not depend on that."""
    whole = encoded("Ana: the horses run\nBo: horses, again")
    assert encoded("Ana:", "the horses run", "Bo:", "horses, again") == whole


def test_a_keys_texts_are_weighed_and_summed() -> None:
    """A turn is found by its own words more than by its neighbours'."""
    own = LexicalText(("tea",), average_length=30, b=0.75, weight=0.25)
    around = LexicalText(("tea", "cake"), average_length=80, b=0.6, weight=0.75)
    lone = LexicalText(("cake",), average_length=80, b=0.6)
    mixed, other = ENCODER.encode_keys([[own, around], [lone]])
    alone, beside = encoded("tea"), encoded("tea cake", average_length=80, b=0.6)
    expected = {index: 0.75 * value for index, value in zip(beside.indices, beside.values, strict=True)}
    expected[alone.indices[0]] += 0.25 * alone.values[0]
    assert dict(zip(mixed.indices, mixed.values, strict=True)) == pytest.approx(expected)
    assert other == encoded("cake", average_length=80, b=0.6)


@pytest.mark.parametrize("average_length", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_average_is_refused(average_length: float) -> None:
    """An empty store has an average of nought; that must not become NaN weights."""
    with pytest.raises(InvalidInputError, match="BM25"):
        encoded("tea", average_length=average_length)


@pytest.mark.parametrize("text", ["lone \ud800", "東京 \udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    """They can't be written as UTF-8, and the bare error says nothing to a caller."""
    with pytest.raises(InvalidInputError, match="surrogate"):
        ENCODER.encode_query(text)
    with pytest.raises(InvalidInputError, match="surrogate"):
        encoded("tea", text)
