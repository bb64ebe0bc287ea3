"""Runs the migrations on a connection given; no alembic.ini, no paths to know."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection


def config(connection: Connection | None = None) -> Config:
    """Alembic's settings, with the scripts of this package."""
    settings = Config()
    settings.set_main_option("script_location", str(files("memsdk.migrations")).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the database to the revision, in the transaction of the connection."""
    command.upgrade(config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the database back to the revision, in the transaction of the connection."""
    command.downgrade(config(connection), revision)


def known_revisions() -> set[str]:
    """Every revision that these migrations can start from."""
    return {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
