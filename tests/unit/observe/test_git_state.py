"""trimtab.yaml, policies/ and actions/: what is read, and how a mistake is named."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from reconciler.errors import Stalled
from reconciler.gate.windows import check_window
from reconciler.model.fleet import Fleet, Root
from reconciler.model.inventory import Problem
from reconciler.model.state import FleetState
from reconciler.model.window import Window
from reconciler.observe.git_state import read_fleet

EXAMPLE_REPO = Path(__file__).resolve().parents[3] / "example-repo"
DESIGN = Path(__file__).resolve().parents[3] / "../shared/DESIGN.md"

FLEET = """\
apiVersion: trimtab.dev/v1alpha1
kind: Fleet
metadata: {name: acme}
spec:
  clusters:
    - name: prod
      path: clusters/prod
    - name: dev
      path: clusters/dev
"""

POLICY = """\
apiVersion: trimtab.dev/v1alpha1
kind: ScalingPolicy
metadata:
  name: web
spec:
  cluster: prod
  runtime: kubernetes
  targetRef: shop/web
  cpuTargetPercent: 70
"""

ACTION = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata:
  name: nightly
spec:
  scope: global
  action: containerRequestRightSizing
  config:
    profile: Development
    rightSizingWindow: 48h
"""

TURNDOWN = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: cluster
  cluster: dev
  action: namespaceTurndown
  config: {namespace: demo, maintenanceWindow: "* 20-23 * * *"}
"""


class Files:
    """A tree of texts."""

    commit = "c0ffee"

    def __init__(self, files: Mapping[str, str | bytes], oddities: Mapping[str, str] = MappingProxyType({})) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.oddities = oddities

    @property
    def blobs(self) -> Mapping[str, str]:
        return dict.fromkeys(self.files, "blob")

    def read(self, path: str) -> bytes:
        return self.files[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}


def read(files: Mapping[str, str | bytes] | None = None, fleet: str = FLEET, **oddities: Any) -> FleetState:
    return read_fleet(Files({"trimtab.yaml": fleet, **(files or {})}, **oddities), check_window=check_window)


def fleet(text: str) -> Fleet:
    return read(fleet=text).fleet


def spec(text: str) -> str:
    """FLEET with more fields of ``spec``."""
    return FLEET + text


def stalled(text: str) -> Stalled:
    with pytest.raises(Stalled) as caught:
        read(fleet=text)
    return caught.value


def problem(files: Mapping[str, str | bytes], fleet: str = FLEET) -> Problem:
    """The only problem of these files."""
    (found,) = read(files, fleet).problems
    return found


def policy_problem(old: str, new: str) -> str:
    assert old in POLICY
    found = problem({"policies/web.yaml": POLICY.replace(old, new)})
    return f"{found} → {found.hint}" if found.hint else str(found)


def action_problem(text: str, old: str, new: str) -> str:
    assert old in text
    found = problem({"actions/a.yaml": text.replace(old, new)})
    return f"{found} → {found.hint}" if found.hint else str(found)


# --- trimtab.yaml ---------------------------------------------------------------------------------------------------


def test_the_example_of_the_design_is_read_whole() -> None:
    example = re.search(r"```yaml\n(.*?)```", DESIGN.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None

    result = fleet(example[1])

    assert result.name == "acme"
    (cluster,) = result.clusters
    assert (cluster.name, cluster.id) == ("prod-eu-west-1", "c1a2b3c4-d5e6-7890-abcd-ef1234567890")
    assert cluster.roots == (Root(path="clusters/prod-eu-west-1", namespace="default", sync="agent", write="overlay"),)
    assert [pool.name for pool in result.host_pools] == ["web-pool"]
    delivery = result.delivery
    assert (delivery.mode, delivery.branch, delivery.group_by) == ("commit", "main", ("cluster", "kind"))
    assert (delivery.max_open_pull_requests, delivery.commits_per_hour) == (10, 60)
    assert (delivery.labels, delivery.reviewers, delivery.automerge) == (("trimtab",), ("platform-team",), False)
    assert delivery.sign is not None
    assert (delivery.sign.format, delivery.sign.key) == ("ssh", "/run/secrets/signing")
    assert result.windows.maintenance == (Window(cron="* 22-23 * * 1-5", source="fleet"),)
    assert result.windows.exclusion == (
        Window(
            cron="0 0 20 12 *",
            duration=timedelta(days=14),
            timezone="Europe/Berlin",
            name="holiday freeze",
            source="fleet",
        ),
    )
    assert (result.pricing.cpu_core_hour, result.pricing.ram_gib_hour) == (Decimal("0.031611"), Decimal("0.004237"))
    assert result.rightsizing.profile == "Production"
    assert (result.rightsizing.window_seconds, result.rightsizing.min_change_percent) == (14 * 86400, 10)
    assert (result.guard.observe_seconds, result.guard.revert_on) == (1800, ("oomKill", "crashLoop"))


def test_the_example_repository_has_no_problem() -> None:
    files = {str(p.relative_to(EXAMPLE_REPO)): p.read_bytes() for p in EXAMPLE_REPO.rglob("*") if p.is_file()}

    state = read_fleet(Files(files), check_window=check_window)

    assert state.problems == ()
    assert state.policies_complete
    assert state.actions_complete
    assert state.policies
    assert {action.action for action in state.actions} == {
        "containerRequestRightSizing",
        "resourceQuotaRightSizing",
        "namespaceTurndown",
    }


def test_a_cluster_s_fields_are_the_defaults_of_its_roots() -> None:
    text = """
    - name: edge
      roots:
        - {path: ./edge/base/}
        - {path: edge/apps, namespace: apps, sync: flux, write: helmValues}
      namespace: infra
      sync: argocd
      write: inPlace
