"""A reward model that is asked only what is not known yet. Keys are hashes of all that decides an answer."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memsdk.ports import LogProb, Origin, RewardCache, SampleEntry, ScoreEntry
from memsdk.trainer.rewards.port import Ids, Job, Ranker, Sampling, Scorer


class MemoryCache:
    """Implements RewardCache for one process; where there is no store."""

    def __init__(self) -> None:
        self._scores: dict[bytes, LogProb] = {}
        self._samples: dict[bytes, tuple[str, ...]] = {}

    def scores(self, keys: Sequence[bytes]) -> dict[bytes, LogProb]:
        """Those that are known."""
        return {key: self._scores[key] for key in keys if key in self._scores}

    def keep_scores(self, entries: Sequence[ScoreEntry]) -> None:
        """Keep them; a known key stays as it is."""
        for entry in entries:
            self._scores.setdefault(entry.key, entry.value)

    def samples(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Those that are known."""
        return {key: self._samples[key] for key in keys if key in self._samples}

    def keep_samples(self, entries: Sequence[SampleEntry]) -> None:
        """Keep them; a known key stays as it is."""
        for entry in entries:
            self._samples.setdefault(entry.key, entry.outputs)


@dataclass(slots=True)
class Tally:
    """How often the model was asked, and how often the cache knew."""

    scored: int = 0
    known_scores: int = 0
    sampled: int = 0
    known_samples: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A job and whose texts it is made from."""

    job: Job
    origin: Origin


@dataclass(frozen=True, slots=True)
class CachedScorer:
    """A scorer behind a cache: the same questions are computed once, also within one call."""

    model: Scorer
    cache: RewardCache
    tally: Tally = field(default_factory=Tally)

    def score(self, asked: Sequence[Asked]) -> list[list[LogProb]]:
        """What `Scorer.score` gives; new values are kept in one transaction."""
        keys = [[self._key(one.job.prompt, output) for output in one.job.outputs] for one in asked]
        wanted = list(dict.fromkeys(key for row in keys for key in row))
        known = self.cache.scores(wanted)
        self.tally.known_scores += len(known)
        jobs, entries = [], []
        for one, row in zip(asked, keys, strict=True):
            missing = {
                key: output for key, output in zip(row, one.job.outputs, strict=True) if key not in known
            }
            if missing:
                jobs.append(Job(one.job.prompt, tuple(missing.values())))
                entries.append((list(missing), one.origin))
                known.update(dict.fromkeys(missing, LogProb(0.0, 0)))  # claimed: not asked twice in this call
        if jobs:
            fresh = []
            for (missed, origin), values in zip(entries, self.model.score(jobs), strict=True):
                known.update(zip(missed, values, strict=True))
                fresh += [
                    ScoreEntry(key=key, value=value, origin=origin)
                    for key, value in zip(missed, values, strict=True)
                ]
            self.tally.scored += len(fresh)
            self.cache.keep_scores(fresh)
        return [[known[key] for key in row] for row in keys]

    def sample(
        self, prompt: Ids, *, count: int, sampling: Sampling, seed: int, origin: Origin
    ) -> tuple[str, ...]:
        """What `Scorer.sample` gives for this prompt: drawn once, whatever is asked in between."""
        key = _digest(
            "sample", self.model.identity, sampling.describe(), str(count), str(seed), *_parts(prompt)
        )
        draw = _Draw(
            key, origin, seed, lambda own: self.model.sample(prompt, count=count, sampling=sampling, seed=own)
        )
        return draw.outputs(self.cache, self.tally)

    def _key(self, prompt: Ids, output: Ids) -> bytes:
        return _digest("score", self.model.identity, *_parts(prompt), *_parts(output))


@dataclass(frozen=True, slots=True)
class CachedRanker:
    """A ranker behind a cache."""

    model: Ranker
    cache: RewardCache
    tally: Tally = field(default_factory=Tally)

    def rank(self, prompt: str, outputs: Sequence[str], *, origin: Origin) -> list[LogProb]:
        """What `Ranker.rank` gives, as values of one token each."""
        keys = [_digest("rank", self.model.identity, prompt, *outputs, str(n)) for n in range(len(outputs))]
        known = self.cache.scores(keys)
        if len(known) == len(set(keys)):
            self.tally.known_scores += len(keys)
            return [known[key] for key in keys]
        values = [LogProb(value, 1) for value in self.model.rank(prompt, outputs)]
        self.tally.scored += len(values)
        self.cache.keep_scores(
            [ScoreEntry(key=key, value=value, origin=origin) for key, value in zip(keys, values, strict=True)]
        )
        return values

    def sample(
        self, prompt: str, *, count: int, sampling: Sampling, seed: int, origin: Origin
    ) -> tuple[str, ...]:
        """What `Ranker.sample_text` gives for this prompt."""
        key = _digest("sample", self.model.identity, sampling.describe(), str(count), str(seed), prompt)
        draw = _Draw(
            key,
            origin,
            seed,
            lambda own: self.model.sample_text(prompt, count=count, sampling=sampling, seed=own),
        )
        return draw.outputs(self.cache, self.tally)


@dataclass(frozen=True, slots=True)
class _Draw:
    """A wish for samples: its key, whose texts it is made from, and what draws them with a seed."""

    key: bytes
    origin: Origin
    seed: int
    draw: Callable[[int], list[str]]

    def outputs(self, cache: RewardCache, tally: Tally) -> tuple[str, ...]:
        known = cache.samples([self.key])
        if self.key in known:
            tally.known_samples += len(known[self.key])
            return known[self.key]
        own = self.seed + int.from_bytes(
            self.key[:4], "little"
        )  # another prompt, another seed, in whatever order
        outputs = tuple(self.draw(own % 2**31))
        tally.sampled += len(outputs)
        cache.keep_samples([SampleEntry(key=self.key, outputs=outputs, origin=self.origin)])
        return outputs


def _parts(ids: Ids) -> tuple[bytes]:
    return (array("q", ids).tobytes(),)


def _digest(*parts: str | bytes) -> bytes:
    """sha256 of the parts, each with its length before it, so that no two lists of parts are confused."""
    total = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        total.update(len(raw).to_bytes(8, "little") + raw)
    return total.digest()
