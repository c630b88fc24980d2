"""Which workload a ``requests`` file sizes: the one that it is aimed at, and no namesake."""

from reconciler.model.fleet import Root
from reconciler.model.state import FleetState
from reconciler.model.workload import Workload
from reconciler.steps.deciding import workloads_of
from reconciler.steps.scene import RootScene, Scene
from reconciler.steps.view import View
from support.declared import FLEET, NOW, container, state, workload
from support.trees import Files


def scene(**roots: tuple[Workload, ...]) -> Scene:
    read = {}
    for name, workloads in roots.items():
        found = state(*workloads)
        read[name] = RootScene(FLEET.clusters[0], Root(path=name), found)
    view = View(Files({}))
    return Scene(NOW, view, FleetState(commit="c", fleet=FLEET), read, observations={}, refusals=())


def test_a_file_is_about_the_workload_of_its_root_that_it_names() -> None:
    # One name is part of the other, which is what once confused their containers' places.
    short, long = (workload(name, container(f"in-{name}"), kind="Rollout") for name in ("api", "api-canary"))
    other = workload("api", container("elsewhere"), kind="Rollout")
    paths = {
        "one/trimtab/shop/requests-rollout-api.yaml": short.ref,
        "one/trimtab/shop/requests-rollout-api-canary.yaml": long.ref.model_copy(
            update={"api_version": "argoproj.io/v2"}
        ),
        "two/trimtab/shop/requests-rollout-api.yaml": other.ref,
        "two/trimtab/shop/requests-rollout-gone.yaml": other.ref.model_copy(update={"name": "gone"}),
        "three/trimtab/shop/requests-rollout-api.yaml": other.ref,
    }
    found = workloads_of(scene(one=(long, short), two=(other,)), paths)
    assert {path: found_there.containers[0].name for path, found_there in found.items()} == {
        "one/trimtab/shop/requests-rollout-api.yaml": "in-api",
        "one/trimtab/shop/requests-rollout-api-canary.yaml": "in-api-canary",
        "two/trimtab/shop/requests-rollout-api.yaml": "elsewhere",
    }
