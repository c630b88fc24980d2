"""trimtab.yaml: its fields, and the fleet that they make."""

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from reconciler.manifests.yaml_reader import KeyPath, Located
from reconciler.model.action import SizingParameters
from reconciler.model.fleet import (
    Author,
    Cluster,
    Delivery,
    Fleet,
    GroupKey,
    Guard,
    HostPool,
    LxcNode,
    Pricing,
    Root,
    Signing,
    SyncMode,
    WriteMode,
)
from reconciler.model.window import Window, Windows
from reconciler.observe.config_complaints import Complaint, complaints, stalled, suggestion, without_nulls
from reconciler.observe.config_fields import (
    DnsName,
    Duration,
    Name,
    OneLine,
    Price,
    Seconds,
    Section,
    SizingFields,
    WindowFields,
    WindowList,
)

API_VERSION = "trimtab.dev/v1alpha1"

BUILT_IN_PROFILES = {"Development": 0.80, "Production": 0.65, "High Availability": 0.50}
"""Target utilization of CPU and memory by profile, with the algorithm ``max`` (Kubecost's savings profiles)."""


def _root_path(value: str) -> str:
    """A path of the repository, normalized: ``./clusters/a/`` → ``clusters/a``."""
    path = PurePosixPath(value)
    if not value.strip() or path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00-\x1f\x7f]", value):
        raise ValueError(f"{value!r} is not a path inside of the repository, such as clusters/prod")
    return str(path)


def _branch(value: str) -> str:
    """A branch name as ``git check-ref-format --branch`` takes it."""
    bad = re.search(r"^[-/.]|[\x00-\x20~^:?*\[\\\x7f]|\.\.|//|/\.|@\{|\.lock(/|$)|[/.]$|^@$|^HEAD$", value)
    if bad or not value:
        raise ValueError(f"{value!r} is no name for a branch")
    return value


RootPath = Annotated[str, AfterValidator(_root_path)]
Branch = Annotated[str, AfterValidator(_branch)]


class Metadata(Section):
    """``labels`` and ``annotations`` are for other tools; Trimtab does not read them."""

    name: Name
    labels: dict[str, Any] = {}
    annotations: dict[str, Any] = {}


class WindowsFields(Section):
    maintenance: WindowList = []
    exclusion: WindowList = []


class RootFields(Section):
    path: RootPath
    namespace: DnsName | None = None
    sync: SyncMode | None = None
    write: WriteMode | None = None


class ClusterFields(Section):
    """``path`` is short for one root; ``namespace``, ``sync`` and ``write`` are what its roots get that do not say."""

    name: DnsName
    id: str = ""
    path: RootPath | None = None
    roots: Annotated[list[RootFields], Field(min_length=1)] | None = None
    namespace: DnsName = "default"
    sync: SyncMode = "agent"
    write: WriteMode = "overlay"
    windows: WindowsFields = WindowsFields()

    def written_roots(self) -> list[RootFields]:
        return [RootFields(path=self.path)] if self.path is not None else self.roots or []

    def model(self) -> Cluster:
        roots = tuple(
            Root(
                path=root.path,
                namespace=root.namespace or self.namespace,
                sync=root.sync or self.sync,
                write=root.write or self.write,
            )
            for root in self.written_roots()
        )
        return Cluster(name=self.name, id=self.id, roots=roots, windows=_windows(self.windows, f"cluster {self.name}"))


class HostPoolFields(Section):
    name: Name


class LxcNodeFields(Section):
    name: Name


class SignFields(Section):
    format: Literal["ssh", "gpg"]
    key: Annotated[str, Field(min_length=1)]


class AuthorFields(Section):
    name: OneLine = Author().name
    email: OneLine = Author().email


class DeliveryFields(Section):
    mode: Literal["commit", "pullRequest"] = "commit"
    branch: Branch = "main"
    group_by: list[GroupKey] = list(Delivery().group_by)
    max_open_pull_requests: Annotated[int, Field(ge=1)] = Delivery().max_open_pull_requests
    commits_per_hour: Annotated[int, Field(ge=1)] = Delivery().commits_per_hour
    labels: list[OneLine] = []
    reviewers: list[OneLine] = []
    automerge: bool = False
    sign: SignFields | None = None
    author: AuthorFields = AuthorFields()

    def model(self) -> Delivery:
        sign = Signing(format=self.sign.format, key=self.sign.key) if self.sign else None
        return Delivery(
            mode=self.mode,
            branch=self.branch,
            group_by=tuple(dict.fromkeys(self.group_by)),
            max_open_pull_requests=self.max_open_pull_requests,
            commits_per_hour=self.commits_per_hour,
            labels=tuple(self.labels),
            reviewers=tuple(self.reviewers),
            automerge=self.automerge,
            sign=sign,
            author=Author(name=self.author.name, email=self.author.email),
        )