"""
    cluster = fleet(FLEET + text.lstrip("\n")).cluster("edge")
    assert cluster is not None
    assert cluster.roots == (
        Root(path="edge/base", namespace="infra", sync="argocd", write="inPlace"),
        Root(path="edge/apps", namespace="apps", sync="flux", write="helmValues"),
    )


def test_a_cluster_has_windows_of_its_own() -> None:
    text = FLEET.replace("path: clusters/dev", "path: clusters/dev\n      windows: {maintenance: '* 3 * * *'}")
    cluster = fleet(text).cluster("dev")
    assert cluster is not None
    assert cluster.windows.maintenance == (Window(cron="* 3 * * *", source="cluster dev"),)


def test_fields_without_a_value_are_fields_that_are_not_there() -> None:
    assert fleet(spec("  windows:\n  delivery:\n    sign:\n  pricing:\n")) == fleet(FLEET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("Production", 0.65, 0.65, 14 * 86400)),
        ("  rightsizing: {profile: High Availability, window: 7d}\n", ("High Availability", 0.5, 0.5, 7 * 86400)),
        ("  rightsizing: {targetUtilizationCPU: 0.7, window: 48h}\n", ("", 0.7, 0.65, 2 * 86400)),
        ("  rightsizing: {profile: Development, targetUtilizationCPU: 0.1}\n", ("Development", 0.8, 0.8, 14 * 86400)),
        (
            "  rightsizing: {profile: Lean}\n  profiles: {Lean: {targetUtilizationRAM: 1}}\n",
            ("Lean", 0.65, 1, 14 * 86400),
        ),
    ],
)
def test_right_sizing_takes_a_profile_or_parameters(text: str, expected: tuple[object, ...]) -> None:
    sizing = fleet(spec(text)).rightsizing
    assert (
        sizing.profile,
        sizing.target_utilization_cpu,
        sizing.target_utilization_ram,
        sizing.window_seconds,
    ) == expected


def test_profiles_of_one_s_own_stand_beside_the_built_in_ones() -> None:
    text = """\
  profiles:
    Batch:
      algorithmCPU: quantile
      algorithmRAM: quantileOfMaxes
      quantileCPU: 0.9
      quantileRAM: 0.99
      targetUtilizationCPU: 0.9
      targetUtilizationRAM: 0.85
      minRecCPUMillicores: 50
      minRecRAMBytes: 104857600
  rightsizing: {minSamples: 5}
