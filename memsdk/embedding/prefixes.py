"""LLM-Embedder's prefixes, and the names that keep vectors of different making apart. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from memsdk.models import Side, Task
from memsdk.ports import EmbedderSpec

Prefixes = Mapping[Task, tuple[str, str]]
"""Task -> (query prefix, key prefix); a missing task has none."""

NO_PREFIXES: Prefixes = {}
"""For models that were trained without."""

LLM_EMBEDDER: Prefixes = {
    Task.QA: (
        "Represent this query for retrieving relevant documents: ",
        "Represent this document for retrieval: ",
    ),
    Task.CONVSEARCH: (
        "Encode this query and context for searching relevant passages: ",
        "Encode this passage for retrieval: ",
    ),
    Task.CHAT: (
        "Embed this dialogue to find useful historical dialogues: ",
        "Embed this historical dialogue for retrieval: ",
    ),
    Task.LRLM: (
        "Embed this text chunk for finding useful historical chunks: ",
        "Embed this historical text chunk for retrieval: ",
    ),
    Task.ICL: (
        "Convert this example into vector to look for useful examples: ",
        "Convert this example into vector for retrieval: ",
    ),
    Task.TOOL: (
        "Transform this user request for fetching helpful tool descriptions: ",
        "Transform this tool description for retrieval: ",
    ),
}
"""The six pairs of LLM-Embedder (arXiv 2310.07554, Table 10); the trailing space belongs to them."""


def prefix_of(prefixes: Prefixes, *, task: Task, side: Side) -> str:
    """What is put before a text of that task and side; empty where there is none."""
    query, key = prefixes.get(task, ("", ""))
    return query if side == Side.QUERY else key


def fingerprint(spec: EmbedderSpec, task: Task, *, composition: str) -> str:
    """The name of the space that the task's key vectors live in: 16 hex digits.

    Tasks with the same key prefix and composition get the same fingerprint and can share a space. What an embedder
    is called, where it was loaded from, and its query prefixes do not enter: they change no key vector.

    Args:
        composition: names how the indexed text is put together from a record.
    """
    return _digest("space", _encoder(spec), prefix_of(spec.prefixes, task=task, side=Side.KEY), composition)


def query_version(spec: EmbedderSpec, task: Task) -> str:
    """The name of what embeds the task's queries: 16 hex digits; tasks with equal names share one query vector."""
    return _digest("query", _encoder(spec), prefix_of(spec.prefixes, task=task, side=Side.QUERY))


def _encoder(spec: EmbedderSpec) -> list[str | int | bool]:
    return [spec.weights, spec.tokenizer, spec.pooling, spec.dims, spec.max_tokens, spec.normalize]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
