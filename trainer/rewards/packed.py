"""A causal language model's log-probabilities of many outputs after one prompt, the prompt computed once.

Three ways to the same numbers. *Packed*: prompt and all outputs lie in one row; a tree mask lets each output see the
prompt and itself, and its positions start anew behind the prompt. Prompts that begin alike, as those of several
questions about one candidate do, lie in one row too, and what they share is computed once. *Reused*: the prompt's keys and values are computed
once and repeated for each output. *Plain*: a row a pair, by the model's own forward pass; for architectures that
can't do the first two. The cost of each in FLOPs is in `costs`.

The last token of an output is never fed: nothing is predicted from it. The vocabulary's head is applied where an
output token is predicted and nowhere else, and its log-softmax is taken in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from memsdk.ports import LogProb
from memsdk.trainer.rewards.port import Ids, Job

PAD_TO = 8  # lengths are padded to a multiple: kernels like it, and fewer shapes are compiled
HEAD_FLOATS = 32_000_000  # logits at a time
SHARED_LEAST = 16  # tokens that prompts have in common, from which on they are packed together
ROW_TOKENS = 1_024  # of a row of several prompts: attention's cost grows with its square
LONG_OUTPUTS = (
    3.0  # above so many times the prompt's tokens, the mask's empty half costs more than a repeated cache
)


class _Output(Protocol):
    """What a forward pass gives."""

    last_hidden_state: Tensor
    past_key_values: DynamicCache
    logits: Tensor


@dataclass(frozen=True, slots=True)
class CausalModel:
    """A transformers causal language model in its parts, as the scorers need them."""

    model: nn.Module  # whole: ids to logits
    body: nn.Module  # ids to hidden states
    head: nn.Module  # hidden states to logits
    device: torch.device
    dtype: torch.dtype
    pad_id: int


def score_packed(model: CausalModel, jobs: Sequence[Job], *, batch_tokens: int) -> list[list[LogProb]]:
    """A row for the jobs whose prompts begin alike: prompts and all outputs, tree mask, restarted positions."""
    groups = list(_beginning_alike(jobs, most=min(ROW_TOKENS, batch_tokens)))
    trees = [_Tree([jobs[number] for number in group]) for group in groups]
    found: list[list[LogProb]] = [[] for _ in jobs]
    for batch in _by_length(trees, length=len, batch_tokens=batch_tokens):
        given = _score_trees(model, [trees[place] for place in batch])
        for place, rows in zip(batch, given, strict=True):
            for number, scores in zip(groups[place], rows, strict=True):
                found[number] = scores
    return found


def score_reused(model: CausalModel, jobs: Sequence[Job], *, batch_tokens: int) -> list[list[LogProb]]:
    """The prompt once, its keys and values repeated for the outputs."""
    return [_score_with_cache(model, job, batch_tokens=batch_tokens) for job in jobs]


def score_plain(
    model: CausalModel, jobs: Sequence[Job], *, batch_tokens: int, full_logits: bool = False
) -> list[list[LogProb]]:
    """A row a pair, by the model's own forward pass.

    Args:
        full_logits: compute the whole vocabulary's logits at every position, prompt included, as a naive scorer does;
            for comparison only.
    """
    pairs = [(number, output) for number, job in enumerate(jobs) for output in range(len(job.outputs))]
    rows = [jobs[number].prompt + jobs[number].outputs[output] for number, output in pairs]
    found: list[list[LogProb]] = [[LogProb(0.0, 0)] * len(job.outputs) for job in jobs]
    for batch in _by_length(rows, length=len, batch_tokens=batch_tokens):
        ids = _padded([rows[number] for number in batch], pad_id=model.pad_id, device=model.device)
        outputs = [jobs[pairs[number][0]].outputs[pairs[number][1]] for number in batch]
        starts = [len(rows[number]) - len(output) for number, output in zip(batch, outputs, strict=True)]
        keep = 0 if full_logits else ids.shape[1] - min(starts) + 1
        logits = _call(model.model, input_ids=ids, use_cache=False, logits_to_keep=keep).logits
        shift = ids.shape[1] - logits.shape[1]
        for place, (number, output, start) in enumerate(zip(batch, outputs, starts, strict=True)):
            at = logits[place, start - 1 - shift : start - 1 - shift + len(output)]
            total = _log_probs(at, torch.tensor(output, device=model.device)).sum().item()
            found[pairs[number][0]][pairs[number][1]] = LogProb(total, len(output))
    return found


def prefers_reuse(job: Job) -> bool:
    """Whether the outputs are so long beside the prompt that repeating its cache is cheaper than packing them."""
    fed = sum(len(output) - 1 for output in job.outputs)
    return fed > LONG_OUTPUTS * max(64, len(job.prompt))


def agrees(model: CausalModel, scorer: Callable[..., list[list[LogProb]]], *, vocabulary: int) -> bool:
    """Whether a scorer gives what the model's own forward pass does; some architectures take no mask but their own."""
    tokens = [(7 * n + 3) % vocabulary for n in range(12)]
    outputs = (tuple(tokens[5:8]), tuple(tokens[8:10]), (tokens[10],))
    alike = tuple(tokens * 2)
    jobs = [Job(tuple(tokens[:5]), outputs), Job(tuple(tokens[2:5]), outputs[:2]),
            Job(alike, outputs[:2]), Job((*alike[:18], tokens[1]), outputs[1:])]  # fmt: skip
    try:
        given = scorer(model, jobs, batch_tokens=256)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return False  # an architecture that can't do it says so in its own way; `score_plain` works for all
    wanted = score_plain(model, jobs, batch_tokens=256)
    tolerance = 1e-3 if model.dtype is torch.float32 else 0.5
    return all(
        abs(one.total - other.total) <= tolerance
        for mine, theirs in zip(given, wanted, strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )


class _Tree:
    """Jobs as one packed row: what their prompts and outputs share is there once.

    Its places are the nodes of the tree in the order in which a node comes before all that follows it, and what follows
    it before the rest. So a node's descendants are the places behind it up to an end.

    Attributes:
        ids: [L] the tokens. No output's last one is among them: nothing is predicted from it.
        positions: [L] how many tokens come before it in its text.
        ends: [L] the first place behind its descendants.
        sources: for each output of each job the places that predict its tokens.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.ends: list[int] = []
        texts = sorted({job.prompt + output[:-1] for job in jobs for output in job.outputs})
        places: dict[Ids, list[int]] = {}
        before: Ids = ()
        path: list[int] = []
        for text in texts:  # in order, so that what begins alike is side by side
            path = path[: _common(before, text)]
            for token in text[len(path) :]:
                path.append(len(self.ids))
                self.ids.append(token)
                self.positions.append(len(path) - 1)
                self.ends.append(0)
            for place in path:
                self.ends[place] = len(self.ids)
            places[text] = list(path)
            before = text
        self.sources = [
            [places[job.prompt + output[:-1]][len(job.prompt) - 1 :] for output in job.outputs]
            for job in jobs
        ]

    def __len__(self) -> int:
        return len(self.ids)


def _common(one: Ids, other: Ids) -> int:
    """With how many equal tokens they begin."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return number
    return min(len(one), len(other))


def _beginning_alike(jobs: Sequence[Job], *, most: int) -> Iterator[list[int]]:
    """The jobs' numbers in groups of one, or of several that share a quarter of their prompts and fit into a row."""
    group: list[int] = []
    length = 0
    asked = [number for number, job in enumerate(jobs) if job.outputs]
    for number in sorted(asked, key=lambda place: jobs[place].prompt):
        own = _packed_length(jobs[number])
        shared = _common(jobs[group[-1]].prompt, jobs[number].prompt) if group else 0
        if shared < max(SHARED_LEAST, len(jobs[number].prompt) // 4) or length + own - shared > most:
            if group:
                yield group
            group, length, shared = [], 0, 0
        group.append(number)
        length += own - shared
    if group:
        yield group


def _score_trees(model: CausalModel, trees: Sequence[_Tree]) -> list[list[list[LogProb]]]:
    """By tree, job and output."""
    ids = _padded([tree.ids for tree in trees], pad_id=model.pad_id, device=model.device)
    length = ids.shape[1]
    positions = _padded([tree.positions for tree in trees], pad_id=0, device=model.device, length=length)
    ends = _padded([tree.ends for tree in trees], pad_id=0, device=model.device, length=length)
    hidden = _call(
        model.body,
        input_ids=ids,
        attention_mask=_tree_mask(ends, dtype=model.dtype),
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state
    outputs = [
        (row, output, places)
        for row, tree in enumerate(trees)
        for job, sources in zip(tree.jobs, tree.sources, strict=True)
        for output, places in zip(job.outputs, sources, strict=True)
    ]
    rows_at = [row for row, _, places in outputs for _ in places]
    selected = hidden[rows_at, [place for _, _, places in outputs for place in places]]
    targets = torch.tensor([token for _, output, _ in outputs for token in output], device=model.device)
    values = iter(_head(model, selected, targets).tolist())
    return [
        [
            [LogProb(sum(next(values) for _ in output), len(output)) for output in job.outputs]
            for job in tree.jobs
        ]
        for tree in trees
    ]


def _tree_mask(ends: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Who sees whom: each place itself and those that its text has before it.

    Args:
        ends: [B, L]: the first place behind each place's descendants; 0 for padding, which nobody sees.
        dtype: of the mask.

    Returns:
        [B, 1, L, L], 0 where a place sees another and the dtype's lowest number where not.
    """
    place = torch.arange(ends.shape[1], device=ends.device)
    seen = (place[None, :] <= place[:, None]) & (place[:, None] < ends[:, None, :])
    mask = torch.zeros(seen.shape, dtype=dtype, device=ends.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _score_with_cache(model: CausalModel, job: Job, *, batch_tokens: int) -> list[LogProb]:
    prompt = torch.tensor([job.prompt], device=model.device)
    first = _call(model.body, input_ids=prompt, use_cache=True, past_key_values=DynamicCache())
    found: list[LogProb] = [LogProb(0.0, 0)] * len(job.outputs)
    before = first.last_hidden_state[0, -1:]
    for batch in _by_length(job.outputs, length=len, batch_tokens=batch_tokens):
        outputs = [job.outputs[number] for number in batch]
        hidden = before.expand(len(outputs), 1, -1)
        if max(map(len, outputs)) > 1:
            fed = [output[:-1] for output in outputs]
            ids = _padded(fed, pad_id=model.pad_id, device=model.device)
            cache = _repeated(first.past_key_values, len(outputs))
            start = len(job.prompt)
            positions = torch.arange(start, start + ids.shape[1], device=model.device)
            later = _call(
                model.body,
                input_ids=ids,
                past_key_values=cache,
                use_cache=True,
                position_ids=positions.expand(len(outputs), -1),
            ).last_hidden_state
            hidden = torch.cat([hidden, later], dim=1)
        selected = torch.cat([hidden[n, : len(output)] for n, output in enumerate(outputs)])
        targets = torch.tensor([token for output in outputs for token in output], device=model.device)
        values = iter(_head(model, selected, targets).tolist())
        for number, output in zip(batch, outputs, strict=True):
            found[number] = LogProb(sum(next(values) for _ in output), len(output))
    return found


def _repeated(cache: DynamicCache, count: int) -> DynamicCache:
    """A copy of a one-row cache with `count` rows that share its memory."""
    copy = DynamicCache()
    for number, layer in enumerate(cache.layers):
        keys = cast(Tensor, getattr(layer, "keys"))  # noqa: B009 -- layers of some architectures have none: see `agrees`
        values = cast(Tensor, getattr(layer, "values"))  # noqa: B009
        copy.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), number)
    return copy


def _head(model: CausalModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """The targets' log-probabilities [n], float32, with so many logits in memory at a time as `HEAD_FLOATS` says."""
    vocabulary = max(1, int(getattr(model.head, "out_features", 0)) or 50_000)
    step = max(1, HEAD_FLOATS // vocabulary)
    return torch.cat(
        [
            _log_probs(model.head(hidden[start : start + step]), targets[start : start + step])
            for start in range(0, len(targets), step)
        ]
    )


def _log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """[n, V] and [n] to the targets' log-softmax [n], in float32."""
    wide = logits.float()
    return wide.gather(1, targets[:, None])[:, 0] - wide.logsumexp(1)


def _padded(
    rows: Sequence[Sequence[int]], *, pad_id: int, device: torch.device, length: int | None = None
) -> Tensor:
    """The rows as one tensor [B, L], filled up at their ends."""
    if length is None:
        length = -(-max(map(len, rows)) // PAD_TO) * PAD_TO
    return torch.tensor([[*row, *([pad_id] * (length - len(row)))] for row in rows], device=device)


def _packed_length(job: Job) -> int:
    return len(job.prompt) + sum(len(output) - 1 for output in job.outputs)


def _by_length(
    items: Sequence[_Tree] | Sequence[Ids], *, length: Callable[..., int], batch_tokens: int
) -> Iterator[list[int]]:
    """The items' numbers in batches of about equal lengths that hold no more padded tokens than that; longest first."""
    order = sorted(range(len(items)), key=lambda number: -length(items[number]))
    batch: list[int] = []
    longest = 0
    for number in order:
        longest = longest or -(-length(items[number]) // PAD_TO) * PAD_TO
        if batch and (len(batch) + 1) * longest > batch_tokens:
            yield batch
            batch, longest = [], -(-length(items[number]) // PAD_TO) * PAD_TO
        batch.append(number)
    if batch:
        yield batch


def _call(module: nn.Module, **inputs: object) -> _Output:
    with torch.inference_mode():
        return cast(_Output, module(**inputs))
