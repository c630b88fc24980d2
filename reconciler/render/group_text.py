"""ContainerGroup files: made whole from their values, edited in place, or taken away."""

from collections.abc import Sequence

from reconciler.errors import InputError, Where
from reconciler.manifests import container_group
from reconciler.manifests.container_group import REPLICAS
from reconciler.model.change import ValueEdit
from reconciler.model.container_group import ContainerGroup
from reconciler.render.source_edits import edit_source
from reconciler.render.templates import Templates

TEMPLATE = "containergroup.yaml.j2"


def group_text(group: ContainerGroup, templates: Templates, *, path: str) -> bytes:
    """The whole file of a group that has none yet.

    :raises InputError: when a template of the fleet repo's own fails, or says something else than it was asked to.
    """
    text = templates.render(TEMPLATE, group.model_dump(include=_VARIABLES)).encode()
    if templates.overridden(TEMPLATE):
        _check(group, text, path)
    return text


_VARIABLES = {"host_pool", "name", "replicas", "max_replicas_per_host", "image", "lb_pool_ref", "policy"}


def _check(group: ContainerGroup, text: bytes, path: str) -> None:
    where = Where(f"templates/{TEMPLATE}")
    try:
        back = container_group.parse(text, path=path)
    except InputError as error:
        raise InputError(f"the template gives a file that cannot be read back: {error.message}", where=where) from error
    if back != group:
        lost = sorted(name for name, value in group if getattr(back, name) != value)
        raise InputError(f"the template loses {', '.join(lost)}", where=where, hint="compare it with Trimtab's own")


def edit_group(
    text: bytes | None, edits: Sequence[ValueEdit], templates: Templates, *, path: str
) -> tuple[bytes | None, tuple[ValueEdit, ...]]:
    """What becomes of a group's file, and the edits whose ``old`` does not stand there any more: then nothing is changed.

    Without a file, edits from nothing make one; edits to nothing take it away, whatever else a person has put into it.

    :raises InputError: when the file cannot be read, or the values make no group.
    """
    if text is None:
        if any(edit.old is not None for edit in edits) or not any(edit.field == REPLICAS for edit in edits):
            return None, tuple(edit for edit in edits if edit.new is not None)
        key = container_group.key_of(path)
        if key is None:
            raise InputError("not the path of a container group", where=Where(path))
        made = container_group.group_from(key, {edit.field: edit.new for edit in edits if edit.new is not None})
        return group_text(made, templates, path=path), ()
    if all(edit.new is None for edit in edits):
        values = container_group.fields_of(container_group.parse(text, path=path))
        outdated = tuple(edit for edit in edits if values.get(edit.field) not in (edit.old, None))
        return (text if outdated else None), outdated
    return edit_source(text, edits, path=path)
