"""Catch up: read what has landed since the last look, from the commits themselves.

After a crash this finds the changes that made it to the branch; after a revert, by `trimtab rollback` or by a person, it
remembers the refused values. Everything is read from Git, so that a lost database loses nothing of it.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from reconciler.commit.history import LandedCommit, scan
from reconciler.commit.rollback import value_edits
from reconciler.commit.standing import Standing, put_back_by_people, standing
from reconciler.commit.values import is_decided_path, is_generated, is_machine_path, is_yaml, same_value, values_of
from reconciler.errors import InputError, Stalled
from reconciler.model.change import Refusal
from reconciler.model.policy import ScalingPolicySpec
from reconciler.steps.house import House
from reconciler.store.policies import TargetTaken

SCANNED = "scanned"
"""The mark that says up to which commit history was read."""

POLICY_KIND = "ScalingPolicy"

GUARD = "the guard: "
"""Before the evidence, in the reason of a rollback that the guard has made."""

_GUARD_SAID = re.compile(rf"; {GUARD}(.+)$", re.MULTILINE)
"""In that reason, or in the commit's message where the store does not know the change any more."""

_GIT_TICK = timedelta(seconds=1)
"""Git notes the time in whole seconds."""


def catch_up(house: House, head: str) -> None:
    """Bring the store in step with the branch up to ``head``; costs nothing when ``head`` was seen before."""
    seen = house.stores.marks.get(house.name, SCANNED)
    if seen == head:
        return
    house.step("catch up")
    new = _new_commits(house, seen, head)
    _settle_landed(house, new)
    if any(_concerns_us(commit) for commit in new):
        _read_reverts(house, new, head)
    house.stores.marks.set(house.name, SCANNED, head)


def whole_history(house: House, head: str) -> tuple[tuple[LandedCommit, ...], Standing]:
    """Every commit up to ``head``, and which of ours stand; kept for as long as the head stays."""
    key = f"history:{head}"
    known = house.parsed.get(key)
    if not isinstance(known, tuple):
        for old in [name for name in house.parsed if name.startswith("history:")]:
            del house.parsed[old]
        commits = scan(house.repository, None, head)
        known = (commits, _with_values_put_back(house, commits))
        house.parsed[key] = known
    return known


def _with_values_put_back(house: House, commits: Sequence[LandedCommit]) -> Standing:
    """What stands, once commits by which a person put all values of a change back count as reverts, too."""
    found = standing(commits)
    reverted = dict(found.reverted)
    written = {path for commit in found.stands for path in commit.paths}
    place = {commit.sha: number for number, commit in enumerate(commits)}
    for number, commit in enumerate(commits):
        # Of a long history, next to no commit of a person's touches a file that we ever wrote.
        if commit.ours or commit.reverted or written.isdisjoint(commit.paths):
            continue
        # By their order, not by their clocks: machines disagree, and --now sets ours.
        earlier = [c for c in found.stands if place[c.sha] < number and c.sha not in reverted]
        for sha in put_back_by_people(commit, house.repository, earlier):
            reverted[sha] = commit
    return Standing(tuple(c for c in found.stands if c.sha not in reverted), reverted)


def policy_commits(found: Standing, policy_id: str) -> list[LandedCommit]:
    """The standing commits that a policy made to the overlay or to the file of a group or container, oldest first; not those that only restored its own fields."""
    return [
        commit
        for commit in found.stands
        if commit.trailers.policy == policy_id and any(is_decided_path(path) for path in commit.paths)
    ]


def _new_commits(house: House, seen: str | None, head: str) -> tuple[LandedCommit, ...]:
    try:
        return scan(house.repository, seen or None, head)
    except Stalled:
        # The commit seen last is gone: the branch was rewritten by a person. Read everything again.
        return scan(house.repository, None, head)


def _settle_landed(house: House, new: Iterable[LandedCommit]) -> None:
    """Changes that were pushed by a process that died before it could say so."""
    open_changes = {change.id: change for change in house.stores.changes.open_changes(house.name)}
    if not open_changes:
        return
    from reconciler.steps.landing import settle

    landed = [
        change.model_copy(update={"commit": commit.sha, "state": "committed"})
        for commit in new
        if (change := open_changes.get(commit.trailers.change))
    ]
    settle(house, tuple(landed))


def _concerns_us(commit: LandedCommit) -> bool:
    """Whether a commit may have reverted something of ours, or declared a policy anew."""
    if commit.reverted:
        return True
    return not commit.ours and any(is_yaml(path) for path in commit.paths)


def _read_reverts(house: House, new: Sequence[LandedCommit], head: str) -> None:
    commits, found = whole_history(house, head)
    by_sha = {commit.sha: commit for commit in commits}
    undone_by: dict[str, list[LandedCommit]] = {}
    for sha, by in found.reverted.items():
        undone_by.setdefault(by.sha, []).append(by_sha[sha])
    for commit in new:
        for undone in undone_by.get(commit.sha, []):
            if commit.kind != "turnup":
                house.stores.refusals.add(house.name, _refused(house, undone, commit))
            if undone.trailers.policy:
                _restore_made(house, undone, commit, found, commits)
            if undone.trailers.change:
                house.stores.changes.mark(undone.trailers.change, "reverted", commit=undone.sha, at=commit.at)
        if commit.kind == "other":
            _declared_anew(house, commit)
    _forget_what_stands_again(house, found)


