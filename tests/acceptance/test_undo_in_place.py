"""Undo where Trimtab edits people's own manifests: what it added goes, with the mappings that came along."""

import csv
from datetime import timedelta
from pathlib import Path

from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, git, new_fleet
from support.replay import NOW

ROOT = "clusters/prod"
WEB = """\
# The web team's, with care
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: bare
          image: bare
          ports: [{containerPort: 80}] # http
        - name: empty
          image: empty
          resources: {}
        - name: unset
          image: unset
          resources:
        - name: sized
          image: sized
          resources:
            requests: {cpu: "2", memory: 2Gi}
      terminationGracePeriodSeconds: 30
"""


def in_place(home: Path) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}, write: inPlace}}"),
        "actions/rightsize.yaml": RIGHTSIZE,
        f"{ROOT}/kustomization.yaml": "resources: [web.yaml]\n",
        f"{ROOT}/web.yaml": WEB,
    }
    repo = new_fleet(home, files)
    path = home / "usage.csv"
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for container in ("bare", "empty", "unset", "sized"):
            for hour in range(14 * 24):
                at = (NOW - timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
                out.writerow([at, "prod", "default", "Deployment", "web", container, 0.13, 130 * 1024**2])
    repo.trimtab("usage", "import", str(path), code=0)
    repo.at("reconcile", "--once", code=0)
    return repo


def test_a_rollback_in_place_equals_git_revert_also_after_other_edits(tmp_path: Path) -> None:
    repo = in_place(tmp_path)
    wrote = repo.head()
    assert repo.show(f"{ROOT}/web.yaml").count("200m") == 4
    repo.pull()
    text = repo.show(f"{ROOT}/web.yaml").replace("replicas: 1", "replicas: 4")
    repo.write(f"{ROOT}/web.yaml", text + "\n")
    repo.commit("More of it")
    git(repo.work, "revert", "--no-edit", wrote)
    by_git = git(repo.work, "rev-parse", "HEAD^{tree}")
    git(repo.work, "reset", "-q", "--hard", "origin/main")
    done = repo.at("rollback", wrote, "--json", code=0).json()
    assert done["kept"] == []
    expected = WEB.replace("replicas: 1", "replicas: 4")
    assert repo.show(f"{ROOT}/web.yaml") + "\n" == expected
    assert git(repo.bare, "rev-parse", "main^{tree}") == by_git
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled


def test_what_a_person_has_put_beside_it_stays(tmp_path: Path) -> None:
    repo = in_place(tmp_path)
    wrote = repo.head()
    repo.pull()
    text = repo.show(f"{ROOT}/web.yaml")
    first = text.index("cpu: 200m")
    indent = " " * (first - text.rindex("\n", 0, first) - 1)
    repo.write(f"{ROOT}/web.yaml", f"{text[:first]}ephemeral-storage: 1Gi # scratch\n{indent}{text[first:]}\n")
    repo.commit("Room to write")
    repo.at("rollback", wrote, code=0)
    kept = "# http\n          resources:\n            requests:\n              ephemeral-storage: 1Gi # scratch\n"
    assert repo.show(f"{ROOT}/web.yaml") + "\n" == WEB.replace("# http\n", kept)
