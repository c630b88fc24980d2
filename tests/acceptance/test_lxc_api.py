"""The LXC API as its document prints it, over a real fleet repo and a Proxmox VE that is spoken to over HTTPS."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api.app import create_app
from reconciler import loop
from reconciler.actuate.proxmox import Proxmox, StillRunning
from reconciler.actuate.proxmox_calls import Calls
from reconciler.manifests.lxc_container import CORES
from reconciler.model.lxc_container import ContainerKey, LXCContainer
from reconciler.steps.auditing import audit
from reconciler.steps.lxc_requests import Wish, commit
from support.fleets import FleetRepo, git, new_fleet
from support.proxmox import SECRET, TOKEN, Pve, proxmox
from support.served import Served, serving

FLEET = "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  rightsizing: {window: 7d}\n"
PATH = "lxc/pve1/104.yaml"
EXCLUSION = "  windows: {exclusion: ['* * * 12 *']}\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Pve]:
    with proxmox() as pve:
        yield pve


@dataclass
class House:
    """acme, whose fleet repo looks after every node, and container 104 on pve1: 2 cores, 1024 MB, 8 GB, running."""

    pve: Pve
    served: Served
    repo: FleetRepo
    key: str
    all: dict[str, str]
    """The header of a key that may everything."""

    def ask(self, method: str, path: str, body: Any = None, **query: object) -> Any:
        return self.served.client.request(
            method, path, json=body, params=query or None, headers={"X-API-Key": self.key}
        )

    def head(self) -> str:
        return git(self.repo.bare, "rev-parse", "main")

    def message(self, back: int = 0) -> str:
        return git(self.repo.bare, "log", "-1", "--format=%B", f"main~{back}")

    def file(self, path: str = PATH) -> dict[str, Any] | None:
        text = git(self.repo.bare, "show", f"main:{path}", check=False)
        return yaml.safe_load(text) if text else None

    def rows(self) -> list[tuple[str, str, str]]:
        """Of the decision log, the oldest first: runtime, action, outcome."""
        rows = self.served.client.get("/api/v1/scaling/decisions", headers=self.all).json()
        return [(row["runtime"], row["action"], row["outcome"]) for row in reversed(rows)]

    def states(self) -> list[str]:
        """The newest change first."""
        items = self.served.client.get("/api/v1/changes", headers=self.all).json()["items"]
        return [item["state"] for item in items]

    def proof(self) -> tuple[str, set[str]]:
        """How far the newest change is, and of which states it is known when they began."""
        newest = self.served.client.get("/api/v1/changes", headers=self.all).json()["items"][0]["id"]
        shown = self.served.client.get(f"/api/v1/changes/{newest}", headers=self.all).json()
        return shown["proof"]["state"], set(shown["times"])


def _house(home: Path, pve: Pve, *, extra: str = "", **settings: Any) -> Iterator[House]:
    pve.clear()
    pve.add(104)
    repo = new_fleet(home, {"trimtab.yaml": FLEET + extra})
    with serving(home, repo, **{**pve.settings, **settings}) as served:
        key, _ = served.server.stores.keys.create("acme", "pat", ("lxc:write", "scaling:read"), (), served.clock())
        yield House(pve, served, repo, key, {"Authorization": served.client.headers.pop("Authorization")})


@pytest.fixture
def house(tmp_path: Path, running: Pve) -> Iterator[House]:
    yield from _house(tmp_path, running)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all tests that change nothing in it."""
    with proxmox() as pve:
        yield from _house(tmp_path_factory.mktemp("still"), pve)


def test_cores_are_committed_first_and_then_set(house: House) -> None:
    answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"status": "success", "message": "CPU cores set to 4 for VM 104"}
    assert house.pve.fake.ct(104).config["cores"] == 4
    file = house.file()
    assert file["spec"] == {"node": "pve1", "cores": 4, "memoryMB": 1024, "rootfsGB": 8, "hostname": "ct104"}
    subject, *_ = message = house.message().splitlines()
    assert subject == "Give pve1/104 4 cores"
    assert "Why: pat asked for 4 cores through the LXC API" in message
    assert any("2 → 4" in line for line in message) and any(line.startswith("Trimtab-Change: ") for line in message)
    asked = "pat asked for 4 cores through the LXC API"
    assert house.rows() == [("lxc", "apply", asked)]
    assert house.states() == ["applied", "applied"]
    assert house.proof() == ("healthy", {"synced", "healthy", "applied", "committed", "proposed"})


