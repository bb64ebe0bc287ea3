"""Real processes are killed with SIGKILL; whatever was acknowledged must be there afterwards, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from memsdk.testing.crash_rounds import Round, all_kinds, play

SHORT = (
    Round(victim="client", bystander=True),
    Round(victim="client", failpoint="sql-after-commit"),
    Round(victim="client", failpoint="space-switch", work="reindex"),
    Round(victim="host"),
    Round(victim="host", failpoint="index-updated"),
    Round(victim="both"),
    Round(victim="both", failpoint="forget-erased"),
)


def test_kill_9_loses_doubles_and_resurrects_nothing(tmp_path: Path) -> None:
    """What `remember` and `forget` acknowledged holds, whoever is killed and whenever: the first promise."""
    for outcome in play(tmp_path, SHORT, seed=3):
        assert outcome.findings.all() == [], outcome.round.name


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [4, 5])
def test_every_failpoint_and_every_victim(tmp_path: Path, seed: int) -> None:
    """The same at each named place in the code, and while a store is rebuilt or optimized."""
    for outcome in play(tmp_path, all_kinds(), seed=seed):
        assert outcome.findings.all() == [], outcome.round.name
        assert outcome.hit or outcome.round.failpoint != "optimize-switch", outcome.round.name
