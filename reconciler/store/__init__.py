"""The only SQLAlchemy. What was observed and decided; Git holds what is desired.

One module per aggregate, each a class built on an ``Engine``: ``database.open_database(url) -> Engine`` (migrates),
``usage.UsageStore``, ``observations.ObservationStore``, ``changes.ChangeStore``, ``refusals.RefusalStore``,
``leases.LeaseStore``, ``cache.CacheStore``. Methods take and return models; no row object leaves the package.
SQLite (WAL) and PostgreSQL behave the same; every store test runs on both.
"""