@pytest.mark.parametrize("undo", ["by Trimtab", "by git revert"])
def test_the_first_request_can_be_undone_and_the_container_follows(house: House, undo: str) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    if undo == "by Trimtab":
        target = house.head()
        house.served.steward.ask(lambda it: loop.rollback(it, target)).result(timeout=60)
    else:
        git(house.repo.work, "pull", "-q")
        git(house.repo.work, "revert", "--no-edit", "HEAD")
        git(house.repo.work, "push", "-q", "origin", "HEAD:main")
        house.served.reconcile()
    assert house.file()["spec"]["cores"] == 2
    assert house.pve.fake.ct(104).config["cores"] == 2


def test_what_is_so_already_makes_no_commit_and_no_call(house: House) -> None:
    before = house.head()
    for body in ({"vm_id": 104, "cores": 2}, {"vm_id": 104, "memory": 1024}):
        path = "/scale/cores" if "cores" in body else "/scale/ram"
        assert house.ask("POST", path, body).status_code == 200
    assert house.head() == before and house.pve.asked("PUT", "/104/config") == 0
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    after = house.head()
    assert house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4}).status_code == 200
    assert house.head() == after and house.pve.asked("PUT", "/104/config") == 1


def test_memory_and_storage_change_one_value_of_the_file(house: House) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    git(house.repo.work, "pull", "-q")
    text = (house.repo.work / PATH).read_text()
    house.repo.write(PATH, text.replace("cores: 4", "cores: 4 # as the database needs"))
    house.repo.commit()
    ram = house.ask("POST", "/scale/ram", {"vm_id": 104, "memory": 4096})
    assert ram.json() == {"status": "success", "message": "Memory set to 4096 MB for VM 104"}
    disk = house.ask("POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": 5})
    assert disk.json() == {"status": "success", "message": "Storage increased by 5 GB for VM 104"}
    config = house.pve.fake.ct(104).config
    assert config["memory"] == 4096 and "size=13G" in config["rootfs"]
    shown = git(house.repo.bare, "show", f"main:{PATH}")
    assert "cores: 4 # as the database needs" in shown
    assert (house.file()["spec"]["memoryMB"], house.file()["spec"]["rootfsGB"]) == (4096, 13)
    assert git(house.repo.bare, "show", "--numstat", "--format=", "main") == f"1\t1\t{PATH}"


def test_scaling_down_needs_no_room(house: House) -> None:
    assert house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 1}).status_code == 200
    assert house.ask("POST", "/scale/ram", {"vm_id": 104, "memory": 512}).status_code == 200
    metrics = house.served.client.get("/metrics").text
    assert 'lxc_scaling_actions_total{action="scale_down",container_id="104",resource="cpu"} 1.0' in metrics
    assert 'lxc_scaling_actions_total{action="scale_down",container_id="104",resource="memory"} 1.0' in metrics


def test_a_node_gives_no_more_than_it_has(house: House) -> None:
    before = house.head()
    cores = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 8})
    assert cores.status_code == 400
    assert cores.json() == {
        "status": "error",
        "error": "Invalid cores: the node pve1 has 4 CPUs, and 8 cores are more than that",
    }
    house.pve.add(105, memory=6000)
    memory = house.ask("POST", "/scale/ram", {"vm_id": 104, "memory": 4096})
    assert memory.status_code == 400
    assert memory.json()["error"] == (
        "Invalid memory: the node pve1 has 8192 MB, of which its other running guests may use 6000 MB: "
        "2192 MB are left for this container, and 4096 MB were asked for"
    )
    house.pve.fake.ct(105).status = "stopped"
    free = house.ask("POST", "/scale/ram", {"vm_id": 104, "memory": 7900})
    assert free.status_code == 400 and "6144 MB of 8192 MB free right now, and 6876 MB more" in free.json()["error"]
    assert house.head() == before and house.pve.fake.ct(104).config["memory"] == 1024


