"""A pass for people and for machines: what is (or would be) committed, what waits and until when, what is wrong."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reconciler.model.change import Change
from reconciler.model.plan import Pass


def instant(at: datetime) -> str:
    """``2026-06-17 22:00 UTC``, the way every message of ours writes an instant."""
    return at.strftime("%Y-%m-%d %H:%M UTC")


def until(change: Change) -> str:
    """Until when a change is held, in words."""
    return instant(change.verdict.until) if change.verdict.until else "a person acts"


def summary(change: Change) -> str:
    """The first line of the commit that the change makes, or would make."""
    return change.message.split("\n", 1)[0]


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1, "change"`` → ``1 change``; ``2, "change"`` → ``2 changes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def held_table(held: Sequence[Change]) -> Table:
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="Held", title_justify="left", title_style="bold yellow"
    )
    table.add_column("change", overflow="fold")
    table.add_column("by", overflow="fold")
    table.add_column("until", no_wrap=True)
    for change in held:
        table.add_row(Text(summary(change)), Text(change.verdict.reason), until(change))
    return table


def landed_table(ready: Sequence[Change]) -> Table:
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="Committed", title_justify="left", title_style="bold green"
    )
    table.add_column("commit", no_wrap=True, style="yellow")
    table.add_column("change", overflow="fold")
    table.add_column("decisions", justify="right")
    for change in ready:
        table.add_row(change.commit[:10], Text(summary(change)), str(len(change.decisions)))
    return table


def asides(found: Pass) -> list[RenderableType]:
    """Whatever a person should know beside the changes: blocked proposals, problems, notes."""
    parts: list[RenderableType] = []
    for proposal in found.blocked:
        where = f"{proposal.namespace}/{proposal.workload}" if proposal.workload else proposal.namespace
        parts.append(Text.assemble(("blocked ", "bold red"), f"{proposal.subject.name} {where}: {proposal.blocked}"))
    for problem in found.problems:
        parts.append(Text.assemble(("problem ", "bold red"), str(problem)))
        if problem.hint:
            parts.append(Text(f"  → {problem.hint}", style="dim"))
    parts += [Text.assemble(("note ", "bold"), note) for note in found.notes]
    return parts


def nothing(found: Pass) -> Text:
    """That there is nothing to commit; all is well only where nothing waits and nothing is wrong."""
    if found.held or found.blocked or found.problems:
        return Text(f"Nothing to commit now in {found.fleet} at {found.head[:10]}.")
    return Text(f"Nothing to commit: {found.fleet} is as it should be at {found.head[:10]}.")


def reconcile_report(found: Pass) -> RenderableType:
    """What a pass committed and what it holds."""
    parts: list[RenderableType] = []
    if found.ready:
        parts.append(landed_table(found.ready))
    else:
        parts.append(nothing(found))
    if found.held:
        parts.append(held_table(found.held))
    return Group(*parts, *asides(found))


def change_json(change: Change) -> dict[str, object]:
    """One change for machines."""
    return {
        "id": change.id,
        "group": change.group,
        "state": change.state,
        "summary": summary(change),
        "subject": {"kind": change.subject.kind, "id": change.subject.id, "name": change.subject.name},
        "cluster": change.cluster,
        "kind": change.kind,
        "commit": change.commit or None,
        "heldBy": change.verdict.reason or None,
        "until": change.verdict.until.isoformat() if change.verdict.until else None,
        "files": sorted(change.files),
        "decisions": [
            {
                "id": decision.id,
                "reason": decision.proposal.reason,
                "namespace": decision.proposal.namespace,
                "workload": decision.proposal.workload or None,
                "savingMonthly": f"{saving:.4f}" if (saving := decision.proposal.saving_monthly) is not None else None,
                "edits": [
                    {"path": e.path, "field": e.field, "old": e.old, "new": e.new} for e in decision.proposal.edits
                ],
            }
            for decision in change.decisions
        ],
    }


def pass_json(found: Pass) -> dict[str, object]:
    """One pass for machines."""
    return {
        "fleet": found.fleet,
        "head": found.head,
        "at": found.at.isoformat(),
        "changes": [change_json(change) for change in found.ready],
        "held": [change_json(change) for change in found.held],
        "blocked": [
            {"subject": p.subject.name, "namespace": p.namespace, "workload": p.workload, "reason": p.blocked}
            for p in found.blocked
        ],
        "problems": [problem.model_dump(by_alias=True) for problem in found.problems],
        "notes": list(found.notes),
        "builds": found.builds,
        "seconds": {stage: round(seconds, 4) for stage, seconds in found.seconds.items()},
    }
