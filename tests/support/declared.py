"""Roots of a fleet as values, for tests of what is pure: a workload, an overlay, an observation in one line each."""

from collections.abc import Mapping
from datetime import UTC, datetime

from reconciler.model.change import Proposal
from reconciler.model.fleet import Cluster, Fleet, Root
from reconciler.model.inventory import Inventory, RootState
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.observation import Observation, Pod, PodContainer
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from reconciler.model.workload import Container, ObjectRef, Resources, Source, Workload, WorkloadKey

NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
CLUSTER = "prod"
ROOT = "clusters/prod"
OVERLAY = f"{ROOT}/trimtab"
FLEET = Fleet(name="acme", clusters=(Cluster(name=CLUSTER, id="c1", roots=(Root(path=ROOT),)),))

API_VERSIONS = {"CronJob": "batch/v1", "Job": "batch/v1", "Pod": "v1", "Rollout": "argoproj.io/v1alpha1"}


def container(name: str = "server", role: str = "main", **resources: int) -> Container:
    return Container.model_validate({"name": name, "role": role, "resources": Resources(**resources)})


def workload(
    name: str = "web",
    *containers: Container,
    kind: str = "Deployment",
    namespace: str = "shop",
    ref_namespace: str | None = "shop",
    cluster: str = CLUSTER,
    root: str = ROOT,
    **fields: object,
) -> Workload:
    """A workload of the cluster ``prod``; with one container that requests 100m and 128Mi unless others are given."""
    given = {
        "key": WorkloadKey(cluster=cluster, namespace=namespace, kind=kind, name=name),
        "ref": ObjectRef(
            api_version=API_VERSIONS.get(kind, "apps/v1"),
            kind=kind,
            name=name,
            namespace=namespace if ref_namespace == "shop" else ref_namespace,
        ),
        "root": root,
        "source": Source(path=f"{root}/apps/{name}.yaml", line=12),
        "containers": containers or (container(cpu_request=100, memory_request=128 * 1024**2),),
    }
    return Workload.model_validate({**given, **fields})


def state(
    *workloads: Workload, overlay: Mapping[str, MachineFile] | None = None, wired: bool = True, **inventory: object
) -> RootState:
    """One root at a commit."""
    given = {"cluster": CLUSTER, "root": ROOT, "wired": wired, "workloads": workloads}
    return RootState(inventory=Inventory.model_validate({**given, **inventory}), overlay=dict(overlay or {}))


def machine_file(form: FileForm, target: ObjectRef, **values: str) -> MachineFile:
    return MachineFile(form=form, target=target, values=values)


def landed(before: RootState, *proposals: Proposal) -> RootState:
    """The root after the proposals were committed."""
    overlay = dict(before.overlay)
    for edit in (edit for proposal in proposals for edit in proposal.edits if edit.field != "prepared"):
        found = overlay.get(edit.path)
        values = dict(found.values) if found else {}
        values.pop(edit.field, None)
        if edit.new is not None:
            values[edit.field] = edit.new
        assert edit.form not in ("source", "config")
        overlay[edit.path] = MachineFile(form=edit.form, target=edit.target, values=values)
    return before.model_copy(update={"overlay": {path: file for path, file in overlay.items() if file.values}})


def policy(name: str = "web", target: str = "shop/web", **fields: object) -> ScalingPolicy:
    """A live policy for 2–10 replicas at 70 % CPU."""
    given = {"min_replicas": 2, "cpu_target_percent": 70, "dry_run": False, "runtime": "kubernetes"}
    spec = ScalingPolicySpec.model_validate({**given, "name": name, "target_ref": target, **fields})
    return ScalingPolicy(id=f"policy-{name}", spec=spec, path=f"policies/{name}.yaml")


def pod(
    name: str,
    cpu: float | None,
    *,
    request: float | None = 100,
    memory: float | None = None,
    memory_request: float | None = None,
    owner: str = "web",
    **fields: object,
) -> Pod:
    """A running pod of Deployment shop/web with one container: millicores and MB."""
    one = PodContainer.model_validate(
        {
            "name": "server",
            "cpu_millicores": cpu,
            "cpu_request_millicores": request,
            "memory_mb": memory,
            "memory_request_mb": memory_request,
        }
    )
    given = {"namespace": "shop", "owner_kind": "Deployment", "owner_name": owner, "phase": "Running"}
    return Pod.model_validate({**given, "name": name, "containers": (one,), **fields})


def observation(at: datetime = NOW, **lists: object) -> dict[str, Observation]:
    """The observation of ``prod``, all of its lists measured at ``at``."""
    times = dict.fromkeys(("pods", "nodes", "workloads", "quotas"), at)
    return {CLUSTER: Observation.model_validate({"cluster": CLUSTER, "at": times, **lists})}
