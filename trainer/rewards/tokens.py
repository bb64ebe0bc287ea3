"""A language model's tokenizer: prompts and outputs apart, so that the boundary between them is exact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import transformers

from memsdk.embedding.quiet import UNLOADABLE, quiet
from memsdk.errors import RewardModelError
from memsdk.trainer.rewards.port import Ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Tokens:
    """Texts to token ids and back. Thread-safe once loaded."""

    def __init__(self, folder: Path, *, chat: bool) -> None:
        """Load the tokenizer of a folder.

        Args:
            folder: a transformers folder.
            chat: put prompts into the model's chat template, as what the user says.

        Raises:
            RewardModelError: there is no tokenizer, or no chat template though one was asked for.
        """
        try:
            with quiet():
                self._tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True
                )
        except UNLOADABLE as error:
            raise RewardModelError(f"the tokenizer in {folder} can't be loaded: {error}") from error
        if chat and not self._tokenizer.chat_template:
            raise RewardModelError(
                f"the model in {folder} has no chat template; leave the chat template out, or name a chat model"
            )
        self._chat = chat
        self._first = self._special_start()

    @property
    def identity(self) -> str:
        """A hash of what decides token ids."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        plain = (
            backend.to_str()
            if backend is not None
            else json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
        )
        template = str(self._tokenizer.chat_template) if self._chat else ""
        return hashlib.sha256(f"{plain}\0{template}\0{self._first}".encode()).hexdigest()[:32]

    @property
    def pad_id(self) -> int:
        """A token to fill rows up with; which one does not matter, as it is masked."""
        found = self._tokenizer.pad_token_id
        return found if isinstance(found, int) else 0

    @property
    def stops(self) -> PreTrainedTokenizerBase:
        """The tokenizer itself, as transformers' stopping criteria want it."""
        return self._tokenizer

    def prompt_ids(self, text: str) -> Ids:
        """With the first special token, if the model has one; in the chat template if that was asked for."""
        if self._chat:
            shown = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
            return self._plain(str(shown))
        return self._first + self._plain(text)

    def output_ids(self, text: str) -> Ids:
        """Without any special token."""
        return self._plain(text)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first or last `most` tokens of it; the text itself where it has no more."""
        if len(text.encode("utf-8", "surrogatepass")) <= most:  # a token has at least one byte
            return text
        ids = self._plain(text)
        if len(ids) <= most:
            return text
        return self.text(ids[-most:] if from_end else ids[:most]).strip(
            "\ufffd"
        )  # half a character may be cut off

    def text(self, ids: Ids) -> str:
        """The tokens as text, without special ones."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def silent(self, vocabulary: int) -> list[int]:
        """The tokens below that number that are no visible text: special ones, spaces, line ends."""
        pieces = self._tokenizer.batch_decode([[n] for n in range(vocabulary)], skip_special_tokens=True)
        return [number for number, piece in enumerate(pieces) if not piece.strip()]

    def _plain(self, text: str) -> Ids:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _special_start(self) -> Ids:
        """What the tokenizer puts before a text: a beginning-of-text token, or nothing."""
        with_special = tuple(self._tokenizer.encode("a", add_special_tokens=True))
        plain = self._plain("a")
        for start in range(len(with_special) - len(plain) + 1):
            if with_special[start : start + len(plain)] == plain:
                return with_special[:start]
        return ()
