"""The adapter against a Proxmox VE over HTTPS: what it reads, what it does, and what it says when that fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakepve.certs import make_cert

from reconciler.actuate.proxmox import Away, NoContainer, NoNode, Proxmox, Refused, StillRunning, TaskFailed
from reconciler.actuate.proxmox_calls import Calls
from reconciler.clock import fixed_clock
from reconciler.errors import Stalled, TrimtabError
from support.proxmox import SECRET, TOKEN, Pve, proxmox
from support.replay import NOW

KEY = ("pve1", 104)


@pytest.fixture(scope="module")
def running() -> Iterator[Pve]:
    with proxmox() as pve:
        yield pve


@pytest.fixture
def pve(running: Pve) -> Pve:
    running.clear()
    return running


def test_a_container_is_read_with_its_exact_config(pve: Pve) -> None:
    ct = pve.add(104, cores=4, memory=8192, rootfs="local-lvm:vm-104-disk-0,size=20G", hostname="web")
    ct.stats = {"cpu": 0.5, "cpus": 4, "mem": 3 * 1024**3, "uptime": 86400}
    state = pve.client().container(KEY)
    assert (state.node, state.vmid, state.hostname, state.status) == ("pve1", 104, "web", "running")
    assert (state.cores, state.memory_mb, state.rootfs_gb) == (4, 8192, 20.0)
    assert (state.cpu_cores, state.used_memory_mb, state.uptime_seconds) == (2.0, 3072.0, 86400)
    assert state.digest and state.lock == "" and state.at == NOW


def test_a_container_without_a_limit_on_cores_says_so(pve: Pve) -> None:
    del pve.add(104).config["cores"]
    assert pve.client().container(KEY).cores is None


@pytest.mark.parametrize(
    ("rootfs", "gb"), [("local-lvm:x,size=512M", 0.5), ("local-lvm:x,size=1T", 1024.0), ("/mnt/folder", None)]
)
def test_a_root_disk_has_the_size_that_its_config_says(pve: Pve, rootfs: str, gb: float | None) -> None:
    pve.add(104, rootfs=rootfs)
    assert pve.client().container(KEY).rootfs_gb == gb


def test_a_containers_node_is_found_and_a_virtual_machine_is_no_container(pve: Pve) -> None:
    pve.add(104, node="pve2")
    pve.fake.add_vm(105, "vm")
    client = pve.client()
    assert client.find(104) == ("pve2", 104)
    assert client.find(105) is None and client.taken(105)
    assert client.find(106) is None and not client.taken(106)


def test_all_containers_of_a_node_are_one_call_without_templates(pve: Pve) -> None:
    pve.add(104)
    pve.add(105, status="stopped", memory=512)
    pve.add(106, template=1)
    pve.add(107, node="pve2")
    pve.fake.requests.clear()
    listed = pve.client().containers("pve1")
    assert [(one.vmid, one.status, one.cores, one.memory_mb) for one in listed] == [
        (104, "running", 2, 1024),
        (105, "stopped", 2, 512),
    ]
    assert len(pve.fake.requests) == 1


def test_a_node_says_what_it_has_and_an_offline_one_that_it_is(pve: Pve) -> None:
    pve.fake.add_node("pve2", online=False)
    client = pve.client()
    node = client.node("pve1")
    assert (node.online, node.cpus, node.memory_mb, node.used_memory_mb) == (True, 4, 8192, 2048)
    assert [(one.node, one.online) for one in client.nodes()] == [("pve1", True), ("pve2", False)]
    with pytest.raises(NoNode, match="no node pve9"):
        client.node("pve9")


def test_what_running_guests_may_use_counts_virtual_machines_too(pve: Pve) -> None:
    pve.add(104, memory=1024)
    pve.add(105, memory=2048, status="stopped")
    pve.add(106, memory=4096, node="pve2")
    pve.fake.add_vm(107, "vm", status="running", config={"memory": 512})
    assert pve.client().allocated_memory_mb("pve1") == 1536


def test_cores_and_memory_are_set_in_one_call(pve: Pve) -> None:
    ct = pve.add(104)
    client = pve.client()
    client.set_resources(KEY, cores=3, memory_mb=2048, digest=client.container(KEY).digest)
    assert (ct.config["cores"], ct.config["memory"]) == (3, 2048)
    assert pve.asked("PUT", "/104/config") == 1
    client.set_resources(KEY)
    assert pve.asked("PUT", "/104/config") == 1


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(pve: Pve) -> None:
    ct = pve.add(104)
    client = pve.client()
    digest = client.container(KEY).digest
    ct.config["cores"] = 8
    with pytest.raises(Refused, match="modified configuration"):
        client.set_resources(KEY, cores=3, digest=digest)
    with pytest.raises(Refused, match="modified configuration"):
        client.grow_rootfs(KEY, 5, digest=digest)
    assert ct.config["cores"] == 8 and "size=8G" in ct.config["rootfs"]


def test_a_root_disk_grows(pve: Pve) -> None:
    pve.add(104)
    client = pve.client()
    client.grow_rootfs(KEY, 5)
    assert client.container(KEY).rootfs_gb == 13.0


def test_snapshots_are_made_listed_and_gone_back_to(pve: Pve) -> None:
    ct = pve.add(104)
    client = pve.client()
    client.snapshot(KEY, "before", description="by pat")
    ct.snapshots["before"]["snaptime"] = 1735020000
    client.set_resources(KEY, cores=4)
    (only,) = client.snapshots(KEY)
    assert (only.name, only.description) == ("before", "by pat")
    assert only.at == datetime(2024, 12, 24, 6, 0, tzinfo=UTC)
    then = client.in_snapshot(KEY, "before")
    assert (then.cores, then.memory_mb, then.rootfs_gb, then.hostname) == (2, 1024, 8, "ct104")
    client.roll_back(KEY, "before")
    assert client.container(KEY).cores == 2
    assert ct.status == "running", "one that ran is started again"


def test_going_back_leaves_a_stopped_container_stopped(pve: Pve) -> None:
    ct = pve.add(104, status="stopped")
    client = pve.client()
    client.snapshot(KEY, "before")
    client.roll_back(KEY, "before")
    assert ct.status == "stopped"


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_a_clone_leaves_no_snapshot_behind(pve: Pve, status: str) -> None:
    source = pve.add(104, status=status)
    client = pve.client()
    client.clone(KEY, 105, "copy")
    copy = client.container(("pve1", 105))
    assert (copy.hostname, copy.cores, copy.memory_mb, copy.lock) == ("copy", 2, 1024, "")
    assert source.snapshots == {} and source.lock is None


def test_a_snapshot_of_a_clone_that_was_cut_short_is_in_nobodys_way(pve: Pve) -> None:
    source = pve.add(104)
    client = pve.client()
    client.snapshot(KEY, "trimtab-clone-105")
    client.clone(KEY, 105, "copy")
    assert client.find(105) == ("pve1", 105) and source.snapshots == {}


def test_a_clone_that_fails_leaves_no_snapshot_behind_either(pve: Pve) -> None:
    source = pve.add(104)
    pve.fake.fail("POST", "/104/clone", 500, "no space left on local-lvm")
    with pytest.raises(Refused, match="no space left"):
        pve.client().clone(KEY, 105, "copy")
    assert source.snapshots == {}


def test_a_running_container_is_stopped_and_deleted(pve: Pve) -> None:
    pve.add(104)
    pve.client().delete(KEY)
    assert pve.fake.ct(104) is None and pve.asked("POST", "/status/stop") == 1


def test_a_container_that_is_not_there_is_told_apart_from_a_fault(pve: Pve) -> None:
    client = pve.client()
    for ask in (client.container, client.snapshots, client.delete):
        with pytest.raises(NoContainer):
            ask(KEY)
    with pytest.raises(NoContainer):
        client.set_resources(KEY, cores=2)


def test_a_locked_container_is_refused_at_once_or_by_its_task(pve: Pve) -> None:
    pve.add(104, lock="backup")
    client = pve.client()
    assert client.container(KEY).lock == "backup"
    with pytest.raises(Refused, match=r"CT is locked \(backup\)"):
        client.set_resources(KEY, cores=3)
    with pytest.raises(TaskFailed, match=r"CT is locked \(backup\)"):
        client.snapshot(KEY, "before")


def test_a_task_that_fails_is_an_error_with_its_words(pve: Pve) -> None:
    pve.add(104)
    client = pve.client()
    client.snapshot(KEY, "twice")
    with pytest.raises(TaskFailed, match="snapshot name 'twice' already used"):
        client.snapshot(KEY, "twice")


def test_warnings_are_a_success() -> None:
    calls = Calls("https://pve.example.com:8006", TOKEN, "true", pause=lambda _seconds: None)
    calls.get = lambda _path, **_params: {"status": "stopped", "exitstatus": "WARNINGS: 2"}  # type: ignore[method-assign]
    calls.finish("UPID:pve1:0001:0002:0003:resize:104:trimtab@pve:")
    calls.get = lambda _path, **_params: {"status": "stopped", "exitstatus": "boom"}  # type: ignore[method-assign]
    with pytest.raises(TaskFailed, match="boom"):
        calls.finish("UPID:pve1:0001:0002:0003:resize:104:trimtab@pve:")


def test_a_slow_task_is_waited_for_with_growing_pauses(pve: Pve) -> None:
    pve.add(104)
    pve.fake.time_scale = 0.02
    pve.fake.ct_secs["snapshot"] = 20
    pauses: list[float] = []
    slept = threading.Event()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        slept.wait(min(seconds, 0.05))

    client = Proxmox.open(pve.url, TOKEN, pve.ca, clock=fixed_clock(NOW), pause=pause)
    pve.clients.append(client)
    try:
        client.snapshot(KEY, "slow")
    finally:
        pve.fake.ct_secs["snapshot"] = 0
    assert [one.name for one in client.snapshots(KEY)] == ["slow"]
    assert len(pauses) > 2 and pauses[0] < pauses[-1] <= 5.0 and pauses == sorted(pauses)


def test_a_task_that_does_not_end_is_said_to_be_still_running(pve: Pve) -> None:
    calls = Calls("https://pve.example.com:8006", TOKEN, "true", pause=lambda _seconds: None)
    calls.get = lambda _path, **_params: {"status": "running"}  # type: ignore[method-assign]
    with pytest.raises(StillRunning, match="still at it after 0 seconds"):
        calls.finish("UPID:pve1:0001:0002:0003:vzclone:104:trimtab@pve:", within=0.001)


def test_a_task_is_asked_for_again_when_nobody_can_say(pve: Pve) -> None:
    pve.add(104)
    client = pve.client()
    upid = "/status"
    pve.fake.fail("GET", upid, 596, "Broken pipe", times=2)
    client.snapshot(KEY, "patient")
    assert [one.name for one in client.snapshots(KEY)] == ["patient"]


def test_an_offline_node_is_away(pve: Pve) -> None:
    pve.add(104, node="pve2")
    pve.fake.set_node_offline("pve2")
    client = pve.client()
    assert client.find(104) == ("pve2", 104)
    with pytest.raises(Away, match="No route to host"):
        client.container(("pve2", 104))


def test_nobody_at_that_port_is_away() -> None:
    client = Proxmox.open("https://127.0.0.1:9", TOKEN, "true", clock=fixed_clock(NOW))
    with pytest.raises(Away, match=r"127\.0\.0\.1:9 cannot be reached"):
        client.nodes()


def test_a_proxy_in_between_is_away_not_a_crash(pve: Pve) -> None:
    pve.fake.fail("GET", "/nodes", 200, "<html>log in</html>", html=True)
    with pytest.raises(Away, match="cannot be read"):
        pve.client().nodes()


def test_a_certificate_that_does_not_verify_names_the_setting(pve: Pve, tmp_path: Path) -> None:
    other, _, _ = make_cert(str(tmp_path), hosts=("127.0.0.1",))
    for verify in ("true", other):
        with pytest.raises(Stalled, match="certificate .* does not verify") as caught:
            pve.client(verify=verify).nodes()
        assert "TRIMTAB_PROXMOX_VERIFY" in caught.value.hint


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_no_certificate_is_looked_at_where_people_say_so(pve: Pve) -> None:
    assert pve.client(verify="false").nodes()


def test_a_token_that_is_not_accepted_says_how_to_make_one(pve: Pve) -> None:
    with pytest.raises(Stalled, match="does not accept the API token") as caught:
        pve.client(token=TOKEN + "x").nodes()
    assert "TRIMTAB_PROXMOX_TOKEN" in caught.value.hint and SECRET not in str(caught.value)


def test_a_token_that_may_not_says_which_privilege(pve: Pve) -> None:
    pve.add(104)
    pve.fake.acl = None
    pve.fake.grant("trimtab@pve!fleet", "/", "VM.Audit")
    with pytest.raises(Stalled, match=r"VM\.Config\.CPU") as caught:
        pve.client().set_resources(KEY, cores=3)
    assert "Datastore.AllocateSpace" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "token", "verify", "said"),
    [
        ("http://pve:8006", TOKEN, "true", "TRIMTAB_PROXMOX_URL"),
        ("pve.example.com", TOKEN, "true", "TRIMTAB_PROXMOX_URL"),
        ("https://pve:port", TOKEN, "true", "TRIMTAB_PROXMOX_URL"),
        ("https://pve:8006", "", "true", "TRIMTAB_PROXMOX_TOKEN is not set"),
        ("https://pve:8006", f"trimtab@pve!fleet:{SECRET}", "true", "TRIMTAB_PROXMOX_TOKEN is not an API token"),
        ("https://pve:8006", TOKEN, "/no/such/ca.pem", "TRIMTAB_PROXMOX_VERIFY"),
    ],
)
def test_settings_that_cannot_be_used_are_said_by_name(url: str, token: str, verify: str, said: str) -> None:
    with pytest.raises(Stalled, match=said) as caught:
        Proxmox.open(url, token, verify, clock=fixed_clock(NOW))
    assert SECRET not in str(caught.value)


def test_no_error_shows_the_token(pve: Pve) -> None:
    pve.add(104, lock="backup")
    pve.fake.fail("GET", "/nodes", 500, "boom")
    client = pve.client()
    for ask in (client.nodes, lambda: client.set_resources(KEY, cores=3), lambda: client.container(("pve1", 999))):
        with pytest.raises(TrimtabError) as caught:
            ask()
        assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)


def test_many_threads_may_ask_at_once(pve: Pve) -> None:
    for vmid in range(104, 112):
        pve.add(vmid)
    client = pve.client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda vmid: client.set_resources(("pve1", vmid), cores=vmid - 100), range(104, 112)))
    assert [ct.config["cores"] for ct in pve.fake.cts] == [4, 5, 6, 7, 8, 9, 10, 11]
