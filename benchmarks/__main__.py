"""`python -m benchmarks NAME [options] [--out FOLDER]`: run one benchmark, or all of them with their defaults."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

NAMES = {  # one a line, in alphabetical order
    "coldstart": "`memsdk recall` from a shell, cold and beside a warm index host",
    "conversations": "conversational search: R@10 with the turns before, beside the last turn alone and all joined",
    "crash": "kill -9 in 100 rounds: lost, doubled, resurrected",
    "encoder": "the encoder beside SentenceTransformer.encode: texts a second, latency of a query, cosine",
    "exactness": "the index beside exact search at 100,000 points: recall@10 of each leg and fused, with and without filters",
    "examples": "hit@1 and nDCG@10 of solved examples; a small LLM with recalled and with random ones",
    "losses": "graded distillation in one pass, beside its definition and a cross-entropy a candidate",
    "full": "T2: the whole encoder on the train splits of ../shared/data; nDCG@10 on their dev splits",
    "growth": "ingest, recall, memory and disk from 1,000 to 1,000,000 records, in scopes of one size; with a picture",
    "ingest": "remember beside the bare encoder: ratio in batches, milliseconds one at a time",
    "never_worse": "20 retrains on random and hostile feedback: promotions, held-out recall, the live version",
    "passages": "long texts: R@10 beside BM25; perplexity with recalled, random and recent chunks",
    "peers": "mem0, chroma, LangGraph's store and txtai beside memsdk: quality on LoCoMo, adds, searches",
    "processes": "four processes on one store: errors and losses",
    "recall": "quality of recall on every set: recall@10 and nDCG@10, the default beside each leg",
    "retrain_kills": "memsdk retrain killed at 20 moments: serves as before, goes on, nothing half-made",
    "rewards": "hard labels, likelihood and rank rewards of the language model, with two losses: what each is worth",
    "scoring": "rewards: packed against naive scoring by SmolLM2, their differences, a second run from the cache",
    "speed": "what recall adds to embedding the query, at 100,000 records; reopening",
    "tiers": "what T0 and T1 keep of a full training's gain, with no document embedded again",
    "tools": "R@5 of tools for requests, hybrid beside each leg; import of 10,000 tools",
}
SLOW = {"growth", "peers"}  # minutes, or environments of their own: run when they are named


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def main(arguments: list[str]) -> int:
    """Run what was asked for; returns the exit code."""
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # an installed package is compiled; subprocesses are to be like it
    out = None
    if "--out" in arguments:
        at = arguments.index("--out")
        out = Path(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2 :]
    wanted = arguments[:1] or [name for name in NAMES if name not in SLOW]
    if wanted[0] not in NAMES:
        print("usage: python -m benchmarks [NAME [options]] [--out FOLDER]\n", file=sys.stderr)
        print("\n".join(f"  {name:14} {what}" for name, what in NAMES.items()), file=sys.stderr)
        return 2
    missed = []
    for name in wanted:
        result = importlib.import_module(f"benchmarks.{name}").main(arguments[1:])
        if not result.get("met", True):
            missed.append(name)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            report = {"benchmark": name, "machine": machine(), "result": result}
            (out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if missed:
        print(f"below target: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
