"""Fifth stage: work on Git. The only code that moves a branch.

``repository.Repository``: one bare clone per fleet repo, no work tree; long-lived ``cat-file --batch``; ``fetch``,
``tree``, ``log`` with trailers. ``writer.Writer``: commits by ``git fast-import`` kept open, one push per batch, the
branch moved by compare-and-swap, never forced. ``history``: what has landed and what was reverted, read from trailers.
``rollback``: the edits that put a commit's values back.

One writer per repo and branch at a time: callers hold the lease of :mod:`reconciler.store.leases`.
"""
