"""A file of a person's with values put back: text in, text out, every other byte stays."""

from collections.abc import Iterable, Mapping

from reconciler.commit.values import ValueAt, Values, documents_of
from reconciler.errors import InputError, Where
from reconciler.manifests import splice
from reconciler.manifests.yaml_source import Key

_EMPTY = ("{}", "[]")


def put_back(text: bytes, path: str, back: Iterable[ValueAt], old: Values, wrote: Values) -> bytes:
    """``text`` with the values at ``back`` as they were in ``old``, before ``wrote``; those that were not there go away.

    A mapping goes away with the last of its values when it came with them, and is again what it was when it was empty:
    so that the result is that of ``git revert`` wherever that applies cleanly.

    :raises InputError: when a value has no place in the text that can be edited.
    """
    documents = documents_of(text, path)
    for target in dict.fromkeys(at.target for at in back):
        if target not in documents:
            raise InputError(f"{target.kind} {target.name} is not in this file any more", where=Where(path))
        here = [at for at in back if at.target == target]
        before, after = ({at.field for at in values if at.target == target} for values in (old, wrote))
        sets = {
            _key(at.field): old[at] for at in here if at in old and old[at] not in _EMPTY and not _is_mapping(at, after)
        }
        gone = [_key(at.field) for at in here if at not in old]
        if sets:
            text = splice.set_scalars(text, documents[target], sets, path=path)
        if gone:
            emptied = _emptied(gone, before, {at.field: old[at] for at in here if at in old})
            text = splice.remove_keys(text, documents[target], gone, path=path, emptied=emptied)
    return text


def _is_mapping(at: ValueAt, fields: Iterable[str]) -> bool:
    """Whether the commit made a mapping of a value that was empty: it is empty again when its keys have gone."""
    return any(field.startswith(f"{at.field}/") for field in fields)


def _emptied(gone: Iterable[Key], before: Iterable[str], empty: Mapping[str, str]) -> dict[Key, str | None]:
    """What a mapping around a key that goes away is to become, where it was none before: nothing, or the null that it was."""
    there = {key[:length] for key in map(_key, before) for length in range(1, len(key) + 1)}
    found: dict[Key, str | None] = {key[:n]: None for key in gone for n in range(1, len(key)) if key[:n] not in there}
    return found | {_key(field): value for field, value in empty.items() if value not in _EMPTY}


def _key(field: str) -> Key:
    """``a/b~1c`` → ``("a", "b/c")``, as in a JSON pointer (RFC 6901)."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in field.split("/"))
