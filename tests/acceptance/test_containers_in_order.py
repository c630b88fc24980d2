"""Pods of several containers: sized one by one, and built in the order that people gave them."""

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, git, new_fleet
from support.replay import NOW

ROOT = "clusters/prod"
OVERLAY = f"{ROOT}/trimtab"
LATER = "2026-06-24T12:00:00Z"
INIT, MAIN = ("wait", "fetch", "mesh"), ("web", "cache", "app")
"""``mesh`` is a native sidecar. Of each list only the last one is used, and so sized."""
USED = {"mesh": (0.013, 26), "app": (0.13, 130)}
"""Cores and MiB, all the time; at a target of 65 % that is 20m and 40Mi, 200m and 200Mi."""
SIZED = {"mesh": {"cpu": "20m", "memory": "40Mi"}, "app": {"cpu": "200m", "memory": "200Mi"}}

Lists = tuple[tuple[str, ...], tuple[str, ...]]

MOVED: dict[str, Lists] = {
    "reordered": (("fetch", "mesh", "wait"), ("cache", "web", "app")),
    "swapped": (INIT, ("app", "cache", "web")),
    "inserted": (("before", *INIT), ("first", *MAIN)),
    "between": (INIT, ("web", "new", "cache", "app")),
    "appended": (INIT, (*MAIN, "last")),
    "deleted": (("wait", "mesh"), ("cache", "app")),
    "renamed": (("wait", "pull", "mesh"), ("web", "store", "app")),
    "alone": ((), ("app",)),
    "emptied": (INIT, ("web", "cache")),
    "same": (INIT, MAIN),
}
"""By workload, what a person makes of its lists; the file of those at the end needs no following, or goes by values."""

FOLLOWED = sorted(MOVED.keys() - {"appended", "emptied", "same"})


def manifest(name: str, init: tuple[str, ...] = INIT, main: tuple[str, ...] = MAIN) -> str:
    def container(called: str) -> dict[str, Any]:
        sidecar = {"restartPolicy": "Always"} if called == "mesh" else {}
        # What a name without sizes stands for keeps its own.
        own = {} if called in USED else {"resources": {"limits": {"ephemeral-storage": "1Gi"}}}
        return {"name": called, "image": called, **sidecar, **own}

    pod = {
        **({"initContainers": [container(called) for called in init]} if init else {}),
        "containers": [container(called) for called in main],
    }
    labels = {"labels": {"app": name}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": labels, "spec": pod}}
    written = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    return str(yaml.safe_dump(written, sort_keys=False))


def fleet(home: Path, *names: str) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"),
        "actions/rightsize.yaml": RIGHTSIZE,
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{OVERLAY}/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{ROOT}/apps/kustomization.yaml": f"namespace: shop\nresources: [{', '.join(f'{n}.yaml' for n in names)}]\n",
        **{f"{ROOT}/apps/{name}.yaml": manifest(name) for name in names},
    }
    repo = new_fleet(home, files)
    feed(repo, *names)
    return repo


