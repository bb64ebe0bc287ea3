"""`memsdk train rows` and `memsdk train score`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from memsdk import Memory
from memsdk.cli.main import cli
from memsdk.testing.tiny_llama import save_tiny_llama
from memsdk.trainer.jsonl import read_rows


def test_rows_are_written_and_scored_once(tmp_path: Path) -> None:
    """The second scoring of a night must cost nothing; a file that is there must not be replaced unasked."""
    store, rows, scored = tmp_path / "store", tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    with Memory.open(store, embedder="hashing", index="exact", synchronous="NORMAL") as memory:
        memory.remember("Ana lives in Bergen.", user_id="ana")
        memory.remember("Bo likes tea.", user_id="ana")
        memory.feedback(memory.recall("Where does Ana live?", user_id="ana"), output="In Bergen.")
    save_tiny_llama(tmp_path / "model")
    where = ["--store", str(store), "--index", "exact"]

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["train", *words, *where], prog_name="memsdk")
        return result.exit_code, result.output

    assert run("rows", str(rows), "--json")[0] == 0
    assert [one.output for one in read_rows(rows)] == ["In Bergen."]
    code, said = run("rows", str(rows))
    assert (code, "--force" in said) == (2, True)
    score = (
        "score",
        str(rows),
        str(scored),
        "--model",
        str(tmp_path / "model"),
        "--reward",
        "likelihood",
        "--json",
    )
    first, second = (json.loads(run(*score, "--force")[1]) for _ in range(2))
    assert first["computed"] > 0
    assert (second["computed"], second["from_cache"]) == (0, first["computed"])
    assert run("score", str(rows), str(scored), "--force", "--model", str(tmp_path / "none.gguf"))[0] == 8
