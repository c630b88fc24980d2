"""SCRATCH stand-in of the lead, to be replaced whole by the developer of git_state."""
import uuid
from collections.abc import Callable
import yaml
from reconciler.errors import Stalled
from reconciler.model.action import ActionConfig, SizingParameters
from reconciler.model.fleet import Cluster, Delivery, Fleet, Pricing, Root
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from reconciler.model.state import FleetState
from reconciler.model.tree import Tree
from reconciler.model.window import Window, Windows, parse_duration


def _window(x, source):
    if isinstance(x, str):
        return Window(cron=x, source=source)
    return Window(cron=x["cron"], duration=parse_duration(x["duration"]) if "duration" in x else None, timezone=x.get("timezone", "UTC"), name=x.get("name", ""), source=source)


def _windows(m, e, source):
    def many(v):
        if not v:
            return ()
        return tuple(_window(x, source) for x in (v if isinstance(v, list) else [v]))
    return Windows(maintenance=many(m), exclusion=many(e))


def read_fleet(tree: Tree, *, check_window: Callable[[Window], str | None]) -> FleetState:
    if "trimtab.yaml" not in tree.blobs:
        raise Stalled("no trimtab.yaml")
    doc = yaml.safe_load(tree.read("trimtab.yaml"))
    s = doc["spec"]
    profiles = {n: SizingParameters(profile=n, target_utilization_cpu=u, target_utilization_ram=u) for n, u in (("Development", .8), ("Production", .65), ("High Availability", .5))}
    clusters = []
    for c in s.get("clusters", []):
        d = {k: c[k] for k in ("sync", "write", "namespace") if k in c}
        roots = [Root(**{**d, **r}) for r in c.get("roots", [{"path": c.get("path")}])]
        clusters.append(Cluster(name=c["name"], id=c.get("id", ""), roots=tuple(roots)))
    w = s.get("windows", {})
    fleet = Fleet(name=doc["metadata"]["name"], clusters=tuple(clusters), delivery=Delivery.model_validate(s.get("delivery", {})), windows=_windows(w.get("maintenance"), w.get("exclusion"), "fleet"), pricing=Pricing.model_validate(s.get("pricing", {})), rightsizing=profiles["Production"], profiles=profiles)
    policies, actions = [], []
    for path in sorted(tree.blobs):
        if path.startswith("policies/") and path.endswith(".yaml"):
            d = yaml.safe_load(tree.read(path))
            spec = dict(d["spec"])
            ws = _windows(spec.pop("maintenanceWindow", None), spec.pop("exclusionWindow", None), f"policy {d['metadata']['name']}")
            policies.append(ScalingPolicy(id="scp_" + d["metadata"]["name"], spec=ScalingPolicySpec.model_validate({"name": d["metadata"]["name"], **spec}), windows=ws, path=path))
        if path.startswith("actions/") and path.endswith(".yaml"):
            d = yaml.safe_load(tree.read(path))
            c = d["spec"]["config"]
            name = d["metadata"]["name"]
            a = {"rightsizing": "containerRequestRightSizing"}.get(d["spec"]["action"], d["spec"]["action"])
            sizing = profiles.get(c.get("profile", "Production"))
            actions.append(ActionConfig(id=str(uuid.uuid5(uuid.NAMESPACE_URL, name)), name=name, action=a, filter=c.get("filter", ""), sizing=sizing, enabled=c.get("enabled", True), windows=_windows(c.get("maintenanceWindow"), c.get("exclusionWindow"), f"action {name}"), path=path, config=c))
    return FleetState(commit=tree.commit, fleet=fleet, policies=tuple(policies), actions=tuple(actions))