def feed(repo: FleetRepo, *names: str, times: int = 1, days: int = 14, until: str = "") -> None:
    """``days`` of usage up to now, or to ``until``: ``times`` what :data:`USED` says."""
    end = NOW + (timedelta(days=7) if until else timedelta())
    path = repo.home / "usage.csv"
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for hour in range(days * 24):
            at = (end - timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for name in names:
                for called, (cores, mebibytes) in USED.items():
                    used = [cores * times, mebibytes * 1024**2 * times]
                    out.writerow([at, "prod", "shop", "Deployment", name, called, *used])
    repo.trimtab("usage", "import", str(path), code=0)


def patch(name: str) -> str:
    return f"{OVERLAY}/shop/requests-deployment-{name}.yaml"


def pods(repo: FleetRepo) -> dict[str, dict[str, Any]]:
    built = {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in repo.build(ROOT)}
    return {name: {"initContainers": [], **pod} for name, pod in built.items()}


def lists(pod: dict[str, Any]) -> Lists:
    init, main = (tuple(c["name"] for c in pod.get(role, ())) for role in ("initContainers", "containers"))
    return init, main


def requests(pod: dict[str, Any]) -> dict[str, dict[str, str]]:
    containers = (*pod["initContainers"], *pod["containers"])
    return {c["name"]: c["resources"]["requests"] for c in containers if "requests" in c.get("resources", {})}


def listed(repo: FleetRepo, name: str) -> Lists:
    """The names in Trimtab's file."""
    pod = yaml.safe_load(repo.show(patch(name)))["spec"]["template"]["spec"]
    return lists(pod)


def without_requests(pod: dict[str, Any]) -> dict[str, Any]:
    for container in (*pod["initContainers"], *pod["containers"]):
        container.get("resources", {}).pop("requests", None)
        if not container.get("resources", True):
            del container["resources"]
    return pod


# --- a person moves containers about ---------------------------------------------------------------------------------


class Followed:
    """A fleet that was sized, changed by a person in one commit, checked and passed over."""

    def __init__(self, home: Path) -> None:
        self.repo = repo = fleet(home, *MOVED)
        before = pods(repo)
        self.first = repo.at("reconcile", "--once", "--json", code=0).json()
        self.sized = pods(repo)
        self.untouched = {name: without_requests(pod) for name, pod in pods(repo).items()} == before
        self.settled = repo.head()
        repo.at("reconcile", "--once", code=0)
        self.resettled = repo.head()
        for name, (init, main) in MOVED.items():
            repo.write(f"{ROOT}/apps/{name}.yaml", manifest(name, init, main))
        self.check = repo.trimtab("check", str(repo.work), "--json", code=1).json()
        repo.commit("Containers moved about")
        self.people = repo.head()
        self.second = repo.at("reconcile", "--once", "--json", code=0).json()
        self.pods = pods(repo)
        self.passed = repo.head()
        repo.at("reconcile", "--once", code=0)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    yield Followed(tmp_path_factory.mktemp("order"))


def test_the_last_of_each_list_is_sized_in_its_place(followed: Followed) -> None:
    assert (followed.first["blocked"], followed.first["problems"]) == ([], [])
    for pod in followed.sized.values():
        assert (lists(pod), requests(pod)) == ((INIT, MAIN), SIZED)
    assert followed.untouched, "order, images and the sizes of the others are people's"
    assert followed.resettled == followed.settled


def test_the_file_names_what_stands_before_and_no_more(followed: Followed) -> None:
    text = followed.repo.show(patch("same"))
    assert [line for line in text.splitlines() if not line.startswith("#")][6:] == [
        "  template:",
        "    spec:",
        "      initContainers:",
        "        - name: wait",
        "        - name: fetch",
        "        - name: mesh",
        "          resources:",
        "            requests:",
        "              cpu: 20m",
        "              memory: 40Mi",
        "      containers:",
        "        - name: web",
        "        - name: cache",
        "        - name: app",
        "          resources:",
        "            requests:",
        "              cpu: 200m",
        "              memory: 200Mi",
    ]


@pytest.mark.parametrize("name", MOVED)
def test_the_next_pass_follows_a_person(followed: Followed, name: str) -> None:
    init, main = MOVED[name]
    pod = followed.pods[name]
    assert lists(pod) == (init, main)
    assert requests(pod) == {called: sizes for called, sizes in SIZED.items() if called in (*init, *main)}
    assert all("image" in container for container in (*pod["initContainers"], *pod["containers"]))


def test_the_names_in_the_files_are_those_of_the_manifests(followed: Followed) -> None:
    assert listed(followed.repo, "deleted") == (("wait", "mesh"), ("cache", "app"))
    assert listed(followed.repo, "reordered") == (("fetch", "mesh"), ("cache", "web", "app"))
    assert listed(followed.repo, "swapped") == (INIT, ("app",))
    assert listed(followed.repo, "alone") == ((), ("app",))
    assert listed(followed.repo, "emptied") == (INIT, ())


def test_one_pass_is_enough_and_touches_nothing_else(followed: Followed) -> None:
    assert (followed.second["blocked"], followed.second["problems"]) == ([], [])
    assert followed.repo.head() == followed.passed
    changed = git(followed.repo.bare, "diff", "--name-only", followed.people, followed.passed).splitlines()
    assert changed == sorted(patch(name) for name in (*FOLLOWED, "emptied"))


def test_check_says_beforehand_what_will_be_followed(followed: Followed) -> None:
    said = {problem["path"]: problem for problem in followed.check if problem["path"].startswith(OVERLAY)}
    assert said.keys() == {patch(name) for name in (*FOLLOWED, "emptied")}
    deleted, reordered = said[patch("deleted")], said[patch("reordered")]
    assert "fetch, web of Deployment deleted" in deleted["message"]
    assert "are no longer declared" in deleted["message"]
    assert "the containers of Deployment reordered stand in another order" in reordered["message"]
    assert "Trimtab does so at its next pass" in reordered["hint"]
    assert "without an image" in deleted["hint"]


# --- undo ------------------------------------------------------------------------------------------------------------


def twice_sized(home: Path) -> FleetRepo:
    repo = fleet(home, "web")
    repo.at("reconcile", "--once", code=0)
    feed(repo, "web", times=2, days=7, until=LATER)
    repo.now = LATER
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    assert requests(pods(repo)["web"])["app"] == {"cpu": "400m", "memory": "400Mi"}
    return repo


def tree(repo: FleetRepo, rev: str) -> str:
    return git(repo.work, "rev-parse", f"{rev}^{{tree}}")


def test_a_rollback_is_what_git_revert_gives_also_in_another_order(tmp_path: Path) -> None:
    repo = twice_sized(tmp_path)
    second, first = repo.log()[:2]
    git(repo.work, "checkout", "-q", "-b", "reverted")
    git(repo.work, "revert", "--no-edit", second)
    git(repo.work, "revert", "--no-edit", first)
    git(repo.work, "checkout", "-q", "main")
    for commit, same in ((second, "reverted~1"), (first, "reverted")):
        repo.at("rollback", commit, code=0)
        repo.pull()
        assert tree(repo, "main") == tree(repo, same)


def test_a_value_goes_back_into_the_order_that_a_person_has_made_since(tmp_path: Path) -> None:
    repo = twice_sized(tmp_path)
    second = repo.head()
    moved = ("mesh", "pull", "wait"), ("cache", "app")
    repo.write(f"{ROOT}/apps/web.yaml", manifest("web", *moved))
    repo.commit("Another order, and one less")
    repo.at("rollback", second, code=0)
    pod = pods(repo)["web"]
    assert (lists(pod), requests(pod)) == (moved, SIZED)
    assert all("image" in container for container in (*pod["initContainers"], *pod["containers"]))


def test_a_commit_that_only_followed_a_person_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    repo = fleet(tmp_path, "web")
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    repo.write(f"{ROOT}/apps/web.yaml", manifest("web", INIT, ("cache", "web", "app")))
    repo.commit("Another order")
    repo.at("reconcile", "--once", code=0)
    refused = repo.at("rollback", repo.head())
    assert refused.code
    assert "only followed the order of containers" in refused.text
    assert lists(pods(repo)["web"]) == (INIT, ("cache", "web", "app"))


def test_a_template_from_before_is_refused_by_name_and_deletes_nothing(tmp_path: Path) -> None:
    repo = fleet(tmp_path, "web")
    own = (Path(__file__).resolve().parents[2] / "templates/requests-patch.yaml.j2").read_text()
    repo.write("templates/requests-patch.yaml.j2", own.replace("{% if container.bounds %}", "{% if true %}"))
    repo.commit("A template of our own")
    before = repo.head()
    ran = repo.at("reconcile", "--once")
    assert ran.code
    assert "templates/requests-patch.yaml.j2" in ran.text
    assert "kustomize would delete the ones that people wrote" in " ".join(ran.text.split())
    assert repo.head() == before
