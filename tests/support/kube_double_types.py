"""How a kind's objects are shaped: upstream's published OpenAPI schemas, read as structured-merge-diff reads them.

The rules are those of ``k8s.io/kube-openapi/pkg/schemaconv`` and ``sigs.k8s.io/structured-merge-diff/v4/typed``.
"""

import copy
import functools
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconciler.model.quantity import canonical

RELEASE = "v1.36.0-local"
KEY_DEFAULTS = {"protocol": "TCP"}  # of ContainerPort and ServicePort; the published JSON schemas leave defaults out
EMPTY = {"string": "", "integer": 0}  # what a required field has by default in them


class Unfit(Exception):
    """A value that its kind's schema does not allow: ``path`` as in ``.spec.replicas``, and why."""

    def __init__(self, path: str, why: str, got: str = "") -> None:
        self.path, self.why, self.got = path, why, got
        super().__init__(f"{path}: {why}")


@functools.cache
def definitions() -> Mapping[str, Any]:
    found = importlib.util.find_spec("kubernetes_validate")
    assert found is not None and found.origin is not None
    file = Path(found.origin).parent / "kubernetes-json-schema" / RELEASE / "_definitions.json"
    defined: dict[str, Any] = json.loads(file.read_text())["$defs"]
    return defined


class Shape:
    """One type: a scalar, a list (atomic, a set, or a map by keys), or a map (of fields, of elements, or atomic)."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        """:param schema: None for what no schema describes: granular maps, atomic lists."""
        self.schema = schema
        self.quantity = False
        self.kind = "deduced"
        self.atomic = False
        self.keys: tuple[str, ...] = ()
        self.is_set = False
        self.scalar: tuple[str, ...] = ()
        self.fields: Mapping[str, Any] | None = None
        self.strategy: str = ""
        self.merge_key: str = ""
        self._fields: dict[str, Shape | None] = {}
        self._item: Shape | None = None
        if schema is not None:
            self._read(schema)

    def _read(self, schema: Mapping[str, Any]) -> None:
        named = schema.get("$ref", "").rpartition("/")[2]
        whole = {**definitions()[named], **{k: v for k, v in schema.items() if k != "$ref"}} if named else schema
        self.schema = whole
        self.quantity = named.endswith("resource.Quantity")
        self.strategy = whole.get("x-kubernetes-patch-strategy", "")
        self.merge_key = whole.get("x-kubernetes-patch-merge-key", "")
        types = whole.get("type", ())
        types = (types,) if isinstance(types, str) else tuple(types)
        if whole.get("x-kubernetes-preserve-unknown-fields") and "properties" not in whole:
            return
        if "array" in types:
            self._read_list(whole)
        elif "object" in types and ("properties" in whole or "additionalProperties" in whole):
            self.kind = "map"
            self.atomic = whole.get("x-kubernetes-map-type") == "atomic"
            self.fields = whole.get("properties")
        elif "object" in types or not (types or named):
            self.kind = "deduced"
            self.atomic = whole.get("x-kubernetes-map-type") == "atomic"
        else:
            self.kind = "scalar"
            self.scalar = () if self.quantity or whole.get("format") == "int-or-string" else types

    def _read_list(self, whole: Mapping[str, Any]) -> None:
        self.kind = "list"
        listed = whole.get("x-kubernetes-list-type", "")
        if listed == "map":
            self.keys = tuple(whole["x-kubernetes-list-map-keys"])
        elif not listed and "merge" in self.strategy:
            self.keys, self.is_set = ((self.merge_key,), False) if self.merge_key else ((), True)
        self.is_set = self.is_set or listed == "set"
        self.atomic = not (self.keys or self.is_set)

    def field(self, name: str) -> "Shape | None":
        """The type of a map's value, or None where the schema has no such field."""
        if self.kind == "deduced":
            return DEDUCED
        if name not in self._fields:
            self._fields[name] = self._find(name)
        return self._fields[name]

    def _find(self, name: str) -> "Shape | None":
        assert self.schema is not None
        if self.fields is not None and name in self.fields:
            return _shape(json.dumps(self.fields[name], sort_keys=True))
        more = self.schema.get("additionalProperties")
        if isinstance(more, dict):
            return _shape(json.dumps(more, sort_keys=True))
        if more is True or self.schema.get("x-kubernetes-preserve-unknown-fields"):
            return DEDUCED
        return None

    def names(self, name: str) -> bool:
        """Whether that is a declared field, and not one of a map's keys."""
        return self.fields is not None and name in self.fields

    @property
    def item(self) -> "Shape":
        if self.kind != "list":
            return DEDUCED
        if self._item is None:
            assert self.schema is not None
            self._item = _shape(json.dumps(self.schema.get("items", {}), sort_keys=True))
        return self._item

    def element(self, value: Any) -> str:
        """How a list item is called in a path: ``k:{"name":"web"}`` or ``v:"finalizer"``.

        :raises Unfit: when it lacks a key
        """
        if self.is_set:
            return "v:" + json.dumps(value, separators=(",", ":"))
        found: dict[str, Any] = {}
        for key in self.keys:
            given = value.get(key, self._key_default(key)) if isinstance(value, dict) else None
            if given is None:
                raise Unfit("", f'associative list with keys has an element that omits key field "{key}"')
            found[key] = given
        return "k:" + json.dumps(dict(sorted(found.items())), separators=(",", ":"))

    def _key_default(self, key: str) -> Any:
        if key in KEY_DEFAULTS:
            return KEY_DEFAULTS[key]
        schema, field = self.item.schema or {}, self.item.field(key)
        if key not in schema.get("required", ()) or field is None:
            return None
        return next((EMPTY[each] for each in field.scalar if each in EMPTY), None)


