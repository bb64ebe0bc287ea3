"""The schema's history, step by step, run with alembic from the package."""
