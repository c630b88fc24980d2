"""Fifth stage: work on Git. The only code that moves a branch.

``repository.Repository``: one bare clone per fleet repo, no work tree; long-lived ``cat-file --batch``; ``fetch``, ``tree``,
``files_at``, ``resolve``. ``writer.Writer``: commits by ``git fast-import`` kept open, one push per batch, the branch moved
by compare-and-swap, never forced; machine branches with lease. ``history.scan``: what has landed, with trailers;
``standing``: what stands, what was reverted in words (``standing``) or in deed (``put_back_by_people``).
``rollback.rollback_edits``: the edits that put a commit's values back; ``values.values_of``: a file as a flat map.

Every failure is :class:`~reconciler.errors.Stalled`, :class:`~reconciler.errors.RetryLater` or
:class:`~reconciler.errors.InputError`, with the next step and without secrets. A Repository may be used by several threads,
and a clone by several processes; a Writer belongs to one thread.

One writer per repo and branch at a time: callers hold the lease of :mod:`reconciler.store.leases`.
"""