def _refused(house: House, undone: LandedCommit, by: LandedCommit) -> list[Refusal]:
    """The values of ``undone`` that ``by`` has put back."""
    subject = undone.trailers.policy or undone.trailers.action
    paths = [path for path in undone.paths if is_yaml(path) and not is_generated(path)]
    before = house.repository.files_at(undone.parents[0] if undone.parents else "", paths)
    after = house.repository.files_at(undone.sha, paths)
    now = house.repository.files_at(by.sha, paths)
    refused: list[Refusal] = []
    refuser = _refuser(house, by)
    for path in paths:
        try:
            machine = is_machine_path(path)
            edits = value_edits(path, before.get(path), after.get(path), machine=machine)
            standing_now = {(at.form, at.field): v for at, v in values_of(now.get(path), path, machine=machine).items()}
        except InputError:
            continue
        refused += [
            Refusal(
                subject=subject,
                path=path,
                field=edit.field,
                value=edit.new,
                at=by.at,
                by=refuser,
                commit=by.sha,
            )
            for edit in edits
            if edit.form != "config" and not same_value(standing_now.get((edit.form, edit.field)), edit.new)
        ]
    return refused


def _refuser(house: House, by: LandedCommit) -> str:
    """Who has put values back; of the guard, why, too."""
    if by.kind != "rollback":
        return by.author
    change = house.stores.changes.find(by.trailers.change)
    said = [decision.proposal.reason for decision in change.decisions] if change else [by.message]
    why = next((found[1] for text in said if (found := _GUARD_SAID.search(text))), "")
    return f"the guard ({why})" if why else "trimtab rollback"


def _restore_made(
    house: House, undone: LandedCommit, by: LandedCommit, found: Standing, commits: Sequence[LandedCommit]
) -> None:
    """A policy made through the API gets the fields from before the commit that was undone (nothing earlier: dry run).

    Not where a newer commit of its stands, nor where a person has decided anew: since the commit, or, beside a person's
    own revert, in fields that differ from those that were reverted.
    """
    policy = house.stores.policies.find(undone.trailers.policy)
    if policy is None or policy.updated_at >= by.at + _GIT_TICK:
        return
    place = {commit.sha: number for number, commit in enumerate(commits)}
    stands = policy_commits(found, policy.id)
    if stands and place[stands[-1].sha] > place[undone.sha]:
        return
    reverted = _spec_at(house, undone)
    earlier = _spec_at(house, stands[-1]) if stands else None

    def before(spec: ScalingPolicySpec) -> ScalingPolicySpec:
        if not spec.live or (by.kind != "rollback" and spec != reverted):
            return spec
        return earlier or _in_dry_run(spec)

    try:
        house.stores.policies.change(policy.id, policy.organization, before, by.at)
    except TargetTaken:  # it has moved away since, and another policy has taken its old place
        house.stores.policies.change(policy.id, policy.organization, _in_dry_run, by.at)


def _in_dry_run(spec: ScalingPolicySpec) -> ScalingPolicySpec:
    return spec.model_copy(update={"dry_run": True})


def _spec_at(house: House, commit: LandedCommit) -> ScalingPolicySpec | None:
    """The fields that a policy had when it made ``commit``; None when the store does not know it any more."""
    change = house.stores.changes.find(commit.trailers.change)
    for decision in change.decisions if change else ():
        if decision.proposal.policy_snapshot:
            return ScalingPolicySpec.model_validate(decision.proposal.policy_snapshot)
    return None


def _declared_anew(house: House, commit: LandedCommit) -> None:
    """A person who edits a policy after its values were refused has decided anew: the refusals end."""
    paths = [path for path in commit.paths if path.startswith("policies/") and is_yaml(path)]
    names: set[str] = set()
    for path, text in house.repository.files_at(commit.sha, paths).items():
        try:
            names |= {at.target.name for at in values_of(text, path) if at.target.kind == POLICY_KIND}
        except InputError:
            continue
    for refusal in house.stores.refusals.standing(house.name):
        if refusal.subject in {f"scp_{name}" for name in names} and refusal.at <= commit.at:
            house.stores.refusals.clear(house.name, refusal.subject, refusal.path, refusal.field)


def _forget_what_stands_again(house: House, found: Standing) -> None:
    """A revert that was itself reverted refuses nothing any more. What a person has rejected is in no commit, and stays."""
    undoing = {by.sha for by in found.reverted.values()}
    for refusal in house.stores.refusals.standing(house.name):
        if refusal.commit and refusal.commit not in undoing:
            house.stores.refusals.clear(house.name, refusal.subject, refusal.path, refusal.field)
