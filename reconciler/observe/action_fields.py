"""What an action config may say, and what it means for a fleet; the same whether it stands in Git or came over HTTP.

Pure: the caller says where in its document the fields stand, and complaints point there.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from reconciler.manifests.yaml_reader import KeyPath
from reconciler.model.action import ActionConfig, ActionType, Fraction, SizingParameters
from reconciler.model.fleet import Fleet
from reconciler.model.window import Window
from reconciler.observe.config_complaints import Complaint, complaints, suggestion, window_complaints, written_path
from reconciler.observe.config_fields import Seconds, Section, SizingFields, WindowList
from reconciler.observe.config_fleet import windows_of
from reconciler.observe.git_documents import placed_windows

RESERVED_NAME = "system"
MOST_WINDOWS = 100
"""Of maintenance, and of exclusion; a cron in which several are joined by ``||`` counts as so many."""
LEGACY_ACTIONS: dict[str, ActionType] = {"rightsizing": "containerRequestRightSizing"}
EVERYWHERE = "all"
"""What stands for the cluster of an action that is about all of them."""


class ActionFields(Section):
    """An action's ``spec`` in Git; the request's body without its id, source and name."""

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
    min_change_percent: Annotated[float | None, Field(ge=0, le=100)] = None
    keep_limit_ratio: bool | None = None
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


def action_from(
    fields: ActionFields,
    *,
    action_id: str,
    name: str,
    fleet: Fleet,
    check_window: Callable[[Window], str | None],
    document: Any,
    at: KeyPath,
    name_at: KeyPath,
) -> ActionConfig | list[Complaint]:
    """What ``fields`` mean in ``fleet``, as declared in Git; or everything that is wrong with them.

    ``document`` is the whole of what was written; in it the fields stand at ``at`` and the name at ``name_at``. The filter
    is left to who can parse it. Fields of ``config`` without a value count as not written.
    """
    model = CONFIGS[fields.type]
    try:
        config = model.model_validate(_written(fields.config, model))
    except ValidationError as error:
        return complaints(error, document, (*at, "config"), model)
    if crowded := _crowded(config, document, at):
        return crowded
    windows = windows_of(config.maintenance_window, config.exclusion_window, f"action {name}")
    cluster, found = _cluster(fields, config, fleet, at)
    found = [*_name_complaints(name, name_at), *found, *_config_complaints(fields.type, config, fleet, (*at, "config"))]
    found += window_complaints(placed_windows(windows, (*at, "config")), document, check_window)
    if found:
        return found
    return ActionConfig(
        id=action_id,
        name=name,
        action=fields.type,
        scope=fields.scope,
        clusters=(cluster,) if cluster else (),
        enabled=config.enabled,
        filter=config.filter,
        namespaces=config.named() if isinstance(config, NamespaceConfig) else (),
        sizing=_sizing(config, fleet) if isinstance(config, RightSizingConfig) else SizingParameters(),
        windows=windows,
    )


def _written(config: Mapping[str, Any], model: type[Section]) -> dict[str, Any]:
    """Without the known fields that have no value; an unknown one is told, whatever it has."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    return {key: value for key, value in config.items() if value is not None or key not in known}


def _crowded(config: CommonConfig, document: Any, at: KeyPath) -> list[Complaint]:
    """More windows than a pass can look at again and again."""
    for field, listed in (
        ("maintenanceWindow", config.maintenance_window),
        ("exclusionWindow", config.exclusion_window),
    ):
        number = sum(window.cron.count("||") + 1 for window in listed)
        if number > MOST_WINDOWS:
            said = f"{number} windows; at most {MOST_WINDOWS} are read"
            return [
                Complaint(written_path(document, (*at, "config", field)), said, "a cron takes lists: * 8,12,18 * * *")
            ]
    return []


def cluster_of(fields: ActionFields) -> str:
    """The cluster that is named, beside the config or in it; ``""`` = none."""
    inside: Mapping[str, Any] = fields.config
    return fields.cluster or str(inside.get("cluster") or "")


def _name_complaints(name: str, at: KeyPath) -> list[Complaint]:
    reserved = name.strip().lower() == RESERVED_NAME
    return [Complaint(at, f"the name {name} is reserved", "choose another one")] if reserved else []


def _cluster(fields: ActionFields, config: CommonConfig, fleet: Fleet, place: KeyPath) -> tuple[str, list[Complaint]]:
    """The name of the cluster that the action is about, ``""`` = all."""
    at: KeyPath = (*place, "cluster") if fields.cluster else (*place, "config", "cluster")
    cluster = cluster_of(fields)
    if fields.scope != "cluster":
        if cluster in ("", EVERYWHERE):
            return "", []
        hint = "for one cluster write scope: cluster"
        return "", [Complaint(at, f"the scope {fields.scope} means all clusters", hint)]
    if not cluster:
        return "", [Complaint((*place, "cluster"), "Field required", "the scope cluster needs the name of one")]
    known = _named(cluster, fleet)
    if not known:
        hint = suggestion(cluster, [one.name for one in fleet.clusters])
        return "", [Complaint(at, f"there is no cluster {cluster} in trimtab.yaml", hint)]
    if config.cluster and _named(config.cluster, fleet) != known:
        here = (*place, "config", "cluster")
        return "", [Complaint(here, f"it is not {known}, which the action is for", "leave it out of config")]
    return known, []


def _named(name_or_id: str, fleet: Fleet) -> str:
    return next((c.name for c in fleet.clusters if name_or_id in (c.name, c.id)), "")


def _config_complaints(action: ActionType, config: CommonConfig, fleet: Fleet, at: KeyPath) -> list[Complaint]:
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
    own = {
        "window_seconds": config.right_sizing_window or None,
        "min_change_percent": config.min_change_percent,
        "keep_limit_ratio": config.keep_limit_ratio,
    }
    given = {name: value for name, value in own.items() if value is not None}
    return base.model_copy(update={**given, "cpu": config.cpu, "memory": config.memory})
