"""Edits of people's own files: the value changes, every other byte stays."""

from collections.abc import Mapping, Sequence

from reconciler.errors import InputError, Where
from reconciler.manifests import splice, yaml_reader
from reconciler.model.change import ValueEdit
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import ObjectRef

Keys = tuple[str, ...]


def split_field(field: str) -> Keys:
    """``a/b~1c`` → ``("a", "b/c")``: keys joined by ``/``, escaped as in a JSON pointer (RFC 6901)."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in field.split("/"))


def same_value(found: str | None, expected: str | None) -> bool:
    """Whether two values say the same: letter by letter, or as quantities (people write ``1000m`` for ``1``)."""
    if found == expected:
        return True
    if found is None or expected is None:
        return False
    try:
        return parse_quantity(found) == parse_quantity(expected)
    except ValueError:
        return False


def edit_source(text: bytes, edits: Sequence[ValueEdit], *, path: str) -> tuple[bytes, tuple[ValueEdit, ...]]:
    """Apply edits to one file of a person's; also returns those whose ``old`` does not stand there any more.

    Where one edit of an object is outdated, or the object is gone, none of that object's is applied.

    :raises InputError: when the file cannot be read.
    """
    documents = yaml_reader.load_all(text, path=path)
    outdated: list[ValueEdit] = []
    by_document: dict[int | None, list[ValueEdit]] = {}
    for edit in edits:
        by_document.setdefault(document_of(documents, edit.target, path), []).append(edit)
    for document, of_object in by_document.items():
        if document is None:
            outdated += of_object
            continue
        found = [splice.find_scalar(text, document, split_field(edit.field), path=path) for edit in of_object]
        values = [at.value if at is not None else None for at in found]
        stale = [
            e for e, v in zip(of_object, values, strict=True) if not (same_value(v, e.old) or same_value(v, e.new))
        ]
        outdated += stale
        if not stale:
            due = [e for e, v in zip(of_object, values, strict=True) if not same_value(v, e.new)]
            text = _splice(text, document, due, path)
    return text, tuple(outdated)


def _splice(text: bytes, document: int, edits: Sequence[ValueEdit], path: str) -> bytes:
    sets = {split_field(edit.field): edit.new for edit in edits if edit.new is not None}
    gone = [split_field(edit.field) for edit in edits if edit.new is None]
    if sets:
        text = splice.set_scalars(text, document, sets, path=path)
    if gone:
        text = splice.remove_keys(text, document, gone, path=path)
    return text


def document_of(documents: Sequence[yaml_reader.Document], target: ObjectRef, path: str) -> int | None:
    """The index of the document that declares ``target``; None when there is none.

    ``target`` is the object where the component runs: a transformer may have given it a namespace, a prefix or a
    suffix that the file does not have. So the closest match counts, as long as it is the only one.

    :raises InputError: when several documents match equally well.
    """
    ranked: dict[int, list[int]] = {}
    for document in documents:
        rank = _closeness(document.value, target)
        if rank:
            ranked.setdefault(rank, []).append(document.index)
    if not ranked:
        return None
    best = ranked[max(ranked)]
    if len(best) > 1:
        raise InputError(
            f"{target.kind} {target.name} is declared {len(best)} times in this file",
            where=Where(path),
            hint="leave one of them, or give each a namespace",
        )
    return best[0]


def _closeness(value: object, target: ObjectRef) -> int:
    """0 = another object; more = closer."""
    if not isinstance(value, Mapping) or value.get("kind") != target.kind:
        return 0
    if str(value.get("apiVersion", "")).rpartition("/")[0] != target.group:
        return 0
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    name, namespace = str(metadata.get("name") or ""), metadata.get("namespace")
    if name == target.name:
        return 4 if namespace == target.namespace else 3 if namespace is None else 2
    return 1 if name and (target.name.endswith(name) or target.name.startswith(name)) else 0
