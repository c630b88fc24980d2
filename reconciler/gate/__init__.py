"""Third stage: whether it may happen now. Pure: proposals, windows, counts and an instant in, verdicts out.

``cron``: five-field cron → the minutes it matches; :class:`CronError` names the field. ``schedule``, ``intervals``: a
window as a lazy stream of open stretches. ``windows``: of one window, is it open, spans, next opening and closing,
warnings. ``allowance``: of all owners together, when they allow. ``verdict``: all gates of one proposal together.

Exclusion beats maintenance; what cannot be parsed fails closed in ``verdict``, ``rollback_verdict``, ``all_open`` and
``opening``, and raises everywhere else (``check_window`` tells beforehand); what gives capacity back after a turndown,
and what drops stale patches, is never held. Instants are aware; those that come out are in UTC. Safe to call from
several threads.
"""
