"""What a root's build with our component may differ in from the build without it: exactly our files' values.

Strategic merge, JSON 6902, people's own ``patches`` and transformers all have a say in what a root builds to. Rather
than foresee them, both builds are compared as objects (DESIGN §3: "each patch must have changed exactly its object's
values").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.model.machine_file import MachineFile
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import ObjectRef
from reconciler.render.fields import Path, wanted_values

Object = Mapping[str, object]


@dataclass(frozen=True)
class Shadowed:
    """A file of ours that does not do what it says. ``path`` is the file; empty where no file of ours asked for it."""

    path: str
    message: str


class Identity(NamedTuple):
    """What tells objects of one build apart. The version is left out: an object has one."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def check_build(
    people: Sequence[Object], built: Sequence[Object], files: Mapping[str, MachineFile]
) -> tuple[Shadowed, ...]:
    """Compare the objects of a root built without our component and with it. Empty = all is as the files say.

    ``files``: the machine-owned files of the root by path. Identities in them are those that objects have where the
    component runs, which is also what the root builds to.
    """
    before, after = _by_identity(people), _by_identity(built)
    asked = _asked(files)
    problems = [problem for path, file in sorted(files.items()) for problem in _check_hpa(path, file, before, after)]
    for identity, wanted in sorted(asked.items()):
        problems += _check_object(identity, wanted, before, after)
    hpas = {_hpa_identity(file) for file in files.values() if file.form == "hpa"}
    return (*problems, *_unasked(before, after, asked, hpas))


_Asked = dict[Path, tuple[str, str | None]]
"""By path in the object: the file that asks, and the value (None = not there)."""


def _asked(files: Mapping[str, MachineFile]) -> dict[Identity, _Asked]:
    """A turndown's ``replicas: 0`` wins over the ``replicas: null`` of a handover: its component is applied last."""
    asked: dict[Identity, _Asked] = {}
    for path, file in sorted(files.items(), key=lambda item: (item[1].form == "turndown", item[0])):
        for wanted in wanted_values(file):
            asked.setdefault(_identity_of(wanted.target), {})[wanted.path] = (path, wanted.value)
    return asked


def _check_hpa(
    path: str, file: MachineFile, before: Mapping[Identity, Object], after: Mapping[Identity, Object]
) -> Iterator[Shadowed]:
    if file.form != "hpa":
        return
    identity = _hpa_identity(file)
    if identity in before:
        yield Shadowed(path, f"{identity} is also a person's own; one workload cannot have two")
    elif identity not in after:
        yield Shadowed(path, f"{identity} is not in the build")
    else:
        scaled = _get(after[identity], ("spec", "scaleTargetRef", "name"))
        if scaled != file.target.name:
            yield Shadowed(
                path,
                f"{identity} goes astray: it is for {file.target.name}, and the build points it at {_show(scaled)}",
            )
        for key in ("minReplicas", "maxReplicas"):
            found = _get(after[identity], ("spec", key))
            if key in file.values and str(found) != file.values[key]:
                yield Shadowed(path, f"{identity}: spec.{key} is shadowed: the build has {_show(found)}")


def _check_object(
    identity: Identity, wanted: _Asked, before: Mapping[Identity, Object], after: Mapping[Identity, Object]
) -> Iterator[Shadowed]:
    if identity not in before or identity not in after:
        for path in sorted({path for path, _ in wanted.values()}):
            yield Shadowed(path, f"no target: {identity} is not in the root")
        return
    for where, (path, value) in sorted(wanted.items()):
        missing = _missing_container(before[identity], where)
        if missing:
            yield Shadowed(path, f"no target: {identity} has no container {missing}")
            continue
        found = _get(after[identity], where)
        if not _same(found, value):
            yield Shadowed(
                path,
                f"{identity}: {'.'.join(where)} is shadowed: the build has {_show(found)}, not {_show(value)}; "
                "something beside `components`, or built after it, sets it again",
            )


def _missing_container(value: Object, where: Path) -> str:
    for role in ("containers", "initContainers"):
        if role in where and "resources" in where:
            end = where.index(role) + 2
            return "" if _get(value, where[:end]) is not None else where[end - 1]
    return ""


def _unasked(
    before: Mapping[Identity, Object],
    after: Mapping[Identity, Object],
    asked: Mapping[Identity, _Asked],
    hpas: set[Identity],
) -> Iterator[Shadowed]:
    for identity in sorted(after.keys() - before.keys() - hpas):
        yield Shadowed("", f"{identity} comes with our component, but no file of ours declares it")
    for identity in sorted(before.keys() - after.keys()):
        yield Shadowed("", f"{identity} goes away with our component")
    for identity in sorted(before.keys() & after.keys()):
        ours = asked.get(identity, {})
        for where in _differences(before[identity], after[identity], ()):
            if where not in ours:
                yield Shadowed("", f"{identity}: {'.'.join(where)} differs, and no file of ours asked for it")


_MADE = frozenset({"resources", "requests", "limits", "hard"})
"""Mappings that come into being when the first value is put into them."""


def _differences(old: object, new: object, where: Path) -> Iterator[Path]:
    """Where two values differ, as deep as mappings and lists of named items go."""
    if old == new:
        return
    old_map, new_map = _as_mapping(old), _as_mapping(new)
    if new_map is not None and old is None and where and where[-1] in _MADE:
        old_map = {}
    if old_map is None or new_map is None:
        yield where
        return
    for key in sorted(old_map.keys() | new_map.keys()):
        yield from _differences(old_map.get(key), new_map.get(key), (*where, key))
    if list(old_map) != [key for key in new_map if key in old_map] and isinstance(old, list):
        yield where


def _as_mapping(value: object) -> dict[str, object] | None:
    """Mappings as they are; lists of named items by name; other lists by position; None for scalars."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list):
        names = [item.get("name") if isinstance(item, Mapping) else None for item in value]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return dict(zip(map(str, names), value, strict=True))
        return {str(index): item for index, item in enumerate(value)}
    return None


def _get(value: object, where: Path) -> object:
    for key in where:
        mapping = _as_mapping(value)
        if mapping is None or key not in mapping:
            return None
        value = mapping[key]
    return value


def _same(found: object, value: str | None) -> bool:
    if value is None or found is None:
        return found is None and value is None
    text = str(found).lower() if isinstance(found, bool) else str(found)
    if text == value:
        return True
    try:
        return parse_quantity(text) == parse_quantity(value)
    except ValueError:
        return False


def _show(value: object) -> str:
    return "nothing there" if value is None else str(value)


def _by_identity(objects: Sequence[Object]) -> dict[Identity, Object]:
    return {_identity(value): value for value in objects}


def _identity(value: Object) -> Identity:
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    api_version = str(value.get("apiVersion", ""))
    return Identity(
        api_version.rpartition("/")[0],
        str(value.get("kind", "")),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name", "")),
    )


def _identity_of(target: ObjectRef) -> Identity:
    return Identity(target.group, target.kind, target.namespace or "", target.name)


def _hpa_identity(file: MachineFile) -> Identity:
    return Identity("autoscaling", "HorizontalPodAutoscaler", file.target.namespace or "", file.target.name)
