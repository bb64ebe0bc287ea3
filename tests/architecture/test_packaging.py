from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import memsdk


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from what git would commit, without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked_or_new(repository):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((repository / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", out, source], check=True, timeout=100)
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def tracked_or_new(repository: Path) -> list[str]:
    """The files that git has or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (repository / name).is_file()]


def folders_of(project: Mapping[str, Any], repository: Path) -> dict[str, Path]:
    """Every package that the sources hold: its import name and its folder."""
    roots = {
        name: repository / folder for name, folder in project["tool"]["setuptools"]["package-dir"].items()
    }
    return {
        ".".join((name, *init.parent.relative_to(root).parts)): init.parent
        for name, root in roots.items()
        for init in root.rglob("__init__.py")
    }


def test_every_package_is_listed(project: dict[str, Any], repository: Path) -> None:
    """A package missing from the list is silently absent from the wheel."""
    listed = project["tool"]["setuptools"]["packages"]
    assert listed == sorted(folders_of(project, repository))


def test_every_module_is_in_the_wheel(wheel: set[str], project: dict[str, Any], repository: Path) -> None:
    """What works in the checkout must work from the package index."""
    expected = {
        "/".join((*name.split("."), path.name))
        for name, folder in folders_of(project, repository).items()
        for path in folder.iterdir()
        if path.suffix in (".py", ".typed", ".mako", ".jsonl")
    }
    assert {name for name in wheel if name.startswith("memsdk/")} == expected


def test_the_wheel_holds_nothing_but_memsdk(wheel: set[str]) -> None:
    """A top-level `cli` or `tests` in site-packages would hide another project's."""
    assert {name.split("/")[0] for name in wheel} == {"memsdk", f"memsdk-{memsdk.__version__}.dist-info"}


def test_the_wheel_holds_the_licence(wheel: set[str]) -> None:
    """Apache-2.0 asks for it."""
    assert f"memsdk-{memsdk.__version__}.dist-info/licenses/LICENSE" in wheel


def test_every_direct_dependency_is_pinned_for_development(project: dict[str, Any], repository: Path) -> None:
    """One that is not would change between two runs of the same commit."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line}
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["documents"]]
    wanted += [
        entry for group in project["dependency-groups"].values() for entry in group if isinstance(entry, str)
    ]
    assert {re.split(r"[=<>~!\[ ]", entry)[0].lower() for entry in wanted} - pinned == set()
