"""A kustomization.yaml as values: what it lists, what it does to names, and whether Trimtab can follow it alone.

Read as kustomize reads it (JSON names, case ignored; only the first document counts; a field it does not know, or a file
without any, is an error).
"""

import posixpath
from typing import Any, Final

from reconciler.errors import InputError, Where
from reconciler.manifests.objects_declared import mapping, texts
from reconciler.manifests.yaml_reader import load_all
from reconciler.model.base import Model

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
COMPONENT: Final = "trimtab"

_HEAD = ("apiVersion", "kind", "metadata")
_LISTS = ("resources", "components", "bases")
_FOLLOWED = ("namespace", "namePrefix", "nameSuffix", "labels", "commonLabels", "commonAnnotations")
_WITHOUT_EFFECT = (
    *("images", "imageTags", "configMapGenerator", "secretGenerator", "generatorOptions", "openapi", "crds"),
    "sortOptions",
)
"""Fields that change no identity and no size of an object that Trimtab looks at."""

_BUILT = (
    *("patches", "patchesStrategicMerge", "patchesJson6902", "replicas", "replacements", "vars", "configurations"),
    *("generators", "transformers", "validators", "buildMetadata"),
    *("helmCharts", "helmGlobals", "helmChartInflationGenerator"),
)
_FIELDS: Final = {name.lower(): name for name in (*_HEAD, *_LISTS, *_FOLLOWED, *_WITHOUT_EFFECT, *_BUILT)}


class Labels(Model):
    """Labels to set: on every object, and on pod templates too when ``templates``."""

    pairs: dict[str, str]
    templates: bool = False


class Kustomization(Model):
    """One kustomization. ``fields``: what it sets (other than apiVersion, kind, metadata), as kustomize spells it.

    ``resources`` has ``bases`` in it. Paths are as written, relative to the directory of ``path``.
    """

    path: str
    kind: str = "Kustomization"
    resources: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    namespace: str = ""
    name_prefix: str = ""
    name_suffix: str = ""
    labels: tuple[Labels, ...] = ()
    annotations: dict[str, str] = {}
    fields: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        return posixpath.dirname(self.path)

    @property
    def unfollowed(self) -> tuple[str, ...]:
        """What only kustomize itself can work out here: names of fields, and remote resources."""
        fields = [field for field in self.fields if field in _BUILT]
        if self.people_components:
            fields.append("components")
        return (*fields, *(entry for entry in self.resources if is_remote(entry)))

    @property
    def is_plain(self) -> bool:
        """Whether names, namespaces and sizes can be worked out without kustomize."""
        return not self.unfollowed

    @property
    def lists_component(self) -> bool:
        """Whether Trimtab's own component beside this file is listed."""
        return any(posixpath.normpath(entry) == COMPONENT for entry in self.components)

    @property
    def people_components(self) -> tuple[str, ...]:
        return tuple(entry for entry in self.components if posixpath.normpath(entry) != COMPONENT)


def is_remote(entry: str) -> bool:
    """Whether kustomize would fetch this resource over the network (a URL, ``git@…``, ``github.com/…``)."""
    host = entry.partition("/")[0]
    return "://" in entry or entry.startswith("git@") or "?ref=" in entry or ("/" in entry and host in _FORGES)


_FORGES = ("github.com", "gitlab.com", "bitbucket.org")


def root_refusal(kustomization: Kustomization) -> str:
    """Why a root cannot carry the Trimtab component, for a person; "" when it can.

    A component runs before the transformers of the file that lists it, and ``patches``, ``replicas`` and ``images``
    beside it win over it: so the root holds resources and components, and everything else is one level down.
    """
    if kustomization.kind == "Component":
        return "it is a Component; a root is a Kustomization"
    moved = [field for field in kustomization.fields if field not in ("resources", "components")]
    if kustomization.people_components:
        moved.append(f"the components {', '.join(kustomization.people_components)}")
    if not moved:
        return ""
    return (
        "the root that lists Trimtab's component may hold resources and components: [trimtab] only, "
        f"as everything else in it would win over the component; move {', '.join(moved)} one level down"
    )


def parse_kustomization(text: bytes, *, path: str) -> Kustomization:
    """Read a kustomization file.

    :raises InputError: when kustomize would refuse it: no YAML, empty, an unknown field, a field of another type.
    """
    documents = load_all(text, path=path)
    value = documents[0].value if documents else None
    if not isinstance(value, dict) and value is not None:
        raise InputError("is not a mapping", where=Where(path, documents[0].line))
    fields = _known_fields(mapping(value), path)
    used = tuple(name for name, content in fields.items() if name not in _HEAD and content is not None)
    if not used:
        raise InputError("kustomize refuses an empty kustomization", where=Where(path), hint="write resources: []")
    resources = (*_paths(fields, "resources", path), *_paths(fields, "bases", path))
    return Kustomization(
        path=path,
        kind=_text(fields, "kind", path) or "Kustomization",
        resources=resources,
        components=_paths(fields, "components", path),
        namespace=_text(fields, "namespace", path),
        name_prefix=_text(fields, "namePrefix", path),
        name_suffix=_text(fields, "nameSuffix", path),
        labels=_labels(fields, path),
        annotations=texts(fields.get("commonAnnotations")),
        fields=tuple(name for name in used if fields[name] not in ("", [], {}) or name in ("resources", "components")),
    )


def _known_fields(value: dict[str, Any], path: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, content in value.items():
        name = _FIELDS.get(key.lower())
        if name is None:
            raise InputError("kustomize knows no such field", where=Where(path, field=key))
        fields[name] = content
    return fields


def _text(fields: dict[str, Any], name: str, path: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{value!r} is no text", where=Where(path, field=name), hint="quote it")
    return value


def _paths(fields: dict[str, Any], name: str, path: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InputError("should be a list of paths", where=Where(path, field=name))
    return tuple(value)


def _labels(fields: dict[str, Any], path: str) -> tuple[Labels, ...]:
    found = []
    listed = fields.get("labels")
    for item in listed if isinstance(listed, list) else ():
        pairs = texts(mapping(item).get("pairs"))
        templates = mapping(item).get("includeSelectors") is True or mapping(item).get("includeTemplates") is True
        found.append(Labels(pairs=pairs, templates=templates))
    if listed is not None and not isinstance(listed, list):
        raise InputError("should be a list", where=Where(path, field="labels"))
    if common := texts(fields.get("commonLabels")):
        found.append(Labels(pairs=common, templates=True))
    return tuple(found)
