"""The truth: records, outbox, recall log and spaces in one SQLAlchemy Core schema. The only home of sqlalchemy."""

from memsdk.records.store import SqlStore, open_store

__all__ = ["SqlStore", "open_store"]
