"""BM25 vectors: what a word search sees of a text."""

from __future__ import annotations

import math

import pytest

from memsdk.embedding.lexical import Bm25Encoder
from memsdk.errors import InvalidInputError

ENCODER = Bm25Encoder()


def shared(query: str, key: str) -> int:
    """How many of the query's terms the key has."""
    (vector,) = ENCODER.encode_keys([key], average_length=30, b=0.75)
    return len(set(ENCODER.encode_query(query).indices) & set(vector.indices))


def test_stems_are_matched() -> None:
    """Who asks for allergies must find an allergy."""
    assert shared("running horses with allergies", "The horse runs; an allergy.") == 3


def test_stopwords_alone_give_an_empty_vector() -> None:
    """The caller skips the lexical leg then; a leg of nothing must not be searched."""
    assert (
        ENCODER.encode_query("the and of")
        == ENCODER.encode_keys(["", "the of"], average_length=30, b=0.75)[1]
    )
    assert not ENCODER.encode_query("the and of").indices


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
    (vector,) = ENCODER.encode_keys(["tea tea 東京 東京 coffee 12 12 コーヒー"], average_length=30, b=0.75)
    assert list(vector.indices) == sorted(set(vector.indices))
    assert len(vector.indices) == len(vector.values)
    assert all(value > 0 for value in vector.values)


def test_weights_are_bm25s() -> None:
    """The formula (Robertson and Zaragoza 2009), term by term: tf (k + 1) / (tf + k (1 - b + b len / average))."""
    (vector,) = ENCODER.encode_keys(["tea tea cake"], average_length=6, b=0.75)
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 6)
    expected = [tf * 2.2 / (tf + norm) for tf in (1, 2)]
    assert sorted(vector.values) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("average_length", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_average_is_refused(average_length: float) -> None:
    """An empty store has an average of nought; that must not become NaN weights."""
    with pytest.raises(InvalidInputError, match="BM25"):
        ENCODER.encode_keys(["tea"], average_length=average_length, b=0.75)


@pytest.mark.parametrize("text", ["lone \ud800", "東京 \udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    """They can't be written as UTF-8, and the bare error says nothing to a caller."""
    with pytest.raises(InvalidInputError, match="surrogate"):
        ENCODER.encode_query(text)
