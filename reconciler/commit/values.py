"""A file as a flat map of values: the shape in which a rollback compares before, after and now."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml

from reconciler.manifests import container_group, lxc_container, machine_files, yaml_reader
from reconciler.model.change import EditForm
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import ObjectRef

_CONFIG = ("policies/", "actions/", "trimtab.yaml")


class ValueAt(NamedTuple):
    """Where a value stands within a file: as ``form``, ``target`` and ``field`` of a ValueEdit."""

    form: EditForm
    target: ObjectRef
    field: str


Values = Mapping[ValueAt, str]


def is_machine_path(path: str) -> bool:
    """Whether only Trimtab writes there: below a component's folder ``trimtab/``."""
    return "/trimtab/" in f"/{path}"


def is_generated(path: str) -> bool:
    """Whether the file is a component's list of files, which is made anew from what is there."""
    return is_machine_path(path) and path.rpartition("/")[2] == "kustomization.yaml"


def is_yaml(path: str) -> bool:
    return path.endswith((".yaml", ".yml"))


def values_of(text: bytes | None, path: str, *, machine: bool | None = None) -> dict[ValueAt, str]:
    """The values of a YAML file, as text as they stand there; none when ``text`` is None.

    A machine-owned file has the fields of its form. In any other each scalar has its path of keys, joined by ``/``
    (``~1`` within a key, as in RFC 6901), items of a list of mappings by their ``name``, others by number.
    ``machine`` None = told by the path.

    :raises InputError: when it cannot be read.
    """
    if text is None:
        return {}
    if machine if machine is not None else is_machine_path(path):
        file = machine_files.parse(text, path=path)
        return {ValueAt(file.form, file.target, field): value for field, value in file.values.items()}
    return _scalars(text, path, _form_of(path))


def _form_of(path: str) -> EditForm:
    """The form of a file that people may write in."""
    if path.startswith(_CONFIG):
        return "config"
    if container_group.key_of(path):
        return "group"
    return "lxc" if lxc_container.key_of(path) else "source"


def is_decided_path(path: str) -> bool:
    """Whether decisions of policies go there, and not only a policy's own fields: a component's files, and those of groups
    and LXC containers."""
    return is_machine_path(path) or is_declared_path(path)


def is_declared_path(path: str) -> bool:
    """Whether it is where the file of a group of containers, or of an LXC container, stands."""
    return container_group.key_of(path) is not None or lxc_container.key_of(path) is not None


def documents_of(text: bytes, path: str) -> dict[ObjectRef, int]:
    """By the ``target`` of the values in a file of a person's, the index of the document that has them.

    :raises InputError: when it cannot be read.
    """
    return {target: index for index, target, _ in _documents(text, path)}


def same_value(one: str | None, other: str | None) -> bool:
    """Whether two values say the same: letter by letter, or as quantities (people write ``1000m`` for ``1``)."""
    if one == other or one is None or other is None:
        return one == other
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False


def _scalars(text: bytes, path: str, form: EditForm) -> dict[ValueAt, str]:
    values: dict[ValueAt, str] = {}
    for _, target, node in _documents(text, path):
        for keys, value in _walk(node, ()):
            values[ValueAt(form, target, "/".join(keys))] = value
    return values


def _documents(text: bytes, path: str) -> Iterator[tuple[int, ObjectRef, yaml.Node]]:
    """The documents that hold anything, by their index, each with a target of its own: a second one is ``web#2``."""
    yaml_reader.load_all(text, path=path)  # refuses what composing could not bear: nesting, aliases, size
    seen: Counter[ObjectRef] = Counter()
    for index, node in enumerate(yaml.compose_all(text, Loader=yaml.CSafeLoader)):
        if isinstance(node, yaml.ScalarNode) and not node.value:
            continue
        target = _target(node)
        seen[target] += 1
        if seen[target] > 1:
            target = target.model_copy(update={"name": f"{target.name}#{seen[target]}"})
        yield index, target, node


def _target(node: yaml.Node) -> ObjectRef:
    top = _mapping(node)
    metadata = _mapping(top.get("metadata"))
    namespace = metadata.get("namespace")
    return ObjectRef(
        api_version=_text(top.get("apiVersion")),
        kind=_text(top.get("kind")),
        name=_text(metadata.get("name")),
        namespace=_text(namespace) if namespace else None,
    )


def _mapping(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {_text(key): value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _walk(node: yaml.Node, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, yaml.ScalarNode):
        yield keys, str(node.value)
    elif not node.value:
        yield keys, "{}" if isinstance(node, yaml.MappingNode) else "[]"
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _walk(value, (*keys, _text(key).replace("~", "~0").replace("/", "~1")))
    else:
        for name, item in zip(_names(node), node.value, strict=True):
            yield from _walk(item, (*keys, name))


def _names(node: yaml.Node) -> list[str]:
    """Items of a list of mappings by ``name``, when all have one of their own; else by number."""
    names = [_text(_mapping(item).get("name")) for item in node.value]
    if all(names) and len(set(names)) == len(names):
        return [name.replace("~", "~0").replace("/", "~1") for name in names]
    return [str(number) for number in range(len(node.value))]
