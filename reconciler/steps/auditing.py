"""Audit: hold the decision log and the changes on record against the commits on the branch, both ways (DESIGN §10).

Commits say by their trailers which decisions they hold. One Git process lists them all; files are read through the one
that is open anyway.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from reconciler.commit.history import LandedCommit, scan
from reconciler.commit.values import is_generated
from reconciler.model.change import ChangeState
from reconciler.model.log import DecisionRow
from reconciler.steps.catching_up import catch_up
from reconciler.steps.house import House

_LANDED: tuple[ChangeState, ...] = ("committed", "merged", "applied", "reverted")
_CHANGE = re.compile(r"^Trimtab-Change: ?(\S+)\s*$", re.MULTILINE)
_NAMED = 5

FindingKind = Literal[
    "database lost",
    "unknown commit",
    "commit twice",
    "commit gone",
    "history rewritten",
    "row without commit",
    "commit without row",
    "other policy",
    "other manifest",
]


@dataclass(frozen=True)
class Finding:
    """One thing that log and history disagree about, in words, with the next step."""

    kind: FindingKind
    message: str
    hint: str
    commit: str = ""
    change_id: str = ""
    decision_id: str = ""
    policy_id: str = ""


@dataclass(frozen=True)
class Audited:
    """``decisions`` and ``commits``: how many of Trimtab's were looked at."""

    fleet: str
    branch: str
    head: str
    decisions: int
    commits: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Books:
    """Both sides: every commit of the branch, oldest first; the log's rows; and each change's state, commit and instant."""

    branch: str
    commits: Sequence[LandedCommit]
    rows: Sequence[DecisionRow]
    states: Mapping[str, tuple[ChangeState, str, datetime]]
    since: datetime | None

    def counts(self, at: datetime) -> bool:
        return self.since is None or at >= self.since

    @cached_property
    def marked(self) -> list[LandedCommit]:
        """The commits that carry trailers of ours, whoever made them."""
        return [c for c in self.commits if c.ours or c.trailers.policy or c.trailers.action or c.trailers.decisions]

    @cached_property
    def by_sha(self) -> dict[str, LandedCommit]:
        return {commit.sha: commit for commit in self.commits}

    @cached_property
    def by_change(self) -> dict[str, list[LandedCommit]]:
        found: dict[str, list[LandedCommit]] = {}
        for commit in self.marked:
            for change_id in changes_in(commit):
                found.setdefault(change_id, []).append(commit)
        return found

    @cached_property
    def by_decision(self) -> dict[str, list[LandedCommit]]:
        found: dict[str, list[LandedCommit]] = {}
        for commit in self.marked:
            for decision_id in commit.trailers.decisions:
                found.setdefault(decision_id, []).append(commit)
        return found

    @cached_property
    def rows_of(self) -> dict[str, list[DecisionRow]]:
        """The rows by change."""
        found: dict[str, list[DecisionRow]] = {}
        for row in self.rows:
            found.setdefault(row.change_id, []).append(row)
        return found

    def landed(self, change_id: str) -> bool:
        return change_id in self.states and self.states[change_id][0] in _LANDED

    def recorded(self, change_id: str) -> str:
        """The commit that a change landed as, by the database."""
        return self.states[change_id][1] if change_id in self.states else ""

    def commit_of(self, row: DecisionRow) -> LandedCommit | None:
        """The commit that holds a row's decision: where several say so, the one that is on record."""
        found = self.by_decision.get(row.decision_id, [])
        return next((c for c in found if c.sha == self.recorded(row.change_id)), found[0] if found else None)


Manifest = Callable[[LandedCommit, DecisionRow], str]
"""What a commit holds, in the form in which the log notes it."""


def audit(house: House, since: datetime | None = None) -> Audited:
    """Fetch, bring the store in step with the branch as every pass does, and compare. The caller holds the lease.

    ``since``: only what landed or was logged from then on is reported.
    """
    head = house.repository.fetch()
    catch_up(house, head)
    books = _Books(
        branch=house.repository.branch,
        commits=scan(house.repository, None, head),
        rows=[row for row in house.stores.log.of_actions(house.name, ("apply", "rollback")) if _was_committed(row)],
        states=house.stores.changes.states(house.name),
        since=since,
    )
    looked_at = [commit for commit in books.marked if commit.ours and books.counts(commit.at)]
    return Audited(
        fleet=house.name,
        branch=books.branch,
        head=head,
        decisions=len({decision for commit in looked_at for decision in commit.trailers.decisions}),
        commits=len(looked_at),
        findings=tuple(_compare(books, _manifests(house, books))),
    )


