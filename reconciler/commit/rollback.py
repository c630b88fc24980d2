"""The edits that put a commit's values back (DESIGN §4). Pure: trees in, a plan out.

Values go back, not lines: one that still is what the commit wrote gets its old value again, one that has been changed
since stays and is told. Where a file still is as the commit left it, the whole file goes back byte for byte, so that the
result is that of ``git revert`` wherever that applies cleanly.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.commit.put_back import put_back
from reconciler.commit.values import ValueAt, Values, is_yaml, same_value, values_of
from reconciler.errors import InputError, NothingToRollBack
from reconciler.model.change import ValueEdit
from reconciler.model.tree import Tree
from reconciler.model.workload import ObjectRef

_BOOKKEEPING = frozenset({"policy", "action"})
_NEEDED = {"hpa": frozenset({"maxReplicas"})}
"""Values without which an object of that form cannot be; they stay as long as any other of the file does."""

_WHOLE = frozenset({"group", "lxc"})
"""Forms that were made whole, and go away whole or not at all: half a container group, or half a container, says nothing."""


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback writes.

    ``files``: what files become (None = the file goes away): those that nobody has touched since go back byte for byte, in
    those of people's single values do. ``edits``: every value that goes back,
    with what stands there now as ``old``, those of ``files`` included; where its path is in ``files`` it is done with.
    ``kept``: values that stay, because they were changed since: ``old`` is what the commit wrote, ``new`` what stands
    there now; an empty ``field`` is a file that cannot be compared value by value. ``components``: generated
    kustomization.yaml files that the commit changed and that are not in ``files``: to be made anew.
    """

    edits: tuple[ValueEdit, ...]
    kept: tuple[ValueEdit, ...]
    files: Mapping[str, bytes | None]
    components: tuple[str, ...] = ()


@dataclass
class _Draft:
    edits: list[ValueEdit] = field(default_factory=list)
    kept: list[ValueEdit] = field(default_factory=list)
    files: dict[str, bytes | None] = field(default_factory=dict)
    stays: dict[str, bool] = field(default_factory=dict)
    """By path that the commit changed: whether the file is there after the rollback. A list that is made anew counts as
    there while it is there now."""


def rollback_edits(before: Tree, after: Tree, head: Tree, *, is_machine: Callable[[str], bool]) -> RollbackPlan:
    """The plan that undoes the step from ``before`` (the commit's parent) to ``after`` (the commit) at ``head``.

    ``is_machine``: whether only Trimtab writes a path.

    :raises NothingToRollBack: when no value is left that still is what the commit wrote.
    :raises InputError: when a value of a file of people's has no place there any more that can be edited.
    """
    draft = _Draft()
    changed = changed_paths(before, after)
    generated = [path for path in changed if is_machine(path) and path.rpartition("/")[2] == "kustomization.yaml"]
    for path in changed:
        if path not in generated:
            _undo_file(path, before, after, head, is_machine(path), draft)
    if not draft.edits and not draft.files:
        raise _nothing(draft.kept)
    # A component may list others: inner lists first, as whether they are there is in the outer one.
    inner_first = sorted(generated, key=lambda path: (-path.count("/"), path))
    left = tuple(sorted(path for path in inner_first if not _goes_back(path, before, after, head, draft)))
    return RollbackPlan(tuple(draft.edits), tuple(draft.kept), draft.files, left)


def changed_paths(before: Tree, after: Tree) -> list[str]:
    """Paths whose bytes differ between two trees, sorted."""
    one, two = before.blobs, after.blobs
    return sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))


def value_edits(path: str, before: bytes | None, after: bytes | None, *, machine: bool) -> tuple[ValueEdit, ...]:
    """The values that differ between two versions of a file (None = no file), ``old`` before and ``new`` after.

    :raises InputError: when one of them cannot be read.
    """
    old, new = (values_of(text, path, machine=machine) for text in (before, after))
    return tuple(_edit(path, at, old.get(at), new.get(at)) for at in _places(old, new) if old.get(at) != new.get(at))


def _undo_file(path: str, before: Tree, after: Tree, head: Tree, machine: bool, draft: _Draft) -> None:
    texts = [tree.read(path) if path in tree.blobs else None for tree in (before, after, head)]
    if head.blobs.get(path) == before.blobs.get(path):
        draft.stays[path] = texts[0] is not None
    elif head.blobs.get(path) == after.blobs.get(path):
        draft.files[path] = texts[0]
        draft.stays[path] = texts[0] is not None
        draft.edits += _whole(path, texts[1], texts[0], machine)
    else:
        _undo_values(path, texts, machine, draft)


