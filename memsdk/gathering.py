"""One recall over several shelves: each kind is searched by itself and brings its own best hits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from memsdk.errors import InvalidInputError
from memsdk.inputs import clean_kinds, clean_limit
from memsdk.models import Kind
from memsdk.ports import RecallEntry
from memsdk.recalled import Recall
from memsdk.recalling import Question, Recaller


def clean_budget(budget: object, *, kinds: tuple[Kind, ...]) -> dict[Kind, int]:
    """Tokens by kind, of kinds that are searched; nothing for None."""
    if budget is None:
        return {}
    if not isinstance(budget, Mapping):
        raise InvalidInputError(
            f"budget is {type(budget).__name__}, expected tokens by kind, such as {{'tool': 400}}"
        )
    shares: dict[Kind, int] = {}
    for name, tokens in budget.items():
        (kind,) = clean_kinds([name], default=())
        if kind not in kinds:
            raise InvalidInputError(
                f"budget has tokens for {kind.value}, which is not searched; name it in kinds too"
            )
        shares[kind] = clean_limit(tokens, what=f"the budget of {kind.value}", most=10**7)
    return shares


def gather(
    recaller: Recaller, question: Question, *, id: UUID, budget: Mapping[Kind, int]
) -> tuple[Recall, RecallEntry]:
    """The best k of each kind, in the order of the kinds, as one recall; and the one entry to log of it.

    Scores of one kind compare with each other, and across kinds mean nothing: an example is no better than a tool.
    """
    found = [recaller.recall(replace(question, kinds=(kind,)), id=id) for kind in question.kinds]
    first, entry = found[0]
    recall = first.model_copy(
        update={
            "hits": tuple(hit for part, _ in found for hit in part.hits),
            "budget": dict(budget),
            "query_version": ",".join(dict.fromkeys(part.query_version for part, _ in found)),
            "embed_s": sum(part.embed_s for part, _ in found),
            "total_s": sum(part.total_s for part, _ in found),
        }
    )
    candidates = [candidate for _, part in found for candidate in part.candidates]
    return recall, replace(
        entry,
        kinds=question.kinds,
        query_version=recall.query_version,
        candidates=tuple(
            (candidate[0], rank, *candidate[2:]) for rank, candidate in enumerate(candidates, 1)
        ),
    )
