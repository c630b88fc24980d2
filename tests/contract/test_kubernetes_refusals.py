"""What a Kubernetes API server refuses, and in which words; on the double, and on the server that KUBECONFIG names."""

import pytest

from reconciler.agent.kubernetes.cluster import Invalid, Missing
from support.kube_suite import Api, cpu_of

TRIMTAB = "trimtab"


def test_a_partial_of_a_deployment_that_is_missing_is_refused_in_words(api: Api) -> None:
    with pytest.raises(Invalid, match=r"spec\.selector: Required value") as raised:
        api.cluster.apply(api.partial("absent", {"replicas": 2}), manager=TRIMTAB, force=True)
    assert "spec.template.spec.containers: Required value" in raised.value.message
    assert api.cluster.get(api.key("Deployment", "absent")) is None


def test_a_container_that_is_not_there_is_refused(api: Api) -> None:
    api.create(api.deployment("unknown"), "kubectl")
    with pytest.raises(Invalid, match=r"containers\[2\]\.image: Required value"):
        api.cluster.apply(api.partial("unknown", cpu_of("renamed", "200m")), manager=TRIMTAB, force=True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"replicas": -1}, r"spec\.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"nonsense": 1}, r"\.spec\.nonsense: field not declared in schema"),
        ({"replicas": "many"}, r"\.spec\.replicas: expected numeric"),
        (
            {"template": {"spec": {"containers": [{"image": "x"}]}}},
            r"containers\[2\]\.name: Required value|omits key field",
        ),
        (cpu_of("server", "lots"), "quantities must match"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "field is immutable"),
    ],
)
def test_what_is_not_valid_is_refused_in_the_servers_words(api: Api, spec: dict[str, object], said: str) -> None:
    if api.cluster.get(api.key("Deployment", "valid")) is None:
        api.create(api.deployment("valid"), "kubectl")
    with pytest.raises(Invalid, match=said):
        api.cluster.apply(api.partial("valid", spec), manager=TRIMTAB, force=True)


def test_a_request_above_its_limit_is_refused(api: Api) -> None:
    made = api.create(api.deployment("above"), "kubectl")
    limits = {"name": "server", "resources": {"limits": {"cpu": "150m"}, "requests": {"cpu": "200m"}}}
    with pytest.raises(Invalid, match="must be less than or equal to cpu limit"):
        api.cluster.apply(
            api.partial("above", {"template": {"spec": {"containers": [limits]}}}), manager=TRIMTAB, force=True
        )
    assert api.read(made)["metadata"]["generation"] == made["metadata"]["generation"]


def test_a_namespace_that_is_missing_is_said(api: Api) -> None:
    lost = api.config("lost", one="1")
    lost["metadata"]["namespace"] = f"{api.namespace}-not"
    with pytest.raises(Missing, match=f'namespaces "{api.namespace}-not" not found'):
        api.cluster.apply(lost, manager=TRIMTAB, force=True)
