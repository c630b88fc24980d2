"""Which action config covers a container."""

import pytest

from reconciler.evaluate import filters
from reconciler.evaluate.sizing import pick_action, subject_of
from reconciler.model.action import ActionConfig
from reconciler.model.workload import Container, ObjectRef, Source, Workload, WorkloadKey

SERVER = Container(name="server")
WEB = Workload(
    key=WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web"),
    ref=ObjectRef(api_version="apps/v1", kind="Deployment", name="web"),
    root="clusters/prod",
    source=Source(path="web.yaml"),
    containers=(SERVER, Container(name="proxy")),
    labels={"team": "ops", "tier": "front"},
    pod_labels={"team": "shop"},
)


def action(name: str, **fields: object) -> ActionConfig:
    values = {"id": f"id-{name}", "name": name, "action": "containerRequestRightSizing", **fields}
    return ActionConfig.model_validate(values)


def picked(*actions: ActionConfig, container: Container = SERVER, cluster_id: str = "") -> str | None:
    covering = [(one, filters.parse(one.filter).matches) for one in actions]
    found = pick_action(WEB, container, covering, cluster_id=cluster_id)
    return found.name if found else None


def test_the_first_by_name_whatever_the_order() -> None:
    assert picked(action("b"), action("a"), action("c")) == "a"


def test_a_filter_chooses_containers() -> None:
    narrow = action("a", filter='container:"proxy"')
    assert picked(narrow, action("b")) == "b"
    assert picked(narrow, action("b"), container=Container(name="proxy")) == "a"


@pytest.mark.parametrize(
    "text",
    ['cluster:"prod"', 'namespace:"shop"', 'controllerKind:"deployment"', 'controllerName:"web"', 'label[team]:"shop"'],
)
def test_what_a_filter_sees(text: str) -> None:
    assert picked(action("a", filter=text)) == "a"


@pytest.mark.parametrize(
    ("fields", "covers"),
    [
        ({"enabled": False}, False),
        ({"action": "namespaceTurndown"}, False),
        ({"namespaces": ("bank",)}, False),
        ({"namespaces": ("bank", "shop")}, True),
        ({"scope": "cluster", "clusters": ("staging",)}, False),
        ({"scope": "cluster", "clusters": ("prod",)}, True),
        ({"scope": "cluster", "clusters": ("c1a2",)}, True),
        ({"scope": "local", "clusters": ("all",)}, True),
        ({"scope": "local"}, True),
    ],
)
def test_scope(fields: dict[str, object], covers: bool) -> None:
    assert picked(action("a", **fields), cluster_id="c1a2") == ("a" if covers else None)


def test_no_action_is_the_fleets_own_parameters() -> None:
    assert picked() is None


def test_a_pods_label_wins_over_the_workloads() -> None:
    assert subject_of(WEB, SERVER).labels == {"team": "shop", "tier": "front"}
