"""The only SQLAlchemy. What was observed and decided; Git holds what is desired.

``database.open_database(url) -> Engine`` opens and migrates. One module per aggregate, each a class built on an engine:
``usage.UsageStore``, ``observations.ObservationStore``, ``changes.ChangeStore``, ``decision_log.DecisionLog``,
``refusals.RefusalStore``, ``leases.LeaseStore``, ``cache.CacheStore``, ``marks.MarkStore``; and ``pushes.record_push``, which
takes one push into two of them at once. Methods take and return models; no row object leaves the package.

Each method is one transaction: all of it is written, or nothing. Any number of processes may use one database: on SQLite
writers take turns for the whole of it, on PostgreSQL by cluster (what is observed) or by row. What goes wrong outside
(a full disk, a server that is away) is a :class:`~reconciler.errors.TrimtabError` without the URL's password.
SQLite (WAL) and PostgreSQL behave the same; every store test runs on both.
"""
