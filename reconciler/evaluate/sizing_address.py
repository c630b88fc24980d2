"""Where the values of a container are written: in our overlay, or in a person's manifest."""

from dataclasses import dataclass

from reconciler.evaluate.sizing_current import machine_field
from reconciler.manifests.machine_files import path_for
from reconciler.model.change import EditForm
from reconciler.model.fleet import Root
from reconciler.model.workload import Bound, Container, Resource, Workload

IMMUTABLE: dict[str, str] = {
    "Job": "not proposed: the pod template of a Job cannot be changed once it exists",
    "Pod": "not proposed: the resources of a bare Pod cannot be changed by applying its manifest",
}
"""Kinds that get recommendations and no proposals, and why."""

_POD_SPEC: dict[str, str] = {"CronJob": "spec/jobTemplate/spec/template/spec", "Pod": "spec"}


@dataclass(frozen=True, slots=True)
class Address:
    """A file and the prefix of its fields (empty in a machine-owned file)."""

    path: str
    form: EditForm
    prefix: str = ""

    def field(self, container: Container, bound: Bound, resource: Resource) -> str:
        """``containers/server/requests/cpu``, or ``spec/template/spec/containers/server/resources/requests/cpu``."""
        if not self.prefix:
            return machine_field(container, bound, resource)
        part = "containers" if container.role == "main" else "initContainers"
        return f"{self.prefix}/{part}/{container.name}/resources/{bound}/{resource}"


def address_of(workload: Workload, root: Root) -> Address:
    """Where the workload's requests go in a root with ``write: overlay`` or ``inPlace``."""
    if root.write == "inPlace":
        return Address(workload.source.path, "source", _POD_SPEC.get(workload.ref.kind, "spec/template/spec"))
    return Address(path_for(root.overlay_path, "requests", workload.ref, workload.key.namespace), "requests")
