"""LXCContainer files: made whole from their values, edited in place, or taken away."""

from collections.abc import Sequence

from reconciler.errors import InputError, Where
from reconciler.manifests import lxc_container
from reconciler.manifests.lxc_container import NODE
from reconciler.model.change import ValueEdit
from reconciler.model.lxc_container import LXCContainer
from reconciler.render.source_edits import edit_source
from reconciler.render.templates import Templates

TEMPLATE = "lxccontainer.yaml.j2"

_VARIABLES = {"node", "vmid", "cores", "memory_mb", "rootfs_gb", "hostname", "policy"}


def lxc_text(container: LXCContainer, templates: Templates, *, path: str) -> bytes:
    """The whole file of a container that has none yet.

    :raises InputError: when a template of the fleet repo's own fails, or says something else than it was asked to.
    """
    text = templates.render(TEMPLATE, container.model_dump(include=_VARIABLES)).encode()
    if templates.overridden(TEMPLATE):
        _check(container, text, path)
    return text


def _check(container: LXCContainer, text: bytes, path: str) -> None:
    where = Where(f"templates/{TEMPLATE}")
    try:
        back = lxc_container.parse(text, path=path)
    except InputError as error:
        raise InputError(f"the template gives a file that cannot be read back: {error.message}", where=where) from error
    if back != container:
        lost = sorted(name for name, value in container if getattr(back, name) != value)
        raise InputError(f"the template loses {', '.join(lost)}", where=where, hint="compare it with Trimtab's own")


def edit_lxc(
    text: bytes | None, edits: Sequence[ValueEdit], templates: Templates, *, path: str
) -> tuple[bytes | None, tuple[ValueEdit, ...]]:
    """What becomes of a container's file, and the edits whose ``old`` does not stand there any more: then nothing is changed.

    Without a file, edits from nothing make one; edits that take its node away take all of it away, whatever else a person
    has put into it.

    :raises InputError: when the file cannot be read, or the values make no container.
    """
    if text is None:
        if any(edit.old is not None for edit in edits) or not any(edit.field == NODE for edit in edits):
            return None, tuple(edit for edit in edits if edit.new is not None)
        key = lxc_container.key_of(path)
        if key is None:
            raise InputError("not the path of an LXC container", where=Where(path))
        made = lxc_container.container_from(key, {edit.field: edit.new for edit in edits if edit.new is not None})
        return lxc_text(made, templates, path=path), ()
    if any(edit.field == NODE and edit.new is None for edit in edits):
        values = lxc_container.fields_of(lxc_container.parse(text, path=path))
        outdated = tuple(edit for edit in edits if values.get(edit.field) not in (edit.old, None))
        return (text if outdated else None), outdated
    return edit_source(text, edits, path=path)