def _was_committed(row: DecisionRow) -> bool:
    """Neither a dry run nor what a person had done with an LXC container's snapshots, which changes nothing that is in Git."""
    return not row.dry_run and not (row.runtime == "lxc" and not row.policy_id and not row.decision_id)


def changes_in(commit: LandedCommit) -> tuple[str, ...]:
    """The changes that a commit says it holds: one, unless a person has squashed several."""
    return tuple(dict.fromkeys(_CHANGE.findall(commit.message))) if commit.ours else ()


def _manifests(house: House, books: _Books) -> Manifest:
    paths = house.stores.changes.paths(row.change_id for row in books.rows if books.counts(row.ts))
    read: dict[tuple[str, str], str] = {}

    def manifest(commit: LandedCommit, row: DecisionRow) -> str:
        key = (commit.sha, row.change_id)
        if key not in read:
            wanted = sorted(paths.get(row.change_id) or (path for path in commit.paths if not is_generated(path)))
            files = house.repository.files_at(commit.sha, wanted)
            read[key] = "---\n".join(data.decode("utf-8", "replace") for path in wanted if (data := files.get(path)))
        return read[key]

    return manifest


def _compare(books: _Books, manifest: Manifest) -> Iterator[Finding]:
    """Each disagreement once, by its cause: a commit that is gone is not also a row without a commit."""
    lost = _before_the_database(books)
    if lost:
        yield _lost(books, lost)
    yield from _commits_without_record(books, {commit.sha for commit in lost})
    yield from _changes_without_commit(books)
    yield from _rows_that_differ(books, manifest)
    yield from _commits_without_rows(books)


def _before_the_database(books: _Books) -> list[LandedCommit]:
    """The commits of ours before the first one that the database knows."""
    found = []
    for commit in books.marked:
        if any(change_id in books.states for change_id in changes_in(commit)):
            break
        if commit.ours:
            found.append(commit)
    return found if any(books.counts(commit.at) for commit in found) else []


def _lost(books: _Books, lost: Sequence[LandedCommit]) -> Finding:
    named = ", ".join(commit.sha[:10] for commit in lost[:_NAMED]) + (", …" if len(lost) > _NAMED else "")
    many = "1 commit" if len(lost) == 1 else f"{len(lost)} commits"
    knows = "knows nothing of this fleet repo" if not books.states else "begins later"
    return Finding(
        kind="database lost",
        message=f"{many} with Trimtab's trailers ({named}) and a database that {knows}: it was lost, or another one wrote them",
        hint="point --database-url at the database that wrote them, or restore its backup; else begin anew with --since",
        commit=lost[0].sha,
    )


def _commits_without_record(books: _Books, lost: Collection[str]) -> Iterator[Finding]:
    for commit in books.marked:
        if commit.sha in lost or not books.counts(commit.at):
            continue
        said = changes_in(commit)
        if not said:
            yield _unknown(commit, "has trailers of Trimtab's and no Trimtab-Change: no decision of ours made it")
        for change_id in said:
            if change_id not in books.states:
                yield _unknown(
                    commit, f"says that it is change {change_id}, which the database does not know", change_id
                )
            elif not books.landed(change_id):
                state = books.states[change_id][0]
                yield _unknown(
                    commit, f"says that it is change {change_id}, which is {state} and never landed", change_id
                )
            elif commit.sha != books.recorded(change_id):
                yield from _another(books, commit, change_id)


def _unknown(commit: LandedCommit, said: str, change_id: str = "") -> Finding:
    return Finding(
        kind="unknown commit",
        message=f"commit {commit.sha[:10]} by {commit.author} {said}",
        hint=f"look at it with `git show {commit.sha[:10]}`; if nobody answers for it, `git revert {commit.sha[:10]}`",
        commit=commit.sha,
        change_id=change_id,
        decision_id=next(iter(commit.trailers.decisions), ""),
        policy_id=commit.trailers.policy,
    )


