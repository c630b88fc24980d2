"""Alembic's script location; run by :mod:`reconciler.store.database` when a database is opened."""
