"""Replicas handed over to an HPA: two commits, down and up with the namespace, and back again; every commit builds."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.fleets import FleetRepo, fleet_yaml, git, new_fleet, policy

ROOT = "clusters/prod"
HPA = f"{ROOT}/trimtab/app/hpa-web.yaml"
HANDOVER = f"{ROOT}/trimtab/handover/app/replicas-deployment-web.yaml"
LIST = f"{ROOT}/trimtab/handover/kustomization.yaml"
WEB = """\
# The web team's
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: app
spec:
  replicas: 3 # for the demo
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - name: server
          image: {name}
          resources: {{requests: {{cpu: 100m}}}}
"""
SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {enabled: true, filter: 'namespace:"app"', maintenanceWindow: "* 20-23 * * *"}
"""
EVENING, MIDNIGHT, NEXT_EVENING = "2026-06-17T20:00:00Z", "2026-06-18T00:00:00Z", "2026-06-18T20:00:00Z"


def scaled(name: str = "web", **spec: object) -> dict[str, str]:
    return {f"policies/{name}.yaml": policy(name, f"app/{name}", minReplicas=2, maxReplicas=6, **spec)}


def fleet(home: Path, **files: str) -> FleetRepo:
    base = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"),
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{ROOT}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{ROOT}/apps/kustomization.yaml": "resources: [web.yaml, api.yaml]\n",
        f"{ROOT}/apps/web.yaml": WEB.format(name="web"),
        f"{ROOT}/apps/api.yaml": WEB.format(name="api"),
    }
    return new_fleet(home, base | files)


def handed_over(home: Path) -> FleetRepo:
    repo = fleet(home, **scaled(handOver=True))
    repo.at("reconcile", "--once", code=0)
    return repo


def objects(repo: FleetRepo) -> dict[tuple[str, str], Any]:
    return {(o["kind"], o["metadata"]["name"]): o["spec"] for o in repo.build(ROOT)}


def replicas(repo: FleetRepo, name: str = "web") -> int | None:
    return objects(repo)["Deployment", name].get("replicas")