def _another(books: _Books, commit: LandedCommit, change_id: str) -> Iterator[Finding]:
    """A commit that carries a known change's trailers and is not the one that it landed as."""
    recorded = books.recorded(change_id)
    if recorded in books.by_sha:
        yield Finding(
            kind="commit twice",
            message=f"commit {commit.sha[:10]} by {commit.author} repeats change {change_id}, which landed as {recorded[:10]}",
            hint=f"compare them: `git diff {recorded[:10]} {commit.sha[:10]}`; a copy made by hand needs no trailers",
            commit=commit.sha,
            change_id=change_id,
            policy_id=commit.trailers.policy,
        )
    else:
        yield Finding(
            kind="history rewritten",
            message=f"change {change_id} landed as {recorded[:10]} and is now in commit {commit.sha[:10]}: {books.branch} was rewritten",
            hint="find out who pushed with force, and protect the branch; what was logged before is looked past with --since",
            commit=commit.sha,
            change_id=change_id,
            policy_id=commit.trailers.policy,
        )


def _changes_without_commit(books: _Books) -> Iterator[Finding]:
    for change_id, (state, commit, at) in books.states.items():
        if not books.landed(change_id) or not books.counts(at) or change_id in books.by_change:
            continue
        rows = books.rows_of.get(change_id, [])
        here = commit in books.by_sha
        said = "has lost its trailers" if here else f"is not on {books.branch} any more: its history was rewritten"
        yield Finding(
            kind="history rewritten" if here else "commit gone",
            message=f"change {change_id} is {state}, and its commit {commit[:10] or '(none)'} {said}",
            hint="bring it back from a clone that has it, or let the next pass decide anew; look past it with --since",
            commit=commit,
            change_id=change_id,
            decision_id=rows[0].decision_id if rows else "",
            policy_id=rows[0].policy_id if rows else "",
        )


def _rows_that_differ(books: _Books, manifest: Manifest) -> Iterator[Finding]:
    for row in books.rows:
        if not books.counts(row.ts):
            continue
        commit = books.commit_of(row)
        if commit is None:
            if not books.landed(row.change_id) or row.change_id in books.by_change:
                yield _of_row(row, "row without commit", f"no commit on {books.branch} holds it", _LOOK_AT_ROW)
        elif row.change_id not in changes_in(commit):
            said = f"says change {row.change_id or '(none)'}, and commit {commit.sha[:10]} says another"
            yield _of_row(row, "row without commit", said, _LOOK_AT_ROW, commit)
        elif commit.trailers.policy != row.policy_id:
            said = f"is logged for policy {row.policy_id}, and commit {commit.sha[:10]} says {commit.trailers.policy or 'none'}"
            yield _of_row(row, "other policy", said, _LOOK_AT_COMMIT, commit)
        elif manifest(commit, row) != row.rendered_manifest:
            said = f"was logged with other manifests than commit {commit.sha[:10]} holds"
            yield _of_row(row, "other manifest", said, _LOOK_AT_COMMIT, commit)


_LOOK_AT_ROW = "find out who wrote to the database: Trimtab logs a decision only after its push"
_LOOK_AT_COMMIT = "look at the commit with `git show`, and find out who wrote it, or wrote to the database"


def _of_row(row: DecisionRow, kind: FindingKind, said: str, hint: str, commit: LandedCommit | None = None) -> Finding:
    return Finding(
        kind=kind,
        message=f"row {row.id} of the log: {row.action} of decision {row.decision_id or '(none)'} {said}",
        hint=hint,
        commit=commit.sha if commit else "",
        change_id=row.change_id,
        decision_id=row.decision_id,
        policy_id=row.policy_id,
    )


def _commits_without_rows(books: _Books) -> Iterator[Finding]:
    logged = {row.decision_id for row in books.rows}
    for commit in books.marked:
        known = any(books.landed(change_id) for change_id in changes_in(commit))
        if not commit.trailers.policy or not known or not books.counts(commit.at):
            continue
        for decision_id in commit.trailers.decisions:
            if decision_id not in logged:
                yield Finding(
                    kind="commit without row",
                    message=f"commit {commit.sha[:10]} holds decision {decision_id}, which is not in the log",
                    hint="find out who wrote the commit, or wrote to the database: the log keeps every row that it gets",
                    commit=commit.sha,
                    change_id=commit.trailers.change,
                    decision_id=decision_id,
                    policy_id=commit.trailers.policy,
                )
