"""Listing Trimtab's component in a root's kustomization, without touching another byte of it."""

import yaml

from reconciler.errors import InputError, Where

COMPONENT = "trimtab"

EMPTY_COMPONENT = """\
# Written by Trimtab, and only by Trimtab.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: []
"""


def new_root(resources: list[str]) -> str:
    """The kustomization of a root that had none: everything that is there, and the component."""
    listed = "".join(f"  - {name}\n" for name in sorted(resources)) if resources else ""
    return (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        + (f"resources:\n{listed}" if listed else "resources: []\n")
        + f"components:\n  - {COMPONENT}\n"
    )


def wire_component(text: str, *, path: str) -> str:
    """``text`` with the component listed under ``components``; the same text when it already is.

    :raises InputError: when ``text`` is not a kustomization that a list item can be added to.
    """
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", where=Where(path)) from None
    end = "\r\n" if "\r\n" in text else "\n"
    if not isinstance(root, yaml.MappingNode):
        raise InputError("not a kustomization: the file should hold one mapping", where=Where(path))
    pairs = {key.value: (key, value) for key, value in root.value}
    if "components" not in pairs:
        return _append_key(text, root, pairs, end)
    key, value = pairs["components"]
    if isinstance(value, yaml.SequenceNode):
        if any(item.value in (COMPONENT, f"./{COMPONENT}", f"{COMPONENT}/") for item in value.value):
            return text
        return _append_item(text, value, end)
    raise InputError("components should be a list", where=Where(path, key.start_mark.line + 1, field="components"))


def _append_key(text: str, root: yaml.MappingNode, pairs: dict[str, tuple[yaml.Node, yaml.Node]], end: str) -> str:
    if root.flow_style:
        at = root.end_mark.index - 1
        return f"{text[:at].rstrip()}, components: [{COMPONENT}]{text[at:]}"
    indent = 2
    if "resources" in pairs and isinstance(listed := pairs["resources"][1], yaml.SequenceNode) and listed.value:
        indent = 2 if listed.flow_style else listed.start_mark.column
    body = text if text.endswith(("\n", "\r\n")) else text + end
    return f"{body}components:{end}{' ' * indent}- {COMPONENT}{end}"


def _append_item(text: str, value: yaml.SequenceNode, end: str) -> str:
    if value.flow_style:
        at = value.end_mark.index - 1
        return f"{text[:at].rstrip()}{', ' if value.value else ''}{COMPONENT}{text[at:]}"
    last = value.value[-1]
    line_end = text.find("\n", last.end_mark.index)
    at = len(text) if line_end < 0 else line_end + 1
    before = text[:at] if text[:at].endswith("\n") else text[:at] + end
    return f"{before}{' ' * value.start_mark.column}- {COMPONENT}{end}{text[at:]}"