def _undo_values(path: str, texts: list[bytes | None], machine: bool, draft: _Draft) -> None:
    draft.stays[path] = texts[2] is not None
    try:
        old, wrote, now = (values_of(text, path, machine=machine) for text in texts) if is_yaml(path) else ({}, {}, {})
    except InputError:
        old, wrote, now = {}, {}, {}
    if not (old or wrote):
        draft.kept.append(_file_kept(path))
        return
    differing = [at for at in _places(old, wrote) if not same_value(old.get(at), wrote.get(at))]
    back = _going_back(differing, old, wrote, now)
    staying = [at for at in differing if at not in back and at.field not in _BOOKKEEPING]
    draft.edits += (_edit(path, at, now.get(at), old.get(at)) for at in differing if at in back)
    draft.kept += (
        _edit(path, at, wrote.get(at), now.get(at))
        for at in staying
        if not same_value(now.get(at), old.get(at)) and (at in now or at in wrote)
    )
    if texts[0] is None and back and not {at for at in now if at not in back and at.field not in _BOOKKEEPING}:
        draft.files[path] = None
        draft.stays[path] = False
    elif not machine and back and texts[2] is not None:
        draft.files[path] = put_back(texts[2], path, [at for at in differing if at in back], old, wrote)


def _going_back(differing: list[ValueAt], old: Values, wrote: Values, now: Values) -> set[ValueAt]:
    # What the commit took away does not come back into an object that has itself gone away since.
    lost = {(at.form, at.target) for at in wrote} - {(at.form, at.target) for at in now}
    back = {at for at in differing if same_value(now.get(at), wrote.get(at)) and (at.form, at.target) not in lost}
    return back - _needed(back, old, now)


def _needed(back: set[ValueAt], old: Values, now: Values) -> set[ValueAt]:
    """What must not go away as long as other values of its object stay."""
    leaving = {at for at in back if old.get(at) is None}
    staying = {(at.form, at.target) for at in now if at not in leaving and at.field not in _BOOKKEEPING}
    there_before = {(at.form, at.target) for at in old}
    whole = {at for at in leaving if at.form in _WHOLE and (at.form, at.target) not in there_before}
    return {
        at
        for at in leaving
        if (at.form, at.target) in staying
        and (at.field in _BOOKKEEPING or at in whole or at.field in _NEEDED.get(at.form, ()))
    }


def _goes_back(path: str, before: Tree, after: Tree, head: Tree, draft: _Draft) -> bool:
    """Put a generated list back, when it is as the commit left it and the files it lists are as before the commit."""
    folder = path.rpartition("/")[0] + "/"
    listed = all(stays == (other in before.blobs) for other, stays in draft.stays.items() if other.startswith(folder))
    unchanged = head.blobs.get(path) == before.blobs.get(path)
    back = listed and (unchanged or head.blobs.get(path) == after.blobs.get(path))
    draft.stays[path] = path in (before if back else head).blobs
    if back and not unchanged:
        draft.files[path] = before.read(path) if path in before.blobs else None
    return back


def _whole(path: str, now: bytes | None, back: bytes | None, machine: bool) -> tuple[ValueEdit, ...]:
    """The values of a file that goes back whole; none to tell when it has none that can be read."""
    try:
        return value_edits(path, now, back, machine=machine) if is_yaml(path) else ()
    except InputError:
        return ()


def _places(*values: Values) -> list[ValueAt]:
    """All places, in the order in which they are written."""
    return list(dict.fromkeys(at for some in values for at in some))


def _edit(path: str, at: ValueAt, old: str | None, new: str | None) -> ValueEdit:
    return ValueEdit(path=path, form=at.form, target=at.target, field=at.field, old=old, new=new)


def _file_kept(path: str) -> ValueEdit:
    nameless = ObjectRef(api_version="", kind="", name="")
    return ValueEdit(path=path, form="source", target=nameless, field="", old=None, new=None)


def _nothing(kept: Iterable[ValueEdit]) -> NothingToRollBack:
    lines = [f"{edit.path}: {edit.field or 'the file'} is now {edit.new or 'something else'}" for edit in kept]
    if not lines:
        return NothingToRollBack(
            "every value of the commit is already what it was before it", hint="there is nothing to do"
        )
    return NothingToRollBack(
        "every value of the commit has been changed since:\n  "
        + "\n  ".join(lines[:20])
        + ("\n  …" if lines[20:] else ""),
        hint="values that were changed later stay; edit them by hand if they are wrong",
    )
