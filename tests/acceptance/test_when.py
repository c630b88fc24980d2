"""When: windows hold changes, and say by which window and until when; namespaces sleep and wake."""

from datetime import UTC, datetime
from pathlib import Path

import yaml

from support.fleets import FleetRepo, boutique, fleet_yaml, git, new_fleet
from support.replay import CLUSTER, NOW, write_csv

ROOT = "clusters/boutique-prod"
EVENING = "  windows:\n    maintenance: ['* 22-23 * * 1-5']\n"
FREEZE = (
    "  windows:\n    exclusion: [{cron: '0 0 20 12 *', duration: 14d, timezone: Europe/Berlin, name: holiday freeze}]\n"
)
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {enabled: true, filter: 'namespace:"dev"', maintenanceWindow: "* 20-23 * * *"}
"""
DEV = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: preview, namespace: dev}
spec:
  replicas: 3
  selector: {matchLabels: {app: preview}}
  template:
    metadata: {labels: {app: preview}}
    spec: {containers: [{name: server, image: preview}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: seed, namespace: dev}
spec:
  schedule: "0 5 * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: seed, image: seed}]}
"""


def shop(home: Path, extra: str, now: datetime = NOW) -> FleetRepo:
    repo = boutique(home, files={"trimtab.yaml": fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra=extra)})
    repo.trimtab("usage", "import", str(write_csv(home / "usage.csv", now=now)), code=0)
    return repo


def sleepy(home: Path) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}"),
        "actions/sleep.yaml": SLEEP,
        "clusters/prod/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        "clusters/prod/trimtab/kustomization.yaml": COMPONENT,
        "clusters/prod/apps/kustomization.yaml": "resources: [dev.yaml]\n",
        "clusters/prod/apps/dev.yaml": DEV,
    }
    return new_fleet(home, files)


def state_of(repo: FleetRepo) -> tuple[object, object]:
    objects = {o["kind"]: o for o in repo.build("clusters/prod")}
    return objects["Deployment"]["spec"]["replicas"], objects["CronJob"]["spec"].get("suspend", False)


def test_outside_the_maintenance_window_a_change_is_held_until_it_opens(tmp_path: Path) -> None:
    repo = shop(tmp_path, EVENING)
    head = repo.head()
    for command in (("plan",), ("reconcile", "--once")):
        ran = repo.at(*command, code=0)
        assert "* 22-23 * * 1-5" in ran.out
        assert "2026-06-17 22:00 UTC" in ran.out
    assert repo.head() == head
    held = repo.at("plan", "--json", code=0).json()["held"]
    assert {h["until"] for h in held} == {"2026-06-17T22:00:00+00:00"}
    repo.at("reconcile", "--once", now="2026-06-17T22:00:00Z", code=0)
    assert repo.head() != head


def test_an_exclusion_beats_maintenance(tmp_path: Path) -> None:
    both = FREEZE.rstrip("\n") + "\n    maintenance: ['* * * * *']\n"
    repo = shop(tmp_path, both, now=datetime(2026, 12, 24, 10, tzinfo=UTC))
    head = repo.head()
    ran = repo.at("reconcile", "--once", now="2026-12-24T10:00:00Z", code=0)
    assert repo.head() == head
    assert "holiday freeze" in ran.out
    assert "2027-01-02 23:00 UTC" in ran.out
    repo.at("reconcile", "--once", now="2027-01-02T23:00:00Z", code=0)
    assert repo.head() != head


def test_windows_are_shown_with_their_stretches(tmp_path: Path) -> None:
    repo = shop(tmp_path, FREEZE)
    ran = repo.trimtab(
        "windows", "--from", "2026-12-01T00:00:00Z", "--to", "2027-01-31T00:00:00Z", "--json", code=0
    ).json()
    assert [(s["start"], s["end"], s["kind"]) for s in ran["spans"]] == [
        ("2026-12-19T23:00:00+00:00", "2027-01-02T23:00:00+00:00", "exclusion")
    ]
    assert (
        "holiday freeze"
        in repo.trimtab("windows", "--from", "2026-12-01T00:00:00Z", "--to", "2027-01-31T00:00:00Z", code=0).out
    )


