"""Docker policies: from what hosts push to a commit, from the commit to commands, and back again by a rollback or a revert."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import loop
from reconciler.errors import NothingToRollBack
from reconciler.model.policy import ScalingPolicySpec
from reconciler.steps.house import House
from support.fleets import FleetRepo, git, new_fleet, policy
from support.hosts import DockerHost, docker_host
from support.served import Served, serving

GROUP = "docker/web-pool/web.yaml"
FLEET = (
    "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n"
    "spec:\n  hostPools: [{name: web-pool}, {name: spare}]\n"
)
PERSONS = """\
# ours, since 2024
apiVersion: trimtab.dev/v1alpha1
kind: ContainerGroup
metadata: {name: web}   # the shop
spec:
    hostPool: web-pool
    replicas: 2          # see the runbook
    maxReplicasPerHost: 2
    image: "web:1.24"
"""


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    return new_fleet(tmp_path / "home", {"trimtab.yaml": FLEET})


@pytest.fixture
def served(tmp_path: Path, repo: FleetRepo, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as served:
        yield served


def live(served: Served, **fields: object) -> str:
    given = {"name": "web autoscaler", "runtime": "docker", "target_ref": "web-pool/web", "cpu_target_percent": 70}
    spec = ScalingPolicySpec.model_validate({**given, "dry_run": False, **fields})
    return served.server.stores.policies.create("acme", spec, served.clock()).id


def replicas(repo: FleetRepo) -> int:
    return int(yaml.safe_load(repo.show(GROUP))["spec"]["replicas"])


def rows(served: Served, policy_id: str) -> list[tuple[str, int | None, int | None]]:
    """(action, from, to), the oldest first."""
    found = served.server.stores.log.recent(served.steward.watch.url, policy_id)
    return [(row.action, row.from_replicas, row.to_replicas) for row in reversed(found)]


def shown(served: Served, policy_id: str) -> dict[str, Any]:
    """The policy as the Scaling API lists it."""
    listed = served.client.get("/api/v1/scaling/policies").json()
    found: dict[str, Any] = next(one for one in listed if one["id"] == policy_id)
    return found


def roll_back(served: Served, policy_id: str) -> None:
    def undo(house: House) -> None:
        loop.rollback(house, policy_id)

    served.steward.ask(undo).result(timeout=60)


def pass_after(served: Served, host: DockerHost, cpu: float, seconds: float = 301) -> None:
    served.clock.forward(seconds=seconds)
    host.push(cpu)
    served.reconcile()


def test_from_load_to_a_commit_to_a_command_and_back_by_a_rollback(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served, lb_pool_ref="haproxy/web")
    host.push(91)
    served.reconcile()

    made = yaml.safe_load(repo.show(GROUP))
    assert made["kind"] == "ContainerGroup"
    assert made["spec"] == {"hostPool": "web-pool", "replicas": 3, "image": "web:1.25", "lbPoolRef": "haproxy/web"}
    subject, body = repo.log("%s%n%b", "-1")[0], git(repo.bare, "log", "-1", "--format=%b", "main")
    assert subject == "Scale web-pool/web: 2 → 3 containers"
    assert f"Trimtab-Policy: {policy_id}" in body
    assert "Trimtab-Change: " in body and "Trimtab-Decision: " in body
    assert "cpu at 91% against a target of 70% over 2 running containers" in body

    command = host.poll()
    assert command is not None
    assert command["type"] == "docker.scale"
    assert command["policyId"] == policy_id
    assert command["payload"] == {
        "hostPool": "web-pool",
        "group": "web",
        "replicas": 3,
        "fromReplicas": 2,
        "lbPoolRef": "haproxy/web",
    }
    assert shown(served, policy_id)["applyHealth"] == "pending"
    assert host.work() == [(2, 3)]
    assert rows(served, policy_id) == [("apply", 2, 2), ("apply", 2, 3)]
    changes = served.server.stores.changes.list(served.steward.watch.url)
    assert changes[0].state == "applied"

    roll_back(served, policy_id)
    assert replicas(repo) == 2
    assert host.work() == [(3, 2)]
    assert rows(served, policy_id)[-1] == ("rollback", 3, 2)
    pass_after(served, host, 91)
    assert replicas(repo) == 2, "the value that was refused is not written again"
    assert host.work() == []


def states(served: Served) -> list[tuple[str, str]]:
    """(summary, state) of each change, the newest first."""
    listed = served.client.get("/api/v1/changes").json()["items"]
    return [(one["summary"], one["state"]) for one in listed]


def test_what_was_overtaken_and_what_takes_a_file_away_is_applied_in_the_end(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(91)
    served.reconcile()
    adopted, up = ("Take on web-pool/web with 2 containers", "Scale web-pool/web: 2 → 3 containers")
    assert states(served) == [(up, "committed"), (adopted, "committed")]
    host.broken = "web-1 is unhealthy"
    assert host.work() == [(2, 3)]
    host.broken = ""
    served.reconcile()
    assert states(served) == [(up, "failed"), (adopted, "committed")]

    repo.pull()
    repo.write(GROUP, repo.show(GROUP).replace("replicas: 3", "replicas: 4"))
    repo.commit("Four, by hand")
    served.reconcile()
    assert host.work() == [(2, 4)]
    pass_after(served, host, 60)
    assert states(served) == [(up, "failed"), (adopted, "applied")], "what failed never came true"

    pass_after(served, host, 91)
    assert states(served)[0] == ("Scale web-pool/web: 4 → 5 containers", "committed")
    assert host.work() == [(4, 5)]
    change = served.client.get("/api/v1/changes").json()["items"][0]["id"]
    shown_change = served.client.get(f"/api/v1/changes/{change}").json()
    assert shown_change["proof"]["state"] == "healthy", "the agent answers once all are healthy"
    at = served.clock().isoformat()
    assert {name: shown_change["times"][name] for name in ("synced", "healthy")} == {"synced": at, "healthy": at}

    served.clock.forward(seconds=1)
    assert served.client.delete(f"/api/v1/scaling/policies/{policy_id}").status_code == 204
    served.reconcile()
    assert not repo.files("docker")
    assert states(served)[0] == ("Stop scaling web-pool/web", "applied")


def test_a_persons_file_is_changed_in_one_place_only(served: Served, repo: FleetRepo) -> None:
    repo.write(GROUP, PERSONS)
    repo.commit()
    host = docker_host(served, "host-1", web=2)
    live(served, step_size=5)
    host.push(100)
    served.reconcile()
    assert repo.show(GROUP) + "\n" == PERSONS, "a third does not fit on one host"
    served.clock.forward(seconds=60)
    docker_host(served, "host-2").push()
    host.push(100)
    served.reconcile()
    assert repo.show(GROUP) + "\n" == PERSONS.replace("replicas: 2", "replicas: 3")


def test_a_persons_git_revert_scales_back(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(95)
    served.reconcile()
    assert host.work() == [(2, 3)]
    repo.pull()
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    pass_after(served, host, 95)
    assert host.work() == [(3, 2)]
    assert host.told[-1]["policyId"] == policy_id
    assert replicas(repo) == 2
    states = [change.state for change in served.server.stores.changes.list(served.steward.watch.url)]
    assert states[0] == "reverted"


def test_a_person_who_edits_the_number_is_obeyed(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    live(served)
    host.push(70)
    served.reconcile()
    assert host.work() == [], "what runs is what the file says"
    repo.pull()
    repo.write(GROUP, (repo.work / GROUP).read_text().replace("replicas: 2", "replicas: 4"))
    repo.commit("More for the sale")
    pass_after(served, host, 70, seconds=1)
    assert host.work() == [(2, 4)]


def test_two_hosts_share_and_what_does_not_fit_is_said(served: Served, repo: FleetRepo) -> None:
    first, second = docker_host(served, "host-1", web=2), docker_host(served, "host-2", web=1)
    policy_id = live(served, max_replicas_per_host=2, step_size=4)
    first.push(95)
    second.push(95)
    served.reconcile()
    assert replicas(repo) == 4, "five would not fit on two hosts"
    assert "5 would not fit on 2 connected hosts × maxReplicasPerHost 2" in git(repo.bare, "log", "-1", "--format=%b")
    assert first.work() == []
    assert second.work() == [(1, 2)]

    served.clock.forward(seconds=400)
    first.push(95)  # the second host is silent by now
    served.reconcile()
    state = served.server.stores.policies.states([served.steward.watch.url])[policy_id]
    assert "2 of 4 containers do not fit" in state.conflict
    assert replicas(repo) == 4
    second.push(70)
    first.push(70)
    served.reconcile()
    assert (first.work(), second.work()) == ([], []), "the host is back with what it ran"


def test_load_that_falls_scales_down_by_steps_and_cooldowns(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=6)
    live(served, min_replicas=2, step_size=2)
    host.push(10)
    served.reconcile()
    assert (replicas(repo), host.work()) == (4, [(6, 4)])
    pass_after(served, host, 10, seconds=60)
    assert replicas(repo) == 4
    pass_after(served, host, 10, seconds=241)
    assert (replicas(repo), host.work()) == (2, [(4, 2)])
    pass_after(served, host, 10)
    assert replicas(repo) == 2


def test_in_dry_run_nothing_is_written_and_the_log_says_what_would_be(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served, dry_run=True)
    before = repo.head()
    host.push(95)
    served.reconcile()
    pass_after(served, host, 95, seconds=10)
    pass_after(served, host, 95)
    found = served.server.stores.log.recent(served.steward.watch.url, policy_id)
    assert [(row.action, row.from_replicas, row.to_replicas, row.runtime) for row in found] == [
        ("dry_run", 2, 3, "docker")
    ]
    assert yaml.safe_load(found[0].rendered_manifest)["spec"]["replicas"] == 3
    assert (found[0].trigger_metric, found[0].trigger_value, found[0].threshold) == ("cpu_percent", 95.0, 70.0)
    assert (repo.head(), host.poll()) == (before, None)


def test_a_host_that_fails_is_told_again_after_ten_minutes_and_the_log_says_so_once(
    served: Served, repo: FleetRepo
) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served, max_replicas=3)
    host.push(95)
    served.reconcile()
    host.broken = "no space left on device"
    assert host.work() == [(2, 3)]
    again = host.answer(host.told[-1]["command_id"], "succeeded")
    assert (again.status_code, again.json()) == (200, {"ok": True})
    assert [action for action, _, _ in rows(served, policy_id)] == ["apply", "apply", "apply_failed"]
    row = served.server.stores.log.recent(served.steward.watch.url, policy_id, 1)[0]
    assert "no space left on device" in row.outcome
    change = served.server.stores.changes.list(served.steward.watch.url)[0]
    assert (change.state, "no space left" in change.failure) == ("failed", True)
    pass_after(served, host, 95, seconds=60)
    assert host.poll() is None
    state = served.server.stores.policies.states([served.steward.watch.url])[policy_id]
    assert "no space left on device" in state.failure
    assert shown(served, policy_id)["applyHealth"] == "failed"
    host.broken = ""
    pass_after(served, host, 95, seconds=600)
    assert host.work() == [(2, 3)]
    assert served.server.stores.changes.list(served.steward.watch.url)[0].state == "applied"
    pass_after(served, host, 95, seconds=1)
    assert shown(served, policy_id)["applyHealth"] == "applied"


def test_a_command_that_nobody_answers_is_issued_again(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    live(served, max_replicas=3)
    host.push(95)
    served.reconcile()
    first = host.poll()
    served.clock.forward(seconds=121)
    assert first is not None and host.poll() is None, "it has expired"
    host.push(95)
    served.reconcile()
    second = host.poll()
    assert second is not None
    assert second["command_id"] != first["command_id"]
    assert second["payload"] == first["payload"]


def test_a_pass_that_rests_issues_again_what_nobody_has_answered(served: Served) -> None:
    host = docker_host(served, "host-1", web=2)
    live(served, max_replicas=3)
    host.push(95)
    served.reconcile()
    served.reconcile()
    first = host.poll()
    served.clock.forward(seconds=30)
    served.server.stores.agents.heard({host.id: served.clock()})
    served.reconcile()
    again = host.poll()
    assert first is not None and again is not None
    assert again["command_id"] == first["command_id"], "it waits still"
    served.clock.forward(seconds=91)
    served.server.stores.agents.heard({host.id: served.clock()})
    served.reconcile()
    second = host.poll()
    assert second is not None and second["command_id"] != first["command_id"]


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["pushed", "actuate"])
def test_a_process_that_dies_before_it_commands_has_lost_nothing(served: Served, repo: FleetRepo, step: str) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(95)
    served.server.flush()

    def die(house: House) -> None:
        def told(name: str) -> None:
            if name == step:
                raise Killed

        before, house.step = house.step, told
        try:
            loop.reconcile(house)
        finally:
            house.step = before

    with pytest.raises(Killed):
        served.steward.ask(die).result(timeout=60)
    assert (replicas(repo), host.poll()) == (3, None)
    served.reconcile()
    commits = len(repo.log())
    assert host.work() == [(2, 3)]
    served.reconcile()
    assert host.work() == []
    assert len(repo.log()) == commits
    assert rows(served, policy_id)[-1][0] == "apply"


def test_a_closed_window_holds_the_step_and_nothing_is_commanded(served: Served, repo: FleetRepo) -> None:
    repo.write("trimtab.yaml", FLEET + '  windows: {exclusion: [{cron: "0 0 * * *", duration: 24h, name: freeze}]}\n')
    repo.commit()
    before = repo.head()
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(95)
    served.reconcile()
    assert (repo.head(), host.poll()) == (before, None)
    state = served.server.stores.policies.states([served.steward.watch.url])[policy_id]
    assert "freeze" in state.held


def test_a_new_decision_ends_the_command_that_waits(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(95)
    served.reconcile()
    roll_back(served, policy_id)
    command = host.poll()
    assert command is None or command["payload"]["replicas"] == 2
    host.work()
    assert host.running["web"] == 2


def test_an_unreadable_group_stops_its_policy_and_is_named(served: Served, repo: FleetRepo) -> None:
    repo.write(GROUP, PERSONS.replace("replicas: 2", "replicas: '2'"))
    repo.commit()
    before = repo.head()
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(95)
    served.reconcile()
    state = served.server.stores.policies.states([served.steward.watch.url])[policy_id]
    assert "docker/web-pool/web.yaml cannot be read" in state.conflict
    assert (repo.head(), host.poll()) == (before, None)


def test_a_policy_declared_in_git_scales_and_goes_to_dry_run_when_rolled_back(served: Served, repo: FleetRepo) -> None:
    repo.write("policies/web.yaml", policy("web", "web-pool/web", runtime="docker"))
    repo.commit()
    host = docker_host(served, "host-1", web=2)
    host.push(95)
    served.reconcile()
    assert host.work() == [(2, 3)]
    roll_back(served, "web")
    assert host.work() == [(3, 2)]
    roll_back(served, "web")
    assert GROUP not in repo.files()
    assert yaml.safe_load(repo.show("policies/web.yaml"))["spec"]["dryRun"] is True
    assert host.work() == [], "nobody asks for a number any more"


def test_a_group_that_a_person_has_changed_since_stays_when_its_adoption_is_rolled_back(
    served: Served, repo: FleetRepo
) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(70)
    served.reconcile()
    repo.pull()
    edited = (repo.work / GROUP).read_text().replace("replicas: 2", "replicas: 4")
    repo.write(GROUP, edited)
    repo.commit("More for the sale")
    with pytest.raises(NothingToRollBack):
        roll_back(served, policy_id)
    assert repo.show(GROUP) + "\n" == edited


def test_a_policy_that_is_deleted_takes_the_file_that_was_made_for_it_away(served: Served, repo: FleetRepo) -> None:
    host = docker_host(served, "host-1", web=2)
    policy_id = live(served)
    host.push(70)
    served.reconcile()
    assert GROUP in repo.files()
    served.server.stores.policies.delete(policy_id, served.clock())
    pass_after(served, host, 70)
    assert GROUP not in repo.files()
    assert repo.log("%s", "-1") == ["Stop scaling web-pool/web"]
    assert host.work() == []
