"""Third stage: whether it may happen now. Pure: proposals, windows, counts and an instant in, verdicts out.

``cron``: five-field cron → the minutes it matches; :class:`CronError` names the field. ``windows``: is open, spans,
next opening and closing. ``verdict``: all gates of one proposal together. Exclusion beats maintenance; what cannot be
parsed fails closed; what gives capacity back after a turndown, and what drops stale patches, is never held.
"""