def test_a_namespace_sleeps_in_its_window_and_wakes_after_it(tmp_path: Path) -> None:
    repo = sleepy(tmp_path)
    assert state_of(repo) == (3, False)
    held = repo.at("plan", "--json").json()["held"]
    assert any(h["kind"] == "turndown" and h["until"] == "2026-06-17T20:00:00+00:00" for h in held)
    repo.at("reconcile", "--once", now="2026-06-17T20:00:00Z", code=0)
    down = repo.head()
    assert state_of(repo) == (0, True)
    repo.at("reconcile", "--once", now="2026-06-17T23:59:00Z", code=0)
    assert repo.head() == down
    repo.at("reconcile", "--once", now="2026-06-18T00:00:00Z", code=0)
    assert state_of(repo) == (3, False)
    assert f"This reverts commit {down}." in "\n".join(repo.log("%B", "-1"))
    up = repo.head()
    repo.at("reconcile", "--once", now="2026-06-18T00:01:00Z", code=0)
    assert repo.head() == up
    repo.at("reconcile", "--once", now="2026-06-18T20:00:00Z", code=0)
    assert state_of(repo) == (0, True), "the next evening it sleeps again"


def test_a_persons_revert_wakes_a_namespace_until_the_next_window(tmp_path: Path) -> None:
    repo = sleepy(tmp_path)
    repo.at("reconcile", "--once", now="2026-06-17T20:00:00Z", code=0)
    repo.pull()
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    assert state_of(repo) == (3, False)
    woken = repo.head()
    repo.at("reconcile", "--once", now="2026-06-17T21:00:00Z", code=0)
    assert repo.head() == woken
    repo.at("reconcile", "--once", now="2026-06-18T20:00:00Z", code=0)


def test_turning_up_is_never_held(tmp_path: Path) -> None:
    repo = sleepy(tmp_path)
    repo.at("reconcile", "--once", now="2026-06-17T20:00:00Z", code=0)
    repo.pull()
    extra = "  windows:\n    exclusion: ['* * * * *']\n"
    repo.write("trimtab.yaml", fleet_yaml("{name: prod, path: clusters/prod}", extra=extra))
    repo.commit("Freeze everything")
    repo.at("reconcile", "--once", now="2026-06-17T20:30:00Z", code=0)
    assert state_of(repo) == (3, False)


def test_deleting_the_action_wakes_its_namespaces(tmp_path: Path) -> None:
    repo = sleepy(tmp_path)
    repo.at("reconcile", "--once", now="2026-06-17T20:00:00Z", code=0)
    repo.pull()
    (repo.work / "actions/sleep.yaml").unlink()
    repo.commit("No more sleep")
    repo.at("reconcile", "--once", now="2026-06-17T20:30:00Z", code=0)
    assert state_of(repo) == (3, False)


def test_a_turndown_without_a_window_is_a_problem_that_names_its_file(tmp_path: Path) -> None:
    repo = sleepy(tmp_path)
    action = yaml.safe_load(SLEEP)
    del action["spec"]["config"]["maintenanceWindow"]
    repo.write("actions/sleep.yaml", yaml.safe_dump(action))
    repo.commit()
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=0)
    assert "actions/sleep.yaml" in ran.text
    assert "maintenanceWindow" in ran.text
    assert repo.head() == head


def test_commits_per_hour_is_a_budget(tmp_path: Path) -> None:
    repo = shop(tmp_path, "  delivery: {branch: main, groupBy: [cluster, kind, workload], commitsPerHour: 3}\n")
    landed = repo.at("reconcile", "--once", "--json", code=0).json()
    assert len(landed["changes"]) == 3
    assert landed["held"]
    assert all("commitsPerHour" in h["heldBy"] for h in landed["held"])
    head = repo.head()
    repo.at("reconcile", "--once", now="2026-06-17T10:30:00Z", code=0)
    assert repo.head() == head
    more = repo.at("reconcile", "--once", "--json", now="2026-06-17T11:00:01Z", code=0).json()
    assert len(more["changes"]) == 3
