"""Which of Trimtab's commits stand, and which have been undone, in words or in deed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.commit.history import LandedCommit
from reconciler.commit.repository import Repository
from reconciler.commit.rollback import value_edits
from reconciler.commit.values import ValueAt, Values, is_generated, is_machine_path, is_yaml, same_value, values_of
from reconciler.errors import InputError
from reconciler.model.change import ValueEdit


@dataclass(frozen=True)
class Standing:
    """``stands``: Trimtab's changes and turn-ups whose effect nobody has reverted, oldest first.

    ``reverted``: those that were, by id, with the commit that did it; its ``kind`` tells a turn-up and a rollback from
    a person's revert.
    """

    stands: tuple[LandedCommit, ...]
    reverted: Mapping[str, LandedCommit]


def standing(commits: Sequence[LandedCommit]) -> Standing:
    """Read ``commits`` (oldest first) for what their messages revert. A revert of a revert makes a commit stand again.

    Reverting a merge reverts what the merge brought in.
    """
    by_sha = {commit.sha: commit for commit in commits}
    undone: dict[str, LandedCommit] = {}
    for commit in commits:
        for name in commit.reverted:
            for sha in _meant(name, by_sha):
                _undo(sha, commit, by_sha, undone)
    ours = [commit for commit in commits if commit.kind in ("change", "turnup")]
    return Standing(
        tuple(commit for commit in ours if commit.sha not in undone),
        {commit.sha: undone[commit.sha] for commit in ours if commit.sha in undone},
    )


def put_back_by_people(commit: LandedCommit, repository: Repository, stands: Iterable[LandedCommit]) -> tuple[str, ...]:
    """Those of ``stands`` (as before ``commit``) all of whose values a person's ``commit`` has put back, newest first.

    Put back = each value is what it was before that change, or before an earlier one that stands too and wrote the same
    value; and ``commit`` itself changed at least one of them. A change with a file that cannot be read is left alone.
    """
    touched = {path for path in commit.paths if is_yaml(path) and not is_generated(path)}
    earlier = [landed for landed in stands if touched & set(landed.paths) and landed.sha != commit.sha]
    if commit.ours or commit.reverted or not earlier:
        return ()
    told = [(landed.sha, _edits_of(landed, repository)) for landed in earlier]
    paths = {edit.path for _, edits in told for edit in edits}
    now = _values_at(repository, commit.sha, paths)
    just_before = _values_at(repository, commit.parents[0] if commit.parents else "", paths)
    olds: dict[tuple[str, ValueAt], list[str | None]] = {}
    found = []
    for sha, edits in told:
        for edit in edits:
            olds.setdefault(_place(edit), []).append(edit.old)
        back = all(any(same_value(_now(now, e), old) for old in olds[_place(e)]) for e in edits)
        if edits and back and any(not same_value(_now(now, e), _now(just_before, e)) for e in edits):
            found.append(sha)
    return tuple(reversed(found))


def _undo(sha: str, by: LandedCommit, by_sha: Mapping[str, LandedCommit], undone: dict[str, LandedCommit]) -> None:
    """``sha`` has no effect any more; what it had reverted itself has its effect back."""
    if sha in undone:
        return
    undone[sha] = by
    for name in by_sha[sha].reverted:
        for again in _meant(name, by_sha):
            _redo(again, by, by_sha, undone)


def _redo(sha: str, by: LandedCommit, by_sha: Mapping[str, LandedCommit], undone: dict[str, LandedCommit]) -> None:
    if undone.pop(sha, None) is None:
        return
    for name in by_sha[sha].reverted:
        for target in _meant(name, by_sha):
            _undo(target, by, by_sha, undone)


def _meant(name: str, by_sha: Mapping[str, LandedCommit]) -> list[str]:
    """The commit that a message names, perhaps abbreviated; a merge also stands for all that it brought in."""
    shas = [name] if name in by_sha else [sha for sha in by_sha if sha.startswith(name)]
    if len(shas) != 1:
        return []
    merge = by_sha[shas[0]]
    if len(merge.parents) < 2:
        return shas
    main = _ancestors(merge.parents[:1], by_sha)
    return shas + [sha for sha in _ancestors(merge.parents[1:], by_sha) if sha not in main]


def _ancestors(start: Iterable[str], by_sha: Mapping[str, LandedCommit]) -> dict[str, None]:
    found: dict[str, None] = {}
    todo = list(start)
    while todo:
        sha = todo.pop()
        if sha in by_sha and sha not in found:
            found[sha] = None
            todo.extend(by_sha[sha].parents)
    return found


def _edits_of(landed: LandedCommit, repository: Repository) -> tuple[ValueEdit, ...]:
    paths = [path for path in landed.paths if is_yaml(path) and not is_generated(path)]
    before = repository.files_at(landed.parents[0] if landed.parents else "", paths)
    after = repository.files_at(landed.sha, paths)
    edits: list[ValueEdit] = []
    for path in paths:
        try:
            edits += value_edits(path, before.get(path), after.get(path), machine=is_machine_path(path))
        except InputError:
            return ()
    return tuple(edits)


def _values_at(repository: Repository, commit: str, paths: Iterable[str]) -> dict[str, Values | None]:
    """Values by path; None for a file that cannot be read."""
    paths = list(paths)
    texts = repository.files_at(commit, paths)
    values: dict[str, Values | None] = {}
    for path in paths:
        try:
            values[path] = values_of(texts.get(path), path)
        except InputError:
            values[path] = None
    return values


def _place(edit: ValueEdit) -> tuple[str, ValueAt]:
    return edit.path, ValueAt(edit.form, edit.target, edit.field)


def _now(values: Mapping[str, Values | None], edit: ValueEdit) -> str | None:
    path, at = _place(edit)
    of_file = values[path]
    return "(unreadable)" if of_file is None else of_file.get(at)