"""
    profiles = fleet(spec(text)).profiles
    assert {name: profile.target_utilization_cpu for name, profile in profiles.items()} == {
        "Development": 0.80,
        "Production": 0.65,
        "High Availability": 0.50,
        "Batch": 0.9,
    }
    assert {profiles[name].algorithm_cpu for name in ("Development", "Production", "High Availability")} == {"max"}
    batch = profiles["Batch"]
    assert (batch.algorithm_cpu, batch.algorithm_ram, batch.quantile_ram) == ("quantile", "quantileOfMaxes", 0.99)
    assert (batch.min_cpu_millicores, batch.min_ram_bytes, batch.min_samples) == (50, 104857600, 5)


def test_prices_are_quoted_decimals_or_numbers() -> None:
    pricing = fleet(spec('  pricing: {currency: EUR, cpuCoreHour: 0.1, ramGiBHour: "0.01"}\n')).pricing
    assert (pricing.currency, pricing.cpu_core_hour, pricing.ram_gib_hour) == ("EUR", Decimal("0.1"), Decimal("0.01"))


def test_the_author_and_the_guard_are_read() -> None:
    result = fleet(
        spec("  delivery: {author: {name: Bot, email: bot@example.com}}\n  guard: {observe: 1h, revertOn: []}\n")
    )
    assert (result.delivery.author.name, result.delivery.author.email) == ("Bot", "bot@example.com")
    assert (result.guard.observe_seconds, result.guard.revert_on) == (3600, ())


SAME_ROOT = "    - {name: b, roots: [{path: x}, {path: ./clusters/prod/}]}\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (spec("  guards: {}\n"), "trimtab.yaml:10:3: spec.guards", "unknown field"),
        (spec("  delivery:\n    groupby: [cluster]\n"), "trimtab.yaml:11:5: spec.delivery.groupby", "did you mean groupBy?"),
        (spec("  delivery: {mode: push}\n"), "trimtab.yaml:10:14: spec.delivery.mode", "'commit' or 'pullRequest'"),
        (spec("  delivery: {groupBy: cluster}\n"), "10:14: spec.delivery.groupBy", "valid list"),
        (spec("  delivery: {groupBy: [pod]}\n"), "10:24: spec.delivery.groupBy[0]", "'workload'"),
        (spec('  delivery: {commitsPerHour: "60"}\n'), "10:14: spec.delivery.commitsPerHour", "valid integer"),
        (spec("  delivery: {automerge: 'no'}\n"), "10:14: spec.delivery.automerge", "valid boolean"),
        (spec("  delivery: {branch: 'a b'}\n"), "10:14: spec.delivery.branch", "no name for a branch"),
        (spec("  delivery: {sign: {format: x509, key: k}}\n"), "spec.delivery.sign.format", "'ssh' or 'gpg'"),
        (spec("  delivery: {sign: {format: ssh}}\n"), "10:14: spec.delivery.sign.key", "Field required"),
        (spec("  delivery: {author: {name: 'a <b>'}}\n"), "spec.delivery.author.name", "one line"),
        (spec("  delivery: commit\n"), "10:3: spec.delivery", "a mapping is expected"),
        (spec("  pricing: {cpuCoreHour: -1}\n"), "10:13: spec.pricing.cpuCoreHour", "0 or more"),
        (spec("  pricing: {ramGiBHour: cheap}\n"), "10:13: spec.pricing.ramGiBHour", "no price"),
        (spec("  pricing: {ramGiBHour: true}\n"), "10:13: spec.pricing.ramGiBHour", "write a price"),
        (spec("  rightsizing: {window: 14}\n"), "10:17: spec.rightsizing.window", "duration such as"),
        (spec("  rightsizing: {window: 14 days}\n"), "10:17: spec.rightsizing.window", "duration such as"),
        (spec("  rightsizing: {profile: production}\n"), "spec.rightsizing.profile", "did you mean Production?"),
        (spec("  rightsizing: {targetUtilizationCPU: 80}\n"), "spec.rightsizing.targetUtilizationCPU", "less than or equal to 1"),
        (spec("  profiles: {Production: {}}\n"), "10:14: spec.profiles.Production", "built-in"),
        (spec("  profiles: {X: {quantileCpu: 1}}\n"), "10:18: spec.profiles.X.quantileCpu", "did you mean quantileCPU?"),
        (spec("  guard: {revertOn: [oom]}\n"), "10:22: spec.guard.revertOn[0]", "'oomKill'"),
        (spec("  hostPools: [{name: a}, {name: a}]\n"), "10:27: spec.hostPools[1].name", "second host pool named a"),
        (spec("  lxcNodes: [{name: a}, {name: a}]\n"), "10:26: spec.lxcNodes[1].name", "second LXC node named a"),
        (spec("  windows: {maintenance: ['* * * * * *']}\n"), "10:27: spec.windows.maintenance[0]", "6 fields"),
        (spec("  windows: {maintenance: '61 * * * *'}\n"), "10:13: spec.windows.maintenance", "61"),
        (spec("  windows: {exclusion: [{cron: '0 0 * * *', durations: 1h}]}\n"), "spec.windows.exclusion[0].durations", "did you mean duration?"),
        (spec("  windows: {exclusion: [{cron: '0 0 * * *', duration: 1 h}]}\n"), "spec.windows.exclusion[0].duration", "duration such as"),
        (spec("  windows: {exclusion: [{cron: '0 0 * * *', timezone: Mars/One}]}\n"), "exclusion[0].timezone", "time zone"),
        (spec("  windows: {exclusion: [{duration: 1h}]}\n"), "spec.windows.exclusion[0].cron", "Field required"),
        (FLEET.replace("name: dev", "name: prod"), "trimtab.yaml:8:7: spec.clusters[1].name", "second cluster named prod"),
        (FLEET.replace("name: dev", "name: Dev_1"), "8:7: spec.clusters[1].name", "DNS name"),
        (FLEET.replace("clusters/dev", "../dev"), "9:7: spec.clusters[1].path", "inside of the repository"),
        (FLEET.replace("clusters/dev", "/dev"), "9:7: spec.clusters[1].path", "inside of the repository"),
        (FLEET.replace("clusters/dev", "clusters/prod"), "9:7: spec.clusters[1].path", "already one of cluster prod"),
        (FLEET.replace("clusters/dev", "clusters/prod/dev"), "9:7: spec.clusters[1].path", "one inside of the other"),
        (FLEET.replace("clusters/dev", "."), "9:7: spec.clusters[1].path", "one inside of the other"),
        (FLEET + SAME_ROOT, "10:37: spec.clusters[2].roots[1].path", "already one of cluster prod"),
        (FLEET.replace("path: clusters/dev", "id: x"), "8:7: spec.clusters[1]", "either a path or roots"),
        (FLEET.replace("path: clusters/dev", "path: a\n      roots: [{path: b}]"), "8:7: spec.clusters[1]", "not both"),
        (FLEET.replace("path: clusters/dev", "roots: []"), "9:7: spec.clusters[1].roots", "at least 1"),
        (FLEET.replace("{name: acme}", "{}"), "trimtab.yaml:3:1: metadata.name", "Field required"),
        (FLEET.replace("acme", "5"), "trimtab.yaml:3:12: metadata.name", "valid string"),
        (FLEET.replace("kind: Fleet", "kind: Feet"), "trimtab.yaml:2:1: kind", "'Fleet'"),
        (FLEET.replace("v1alpha1", "v2"), "trimtab.yaml:1:1: apiVersion", "trimtab.dev/v1alpha1"),
        ("- 1\n", "trimtab.yaml:1:1", "a mapping is expected"),
        ("a: 1\na: 2\n", "trimtab.yaml:2:1", "duplicate key"),
        ("", "trimtab.yaml", "the file is empty"),
        (FLEET + "---\n" + FLEET, "trimtab.yaml:11:1", "more than one document"),
    ],
)  # fmt: skip
def test_a_mistake_in_trimtab_yaml_stops_everything_and_names_the_place(text: str, place: str, words: str) -> None:
    error = stalled(text)
    assert place in str(error.where)
    assert words in f"{error.message} {error.hint}"


def test_all_mistakes_are_told_at_once() -> None:
    text = str(stalled(spec("  pricing: {currency: 5, cpuCoreHour: x}\n  guard: 1\n")))
    assert [line.partition(": ")[2].partition(": ")[0] for line in text.splitlines()] == [
        "spec.pricing.currency",
        "spec.pricing.cpuCoreHour",
        "spec.guard",
    ]


def test_a_missing_trimtab_yaml_says_how_to_get_one() -> None:
    with pytest.raises(Stalled, match="trimtab init"):
        read_fleet(Files({"policies/web.yaml": POLICY}), check_window=check_window)
    with pytest.raises(Stalled, match="symlink"):
        read_fleet(Files({}, {"trimtab.yaml": "symlink"}), check_window=check_window)


# --- policies -------------------------------------------------------------------------------------------------------


def test_a_policy_is_read_with_its_defaults() -> None:
    (policy,) = read({"policies/web.yaml": POLICY}).policies
    assert (policy.id, policy.source, policy.path) == ("scp_web", "git", "policies/web.yaml")
    assert (policy.spec.name, policy.spec.cluster, policy.spec.target_ref) == ("web", "prod", "shop/web")
    assert (policy.spec.dry_run, policy.spec.min_replicas, policy.spec.max_replicas) == (True, 1, 10)
    assert policy.windows.maintenance == ()


@pytest.mark.parametrize(
    ("windows", "maintenance"),
    [
        ("'* 3 * * *'", [Window(cron="* 3 * * *", source="policy web")]),
        ("['* 3 * * *', '* 5 * * *']", [Window(cron=f"* {hour} * * *", source="policy web") for hour in (3, 5)]),
        (
            "{cron: 0 3 * * *, duration: 90m, timezone: Europe/Berlin, name: night}",
            [
                Window(
                    cron="0 3 * * *",
                    duration=timedelta(minutes=90),
                    timezone="Europe/Berlin",
                    name="night",
                    source="policy web",
                )
            ],
        ),
        ("''", []),
        ("", []),
    ],
)
def test_a_policy_s_windows_may_be_written_in_each_way(windows: str, maintenance: list[Window]) -> None:
    (policy,) = read({"policies/web.yaml": POLICY + f"  maintenanceWindow: {windows}\n"}).policies
    assert list(policy.windows.maintenance) == maintenance


def test_policies_come_by_file_and_then_by_document() -> None:
    def named(name: str) -> str:
        return POLICY.replace("name: web", f"name: {name}").replace("shop/web", f"shop/{name}")

    files = {
        "policies/b.yml": named("b"),
        "policies/a.yaml": named("a2") + "---\n# nothing\n---\n" + named("a1"),
        "policies/README.md": "# not a policy",
        "other/c.yaml": "kind: [",
    }
    state = read(files)
    assert [policy.spec.name for policy in state.policies] == ["a2", "a1", "b"]
    assert state.policies_complete


def test_the_only_cluster_need_not_be_named() -> None:
    one = FLEET[: FLEET.index("    - name: dev")]
    unnamed = POLICY.replace("  cluster: prod\n", "")
    (policy,) = read({"policies/web.yaml": unnamed}, one).policies
    assert policy.spec.cluster == "prod"
    assert "which cluster? The fleet has 2" in policy_problem("  cluster: prod\n", "")
    none = "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: a}\nspec: {}\n"
    assert "the fleet has no clusters" in problem({"policies/web.yaml": unnamed}, none).message


def test_docker_and_lxc_policies_need_no_cluster() -> None:
    docker = POLICY.replace("  cluster: prod\n", "").replace("kubernetes", "docker").replace("shop/web", "pool/web")
    lxc = (
        POLICY.replace("  cluster: prod\n", "")
        .replace("kubernetes", "lxc")
        .replace("name: web", "name: ct")
        .replace("shop/web", "pve1/104")
    )
    extra = "  minMemoryMB: 512\n  maxMemoryMB: 4096\n"
    policies = read({"policies/d.yaml": docker + "  lbPoolRef: lb\n", "policies/l.yaml": lxc + extra}).policies
    assert [(policy.spec.runtime, policy.spec.cluster) for policy in policies] == [("docker", None), ("lxc", None)]
    assert policies[1].spec.max_memory_mb == 4096


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("70", "101", "policies/web.yaml:9:3: spec.cpuTargetPercent: Input should be less than or equal to 100"),
        ("70", "'70'", "policies/web.yaml:9:3: spec.cpuTargetPercent: Input should be a valid number"),
        ("cpuTargetPercent", "cpuTargetPercnt", "9:3: spec.cpuTargetPercnt: unknown field → did you mean cpuTargetPercent?"),
        ("cpuTargetPercent", "cpu_target_percent", "9:3: spec.cpu_target_percent: unknown field"),
        ("  cpuTargetPercent: 70\n", "  minReplicas: 3\n", "web.yaml:5:1: spec: at least one of cpuTargetPercent and"),
        ("  cpuT", "  maxReplicas: 2\n  minReplicas: 3\n  cpuT", "10:3: spec.minReplicas: minReplicas 3 is above maxReplicas 2"),
        ("shop/web", "web", "8:3: spec.targetRef: targetRef 'web' is not namespace/workload"),
        ("runtime: kubernetes", "runtime: nomad", "7:3: spec.runtime: Input should be 'kubernetes', 'docker' or 'lxc'"),
        ("  runtime: kubernetes\n", "", "web.yaml:5:1: spec.runtime: Field required"),
        ("cluster: prod", "cluster: prd", "6:3: spec.cluster: there is no cluster prd in trimtab.yaml → did you mean prod?"),
        ("  cpuT", "  name: x\n  cpuT", "9:3: spec.name: unknown field → a declared policy's name is metadata.name"),
        ("  cpuT", "  maintenanceWindow: '* * *'\n  cpuT", "9:3: spec.maintenanceWindow: 3 fields"),
        ("  cpuT", "  exclusionWindow: [{cron: '* * * * *', x: 1}]\n  cpuT", "9:41: spec.exclusionWindow[0].x: unknown field"),
        ("  cpuT", "  exclusionWindow: 5\n  cpuT", "9:3: spec.exclusionWindow: a mapping is expected here"),
        ("  name: web", "  nam: web", "policies/web.yaml:3:1: metadata.name: Field required"),
        ("  name: web", "  name: 'a b'", "policies/web.yaml:4:3: metadata.name: 'a b' is not a name"),
        ("kind: ScalingPolicy", "kind: Deployment", "2:1: kind: Deployment is not a kind that is read here"),
        ("kind: ScalingPolicy\n", "", "policies/web.yaml:1:1: kind: Field required"),
        ("spec:", "spec: {\n", "policies/web.yaml:8:1: not valid YAML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_policy_is_named_with_file_line_and_field(old: str, new: str, message: str) -> None:
    if old == "  name: web":
        found = read({"policies/web.yaml": POLICY.replace(old, new)}).problems
        assert message in "\n".join(str(each) for each in found)
    elif "not valid YAML" in message:
        assert "not valid YAML" in policy_problem(old, new)
    else:
        assert message in policy_problem(old, new)


def test_a_bad_policy_costs_only_itself() -> None:
    other = POLICY.replace("name: web", "name: api").replace("shop/web", "shop/api")
    files = {
        "policies/a.yaml": POLICY.replace("70", "x") + "---\n" + other,
        "policies/b.yaml": "a: [",
        "policies/c.yaml": POLICY,
        "actions/a.yaml": ACTION,
    }

    state = read(files)

    assert [policy.spec.name for policy in state.policies] == ["api", "web"]
    assert [problem.path for problem in state.problems] == ["policies/b.yaml", "policies/a.yaml"]
    assert (state.policies_complete, state.actions_complete, len(state.actions)) == (False, True, 1)
    assert state.commit == "c0ffee"


def test_a_second_policy_of_a_name_is_left_out_and_names_the_first() -> None:
    again = POLICY.replace("shop/web", "shop/other")
    state = read({"policies/a.yaml": POLICY, "policies/b.yaml": "# c\n" + again})
    assert [policy.path for policy in state.policies] == ["policies/a.yaml"]
    (found,) = state.problems
    assert str(found) == "policies/b.yaml:5:3: metadata.name: a second policy named web (policies/a.yaml:4)"
    assert not state.policies_complete


def test_a_second_policy_on_a_target_is_left_out_and_names_the_first() -> None:
    again = POLICY.replace("name: web", "name: web2")
    elsewhere = POLICY.replace("name: web", "name: web3").replace("cluster: prod", "cluster: dev")
    state = read({"policies/a.yaml": POLICY + "---\n" + again, "policies/b.yaml": elsewhere})
    assert [policy.spec.name for policy in state.policies] == ["web", "web3"]
    (found,) = state.problems
    assert str(found).startswith(
        "policies/a.yaml:18:3: spec.targetRef: a second policy for shop/web: web (policies/a.yaml:4)"
    )


def test_what_is_not_read_is_said_and_not_skipped_in_silence() -> None:
    state = read(
        {"policies/team/web.yaml": POLICY},
        oddities={"policies/link.yaml": "symlink", "actions": "submodule", "clusters/x": "symlink"},
    )
    assert [str(found) for found in state.problems] == [
        "policies/team/web.yaml: not read",
        "policies/link.yaml: not read: it is a symlink",
        "actions: not read: it is a submodule",
    ]
    assert (state.policies_complete, state.actions_complete) == (False, False)


# --- actions --------------------------------------------------------------------------------------------------------


def test_an_action_takes_the_parameters_of_its_profile() -> None:
    more = (
        "    targetUtilizationCPU: 0.1\n    cpu: false\n    filter: 'namespace:\"shop\"'\n    maintenanceWindow: ''\n"
    )
    (action,) = read({"actions/nightly.yaml": ACTION + more}, spec("  rightsizing: {minChangePercent: 5}\n")).actions
    assert (action.name, action.scope, action.clusters, action.source) == ("nightly", "global", (), "helm")
    sizing = action.sizing
    assert (sizing.profile, sizing.target_utilization_cpu, sizing.target_utilization_ram) == ("Development", 0.8, 0.8)
    assert (sizing.window_seconds, sizing.min_change_percent, sizing.cpu, sizing.memory) == (48 * 3600, 5, False, True)
    assert action.filter == 'namespace:"shop"'
    assert action.windows.maintenance == ()
    assert action.path == "actions/nightly.yaml"
    assert action.config["rightSizingWindow"] == "48h"


def test_an_action_may_bring_its_own_parameters() -> None:
    own = "quantileCPU: 0.9\n    algorithmCPU: quantile\n    targetRAMUtilization: 0.75\n    minRecRAMBytes: 10485760"
    text = ACTION.replace("profile: Development", own).replace("containerRequestRightSizing", "rightsizing")
    (action,) = read({"actions/a.yaml": text.replace("    rightSizingWindow: 48h\n", "")}).actions
    sizing = action.sizing
    assert action.action == "containerRequestRightSizing"
    assert (sizing.profile, sizing.algorithm_cpu, sizing.quantile_cpu) == ("", "quantile", 0.9)
    assert (sizing.target_utilization_ram, sizing.min_ram_bytes, sizing.window_seconds) == (0.75, 10485760, 14 * 86400)


def test_a_new_field_wins_over_its_legacy_spelling() -> None:
    text = ACTION.replace("profile: Development", "targetRAMUtilization: 0.7\n    targetUtilizationRAM: 0.6")
    (action,) = read({"actions/a.yaml": text}).actions
    assert action.sizing.target_utilization_ram == 0.6


def test_a_turndown_names_its_namespaces_and_its_window() -> None:
    (action,) = read({"actions/sleep.yaml": TURNDOWN}).actions
    assert (action.action, action.clusters, action.namespaces) == ("namespaceTurndown", ("dev",), ("demo",))
    assert action.windows.maintenance == (Window(cron="* 20-23 * * *", source="action sleep"),)
    several = TURNDOWN.replace("namespace: demo", "namespace: a, namespaces: [b, a, c]")
    assert read({"actions/sleep.yaml": several}).actions[0].namespaces == ("a", "b", "c")


def test_an_action_s_id_is_the_same_wherever_the_fleet_is_read() -> None:
    (first,) = read({"actions/a.yaml": ACTION}).actions
    (moved,) = read({"actions/sub.yml": "# moved\n" + ACTION}).actions
    (other,) = read({"actions/a.yaml": ACTION}, FLEET.replace("acme", "beta")).actions
    assert first.id == moved.id != other.id
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first.id)


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (ACTION, "    profile: Development\n", "", "actions/a.yaml:8:3: spec.config.profile: either a profile or individual"),
        (ACTION, "Development", "Devlopment", "9:5: spec.config.profile: there is no profile named Devlopment → did you mean Development?"),
        (ACTION, "name: nightly", "name: system", "4:3: metadata.name: the name system is reserved"),
        (ACTION, "scope: global", "scope: cluster", "5:1: spec.cluster: Field required"),
        (ACTION, "scope: global", "scope: cluster\n  cluster: prd", "7:3: spec.cluster: there is no cluster prd"),
        (ACTION, "scope: global", "scope: local\n  cluster: dev", "7:3: spec.cluster: the scope local means all clusters"),
        (ACTION, "scope: global", "scope: everywhere", "6:3: spec.scope: Input should be"),
        (ACTION, "  scope: global\n", "", "5:1: spec.scope: Field required"),
        (ACTION, "containerRequestRightSizing", "resize", "7:3: spec.action: Input should be"),
        (ACTION, "scope: global", "scope: global\n  name: x", "7:3: spec.name: unknown field → a declared action's name"),
        (ACTION, "scope: global", "scope: global\n  source: API", "7:3: spec.source: unknown field → leave it out"),
        (ACTION, "profile:", "profil:", "9:5: spec.config.profil: unknown field → did you mean profile?"),
        (ACTION, "48h", "2 days", "10:5: spec.config.rightSizingWindow: '2 days' is not a duration"),
        (ACTION, "profile: Development", "targetUtilizationCPU: 80", "9:5: spec.config.targetUtilizationCPU: Input should be less"),
        (ACTION, "48h", "48h\n    maintenanceWindow: '0 2 * * 0 *'", "11:5: spec.config.maintenanceWindow: 6 fields"),
        (ACTION, "48h", "48h\n    enabled: 'yes'", "11:5: spec.config.enabled: Input should be a valid boolean"),
        (TURNDOWN, ', maintenanceWindow: "* 20-23 * * *"', "", "8:3: spec.config.maintenanceWindow: a turndown needs"),
        (TURNDOWN, '"* 20-23 * * *"', '""', "8:29: spec.config.maintenanceWindow: a turndown needs a maintenance window"),
        (TURNDOWN, "namespace: demo, ", "", "8:3: spec.config.namespaces: a turndown must say which namespaces"),
        (TURNDOWN, "namespace: demo", "profile: Production", "8:12: spec.config.profile: unknown field"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_action_is_named_with_file_line_and_field(text: str, old: str, new: str, message: str) -> None:
    found = read({"actions/a.yaml": text.replace(old, new)}).problems
    assert message in "\n".join(f"{each} → {each.hint}" if each.hint else str(each) for each in found)
    assert read({"actions/a.yaml": text.replace(old, new)}).actions == ()


def test_the_scopes_local_and_global_mean_all_clusters() -> None:
    for scope in ("scope: local", "scope: global\n  cluster: all"):
        (action,) = read({"actions/a.yaml": ACTION.replace("scope: global", scope)}).actions
        assert action.clusters == ()


def test_a_second_action_of_a_name_is_left_out_and_names_the_first() -> None:
    state = read({"actions/a.yaml": ACTION, "actions/b.yaml": ACTION})
    assert [action.path for action in state.actions] == ["actions/a.yaml"]
    assert "a second action named nightly (actions/a.yaml:4)" in str(state.problems[0])
    assert (state.policies_complete, state.actions_complete) == (True, False)