def test_a_call_that_fails_reverts_the_commit(house: House) -> None:
    house.pve.fake.ct(104).lock = "backup"
    before = git(house.repo.bare, "rev-parse", "main^{tree}")
    answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    assert answer.status_code == 500
    body = answer.json()
    assert (body["status"], body["error"]) == ("error", "Internal server error")
    assert "CT is locked (backup)" in body["details"] and "was reverted" in body["details"]
    assert git(house.repo.bare, "rev-parse", "main^{tree}") == before
    assert "This reverts commit " in house.message()
    (_, first, _), (_, second, why) = house.rows()
    assert (first, second) == ("apply", "apply_failed") and "CT is locked (backup)" in why
    assert "reverted" in house.states()
    house.pve.fake.ct(104).lock = None
    assert house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4}).status_code == 200
    assert house.pve.fake.ct(104).config["cores"] == 4 and house.file()["spec"]["cores"] == 4


def test_a_task_that_fails_reverts_the_commit_too(house: House) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    house.pve.fake.ct(104).config["rootfs"] = "ceph-pool:vm-104-disk-0,size=8G"
    house.pve.fake.add_ceph_storage()
    house.pve.fake.ceph_down()
    answer = house.ask("POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": 5})
    assert answer.status_code == 500 and "couldn't connect to the cluster" in answer.json()["details"]
    assert house.file()["spec"]["rootfsGB"] == 8 and house.file()["spec"]["cores"] == 4


def test_an_offline_node_and_a_proxmox_that_is_away_are_told_with_what_to_do(house: House) -> None:
    house.pve.fake.set_node_offline("pve1")
    before = house.head()
    answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    assert answer.status_code == 500 and "No route to host" in answer.json()["details"]
    node = house.ask("GET", "/resource/node/status", node_name="pve1")
    assert node.status_code == 500 and "offline" in node.json()["details"]
    assert house.head() == before


def test_requests_on_one_container_come_one_after_the_other(house: House) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(house.ask, "POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": 1}) for _ in range(4)
        ]
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    assert "size=12G" in house.pve.fake.ct(104).config["rootfs"]
    assert house.file()["spec"]["rootfsGB"] == 12


def test_a_process_that_died_after_the_commit_is_finished_by_asking_again(house: House) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    house.pve.fake.ct(104).config["cores"] = 2
    head = house.head()
    assert house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4}).status_code == 200
    assert house.pve.fake.ct(104).config["cores"] == 4 and house.head() == head


def test_a_process_that_dies_between_commit_and_call_is_finished_by_the_next_pass(house: House) -> None:
    now = LXCContainer(node="pve1", vmid=104, cores=2, memory_mb=1024, rootfs_gb=8, hostname="ct104")
    wish = Wish(now, lambda _file: {CORES: "4"}, "pat asked for 4 cores, and then the machine went away")
    change = house.served.steward.ask(partial(commit, wish=wish)).result(timeout=60)
    assert change and house.pve.fake.ct(104).config["cores"] == 2
    house.served.reconcile()
    assert house.pve.fake.ct(104).config["cores"] == 4
    assert house.states() == ["applied", "applied"]
    metrics = house.served.client.get("/metrics").text
    assert 'lxc_scaling_actions_total{action="scale_up",container_id="104",resource="cpu"} 1.0' in metrics


def test_a_disk_that_is_growing_already_is_not_grown_twice(house: House) -> None:
    task = {"upid": "UPID:pve1:1", "node": "pve1", "type": "resize", "id": "104", "user": "root@pam", "starttime": 1}
    house.pve.fake.tasklog.append({**task, "status": "running"})
    before = house.head()
    answer = house.ask("POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": 5})
    assert answer.status_code == 500
    assert answer.json()["details"] == (
        "Proxmox VE is still at a task (resize) on container 104: ask again when it has ended"
    )
    assert house.head() == before and house.pve.asked("PUT", "/104/resize") == 0
    house.pve.fake.tasklog[-1].update(endtime=2, exitstatus="OK")
    assert house.ask("POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": 5}).status_code == 200


