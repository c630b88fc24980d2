"""Machine-owned files as edits: what must change for a file at head to become the one that is wanted."""

from collections import defaultdict
from collections.abc import Iterable

from reconciler.evaluate.refusals import is_refused
from reconciler.model.change import Refusal, Subject, ValueEdit
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import ObjectRef


def value_edit(
    path: str,
    form: FileForm,
    target: ObjectRef,
    field: str,
    old: str | None,
    new: str | None,
    *,
    was: str | None = None,
) -> ValueEdit:
    return ValueEdit(path=path, form=form, target=target, field=field, old=old, new=new, was=was)


def differences(path: str, wanted: MachineFile, found: MachineFile | None) -> tuple[ValueEdit, ...]:
    """Edits, sorted by field, that make ``found`` (None: no file yet) hold exactly the values of ``wanted``."""
    have = found.values if found is not None else {}
    return tuple(
        value_edit(path, wanted.form, wanted.target, field, have.get(field), wanted.values.get(field))
        for field in sorted({*have, *wanted.values})
        if have.get(field) != wanted.values.get(field)
    )


def removal(path: str, found: MachineFile, fields: Iterable[str] | None = None) -> tuple[ValueEdit, ...]:
    """Edits that take ``fields`` (None: all of them, so that the file goes away) out of ``found``."""
    gone = found.values if fields is None else fields
    return tuple(value_edit(path, found.form, found.target, field, found.values[field], None) for field in sorted(gone))


class Refusals:
    """Refusals by the file they are about, so that asking costs the same however many there are."""

    def __init__(self, refusals: Iterable[Refusal] = ()) -> None:
        self._by_path: dict[str, list[Refusal]] = defaultdict(list)
        for refusal in refusals:
            self._by_path[refusal.path].append(refusal)

    def against(self, subject: Subject, edit: ValueEdit) -> Refusal | None:
        """The refusal that stands against ``edit`` on behalf of ``subject``."""
        standing = self._by_path.get(edit.path)
        return is_refused(standing, subject.id, edit.path, edit.field, edit.new) if standing else None
