"""Version folders `models/<version>/`: written beside, named in one step, registered, and only then switched to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import JsonValue

from memsdk.embedding.adapters import DESCRIPTION, FORMAT, file_hash, read_description
from memsdk.errors import NotFoundError, QueryVersionError, StoreError
from memsdk.models import QueryVersion
from memsdk.parts import MODELS
from memsdk.testing.failpoints import reach

if TYPE_CHECKING:
    from memsdk.parts import Parts

MAKING = ".making-"
"""Begins the name of a folder that is being written; nobody loads one, and the next run removes it."""
CARD = "README.md"


def write_version(
    models: Path,
    version: QueryVersion,
    *,
    build: Callable[[Path], None],
    lineage: Mapping[str, JsonValue],
    card: str,
) -> Path:
    """Write the version's folder; it has its name only once every file is whole and on disk.

    Args:
        models: the store's `models` folder.
        build: writes the files of the model into the folder it is given.
        lineage: base, parent, data hashes, settings, seeds: figures and names, never a text.
        card: the model card, in Markdown.

    Raises:
        StoreError: the folder can't be written.
    """
    place = models / version.id
    if place.is_dir():
        return place  # an earlier run, killed since, got this far
    making = models / f"{MAKING}{version.id}"
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        build(making)
        (making / CARD).write_text(card, encoding="utf-8")
        described = {
            "format": FORMAT, "id": version.id, "tier": version.tier,
            "task": version.task.value, "fingerprint": version.fingerprint,
            "parent": version.parent, "dense_weight": version.dense_weight, "metrics": version.metrics,
            "created_at": version.created_at.isoformat(), "lineage": dict(lineage), "files": _hashes(making),
        }  # fmt: skip
        (making / DESCRIPTION).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", "utf-8")
        _to_disk(making)
        making.rename(place)
        _sync(models)
    except OSError as error:
        raise StoreError(
            f"the version's folder {place} can't be written: {error.strerror or error}; make room, or mend the rights,"
            " and run it again"
        ) from error
    reach("version-written")
    return place


def register(parts: Parts, version: QueryVersion, *, trained_on: Sequence[UUID]) -> None:
    """Enter a written version into the store, after a look at its folder. Raises QueryVersionError."""
    read_description(parts.folder / MODELS / version.id)
    parts.store.versions.add(version, trained_on=trained_on)
    reach("version-added")


def activate(parts: Parts, id: str) -> QueryVersion:
    """Switch to a version: every process uses it from its next recall on.

    Raises:
        NotFoundError: no such version.
        QueryVersionError: it is for other vectors, retired, or its folder is not whole.
    """
    find(parts, id)
    read_description(parts.folder / MODELS / id)
    return parts.store.versions.activate(id)


def retire(parts: Parts, id: str) -> QueryVersion:
    """Make it unusable and remove its folder. Raises NotFoundError, or QueryVersionError where it serves."""
    retired = parts.store.versions.retire(id)
    shutil.rmtree(parts.folder / MODELS / id, ignore_errors=True)
    return retired


def find(parts: Parts, id: str) -> QueryVersion:
    """The version of that id, or of the only id that begins so. Raises NotFoundError."""
    known = parts.store.versions.list()
    found = [version for version in known if version.id == id] or [
        version for version in known if version.id.startswith(id)
    ]
    if len(found) != 1:
        which = "no query version" if not found else f"{len(found)} query versions begin with"
        raise NotFoundError(f"{which} {id!r:.80}; `memsdk models list` shows what there is")
    return found[0]


def describe(parts: Parts, id: str) -> dict[str, JsonValue]:
    """What the version's folder says of it: lineage, settings, hashes. Raises NotFoundError, QueryVersionError."""
    version = find(parts, id)
    if version.state == "retired":
        raise QueryVersionError(f"the query version {version.id} is retired, and its folder is gone")
    return read_description(parts.folder / MODELS / version.id)


def tidy(parts: Parts) -> None:
    """Remove folders that a killed run left half-written, and those of retired versions."""
    models = parts.folder / MODELS
    if not models.is_dir():
        return
    retired = {version.id for version in parts.store.versions.list() if version.state == "retired"}
    for folder in models.iterdir():
        if folder.name.startswith(MAKING) or folder.name in retired:
            shutil.rmtree(folder, ignore_errors=True)


def _hashes(folder: Path) -> dict[str, JsonValue]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def _to_disk(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            _sync(path)
        else:
            with path.open("rb") as opened:
                os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
