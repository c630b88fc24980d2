"""actions/*.yaml: right-sizing, quota and turndown jobs as declared in Git (the Actions API's configs, ``source: helm``)."""

import uuid
from collections.abc import Callable

from pydantic import ValidationError

from reconciler.manifests.yaml_reader import KeyPath
from reconciler.model.action import ActionConfig
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.tree import Tree
from reconciler.model.window import Window
from reconciler.observe.action_fields import ActionFields, action_from
from reconciler.observe.config_complaints import Complaint, complaints
from reconciler.observe.git_documents import Declared, declared

FOLDER = "actions"
ID_NAMESPACE = uuid.UUID("6b0f3c1e-5f0b-5c57-9d0e-0d6a3c6f7a11")
"""An action's id is the UUID 5 of ``<fleet>/<name>`` in this namespace: the same wherever the fleet repo is read."""


def action_id(fleet: str, name: str) -> str:
    """The id of the action of that name in that fleet."""
    return str(uuid.uuid5(ID_NAMESPACE, f"{fleet}/{name}"))


def read_actions(
    tree: Tree, fleet: Fleet, check_window: Callable[[Window], str | None]
) -> tuple[tuple[ActionConfig, ...], list[Problem]]:
    """The actions that can be used, in the order of their files; and why the others cannot."""
    documents, problems = declared(tree, FOLDER, "ActionConfig")
    actions: dict[str, tuple[ActionConfig, Declared]] = {}
    for document in documents:
        action = _action(document, fleet, check_window)
        if isinstance(action, list):
            problems += action
        elif document.name in actions:
            other = actions[document.name][1].place()
            problems.append(document.problem(("metadata", "name"), f"a second action named {document.name} ({other})"))
        else:
            actions[document.name] = action, document
    return tuple(action for action, _ in actions.values()), problems


def _action(
    document: Declared, fleet: Fleet, check_window: Callable[[Window], str | None]
) -> ActionConfig | list[Problem]:
    value = document.located.value
    try:
        fields = ActionFields.model_validate(document.spec)
    except ValidationError as error:
        found = complaints(error, value, ("spec",), ActionFields)
        return document.problems([_with_hint(complaint) for complaint in found])
    action = action_from(
        fields,
        action_id=action_id(fleet.name, document.name),
        name=document.name,
        fleet=fleet,
        check_window=check_window,
        document=value,
        at=("spec",),
        name_at=("metadata", "name"),
    )
    if isinstance(action, list):
        return document.problems(action)
    return action.model_copy(update={"path": document.located.path, "config": dict(value["spec"]["config"])})


_HINTS: dict[KeyPath, str] = {
    ("spec", "name"): "a declared action's name is metadata.name",
    ("spec", "source"): "leave it out: what is declared in Git has the source helm",
    ("spec", "id"): "leave it out: it follows from the names of the fleet and the action",
}


def _with_hint(complaint: Complaint) -> Complaint:
    return Complaint(complaint.at, complaint.message, _HINTS.get(complaint.at, complaint.hint))
