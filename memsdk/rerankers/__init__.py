"""Rerankers: late interaction by an encoder's own tokens, a cross-encoder, a language model behind a server.

Importing them loads no torch: a cross-encoder does so when it first scores.
"""

from memsdk.rerankers.chat import ChatReranker
from memsdk.rerankers.cross_encoder import CrossEncoder
from memsdk.rerankers.late import LateInteraction
from memsdk.rerankers.loading import load_reranker

__all__ = ["ChatReranker", "CrossEncoder", "LateInteraction", "load_reranker"]
