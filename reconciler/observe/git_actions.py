"""actions/*.yaml: right-sizing, quota and turndown jobs as declared in Git (the Actions API's configs, ``source: helm``)."""

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from reconciler.manifests.yaml_reader import KeyPath
from reconciler.model.action import ActionConfig, ActionType, Fraction, SizingParameters
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.tree import Tree
from reconciler.model.window import Window
from reconciler.observe.config_complaints import Complaint, complaints, suggestion, window_complaints
from reconciler.observe.config_fields import Seconds, Section, SizingFields, WindowList
from reconciler.observe.config_fleet import windows_of
from reconciler.observe.git_documents import Declared, declared, placed_windows

FOLDER = "actions"
ID_NAMESPACE = uuid.UUID("6b0f3c1e-5f0b-5c57-9d0e-0d6a3c6f7a11")
"""An action's id is the UUID 5 of ``<fleet>/<name>`` in this namespace: the same wherever the fleet repo is read."""

RESERVED_NAME = "system"
LEGACY_ACTIONS: dict[str, ActionType] = {"rightsizing": "containerRequestRightSizing"}


class ActionFields(Section):
    """An action's ``spec``."""

    scope: Literal["global", "cluster", "local"]
    cluster: str | None = None
    action: Literal["containerRequestRightSizing", "resourceQuotaRightSizing", "namespaceTurndown", "rightsizing"]
    config: dict[str, Any]

    @property
    def type(self) -> ActionType:
        return self.action if self.action != "rightsizing" else LEGACY_ACTIONS[self.action]


class CommonConfig(Section):
    """Fields of ``config`` that every action has."""

    cluster: str | None = None
    action_config_name: str | None = None
    filter: str = ""
    enabled: bool = True
    maintenance_window: WindowList = []
    exclusion_window: WindowList = []


class RightSizingConfig(SizingFields, CommonConfig):
    """``profile`` wins over individual parameters; one of the two must be there."""

    profile: str = ""
    cpu: bool = True
    memory: bool = True
    right_sizing_window: Seconds | None = None
    legacy_target_ram: Annotated[Fraction | None, Field(alias="targetRAMUtilization")] = None


class NamespaceConfig(CommonConfig):
    """Quotas and turndown: of these namespaces, or of what ``filter`` matches."""

    namespace: str | None = None
    namespaces: list[str] = []

    def named(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*([self.namespace] if self.namespace else []), *self.namespaces]))


CONFIGS: dict[ActionType, type[RightSizingConfig] | type[NamespaceConfig]] = {
    "containerRequestRightSizing": RightSizingConfig,
    "resourceQuotaRightSizing": NamespaceConfig,
    "namespaceTurndown": NamespaceConfig,
}


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
    model = CONFIGS[fields.type]
    try:
        config = model.model_validate(fields.config)
    except ValidationError as error:
        return document.problems(complaints(error, value, ("spec", "config"), model))
    windows = windows_of(config.maintenance_window, config.exclusion_window, f"action {document.name}")
    found = [*_name_complaints(document.name), *_cluster_complaints(fields, config, fleet)]
    found += _config_complaints(fields.type, config, fleet)
    found += window_complaints(placed_windows(windows, ("spec", "config")), value, check_window)
    if found:
        return document.problems(found)
    cluster = fields.cluster or config.cluster
    return ActionConfig(
        id=action_id(fleet.name, document.name),
        name=document.name,
        action=fields.type,
        scope=fields.scope,
        clusters=(cluster,) if fields.scope == "cluster" and cluster else (),
        enabled=config.enabled,
        filter=config.filter,
        namespaces=config.named() if isinstance(config, NamespaceConfig) else (),
        sizing=_sizing(config, fleet) if isinstance(config, RightSizingConfig) else SizingParameters(),
        windows=windows,
        source="helm",
        path=document.located.path,
        config=dict(value["spec"]["config"]),
    )


_HINTS: dict[KeyPath, str] = {
    ("spec", "name"): "a declared action's name is metadata.name",
    ("spec", "source"): "leave it out: what is declared in Git has the source helm",
    ("spec", "id"): "leave it out: it follows from the names of the fleet and the action",
}


def _with_hint(complaint: Complaint) -> Complaint:
    return Complaint(complaint.at, complaint.message, _HINTS.get(complaint.at, complaint.hint))


def _name_complaints(name: str) -> list[Complaint]:
    reserved = name.lower() == RESERVED_NAME
    return [Complaint(("metadata", "name"), f"the name {name} is reserved", "choose another one")] if reserved else []


def _cluster_complaints(fields: ActionFields, config: CommonConfig, fleet: Fleet) -> list[Complaint]:
    at: KeyPath = ("spec", "cluster") if fields.cluster else ("spec", "config", "cluster")
    cluster = fields.cluster or config.cluster
    names = [known.name for known in fleet.clusters]
    if fields.scope != "cluster":
        if cluster in (None, "all"):
            return []
        return [Complaint(at, f"the scope {fields.scope} means all clusters", "for one cluster write scope: cluster")]
    if cluster is None:
        return [Complaint(("spec", "cluster"), "Field required", "the scope cluster needs the name of one")]
    if cluster not in names:
        return [Complaint(at, f"there is no cluster {cluster} in trimtab.yaml", suggestion(cluster, names))]
    return []


def _config_complaints(action: ActionType, config: CommonConfig, fleet: Fleet) -> list[Complaint]:
    at: KeyPath = ("spec", "config")
    if isinstance(config, RightSizingConfig):
        if config.profile and config.profile not in fleet.profiles:
            hint = suggestion(config.profile, fleet.profiles)
            return [Complaint((*at, "profile"), f"there is no profile named {config.profile}", hint)]
        if not config.profile and not config.given() and config.legacy_target_ram is None:
            hint = f"one of {', '.join(fleet.profiles)}; or algorithmCPU, targetUtilizationCPU and so on"
            return [Complaint((*at, "profile"), "either a profile or individual parameters are needed", hint)]
        return []
    found: list[Complaint] = []
    if action == "namespaceTurndown":
        if not config.maintenance_window:
            hint = "namespaces are down while it is open and up when it closes"
            found.append(Complaint((*at, "maintenanceWindow"), "a turndown needs a maintenance window", hint))
        if isinstance(config, NamespaceConfig) and not config.named() and not config.filter.strip():
            hint = "namespaces: [dev], or filter: 'namespace:\"dev\"'"
            found.append(Complaint((*at, "namespaces"), "a turndown must say which namespaces it is for", hint))
    return found


def _sizing(config: RightSizingConfig, fleet: Fleet) -> SizingParameters:
    """The profile's parameters; without one the given ones, and defaults for the rest."""
    if config.profile:
        base = fleet.profiles[config.profile]
    else:
        base = config.applied_to(fleet.profiles["Production"].model_copy(update={"profile": ""}))
        if config.target_utilization_ram is None and config.legacy_target_ram is not None:
            base = base.model_copy(update={"target_utilization_ram": config.legacy_target_ram})
    window = config.right_sizing_window or base.window_seconds
    return base.model_copy(update={"window_seconds": window, "cpu": config.cpu, "memory": config.memory})
