"""docs/fleet-repo.md: its YAML is read by the code that reads a fleet repo, and no field is left out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from reconciler.gate.windows import check_window
from reconciler.manifests import container_group, lxc_container
from reconciler.manifests.yaml_reader import load_all
from reconciler.model.state import FleetState
from reconciler.observe.action_fields import ActionFields, NamespaceConfig, RightSizingConfig
from reconciler.observe.config_fleet import (
    AuthorFields,
    ClusterFields,
    DeliveryFields,
    FleetSpec,
    GuardFields,
    HostPoolFields,
    LxcNodeFields,
    Metadata,
    PricingFields,
    RightsizingFields,
    RootFields,
    SignFields,
    WindowFields,
    WindowsFields,
)
from reconciler.observe.git_policies import PolicyFields
from reconciler.observe.git_state import read_fleet

PAGE = (Path(__file__).resolve().parents[3] / "docs/fleet-repo.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("apiVersion")]
FOLDERS = {"ScalingPolicy": "policies", "ActionConfig": "actions"}


class Page:
    """The blocks of the page as the files of a fleet repo."""

    commit = "page"
    oddities: dict[str, str] = {}

    def __init__(self) -> None:
        self.files = dict(self._files())
        self.blobs = dict.fromkeys(self.files, "blob")

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for number, block in enumerate(BLOCKS):
            kinds = {document.value["kind"] for document in load_all(block.encode(), path="fleet-repo.md")}
            (kind,) = kinds
            if kind == "Fleet":
                yield "trimtab.yaml", block.encode()
            elif kind in FOLDERS:
                yield f"{FOLDERS[kind]}/{number}.yaml", block.encode()

    def read(self, path: str) -> bytes:
        return self.files[path]

    def read_many(self, paths: list[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}


@pytest.fixture(scope="module")
def state() -> FleetState:
    return read_fleet(Page(), check_window=check_window)


def test_every_example_is_read_without_a_problem(state: FleetState) -> None:
    assert state.problems == ()
    # A root's kustomization.yaml, a group and a container are read by others.
    assert len(BLOCKS) == len(Page().files) + 3
    assert [cluster.name for cluster in state.fleet.clusters] == ["prod-eu", "staging"]
    assert {policy.spec.runtime for policy in state.policies} == {"kubernetes", "docker", "lxc"}
    assert [action.action for action in state.actions] == [
        "containerRequestRightSizing",
        "containerRequestRightSizing",
        "resourceQuotaRightSizing",
        "namespaceTurndown",
    ]


def test_the_group_and_the_container_are_read_and_every_field_of_theirs_is_explained() -> None:
    (group,) = (block for block in BLOCKS if "kind: ContainerGroup" in block)
    (container,) = (block for block in BLOCKS if "kind: LXCContainer" in block)
    read = container_group.parse(group.encode(), path="docker/web-pool/edge-proxy.yaml")
    has = lxc_container.parse(container.encode(), path="lxc/pve1/104.yaml")
    fields = [*container_group.fields_of(read), *lxc_container.fields_of(has)]
    assert len(fields) == 10
    assert [field for field in fields if f"`{field.removeprefix('spec/')}`" not in PAGE] == []


@pytest.mark.parametrize(
    "section",
    [
        Metadata, FleetSpec, ClusterFields, RootFields, HostPoolFields, LxcNodeFields, DeliveryFields, SignFields, AuthorFields,
        WindowsFields, WindowFields, PricingFields, RightsizingFields, GuardFields,
        PolicyFields, ActionFields, RightSizingConfig, NamespaceConfig,
    ],
)  # fmt: skip
def test_every_field_is_explained(section: type[BaseModel]) -> None:
    names = [field.alias or name for name, field in section.model_fields.items()]
    assert names
    assert [name for name in names if f"`{name}`" not in PAGE and f"metadata.{name}`" not in PAGE] == []


def test_the_defaults_that_the_page_names_are_the_defaults(state: FleetState) -> None:
    bare = read_fleet(Bare(), check_window=check_window).fleet
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
    assert rows["branch"] == bare.delivery.branch
    assert rows["commitsPerHour"] == str(bare.delivery.commits_per_hour)
    assert rows["maxOpenPullRequests"] == str(bare.delivery.max_open_pull_requests)
    assert rows["cpuCoreHour"].strip('"') == str(bare.pricing.cpu_core_hour)
    assert rows["ramGiBHour"].strip('"') == str(bare.pricing.ram_gib_hour)
    assert rows["profile"] == bare.rightsizing.profile
    assert rows["minSamples"] == str(bare.rightsizing.min_samples)
    assert rows["minRecRAMBytes"] == str(bare.rightsizing.min_ram_bytes)
    assert rows["minRecCPUMillicores"] == str(bare.rightsizing.min_cpu_millicores)
    assert rows["observe"] == f"{bare.guard.observe_seconds // 60}m"


class Bare(Page):
    """A fleet that says nothing."""

    def _files(self) -> Iterator[tuple[str, bytes]]:
        yield "trimtab.yaml", b"{apiVersion: trimtab.dev/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {}}"
