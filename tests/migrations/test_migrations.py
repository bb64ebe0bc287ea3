"""The chain of migrations and the schema in the code are the same thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from memsdk.migrations.runner import config, downgrade, known_revisions, upgrade
from memsdk.records import open_store
from memsdk.records.opening import HEAD
from memsdk.records.schema import metadata
from memsdk.testing.store_drafts import EVERYTHING, chunk, fact, said, texts


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """An empty database."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'memory.db'}")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_migrating_an_empty_database_gives_the_schema(connection: Connection) -> None:
    """A column in the code that no migration makes fails on every store but the developer's."""
    upgrade(connection)
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    indexes = {index.name for table in metadata.tables.values() for index in table.indexes}
    made = connection.execute(
        sa.text("SELECT name FROM sqlite_master WHERE type='index' AND sql IS NOT NULL")
    )
    assert set(made.scalars()) == indexes


def test_there_is_one_head_and_the_code_knows_it() -> None:
    """Two heads can't be upgraded to; a head that the code does not name is never reached."""
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]
    assert HEAD in known_revisions()


def test_up_down_up(connection: Connection) -> None:
    """A downgrade that leaves something behind can't be taken back."""
    upgrade(connection)
    downgrade(connection, "base")
    left = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    assert left == ["alembic_version"]
    upgrade(connection)
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_upgrading_to_head_again_keeps_data_and_secret(tmp_path: Path) -> None:
    """Every open may migrate; what is there must survive it."""
    store = open_store(tmp_path)
    store.records.add([fact("kept")], owner=None)
    secret = store.admin.secret()
    store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'memory.db'}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    again = open_store(tmp_path)
    assert texts(again.records.page(EVERYTHING, limit=9)) == ["kept"]
    assert again.admin.secret() == secret
    again.close()


def test_what_a_store_of_before_knew_is_known_after_the_upgrade(tmp_path: Path) -> None:
    """Keys that change with a release: the same text said again would be kept a second time."""
    drafts = [
        fact("bare"),
        said("in a session"),
        replace(said("named"), external_id="e-1"),
        replace(chunk("of a document"), source_id=uuid4(), external_id="e-1"),
    ]
    store = open_store(tmp_path)
    store.records.add(drafts, owner=None)
    store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'memory.db'}")
    with engine.begin() as connection:
        downgrade(connection, "0003")
        sizes = connection.execute(sa.text("SELECT length(content_key), length(external_key) FROM records"))
        assert set(sizes.all()) == {(16, None), (16, 16)}
    engine.dispose()
    again = open_store(tmp_path)
    assert [each.outcome for each in again.records.add(drafts, owner=None)] == ["unchanged"] * 4
    again.close()