@functools.lru_cache(maxsize=1 << 13)
def _shape(schema: str) -> Shape:
    return Shape(json.loads(schema))


DEDUCED = Shape(None)
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def shape_of(api_version: str, kind: str) -> Shape:
    """A built-in kind's shape."""
    group, _, version = api_version.rpartition("/")
    name = f"io.k8s.api.{group.split('.')[0] or 'core'}.{version}.{kind}"
    return Shape({"$ref": f"#/$defs/{name}"})


def custom_shape(schema: Mapping[str, Any] | None) -> Shape:
    """A custom kind's: its own schema, or none, with the metadata that every object has."""
    fields = dict((schema or {}).get("properties", {}))
    fields |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    fields["metadata"] = {"$ref": f"#/$defs/{OBJECT_META}"}
    open_ended = {} if schema else {"x-kubernetes-preserve-unknown-fields": True}
    return Shape({**(schema or {}), "type": "object", "properties": fields, **open_ended})


def check(value: Any, shape: Shape, path: str = "") -> None:
    """What server-side apply checks before it merges.

    :raises Unfit: for an unknown field, a wrong type, a list item without its key, two of the same key
    """
    if value is None or shape.kind == "deduced":
        return
    if shape.kind == "scalar":
        _check_scalar(value, shape, path)
    elif shape.kind == "list":
        if not isinstance(value, list):
            raise Unfit(path, f"expected list, got {_go(value)}")
        _check_items(value, shape, path)
    else:
        if not isinstance(value, dict):
            raise Unfit(path, f"expected map, got {_go(value)}")
        for name, inner in value.items():
            field = shape.field(name)
            if field is None:
                raise Unfit(f"{path}.{name}", "field not declared in schema")
            check(inner, field, f"{path}.{name}")


def _check_items(value: list[Any], shape: Shape, path: str) -> None:
    seen: set[str] = set()
    for number, item in enumerate(value):
        inside = f"{path}[{number}]"
        if not shape.atomic:
            try:
                element = shape.element(item)
            except Unfit as unfit:
                raise Unfit(path, f"element {number}: {unfit.why}") from None
            inside = path + spelled((element,))
            if element in seen:
                raise Unfit(path, f"duplicate entries for key {spelled((element,))}")
            seen.add(element)
        check(item, shape.item, inside)


def _check_scalar(value: Any, shape: Shape, path: str) -> None:
    wanted = [each for each in shape.scalar if each != "null"]
    fits = {
        "integer": isinstance(value, int | float) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
    }
    if wanted and not any(fits.get(each, True) for each in wanted):
        words = {"integer": "numeric (int or float)", "number": "numeric (int or float)"}
        raise Unfit(path, f"expected {words.get(wanted[0], wanted[0])}, got {_go(value)}", _go(value))
    if isinstance(value, dict | list):
        raise Unfit(path, f"expected scalar, got {_go(value)}", _go(value))


def _go(value: Any) -> str:
    names: list[tuple[type, str]] = [(bool, "boolean"), (int, "int"), (float, "float"), (str, "string"), (list, "list")]
    return next((name for kind, name in names if isinstance(value, kind)), "map")


def spelled(path: Iterable[str]) -> str:
    """A path as conflicts name it: ``.spec.template.spec.containers[name="web"].image``."""
    text = ""
    for element in path:
        how, _, rest = element.partition(":")
        if how == "f":
            text += f".{rest}"
        elif how == "v":
            text += f"[={rest}]"
        else:
            text += "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items()) + "]"
    return text


def settled(value: Any, shape: Shape, unknown: list[str], path: str = "") -> Any:
    """The value as it comes out of a typed object: nulls and empty lists go, quantities are canonical, and fields that
    the schema does not have are dropped and listed in ``unknown``.

    :raises Unfit: for a wrong type
    """
    if value is None or shape.kind == "deduced":
        return copy.deepcopy(value)
    if shape.kind == "scalar":
        _check_scalar(value, shape, path)
        return _quantity(value, path) if shape.quantity else value
    if shape.kind == "list":
        if not isinstance(value, list):
            raise Unfit(path, f"expected list, got {_go(value)}", _go(value))
        return [settled(each, shape.item, unknown, f"{path}[{n}]") for n, each in enumerate(value) if each is not None]
    if not isinstance(value, dict):
        raise Unfit(path, f"expected map, got {_go(value)}", _go(value))
    return _settled_map(value, shape, unknown, path)


def _settled_map(value: dict[str, Any], shape: Shape, unknown: list[str], path: str) -> dict[str, Any]:
    kept = {}
    for name, inner in value.items():
        field = shape.field(name)
        if field is None:
            unknown.append(f"{path}.{name}".removeprefix("."))
            continue
        if inner is None:
            continue
        out = settled(inner, field, unknown, f"{path}.{name}")
        if out in ([], {}) and (field.kind == "list" or (field.kind == "map" and field.fields is None)):
            continue
        kept[name] = out
    return kept


def _quantity(value: Any, path: str) -> str:
    try:
        return canonical(value)
    except ValueError:
        raise Unfit(
            path, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from None
