"""The words of a change: commit message and pull request body (DESIGN §4).

Names, reasons and values come from people's files and from clusters. Whatever they hold, a message has just our lines:
:mod:`reconciler.render.words` takes line breaks out, and the trailers are put on by code, after the template's text.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, islice

from reconciler.model.change import Change, Decision, Proposal, ValueEdit
from reconciler.render.fields import BOOKKEEPING, PREPARED, TARGET, split_request
from reconciler.render.subject import MAX_SUBJECT, saving_of, saving_words, subject_line
from reconciler.render.templates import Templates
from reconciler.render.words import code, one_line, prose, shortened

MAX_ROWS = 200
MAX_REASONS = 10
_CELLS = {"about": 100, "field": 80, "old": 40, "new": 40}
"""Characters in a cell of a pull request's table: 200 rows of them stay under the 65,536 that GitHub takes."""

Rows = list[dict[str, str]]


def commit_message(change: Change, templates: Templates, *, currency: str = "USD") -> str:
    """Subject, body, and as the last paragraph the trailers, which ``git interpret-trailers`` reads.

    :raises InputError: when a template of the fleet repo's own fails.
    """
    reasons, more_reasons = _reasons(change.decisions)
    rows, more_rows = _rows(change.decisions)
    text = templates.render(
        "commit-message.txt.j2",
        {
            "subject": subject_line(change, currency=currency),
            "reasons": reasons,
            "more_reasons": more_reasons,
            "groups": _grouped(rows),
            "more_rows": more_rows,
            "saving": saving_words(saving_of(change), currency),
        },
    )
    paragraphs = [_settled(text), *_reverts(change), "\n".join(_trailers(change))]
    return "\n\n".join(paragraphs) + "\n"


def pr_body(
    change: Change,
    templates: Templates,
    *,
    currency: str = "USD",
    risk: str = "",
    windows: Sequence[str] = (),
) -> str:
    """The pull request's text in Markdown: old → new per container, saving, risk, windows, how to undo.

    ``windows``: lines such as ``Maintenance window opens 22:00 UTC``. The same change gives the same text, so that an
    unchanged body need not be sent again.

    :raises InputError: when a template of the fleet repo's own fails.
    """
    reasons, more_reasons = _reasons(change.decisions)
    rows, more_rows = _rows(change.decisions)
    return templates.render(
        "pr-body.md.j2",
        {
            "reasons": [{"about": code(r["about"]), "text": prose(r["text"])} for r in reasons],
            "more_reasons": more_reasons,
            "rows": [{key: code(value, _CELLS[key]) for key, value in row.items()} for row in rows],
            "more_rows": more_rows,
            "saving": prose(saving_words(saving_of(change), currency)),
            "risk": prose(risk),
            "windows": [prose(window) for window in windows],
            "held": "" if change.verdict.allowed else prose(change.verdict.reason),
        },
    )


def _settled(text: str) -> str:
    """What a template gave, as Git wants it: a subject of one line, no run of blank lines, and no line of three dashes,
    after which Git looks for no trailers."""
    subject, _, body = text.strip().partition("\n")
    lines = [" " + line if line.startswith("---") else line.rstrip() for line in body.split("\n")]
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f"{shortened(subject.strip(), MAX_SUBJECT)}\n\n{body}" if body else shortened(subject.strip(), MAX_SUBJECT)


def _reverts(change: Change) -> list[str]:
    commits = _unique(one_line(decision.proposal.reverts, 64) for decision in change.decisions)
    return ["\n".join(f"This reverts commit {commit}." for commit in commits)] if commits else []


def _trailers(change: Change) -> Iterable[str]:
    subject = change.subject
    yield f"Trimtab-Change: {one_line(change.id)}"
    for decision in change.decisions:
        yield f"Trimtab-Decision: {one_line(decision.id)}"
    if subject.kind == "policy":
        yield f"Trimtab-Policy: {one_line(subject.id)}"
    elif subject.kind == "action":
        yield f"Trimtab-Action: {one_line(subject.id)}"
        for run in _unique(one_line(run) for run in dict.fromkeys(d.proposal.subject.run for d in change.decisions)):
            yield f"Trimtab-Run: {run}"
    rolled_back = (d.proposal.reverts for d in change.decisions if d.proposal.kind == "rollback")
    for commit in _unique(one_line(commit, 64) for commit in rolled_back):
        yield f"Trimtab-Rollback: {commit}"


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def _reasons(decisions: Sequence[Decision]) -> tuple[Rows, int]:
    """Each different reason once, with what it is first given for."""
    first: dict[str, Proposal] = {}
    for decision in decisions:
        if decision.proposal.reason:
            first.setdefault(decision.proposal.reason, decision.proposal)
    rows = []
    for reason, proposal in islice(first.items(), MAX_REASONS):
        text, about = one_line(reason), _about(proposal)
        if text:
            rows.append({"about": "" if about in text else about, "text": text})
    return rows, max(len(first) - MAX_REASONS, 0)


def _about(proposal: Proposal) -> str:
    parts = (proposal.namespace, proposal.workload)
    return one_line("/".join(part for part in parts if part) or proposal.cluster, 253)


def _rows(decisions: Sequence[Decision]) -> tuple[Rows, int]:
    """One row a value: what it belongs to, which value, old and new; and how many there are beyond the first 200."""
    edits = [
        (decision.proposal, edit)
        for decision in decisions
        for edit in decision.proposal.edits
        if edit.field not in BOOKKEEPING and edit.field not in (PREPARED, TARGET)
    ]
    rows = [_row(proposal, edit) for proposal, edit in edits[:MAX_ROWS]]
    return rows, max(len(edits) - MAX_ROWS, 0)


def _row(proposal: Proposal, edit: ValueEdit) -> dict[str, str]:
    about, field = _place(proposal, edit)
    old, new = (
        "–" if value is None else one_line(value, 100) or '""'
        for value in (edit.was if edit.old is None else edit.old, edit.new)
    )
    return {"about": one_line(about, 253), "field": one_line(field, 253), "old": old, "new": new}


def _place(proposal: Proposal, edit: ValueEdit) -> tuple[str, str]:
    namespace = edit.target.namespace or proposal.namespace
    about = "/".join(part for part in (namespace, edit.target.name) if part)
    if edit.form == "config":
        return edit.path, edit.field.replace("/", ".")
    if edit.form in ("group", "lxc"):
        return f"{edit.target.kind} {about}", edit.field.removeprefix("spec/").replace("~1", "/")
    if edit.form == "turndown":
        parts = edit.field.split("|")
        return (f"{proposal.namespace}/{parts[3]}", parts[1]) if len(parts) == 4 else (proposal.namespace, edit.field)
    if edit.form == "requests":
        role, container, bound, resource = split_request(edit.field)
        init = "init " if role == "initContainers" else ""
        return f"{edit.target.kind} {about}", f"{init}{container} {resource} {bound.removesuffix('s')}"
    return f"{'HPA' if edit.form == 'hpa' else edit.target.kind} {about}", edit.field.replace("/", " ")


def _grouped(rows: Rows) -> list[dict[str, object]]:
    """Rows under one title each, their fields as wide as the widest beside them."""
    groups: list[dict[str, object]] = []
    for title, members in groupby(rows, key=lambda row: row["about"]):
        block = list(members)
        width = min(max(len(row["field"]) for row in block), 40)
        groups.append({"title": title, "rows": [{**row, "field": row["field"].ljust(width)} for row in block]})
    return groups