def every_commit_builds(repo: FleetRepo) -> int:
    """Build the root at every commit of the branch, as Argo CD or Flux may at any time; how many there are."""
    checkout = repo.home / "history"
    git(repo.home, "clone", "-q", str(repo.bare), str(checkout))
    commits = repo.log("%H")
    for commit in commits:
        git(checkout, "checkout", "-q", commit)
        done = subprocess.run(
            ["kubectl", "kustomize", str(checkout / ROOT)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{git(checkout, 'log', '-1', '--format=%s')}: {done.stderr}"
    return len(commits)


def test_replicas_in_the_manifest_hold_the_policy_with_file_and_line(tmp_path: Path) -> None:
    repo = fleet(tmp_path, **scaled())
    before = repo.head()
    (blocked,) = repo.at("reconcile", "--once", "--json", code=0).json()["blocked"]
    assert f"{ROOT}/apps/web.yaml:8 sets spec.replicas: 3" in blocked["reason"]
    assert "handOver: true" in blocked["reason"]
    assert repo.head() == before


def test_the_hpa_comes_first_and_then_the_handover(tmp_path: Path) -> None:
    repo = fleet(tmp_path, **scaled(handOver=True))
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    first, second = repo.log("%H", "--reverse", f"{before}..")
    assert [HPA in repo.files(rev=commit) for commit in (first, second)] == [True, True]
    assert [HANDOVER in repo.files(rev=commit) for commit in (first, second)] == [False, True]
    built = objects(repo)
    assert "replicas" not in built["Deployment", "web"]
    assert built["HorizontalPodAutoscaler", "web"]["scaleTargetRef"]["name"] == "web"
    assert built["Deployment", "api"]["replicas"] == 3
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled
    assert repo.show(f"{ROOT}/apps/web.yaml") == WEB.format(name="web").rstrip("\n"), "people's file is as it was"
    every_commit_builds(repo)


def test_a_turndown_wins_over_the_handover_and_gives_way_to_it_again(tmp_path: Path) -> None:
    repo = fleet(tmp_path, **scaled(handOver=True), **{"actions/sleep.yaml": SLEEP})
    repo.at("reconcile", "--once", code=0)
    assert replicas(repo) is None
    for evening, midnight in ((EVENING, MIDNIGHT), (NEXT_EVENING, "2026-06-19T00:00:00Z")):
        repo.at("reconcile", "--once", now=evening, code=0)
        assert (replicas(repo), replicas(repo, "api")) == (0, 0)
        assert ("HorizontalPodAutoscaler", "web") in objects(repo), "it rests at 0 replicas, and stays"
        assert not repo.at("reconcile", "--once", "--json", now=evening, code=0).json()["changes"]
        repo.at("reconcile", "--once", now=midnight, code=0)
        assert (replicas(repo), replicas(repo, "api")) == (None, 3)
    listed = yaml.safe_load(repo.show(f"{ROOT}/trimtab/kustomization.yaml"))["components"]
    assert listed == ["handover", "app/turndown"]
    assert "ok" in repo.trimtab("doctor").text
    every_commit_builds(repo)


def test_what_is_handed_over_while_its_namespace_is_down_stays_down(tmp_path: Path) -> None:
    repo = fleet(tmp_path, **{"actions/sleep.yaml": SLEEP})
    repo.at("reconcile", "--once", now=EVENING, code=0)
    repo.pull()
    for path, text in scaled(handOver=True).items():
        repo.write(path, text)
    repo.commit("Scale web")
    repo.at("reconcile", "--once", now=EVENING, code=0)
    assert HANDOVER in repo.files()
    assert replicas(repo) == 0
    repo.at("reconcile", "--once", now=MIDNIGHT, code=0)
    assert replicas(repo) is None
    every_commit_builds(repo)


def test_rolling_back_the_policy_takes_the_handover_first_and_the_hpa_after_it(tmp_path: Path) -> None:
    repo = fleet(tmp_path, **scaled(handOver=True))
    people = git(repo.bare, "rev-parse", f"main:{ROOT}")
    repo.at("reconcile", "--once", code=0)
    repo.at("rollback", "web", code=0)
    assert (HPA in repo.files(), HANDOVER in repo.files(), LIST in repo.files()) == (True, False, False)
    assert replicas(repo) == 3
    settled = repo.head()
    again = repo.at("reconcile", "--once", "--json", code=0).json()
    assert repo.head() == settled, "what was refused is not handed over again"
    assert any(HANDOVER in note and "refused" in note for note in again["notes"])
    repo.at("rollback", "web", code=0)
    assert HPA not in repo.files()
    assert yaml.safe_load(repo.show("policies/web.yaml"))["spec"]["dryRun"] is True
    assert git(repo.bare, "rev-parse", f"main:{ROOT}") == people, "the root is byte for byte what people wrote"
    assert "undone already" in repo.at("rollback", "web", code=1).text
    assert every_commit_builds(repo) == 5


@pytest.mark.parametrize("by", ["trimtab", "a person"])
def test_a_handover_does_not_outlive_its_hpa(tmp_path: Path, by: str) -> None:
    """Without either, the next apply would leave one replica (the field's default)."""
    repo = handed_over(tmp_path)
    hpa_commit = repo.log("%H")[1]
    if by == "trimtab":
        repo.at("rollback", hpa_commit, code=0)
    else:
        repo.pull()  # `git revert` conflicts in the list, which the handover has changed since: a person sees to it
        git(repo.work, "rm", "-q", HPA)
        listed = f"{ROOT}/trimtab/kustomization.yaml"
        repo.write(listed, repo.show(listed).replace("resources:\n  - app/hpa-web.yaml\n", "") + "\n")
        repo.commit(f"No HPA for web\n\nThis reverts commit {hpa_commit}.")
    repo.at("reconcile", "--once", code=0)
    assert (HPA in repo.files(), HANDOVER in repo.files()) == (False, False)
    assert replicas(repo) == 3
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled
    every_commit_builds(repo)


def test_rolling_back_one_of_two_handovers_leaves_the_other(tmp_path: Path) -> None:
    repo = handed_over(tmp_path)
    first = repo.head()
    repo.pull()
    for path, text in scaled("api", handOver=True).items():
        repo.write(path, text)
    repo.commit("Scale the API as well")
    repo.at("reconcile", "--once", code=0)
    assert (replicas(repo), replicas(repo, "api")) == (None, None)
    repo.at("rollback", first, code=0)
    assert (replicas(repo), replicas(repo, "api")) == (3, None)
    every_commit_builds(repo)


def test_a_person_who_removes_the_field_ends_the_handover(tmp_path: Path) -> None:
    repo = handed_over(tmp_path)
    repo.pull()
    path = f"{ROOT}/apps/web.yaml"
    repo.write(path, "".join(line for line in WEB.format(name="web").splitlines(True) if "replicas" not in line))
    repo.commit("The HPA has it")
    repo.at("reconcile", "--once", code=0)
    assert (HPA in repo.files(), HANDOVER in repo.files()) == (True, False)
    assert replicas(repo) is None
    every_commit_builds(repo)


def test_deleting_the_policy_takes_both_away_in_one_commit(tmp_path: Path) -> None:
    repo = handed_over(tmp_path)
    repo.pull()
    (repo.work / "policies/web.yaml").unlink()
    before = repo.commit("No more autoscaling")
    repo.at("reconcile", "--once", code=0)
    assert len(repo.log("%H", f"{before}..")) == 1
    assert (HPA in repo.files(), HANDOVER in repo.files(), LIST in repo.files()) == (False, False, False)
    assert replicas(repo) == 3
    every_commit_builds(repo)
