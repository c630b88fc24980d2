"""Places of containers: as a manifest has them, as a patch of ours was written for them, and whether the two still agree."""

import pytest

from reconciler.manifests.container_places import ContainerPlace, is_misplaced, places_in, places_of
from reconciler.manifests.workloads import read_objects
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import Container, ObjectRef, Source, Workload, WorkloadKey

API = ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="api", namespace="shop")
MANIFEST = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api, namespace: shop}
spec:
  template:
    spec:
      initContainers:
        - {name: wait, resources: null}
        - {name: mesh, restartPolicy: Always, resources: {}}
      containers:
        - {name: limited, resources: {limits: {cpu: 1}}}
        - {name: emptied, resources: {requests: null, limits: {}}}
        - {name: bare}
"""
PATCH = b"""\
# target: argoproj.io/v1alpha1 Rollout shop api
- {op: test, path: /spec/template/spec/containers/0/name, value: limited}
- {op: add, path: /spec/template/spec/containers/0/resources/requests, value: {}}
- {op: add, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 100m}
- {op: test, path: /spec/template/spec/containers/2/name, value: bare}
- {op: add, path: /spec/template/spec/containers/2/resources, value: {}}
- {op: add, path: /spec/template/spec/containers/2/resources/limits, value: {}}
- {op: add, path: /spec/template/spec/containers/2/resources/limits/memory, value: 1Gi}
"""
FILE = MachineFile(
    form="requests",
    target=API,
    values={"containers/limited/requests/cpu": "100m", "containers/bare/limits/memory": "1Gi"},
)


def workload(*containers: Container) -> Workload:
    key = WorkloadKey(cluster="prod", namespace="shop", kind="Rollout", name="api")
    return Workload(key=key, ref=API, root="r", source=Source(path="a.yaml"), containers=containers)


def written() -> Workload:
    spec = read_objects(MANIFEST.encode(), path="a.yaml").workloads[0].spec
    assert spec is not None
    return workload(*spec.containers)  # type: ignore[union-attr]


def test_what_stands_in_the_manifest_counts_and_not_what_the_api_server_fills_in() -> None:
    assert written().containers[2].resources.cpu_request == 1000, "the limit, filled in"
    assert places_of(written()) == {
        "initContainers/wait": ContainerPlace(0, frozenset()),
        "initContainers/mesh": ContainerPlace(1, frozenset({"resources"})),
        "containers/limited": ContainerPlace(0, frozenset({"resources", "resources/limits"})),
        "containers/emptied": ContainerPlace(1, frozenset({"resources", "resources/limits"})),
        "containers/bare": ContainerPlace(2, frozenset()),
    }


def test_a_patch_says_for_which_places_it_was_written() -> None:
    assert places_in(PATCH, path="p.yaml") == {
        "containers/limited": ContainerPlace(0, frozenset({"resources", "resources/limits"})),
        "containers/bare": ContainerPlace(2, frozenset({"resources/requests"})),
    }


def container(name: str, *maps: str) -> Container:
    return Container(name=name, written=maps)


@pytest.mark.parametrize(
    ("containers", "misplaced"),
    [
        (written().containers, False),
        # Another map than those that the patch needs is no matter to it.
        ((container("limited", "resources"), container("x"), container("bare")), False),
        ((container("limited", "resources", "resources/requests"), container("x"), container("bare")), True),
        ((container("limited"), container("x"), container("bare")), True),
        ((container("limited", "resources"), container("bare")), True),
        ((container("limited", "resources"), container("x"), container("bare", "resources")), True),
        ((container("limited", "resources"), container("x"), container("y")), False),
    ],
)
def test_a_patch_misses_where_a_container_or_a_map_has_moved(
    containers: tuple[Container, ...], misplaced: bool
) -> None:
    found = places_in(PATCH, path="p.yaml")
    assert is_misplaced(FILE, found, places_of(workload(*containers))) is misplaced