class Slow(Proxmox):
    """Whose tasks take longer than anybody waits."""

    def grow_rootfs(self, key: ContainerKey, by_gb: int, *, digest: str = "") -> None:  # noqa: ARG002
        raise StillRunning("Proxmox VE is still at it", after_seconds=60, hint="look at the task")


def test_the_commit_of_a_task_that_goes_on_stands(house: House) -> None:
    slow = Slow(Calls(house.pve.url, TOKEN, house.pve.ca), clock=house.served.clock)
    house.pve.clients.append(slow)
    client = TestClient(create_app(replace(house.served.server, proxmox=slow)), raise_server_exceptions=False)
    body = {"vm_id": 104, "disk_size": 5}
    answer = client.post("/scale/storage/increase", json=body, headers={"X-API-Key": house.key})
    assert answer.status_code == 500
    assert answer.json()["details"] == "Proxmox VE is still at it (look at the task); the commit stands"
    assert house.file()["spec"]["rootfsGB"] == 13 and house.states() == ["committed", "applied"]


@pytest.fixture
def frozen(tmp_path: Path, running: Pve) -> Iterator[House]:
    for house in _house(tmp_path, running, extra=EXCLUSION):
        house.served.clock.now = house.served.clock.now.replace(month=12, day=30, hour=12, minute=0, second=0)
        yield house


def test_an_exclusion_window_holds_what_people_ask_for_and_says_until_when(frozen: House) -> None:
    before = frozen.head()
    frozen.pve.fake.ct(104).snapshots["old"] = dict(frozen.pve.fake.ct(104).config, snaptime=1)
    for method, path, body in (
        ("POST", "/scale/cores", {"vm_id": 104, "cores": 4}),
        ("POST", "/snapshot/rollback", {"vm_id": 104, "snapshot_name": "old"}),
        ("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "b"}),
        ("DELETE", "/clone/delete", {"vm_id": 104}),
    ):
        answer = frozen.ask(method, path, body)
        assert answer.status_code == 400, f"{path}: {answer.text}"
        assert "until 2027-01-01 00:00 UTC" in answer.json()["error"], answer.text
    assert frozen.head() == before and frozen.pve.fake.ct(104).config["cores"] == 2
    assert frozen.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 2}).status_code == 200, "nothing changes by that"
    assert frozen.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "safe"}).status_code == 200


def test_snapshots_are_made_listed_and_gone_back_to(house: House) -> None:
    made = house.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "backup_20241224"})
    assert made.json() == {"status": "success", "message": "Snapshot 'backup_20241224' created for VM 104"}
    house.pve.fake.ct(104).snapshots["backup_20241224"].update(snaptime=1735020000, description="")
    listed = house.ask("GET", "/snapshot/list", vm_id=104)
    assert listed.json() == {
        "status": "success",
        "data": [{"name": "backup_20241224", "timestamp": "2024-12-24T06:00:00Z", "description": ""}],
    }
    head = house.head()
    again = house.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "backup_20241224"})
    assert again.status_code == 400 and "already" in again.json()["error"]
    back = house.ask("POST", "/snapshot/rollback", {"vm_id": 104, "snapshot_name": "backup_20241224"})
    assert back.json() == {"status": "success", "message": "Rolled back VM 104 to snapshot 'backup_20241224'"}
    assert house.head() == head, "nothing that is in Git has changed"
    assert [(runtime, action) for runtime, action, _ in house.rows()] == [("lxc", "apply"), ("lxc", "rollback")]
    assert all("pat had" in outcome for *_, outcome in house.rows())
    gone = house.ask("POST", "/snapshot/rollback", {"vm_id": 104, "snapshot_name": "nowhere"})
    assert gone.status_code == 404 and "nowhere" in gone.json()["error"]