class PricingFields(Section):
    currency: OneLine = Pricing().currency
    cpu_core_hour: Price = Pricing().cpu_core_hour
    ram_gib_hour: Annotated[Price, Field(alias="ramGiBHour")] = Pricing().ram_gib_hour


class RightsizingFields(SizingFields):
    """For what no action config covers. ``profile`` wins over individual parameters; without either, Production."""

    profile: str | None = None
    window: Seconds = SizingParameters().window_seconds
    min_change_percent: Annotated[float, Field(ge=0, le=100)] = SizingParameters().min_change_percent
    min_samples: Annotated[int, Field(ge=0)] = SizingParameters().min_samples
    keep_limit_ratio: bool = SizingParameters().keep_limit_ratio


def _or_off(value: object, otherwise: ValidatorFunctionWrapHandler) -> timedelta | None:
    """``0m`` switches the guard off; any other duration is longer than that."""
    if isinstance(value, str) and re.fullmatch(r"0+[wdhms]", value.strip()):
        return timedelta(0)
    found: timedelta | None = otherwise(value)
    return found


class GuardFields(Section):
    observe: Annotated[Duration | None, WrapValidator(_or_off)] = None
    revert_on: list[Literal["oomKill", "crashLoop", "throttling"]] = list(Guard().revert_on)

    def model(self) -> Guard:
        seconds = Guard().observe_seconds if self.observe is None else int(self.observe.total_seconds())
        return Guard(observe_seconds=seconds, revert_on=tuple(dict.fromkeys(self.revert_on)))


class FleetSpec(Section):
    clusters: list[ClusterFields] = []
    host_pools: list[HostPoolFields] = []
    lxc_nodes: list[LxcNodeFields] = []
    delivery: DeliveryFields = DeliveryFields()
    windows: WindowsFields = WindowsFields()
    pricing: PricingFields = PricingFields()
    rightsizing: RightsizingFields = RightsizingFields()
    profiles: dict[str, SizingFields] = {}
    guard: GuardFields = GuardFields()


class FleetFile(Section):
    """trimtab.yaml as a whole."""

    api_version: Literal["trimtab.dev/v1alpha1"]
    kind: Literal["Fleet"]
    metadata: Metadata
    spec: FleetSpec


def fleet_from(located: Located) -> tuple[Fleet, list[tuple[KeyPath, Window]]]:
    """The fleet, and each of its windows with the place where it is written, for the caller to check.

    :raises Stalled: with everything that is wrong in the file.
    """
    try:
        file = FleetFile.model_validate(without_nulls(located.value))
    except ValidationError as error:
        raise stalled(complaints(error, located.value, (), FleetFile), located) from None
    spec = file.spec
    found = [*_cluster_complaints(spec.clusters), *_profile_complaints(spec)]
    found += _twice([pool.name for pool in spec.host_pools], "hostPools", "host pool")
    found += _twice([node.name for node in spec.lxc_nodes], "lxcNodes", "LXC node")
    if found:
        raise stalled(found, located)
    profiles = _profiles(spec)
    fleet = Fleet(
        name=file.metadata.name,
        clusters=tuple(cluster.model() for cluster in spec.clusters),
        host_pools=tuple(HostPool(name=pool.name) for pool in spec.host_pools),
        lxc_nodes=tuple(LxcNode(name=node.name) for node in spec.lxc_nodes),
        delivery=spec.delivery.model(),
        windows=_windows(spec.windows, "fleet"),
        pricing=Pricing(
            currency=spec.pricing.currency,
            cpu_core_hour=spec.pricing.cpu_core_hour,
            ram_gib_hour=spec.pricing.ram_gib_hour,
        ),
        rightsizing=_rightsizing(spec.rightsizing, profiles),
        profiles=profiles,
        guard=spec.guard.model(),
    )
    return fleet, _placed_windows(fleet)


# --- parts ----------------------------------------------------------------------------------------------------------


