"""What `trimtab init` ships to install Trimtab itself: it builds, is valid, restricted, and has the rights that are used."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "example-repo"
SYSTEM = EXAMPLE / "clusters/demo/trimtab-system"
NEWEST = "1.32"
SYNCED = [EXAMPLE / "bootstrap/argocd/trimtab-system.yaml", EXAMPLE / "bootstrap/flux/trimtab-system.yaml"]


@cache
def built() -> tuple[dict[str, Any], ...]:
    done = subprocess.run(["kubectl", "kustomize", str(SYSTEM)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in built() if one["kind"] == kind}


def test_every_object_is_valid_and_in_the_namespace() -> None:
    for one in built():
        kubernetes_validate.validate(one, NEWEST, strict=True)
        if one["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert one["metadata"]["namespace"] == "trimtab-system", one["metadata"]["name"]
    assert set(of("Deployment")) == {"trimtab-server", "trimtab-agent"}
    assert set(of("Service")) == {"trimtab-server"}
    assert set(of("PersistentVolumeClaim")) == {"trimtab-state"}
    assert set(of("NetworkPolicy")) == {"trimtab-server", "trimtab-agent"}


@pytest.mark.parametrize("name", ["trimtab-server", "trimtab-agent"])
def test_pods_meet_the_restricted_standard(name: str) -> None:
    pod = of("Deployment")[name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        allowed = container["securityContext"]
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["capabilities"] == {"drop": ["ALL"]}
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {
        "emptyDir",
        "secret",
        "persistentVolumeClaim",
    }


def test_the_server_has_no_rights_in_the_cluster() -> None:
    pod = of("Deployment")["trimtab-server"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    bound = [s for kind in ("ClusterRoleBinding", "RoleBinding") for b in of(kind).values() for s in b["subjects"]]
    assert {subject["name"] for subject in bound} == {"trimtab-agent"}


def test_each_network_policy_selects_its_pods_and_the_agent_can_reach_the_server() -> None:
    for name, policy in of("NetworkPolicy").items():
        labels = of("Deployment")[name]["spec"]["template"]["metadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    (service,) = of("Service").values()
    assert service["spec"]["selector"].items() <= labels_of("trimtab-server").items()
    agent = of("Deployment")["trimtab-agent"]["spec"]["template"]["spec"]["containers"][0]
    told = {one["name"]: one["value"] for one in agent["env"]}
    assert told["TRIMTAB_SERVER"] == "http://trimtab-server.trimtab-system.svc"
    into = of("NetworkPolicy")["trimtab-server"]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert into.items() <= labels_of("trimtab-agent").items()


def labels_of(name: str) -> dict[str, str]:
    labels: dict[str, str] = of("Deployment")[name]["spec"]["template"]["metadata"]["labels"]
    return labels


def test_argo_cd_and_flux_sync_the_folder() -> None:
    for file in SYNCED:
        (synced,) = yaml.safe_load_all(file.read_text())
        spec = synced["spec"]
        assert EXAMPLE / (spec.get("path") or spec["source"]["path"]) == SYSTEM