def test_going_back_commits_the_sizes_that_the_snapshot_has(house: House) -> None:
    house.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "small"})
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    house.ask("POST", "/scale/ram", {"vm_id": 104, "memory": 2048})
    back = house.ask("POST", "/snapshot/rollback", {"vm_id": 104, "snapshot_name": "small"})
    assert back.status_code == 200, back.text
    config = house.pve.fake.ct(104).config
    assert (config["cores"], config["memory"]) == (2, 1024)
    assert (house.file()["spec"]["cores"], house.file()["spec"]["memoryMB"]) == (2, 1024)
    assert "rolled back to snapshot 'small'" in house.message()
    assert [action for _, action, _ in house.rows()][-2:] == ["apply", "rollback"]


def test_a_snapshot_that_fails_is_in_the_log(house: House) -> None:
    house.pve.fake.ct(104).lock = "migrate"
    answer = house.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "late"})
    assert answer.status_code == 500 and answer.json()["details"] == "CT is locked (migrate)"
    ((_, action, outcome),) = house.rows()
    assert action == "apply_failed" and "CT is locked (migrate)" in outcome


def test_a_clone_has_its_file_before_it_is_made(house: House) -> None:
    answer = house.ask("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "test_clone"})
    assert answer.json() == {"status": "success", "message": "Cloned VM 104 to new VM 105 (test_clone)"}
    assert house.pve.fake.ct(105).name == "test-clone", "a host's name has no underscore"
    assert house.pve.fake.ct(104).snapshots == {}
    assert house.file("lxc/pve1/105.yaml")["spec"]["hostname"] == "test-clone"
    assert house.file() is None, "the container that was copied is nobody's business"
    assert "104 cloned to 105" in house.rows()[-1][2]
    taken = house.ask("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "again"})
    assert taken.status_code == 400 and taken.json()["error"].startswith("Invalid new_vm_id: is in use already")


def test_a_clone_that_fails_leaves_no_file(house: House) -> None:
    house.pve.fake.fail("POST", "/104/clone", 500, "storage 'local-lvm' is not online")
    answer = house.ask("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "copy"})
    assert answer.status_code == 500 and "is not online" in answer.json()["details"]
    assert house.file("lxc/pve1/105.yaml") is None
    assert house.ask("GET", "/resource/vm/status", vm_id=105).status_code == 404


def test_a_container_is_deleted_with_its_file(house: House) -> None:
    house.ask("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "copy"})
    answer = house.ask("DELETE", "/clone/delete", {"vm_id": 105})
    assert answer.json() == {"status": "success", "message": "Deleted VM 105"}
    assert house.pve.fake.ct(105) is None and house.file("lxc/pve1/105.yaml") is None
    assert house.message().splitlines()[0] == "Delete pve1/105"
    assert house.ask("DELETE", "/clone/delete", {"vm_id": 104}).status_code == 200
    assert house.pve.fake.ct(104) is None
    assert house.rows()[-1] == ("lxc", "apply", "pat had container 104 deleted through the LXC API")


def test_a_container_that_cannot_be_deleted_keeps_its_file(house: House) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    house.pve.fake.ct(104).config["protection"] = 1
    answer = house.ask("DELETE", "/clone/delete", {"vm_id": 104})
    assert answer.status_code == 500 and "protection mode enabled" in answer.json()["details"]
    assert house.file()["spec"]["cores"] == 4


def test_the_log_and_the_history_agree(house: House) -> None:
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
    house.ask("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "one"})
    house.ask("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "copy"})
    house.ask("DELETE", "/clone/delete", {"vm_id": 105})
    house.pve.fake.ct(104).lock = "backup"
    house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 1})
    audited = house.served.steward.ask(audit).result(timeout=60)
    assert not audited.findings and audited.commits == 6


def test_what_a_container_and_a_node_have(still: House) -> None:
    ct = still.pve.fake.ct(104)
    ct.config.update(cores=4, memory=8192, rootfs="local-lvm:vm-104-disk-0,size=20G")
    ct.stats = {"uptime": 86400}
    assert still.ask("GET", "/resource/vm/status", vm_id=104).json() == {
        "status": "success",
        "data": {"vm_id": "104", "status": "running", "cpu": 4, "memory": 8192, "disk": 20, "uptime": 86400},
    }
    assert still.ask("GET", "/resource/vm/config", vm_id=104).json() == {
        "status": "success",
        "data": {"vm_id": "104", "cores": 4, "memory_mb": 8192},
        "message": "Successfully retrieved configuration for VM 104",
    }
    assert still.ask("GET", "/resource/node/status", node_name="pve1").json() == {
        "status": "success",
        "data": {
            "node": "pve1",
            "cpu_usage": 2.0,
            "memory_usage": 25.0,
            "memory_total": 8192,
            "memory_used": 2048,
            "uptime": 3600,
        },
    }
    del ct.config["cores"]
    assert still.ask("GET", "/resource/vm/config", vm_id=104).json()["data"]["cores"] == 4, "all of its node's"
    ct.config["cores"] = 2


WRONG = [
    ("POST", "/scale/cores", {"vm_id": 99, "cores": 4}, "Invalid vm_id: must be between 100 and 999999"),
    ("POST", "/scale/cores", {"vm_id": 1_000_000, "cores": 4}, "Invalid vm_id: must be between 100 and 999999"),
    ("POST", "/scale/cores", {"vm_id": "104", "cores": 4}, "Invalid vm_id: must be a valid integer"),
    ("POST", "/scale/cores", {"vm_id": True, "cores": 4}, "Invalid vm_id: must be a valid integer"),
    ("POST", "/scale/cores", {"vm_id": 104.0, "cores": 4}, "Invalid vm_id: must be a valid integer"),
    ("POST", "/scale/cores", {"cores": 4}, "Invalid vm_id: is needed"),
    ("POST", "/scale/cores", {"vm_id": 104, "cores": 0}, "Invalid cores: must be between 1 and 128"),
    ("POST", "/scale/cores", {"vm_id": 104, "cores": 129}, "Invalid cores: must be between 1 and 128"),
    ("POST", "/scale/ram", {"vm_id": 104, "memory": 63}, "Invalid memory: must be between 64 and 1048576"),
    ("POST", "/scale/ram", {"vm_id": 104, "memory": 1048577}, "Invalid memory: must be between 64 and 1048576"),
    (
        "POST",
        "/scale/storage/increase",
        {"vm_id": 104, "disk_size": 0},
        "Invalid disk_size: must be a positive integer",
    ),
    ("POST", "/scale/storage/increase", {"vm_id": 104, "disk_size": -5}, "Invalid disk_size: must be a positive"),
    ("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "a b"}, "Invalid snapshot_name: must be letters"),
    ("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": ""}, "Invalid snapshot_name: must be letters"),
    ("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "a" * 41}, "must be at most 40 characters"),
    ("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "2024"}, "must begin with a letter"),
    ("POST", "/snapshot/create", {"vm_id": 104, "snapshot_name": "current"}, "must not be current"),
    ("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "a.b"}, "Invalid new_vm_name: must be"),
    ("POST", "/clone/create", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": "__"}, "Invalid new_vm_name: must have"),
    (
        "POST",
        "/clone/create",
        {"vm_id": 104, "new_vm_id": 104, "new_vm_name": "a"},
        "Invalid new_vm_id: must be another",
    ),
    (
        "POST",
        "/clone/create",
        {"vm_id": 104, "new_vm_id": 12, "new_vm_name": "a"},
        "Invalid new_vm_id: must be between",
    ),
    ("DELETE", "/clone/delete", {"vm_id": 1}, "Invalid vm_id: must be between 100 and 999999"),
    ("DELETE", "/clone/delete", None, "a JSON body is needed"),
    ("GET", "/resource/vm/status?vm_id=1", None, "Invalid vm_id: must be between 100 and 999999"),
    ("GET", "/resource/vm/status?vm_id=1e3", None, "Invalid vm_id: must be a valid integer"),
    ("GET", "/resource/vm/config", None, "Invalid vm_id: is needed"),
    ("GET", "/snapshot/list?vm_id=+104", None, "Invalid vm_id: must be a valid integer"),
    ("GET", "/resource/node/status?node_name=a/b", None, "Invalid node_name: must be 1 to 50 letters"),
    ("GET", f"/resource/node/status?node_name={'a' * 51}", None, "Invalid node_name: must be 1 to 50 letters"),
]


def test_every_documented_validation_is_a_400_of_one_shape(still: House) -> None:
    before = still.head()
    for method, path, body, said in WRONG:
        answer = still.ask(method, path, body) if body is not None else still.ask(method, path)
        assert answer.status_code == 400, f"{path} {body}: {answer.status_code} {answer.text}"
        assert answer.json().keys() == {"status", "error"} and answer.json()["status"] == "error"
        assert said in answer.json()["error"], f"{path} {body}: {answer.text}"
    broken = still.served.client.post("/scale/cores", content=b"{", headers={"X-API-Key": still.key})
    assert broken.status_code == 400 and "JSON" in broken.json()["error"]
    assert still.head() == before


def test_what_is_not_there_is_a_404(still: House) -> None:
    still.pve.fake.add_vm(200, "a virtual machine")
    for vmid in (199, 200):
        for method, path, body in (
            ("POST", "/scale/cores", {"vm_id": vmid, "cores": 2}),
            ("POST", "/snapshot/create", {"vm_id": vmid, "snapshot_name": "one"}),
            ("DELETE", "/clone/delete", {"vm_id": vmid}),
            ("GET", f"/snapshot/list?vm_id={vmid}", None),
            ("GET", f"/resource/vm/status?vm_id={vmid}", None),
            ("GET", f"/resource/vm/config?vm_id={vmid}", None),
        ):
            answer = still.ask(method, path, body) if body else still.ask(method, path)
            assert answer.status_code == 404 and answer.json()["status"] == "error", f"{path}: {answer.text}"
            assert f"Container {vmid} not found" in answer.json()["error"]
    assert still.ask("GET", "/resource/node/status", node_name="pve9").status_code == 404


def test_keys_come_by_header_query_or_bearer(still: House) -> None:
    client, path = still.served.client, "/resource/vm/config?vm_id=104"
    assert client.get(path, headers={"X-API-Key": still.key}).status_code == 200
    assert client.get(path, headers={"Authorization": f"Bearer {still.key}"}).status_code == 200
    assert client.get(f"{path}&api_key={still.key}").status_code == 200
    for wrong in (path, f"{path}&api_key=tt_live_{'0' * 32}", f"{path}&api_key="):
        answer = client.get(wrong)
        assert (answer.status_code, answer.json()) == (
            401,
            {"status": "error", "error": "Missing or invalid API key"},
        )
    elsewhere = client.get(f"/api/v1/scaling/policies?api_key={still.key}")
    assert elsewhere.status_code == 401, "other families take no key in the query"
    two = client.get(f"{path}&api_key={still.key}", headers={"X-API-Key": "tt_live_" + "0" * 32})
    assert two.status_code == 400


def test_who_may_only_read_may_not_write(still: House) -> None:
    reader = still.served.key("lxc:read")
    assert still.served.client.get("/resource/vm/config?vm_id=104", headers=reader).status_code == 200
    answer = still.served.client.post("/scale/cores", json={"vm_id": 104, "cores": 4}, headers=reader)
    assert answer.status_code == 403
    assert answer.json() == {"status": "error", "error": "the scope lxc:write is needed"}


def test_nobody_sees_another_organizations_containers(still: House) -> None:
    ask = still.served.client.get
    limited = still.served.key("lxc:write", clusters=("prod",))
    other = still.served.key("lxc:write", organization="globex")
    for who in (limited, other):
        there, nowhere = (ask(f"/resource/vm/status?vm_id={vmid}", headers=who) for vmid in (104, 999))
        assert there.status_code == nowhere.status_code == 404
        assert there.text.replace("104", "") == nowhere.text.replace("999", "")
        assert ask("/resource/node/status?node_name=pve1", headers=who).status_code == 404
    allowed = still.served.key("lxc:read", clusters=("lxc/pve1",))
    assert ask("/resource/vm/status?vm_id=104", headers=allowed).status_code == 200


def test_a_node_that_the_fleet_does_not_declare_is_not_its_own(tmp_path: Path, running: Pve) -> None:
    for house in _house(tmp_path, running, extra="  lxcNodes: [{name: pve2}]\n"):
        house.pve.add(105, node="pve2")
        assert house.ask("GET", "/resource/vm/status", vm_id=105).status_code == 200
        answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
        assert answer.status_code == 404 and "spec.lxcNodes in trimtab.yaml" in answer.json()["error"]


def test_health_metrics_and_routes(still: House) -> None:
    client = still.served.client
    health = client.get("/health/check").json()
    assert health == {"status": "healthy", "timestamp": still.served.clock.now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    metrics = client.get("/metrics").text
    assert "# HELP lxc_scaling_actions_total Total scaling actions\n# TYPE lxc_scaling_actions_total counter" in metrics
    assert client.get("/routes").status_code == 401
    listed = still.ask("GET", "/routes").json()
    assert listed["status"] == "success"
    assert {"endpoint": "/scale/cores", "methods": ["POST"]} in listed["routes"]
    ours = {
        (route.path, method)
        for route in iter_route_contexts(client.app.routes)
        for method in route.methods or ()
        if route.path.startswith(("/scale/", "/snapshot/", "/clone/", "/resource/", "/health/", "/routes", "/metrics"))
        and method != "HEAD"
    }
    assert {(one["endpoint"], method) for one in listed["routes"] for method in one["methods"]} == ours
    assert len(listed["routes"]) == 14


def test_too_many_requests_are_told_as_documented(still: House) -> None:
    key = still.served.key("lxc:read")

    def ask() -> Any:
        return still.served.client.get("/routes", headers=key)

    assert {ask().status_code for _ in range(120)} == {200}
    still.served.clock.forward(seconds=15)
    answer = ask()
    assert answer.status_code == 429
    assert answer.json() == {
        "status": "error",
        "error": "Rate limit exceeded",
        "retry_after_seconds": 45,
        "limit": 120,
        "window_seconds": 60,
    }
    assert answer.headers["Retry-After"] == "45"
    still.served.clock.forward(seconds=46)
    assert ask().status_code == 200


def test_a_server_without_proxmox_says_what_to_set(tmp_path: Path, running: Pve) -> None:
    for house in _house(tmp_path, running, proxmox_url=""):
        answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
        assert answer.status_code == 500
        assert answer.json()["error"] == "Internal server error"
        assert "TRIMTAB_PROXMOX_URL" in answer.json()["details"]
        assert house.served.client.get("/health/check").status_code == 200


def test_settings_that_cannot_be_used_hold_nothing_else_up(tmp_path: Path, running: Pve) -> None:
    for house in _house(tmp_path, running, proxmox_url="pve"):
        assert "TRIMTAB_PROXMOX_URL is no URL" in house.ask("GET", "/resource/vm/status", vm_id=104).json()["details"]
        house.served.reconcile()


def test_a_certificate_that_does_not_verify_is_told_with_the_setting(tmp_path: Path, running: Pve) -> None:
    for house in _house(tmp_path, running, proxmox_verify="true"):
        answer = house.ask("GET", "/resource/vm/status", vm_id=104)
        assert answer.status_code == 500 and "TRIMTAB_PROXMOX_VERIFY" in answer.json()["details"]
        assert SECRET not in answer.text


def test_a_fleet_that_wants_pull_requests_gets_no_commit(tmp_path: Path, running: Pve) -> None:
    for house in _house(tmp_path, running, extra="  delivery: {mode: pullRequest}\n"):
        before = house.head()
        answer = house.ask("POST", "/scale/cores", {"vm_id": 104, "cores": 4})
        assert answer.status_code == 500 and "pull request" in answer.json()["details"]
        assert house.head() == before and house.pve.fake.ct(104).config["cores"] == 2
