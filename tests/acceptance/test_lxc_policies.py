"""LXC policies: from what Proxmox VE measures to a commit, from the commit to a call, and back again when it fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import loop
from reconciler.errors import TrimtabError
from reconciler.manifests.lxc_container import CORES
from reconciler.model.lxc_container import LXCContainer
from reconciler.model.policy import ScalingPolicySpec
from reconciler.steps.house import House
from reconciler.steps.lxc_requests import Wish, commit
from reconciler.steps.lxc_turns import alone
from support.fake_containers import FakeContainers, fake_containers
from support.fleets import FleetRepo, git, new_fleet
from support.served import Served, serving

FILE = "lxc/pve1/104.yaml"
KEY = ("pve1", 104)
FLEET = "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {}\n"
PERSONS = """\
# the database, since 2024
apiVersion: trimtab.dev/v1alpha1
kind: LXCContainer
metadata: {name: '104'}   # db
spec:
    node: pve1
    cores: 2          # see the runbook
    memoryMB: 1024
"""


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    return new_fleet(tmp_path / "home", {"trimtab.yaml": FLEET})


@pytest.fixture
def served(tmp_path: Path, repo: FleetRepo) -> Iterator[Served]:
    with serving(tmp_path, repo) as served:
        yield served


@pytest.fixture
def pve(served: Served) -> FakeContainers:
    fake = fake_containers(served)
    fake.add("pve1", 104)
    fake.use("pve1", 104, cpu=50)
    return fake


def live(served: Served, **fields: object) -> str:
    given = {"name": "db autoscaler", "runtime": "lxc", "target_ref": "pve1/104", "cpu_target_percent": 50}
    spec = ScalingPolicySpec.model_validate({**given, "dry_run": False, **fields})
    return served.server.stores.policies.create("acme", spec, served.clock()).id


def shown(served: Served, policy_id: str) -> dict[str, Any]:
    """The policy as the Scaling API lists it."""
    listed = served.client.get("/api/v1/scaling/policies").json()
    found: dict[str, Any] = next(one for one in listed if one["id"] == policy_id)
    return found


def rows(served: Served, policy_id: str) -> list[tuple[str, int | None, int | None]]:
    """(action, from, to), the oldest first."""
    found = served.server.stores.log.recent(served.steward.watch.url, policy_id)
    return [(row.action, row.from_replicas, row.to_replicas) for row in reversed(found)]


def spec_of(repo: FleetRepo) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(repo.show(FILE))["spec"]
    return spec


def passes(served: Served, count: int = 1, *, every: float = 30) -> None:
    for _ in range(count):
        served.clock.forward(seconds=every)
        served.reconcile()


def states(served: Served) -> list[str]:
    """Of the changes, the newest first."""
    return [change.state for change in served.server.stores.changes.list(served.steward.watch.url)]


def test_from_load_to_a_commit_to_a_call_and_back_by_a_rollback(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    policy_id = live(served)
    pve.use(*KEY, cpu=90)
    passes(served)
    assert spec_of(repo) == {"node": "pve1", "cores": 2, "memoryMB": 1024, "rootfsGB": 8, "hostname": "ct104"}
    assert repo.log("%s", "-1") == ["Take on pve1/104 with 2 cores and 1024 MB of memory and 8 GB of disk"]
    assert pve.calls == [], "what it has is what the file says"

    passes(served)
    assert spec_of(repo)["cores"] == 3
    assert pve.there[KEY].cores == 3
    subject, body = repo.log("%s", "-1")[0], git(repo.bare, "log", "-1", "--format=%b", "main")
    assert subject == "Give pve1/104 3 cores"
    assert f"Trimtab-Policy: {policy_id}" in body
    assert "cpu at 90% of 2 cores against a target of 50%" in body
    assert rows(served, policy_id) == [("apply", 2, 2), ("apply", 2, 3)]
    newest = served.server.stores.log.recent(served.steward.watch.url, policy_id)[0]
    assert (newest.runtime, newest.trigger_metric, newest.trigger_value) == ("lxc", "cpu_percent", 90.0)
    assert yaml.safe_load(newest.rendered_manifest)["spec"]["cores"] == 3
    view = shown(served, policy_id)
    assert (view["currentReplicas"], view["desiredReplicas"], view["applyHealth"]) == (2, 3, "applied")
    assert states(served) == ["applied", "applied"]
    landed = served.client.get("/api/v1/status").json()["fleets"][0]["landed"]
    assert all(one["syncedAt"] and one["healthyAt"] == one["syncedAt"] for one in landed)

    def undo(house: House) -> None:
        loop.rollback(house, policy_id)

    served.steward.ask(undo).result(timeout=60)
    assert (spec_of(repo)["cores"], pve.there[KEY].cores) == (2, 2)
    assert rows(served, policy_id)[-1] == ("rollback", 3, 2)
    pve.use(*KEY, cpu=95)
    passes(served, 3)
    assert spec_of(repo)["cores"] == 2, "the value that was refused is not written again"


def test_a_persons_file_is_changed_in_one_place_only_and_a_persons_edit_is_obeyed(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    repo.write(FILE, PERSONS)
    repo.commit()
    live(served)
    pve.use(*KEY, cpu=90)
    passes(served, 2)
    assert repo.show(FILE) + "\n" == PERSONS.replace("cores: 2", "cores: 3")
    pve.use(*KEY, cpu=50)
    repo.pull()
    repo.write(FILE, PERSONS.replace("cores: 2", "cores: 4").replace("1024", "2048\n    rootfsGB: 10"))
    repo.commit("More for the sale")
    passes(served)
    has = pve.there[KEY]
    assert (has.cores, has.memory_mb, has.rootfs_gb) == (4, 2048, 10.0)
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    passes(served)
    has = pve.there[KEY]
    assert (has.cores, has.memory_mb, has.rootfs_gb) == (3, 1024, 10.0)


def test_a_disk_never_shrinks_and_says_so(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    repo.write(FILE, PERSONS + "    rootfsGB: 4\n")
    repo.commit()
    policy_id = live(served)
    passes(served)
    assert pve.calls == []
    view = shown(served, policy_id)
    assert "a disk cannot shrink: lxc/pve1/104.yaml says rootfsGB 4, and it has 8" in view["conflict"]
    assert view["applyHealth"] == "pending"


def test_a_refused_call_reverts_the_commit_once_and_is_remembered(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    policy_id = live(served)
    pve.use(*KEY, cpu=90)
    passes(served)
    pve.refuses = "unable to modify the config: out of luck"
    passes(served)
    assert pve.calls == [("set", KEY, 3, None)]
    assert spec_of(repo)["cores"] == 2
    assert repo.log("%s", "-2") == [
        "Roll back policy db autoscaler to before " + repo.log("%H", "-2")[1][:12],
        "Give pve1/104 3 cores",
    ]
    assert "could not resize pve1/104: unable to modify the config" in git(repo.bare, "log", "-1", "--format=%b")
    assert rows(served, policy_id)[-3:] == [("apply", 2, 3), ("apply_failed", 2, 3), ("rollback", 3, 2)]
    assert states(served)[:2] == ["applied", "reverted"]
    head = repo.head()
    passes(served, 4, every=60)
    assert (repo.head(), len(pve.calls)) == (head, 1), "not again and again"


def test_a_revert_that_cannot_be_pushed_is_made_later_without_another_call(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    live(served)
    pve.use(*KEY, cpu=90)
    passes(served)
    pve.refuses = "out of luck"
    hook = repo.bare / "hooks/pre-receive"
    hook.write_text(
        '#!/bin/sh\nread old new ref\ngit log -1 --format=%s "$new" | grep -q "^Roll back" && exit 1\nexit 0\n'
    )
    hook.chmod(0o755)
    for _ in range(2):
        with pytest.raises(TrimtabError, match="hook"):
            passes(served)
    assert spec_of(repo)["cores"] == 3
    hook.unlink()
    passes(served, 2)
    assert (spec_of(repo)["cores"], len(pve.calls)) == (2, 1)


def test_what_a_person_asks_for_is_not_reverted_and_tried_again_with_pauses(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    repo.write(FILE, PERSONS.replace("cores: 2", "cores: 4"))
    repo.commit()
    policy_id = live(served)
    pve.use(*KEY, cpu=100)  # which four cores would be right for
    pve.refuses = "no"
    head = repo.head()
    passes(served, 10, every=6)
    assert repo.head() == head
    assert 2 <= len(pve.calls) <= 4, "after 5, 10, 20 and 40 s"
    assert "could not resize pve1/104: no" in shown(served, policy_id)["conflict"]
    pve.refuses = ""
    passes(served, 2, every=60)
    assert pve.there[KEY].cores == 4
    assert shown(served, policy_id)["applyHealth"] == "applied"


def test_while_proxmox_is_away_nothing_is_reverted_and_it_is_asked_less_and_less(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    policy_id = live(served)
    passes(served)
    repo.pull()
    repo.write(FILE, (repo.work / FILE).read_text().replace("cores: 2", "cores: 4"))
    repo.commit()
    head, asked = repo.head(), pve.questions
    pve.away = True
    passes(served, 10, every=60)
    assert repo.head() == head
    assert 3 <= pve.questions - asked <= 7, "pauses grow to five minutes"
    conflict = shown(served, policy_id)["conflict"]
    assert "Proxmox VE does not answer" in conflict and "is pveproxy running there?" in conflict
    pve.away = False
    passes(served, 2, every=301)
    assert pve.there[KEY].cores == 4
    assert shown(served, policy_id)["conflict"] is None


def test_a_locked_container_gets_its_size_when_the_lock_is_gone(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    policy_id = live(served)
    passes(served)
    pve.change(*KEY, lock="backup")
    pve.use(*KEY, cpu=100)
    repo.pull()
    repo.write(FILE, (repo.work / FILE).read_text().replace("cores: 2", "cores: 4"))
    repo.commit()
    passes(served, 3, every=60)
    assert pve.calls == []
    assert "locked (backup)" in shown(served, policy_id)["conflict"]
    pve.change(*KEY, lock="")
    passes(served, 2, every=61)
    assert pve.there[KEY].cores == 4


def test_a_container_that_somebody_changes_meanwhile_is_looked_at_again_and_not_reverted(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    live(served)
    passes(served)
    repo.pull()
    repo.write(FILE, (repo.work / FILE).read_text().replace("cores: 2", "cores: 4").replace("GB: 8", "GB: 10"))
    repo.commit()
    pve.use(*KEY, cpu=100)
    pve.meanwhile = lambda: pve.change(*KEY, rootfs_gb=10.0)
    passes(served, 2)
    has = pve.there[KEY]
    assert (has.cores, has.rootfs_gb) == (4, 10.0)
    assert [call[0] for call in pve.calls] == ["set", "set"], "the disk has grown already"


def test_what_the_lxc_api_is_at_work_on_is_left_to_it_and_taken_over_when_it_does_not_come_back(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    now = LXCContainer(node="pve1", vmid=104, cores=2, memory_mb=1024)
    wish = Wish(now, lambda _file: {CORES: "4"}, "pat asked for 4 cores")
    with alone(served.server.stores.leases, 104, wait_seconds=0):
        served.steward.ask(lambda house: commit(house, wish)).result(timeout=60)
        passes(served, 2)
        assert pve.calls == []
    passes(served)
    assert pve.there[KEY].cores == 4
    assert states(served) == ["applied", "applied"]


def test_a_disk_grows_when_the_task_that_may_be_growing_it_has_ended(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    live(served)
    pve.tasks[KEY] = "resize"
    repo.write(FILE, PERSONS + "    rootfsGB: 10\n")
    repo.commit()
    passes(served, 2)
    assert pve.calls == []
    del pve.tasks[KEY]
    passes(served, 2)
    assert [call[0] for call in pve.calls] == ["grow"]
    assert 'lxc_scaling_actions_total{action="scale_up",container_id="104",resource="storage"} 1.0' in (
        served.client.get("/metrics").text
    )


def test_memory_that_the_node_has_not_is_never_given(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    policy_id = live(served, cpu_target_percent=None, memory_target_percent=50, max_memory_mb=8192)
    pve.add("pve1", 105, memory_mb=15000)
    pve.use(*KEY, memory=95)
    passes(served, 3)
    assert pve.calls == []
    assert "512 MB more do not fit on pve1" in shown(served, policy_id)["conflict"]
    pve.change("pve1", 105, status="stopped")
    passes(served)
    assert spec_of(repo)["memoryMB"] == 1536
    assert pve.there[KEY].memory_mb == 1536


def test_a_file_that_a_person_keeps_for_the_record_is_left_alone(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    repo.write(FILE, PERSONS.replace("cores: 2", "cores: 7"))
    repo.commit()
    passes(served, 2)
    assert pve.calls == []


def test_a_deleted_policy_takes_its_file_along_and_leaves_the_container(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    policy_id = live(served)
    pve.use(*KEY, cpu=90)
    passes(served, 2)
    assert served.client.delete(f"/api/v1/scaling/policies/{policy_id}").status_code == 204
    calls = list(pve.calls)
    passes(served)
    assert FILE not in repo.files()
    assert repo.log("%s", "-1") == ["Stop scaling pve1/104"]
    passes(served)
    assert (pve.calls, pve.there[KEY].cores) == (calls, 3)


def test_windows_hold_what_is_decided(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    repo.write("trimtab.yaml", FLEET.replace("spec: {}", 'spec:\n  windows: {maintenance: ["* 3 * * *"]}'))
    repo.commit()
    policy_id = live(served, memory_target_percent=50, max_memory_mb=4096)
    pve.use(*KEY, cpu=10, memory=90)
    passes(served, 3)
    assert FILE not in repo.files()
    assert "outside the maintenance window" in shown(served, policy_id)["held"]
    served.clock.forward(hours=17)
    passes(served, 2, every=60)
    assert (spec_of(repo)["cores"], spec_of(repo)["memoryMB"]) == (2, 1536), "what shrinks has a longer cooldown"
    passes(served, 6, every=60)
    assert (spec_of(repo)["cores"], pve.there[KEY].cores) == (1, 1)


def test_approval_is_asked_for_and_heeded(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    policy_id = live(served, approval_required=True)
    pve.use(*KEY, cpu=90)
    passes(served, 2)
    assert FILE not in repo.files()
    assert "approv" in (shown(served, policy_id)["held"] or "")


def test_in_dry_run_the_log_says_what_would_be(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    policy_id = live(served, dry_run=True)
    before = repo.head()
    pve.use(*KEY, cpu=90)
    passes(served, 3)
    found = served.server.stores.log.recent(served.steward.watch.url, policy_id)
    assert [(row.action, row.from_replicas, row.to_replicas, row.runtime) for row in found] == [
        ("dry_run", 2, 3, "lxc"),
        ("dry_run", 2, 2, "lxc"),
    ]
    assert found[0].outcome == "Would give pve1/104 3 cores and 1024 MB of memory."
    assert (repo.head(), pve.calls) == (before, [])


def test_without_proxmox_a_policy_says_what_to_set(served: Served, repo: FleetRepo) -> None:
    policy_id = live(served)
    passes(served)
    assert shown(served, policy_id)["conflict"] == "no Proxmox VE is configured: set TRIMTAB_PROXMOX_URL"
    assert repo.log("%s") == ["What people wrote"]


def test_nodes_that_a_fleet_declares_are_all_that_it_looks_after(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    repo.write("trimtab.yaml", FLEET.replace("spec: {}", "spec:\n  lxcNodes: [{name: pve2}]"))
    repo.commit()
    passes(served)
    policy_id = live(served)
    passes(served, 2)
    assert "no fleet repo declares the node pve1: name it under spec.lxcNodes" in shown(served, policy_id)["conflict"]
    assert FILE not in repo.files()


def test_of_two_organizations_none_gets_the_others_node(tmp_path: Path) -> None:
    first = new_fleet(tmp_path / "one", {"trimtab.yaml": FLEET})
    other = FLEET.replace("acme", "globex").replace("spec: {}", "spec: {lxcNodes: [{name: pve2}]}")
    second = new_fleet(tmp_path / "two", {"trimtab.yaml": other})
    with serving(tmp_path, first, second) as served:
        pve = fake_containers(served)
        pve.add("pve1", 104, cpu_cores=2.0)
        policy_id = live(served)
        passes(served, 2)
        assert "spec.lxcNodes" in shown(served, policy_id)["conflict"]
        assert FILE not in first.files()
        keepers = [served.server.lxc_node(who, node) for who in ("acme", "globex") for node in ("pve1", "pve2")]
        assert keepers == [None, None, None, served.server.stewards[1]]
        first.write("trimtab.yaml", FLEET.replace("spec: {}", "spec: {lxcNodes: [{name: pve1}]}"))
        first.commit()
        passes(served, 3)
        assert FILE in first.files()
        assert served.server.lxc_node("acme", "pve1") is served.server.stewards[0]


def test_a_pass_rests_while_what_a_container_uses_changes_nothing(
    served: Served, repo: FleetRepo, pve: FakeContainers
) -> None:
    def works_it_out() -> bool:
        served.clock.forward(seconds=30)
        return "evaluate" in served.steward.ask(loop.reconcile).result(timeout=60).seconds

    live(served)
    passes(served, 3)
    for cpu in (48, 52, 47):
        pve.use(*KEY, cpu=cpu)
        assert not works_it_out()
    pve.use(*KEY, cpu=90)
    assert [works_it_out(), works_it_out()] == [False, True], "one reading alone proves nothing"
    assert spec_of(repo)["cores"] == pve.there[KEY].cores == 3
    pve.use(*KEY, cpu=50)
    passes(served, 3)
    assert not works_it_out()
    pve.change(*KEY, memory_mb=512)
    assert works_it_out()
    assert pve.there[KEY].memory_mb == 1024, "it has again what its file says"


def test_a_quiet_pass_asks_three_questions_a_node(served: Served, repo: FleetRepo, pve: FakeContainers) -> None:
    live(served)
    for vmid in range(200, 240):
        pve.add("pve1", vmid)
    passes(served, 3)
    head, asked = repo.head(), pve.questions
    passes(served, 4)
    assert (repo.head(), pve.questions - asked) == (head, 12)
