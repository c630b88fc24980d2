"""The HTTP API: five documented families and what goes with them, as one application.

Takes requests and the :class:`~api.server.Server` (stores, stewards, clock); gives what the documents say, field by
field. Routes translate: parse, one call, a schema. Status codes live in :mod:`api.errors` only. Long polls are async and
cost no thread; everything else is plain synchronous code in the framework's threads.
"""
