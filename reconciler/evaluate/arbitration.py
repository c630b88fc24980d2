"""One winner for each field: two proposals may not write one value of one file in one pass."""

from collections.abc import Sequence

from reconciler.model.change import Proposal, ValueEdit

_RESTORING = ("rollback", "stale", "turnup")
"""Kinds that take away what must not stand any more: nothing may overwrite them."""


def one_winner_per_field(proposals: Sequence[Proposal]) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
    """``proposals`` in their order without the edits that lose, and a note for each that lost a value it disagreed about.

    Rolling back, turning up and dropping stale values come first, then policies, then actions by name. What loses all of
    its edits goes away; new requests that lose the HPA target that belongs to them wait for the next pass. Blocked proposals write nothing, so they neither win nor lose.
    """
    ranked = sorted((i for i, p in enumerate(proposals) if not p.blocked), key=lambda i: (_rank(proposals[i]), i))
    winners: dict[tuple[str, str], tuple[Proposal, ValueEdit]] = {}
    kept: dict[int, Proposal] = {}
    notes: list[str] = []
    for position in ranked:
        proposal = proposals[position]
        lost = [e for e in proposal.edits if (e.path, e.field) in winners]
        notes += _notes(proposal, lost, winners)
        if _must_wait(proposal, lost, winners):
            continue
        edits = tuple(e for e in proposal.edits if (e.path, e.field) not in winners) if lost else proposal.edits
        winners.update({(e.path, e.field): (proposal, e) for e in edits})
        if edits or not proposal.edits:
            kept[position] = proposal.model_copy(update={"edits": edits}) if lost else proposal
    result = (p if p.blocked else kept.get(i) for i, p in enumerate(proposals))
    return tuple(p for p in result if p is not None), tuple(notes)


def _rank(proposal: Proposal) -> tuple[int, str, str]:
    if proposal.kind in _RESTORING:
        return 0, "", ""
    kinds = {"trimtab": 1, "policy": 2, "action": 3}
    return kinds[proposal.subject.kind], proposal.subject.name, proposal.subject.id


def _must_wait(
    proposal: Proposal, lost: Sequence[ValueEdit], winners: dict[tuple[str, str], tuple[Proposal, ValueEdit]]
) -> bool:
    """A request and the target of the HPA above it change together or not at all (DESIGN §7): else the replicas jump."""
    return proposal.kind == "requests" and any(
        edit.form == "hpa" and winners[edit.path, edit.field][1].new != edit.new for edit in lost
    )


def _notes(
    proposal: Proposal, lost: Sequence[ValueEdit], winners: dict[tuple[str, str], tuple[Proposal, ValueEdit]]
) -> list[str]:
    """One line for each winner: what it kept this proposal from writing. Agreeing on a value is no news."""
    by_winner: dict[str, list[str]] = {}
    for edit in lost:
        winner, other = winners[edit.path, edit.field]
        if other.new != edit.new:
            by_winner.setdefault(_who(winner), []).append(f"{edit.path} {edit.field} = {_shown(edit)}")
    return [f"{_who(proposal)} gives way to {winner}: {'; '.join(values)}" for winner, values in by_winner.items()]


def _who(proposal: Proposal) -> str:
    subject = proposal.subject
    return "trimtab" if subject.kind == "trimtab" else f"{subject.kind} {subject.name}"


def _shown(edit: ValueEdit) -> str:
    return "(removed)" if edit.new is None else edit.new