def _windows(fields: WindowsFields, source: str) -> Windows:
    return windows_of(fields.maintenance, fields.exclusion, source)


def windows_of(maintenance: list[WindowFields], exclusion: list[WindowFields], source: str) -> Windows:
    """The windows of one owner, each of which says whose it is."""
    return Windows(
        maintenance=tuple(window.window(source) for window in maintenance),
        exclusion=tuple(window.window(source) for window in exclusion),
    )


def _placed_windows(fleet: Fleet) -> list[tuple[KeyPath, Window]]:
    owners: list[tuple[KeyPath, Windows]] = [(("spec", "windows"), fleet.windows)]
    owners += [(("spec", "clusters", i, "windows"), cluster.windows) for i, cluster in enumerate(fleet.clusters)]
    return [
        ((*at, kind, index), window)
        for at, windows in owners
        for kind, listed in (("maintenance", windows.maintenance), ("exclusion", windows.exclusion))
        for index, window in enumerate(listed)
    ]


def _profiles(spec: FleetSpec) -> dict[str, SizingParameters]:
    """The built-in profiles and the fleet's own; window and minima are the fleet's for all of them."""
    fields = spec.rightsizing
    base = SizingParameters(
        window_seconds=fields.window,
        min_change_percent=fields.min_change_percent,
        min_samples=fields.min_samples,
        keep_limit_ratio=fields.keep_limit_ratio,
    )
    built_in = {
        name: base.model_copy(
            update={"profile": name, "target_utilization_cpu": target, "target_utilization_ram": target}
        )
        for name, target in BUILT_IN_PROFILES.items()
    }
    own = {
        name: profile.applied_to(base.model_copy(update={"profile": name})) for name, profile in spec.profiles.items()
    }
    return built_in | own


def _rightsizing(fields: RightsizingFields, profiles: dict[str, SizingParameters]) -> SizingParameters:
    if fields.profile is None and fields.given():
        return fields.applied_to(profiles["Production"].model_copy(update={"profile": ""}))
    return profiles[fields.profile or "Production"]


def _profile_complaints(spec: FleetSpec) -> list[Complaint]:
    found = [
        Complaint(("spec", "profiles", name), f"{name} is a built-in profile", "choose another name for it")
        for name in spec.profiles
        if name in BUILT_IN_PROFILES
    ]
    chosen = spec.rightsizing.profile
    if chosen is not None and chosen not in BUILT_IN_PROFILES and chosen not in spec.profiles:
        hint = suggestion(chosen, [*BUILT_IN_PROFILES, *spec.profiles])
        found.append(Complaint(("spec", "rightsizing", "profile"), f"there is no profile named {chosen}", hint))
    return found


def _cluster_complaints(clusters: list[ClusterFields]) -> list[Complaint]:
    found: list[Complaint] = []
    names: dict[str, int] = {}
    roots: dict[str, tuple[str, str]] = {}
    inside: dict[str, tuple[str, str]] = {}
    for index, cluster in enumerate(clusters):
        at: KeyPath = ("spec", "clusters", index)
        if names.setdefault(cluster.name, index) != index:
            found.append(Complaint((*at, "name"), f"a second cluster named {cluster.name}"))
        if (cluster.path is None) == (cluster.roots is None):
            message = "a cluster has either a path or roots" + (", not both" if cluster.roots else "")
            found.append(Complaint(at, message, "path: clusters/<name> is the path that Argo CD or Flux builds"))
        for number, root in enumerate(cluster.written_roots()):
            place = (*at, "path") if cluster.path is not None else (*at, "roots", number, "path")
            path = PurePosixPath(root.path)
            above = [str(parent) for parent in path.parents]
            holders = (roots[parent] for parent in (str(path), *above) if parent in roots)
            clash = next(holders, inside.get(str(path)))
            if clash:
                found.append(Complaint(place, _clash_message(root.path, *clash)))
            here = (root.path, cluster.name)
            roots.setdefault(str(path), here)
            for parent in above:
                inside.setdefault(parent, here)
    return found


def _clash_message(path: str, other: str, owner: str) -> str:
    if path == other:
        return f"the root {path} is already one of cluster {owner}"
    return f"the root {path} and the root {other} of cluster {owner} lie one inside of the other"


def _twice(names: list[str], field: str, what: str) -> list[Complaint]:
    return [
        Complaint(("spec", field, index, "name"), f"a second {what} named {name}")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
