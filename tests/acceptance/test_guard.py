"""The guard, end to end: a right-sizing commit whose containers fare worse afterwards goes back, with the evidence."""

from pathlib import Path

from reconciler import loop
from support.fleets import git
from support.guarded import Sized, applied, sized
from support.served import serving
from support.small import ROOT

EVIDENCE = "3 OOM kills of shop/web server between 10:02 and 10:04 UTC, after its memory limit went 4Gi → 924Mi"
FREEZE = "  windows: {exclusion: [{cron: '0 10 17 6 *', duration: 30m, name: freeze}]}\n"


def message(one: Sized, revision: str = "main") -> str:
    return git(one.repo.bare, "log", "-1", "--format=%B", revision).replace("\n", " ")


def killed(one: Sized, kills: int = 3, pod: str = "web-new", first: int = 1) -> None:
    """A pod that is killed once a minute."""
    for count in range(first, first + kills):
        one.push(pod, oomKills=count, restartCount=count)


def in_force(one: Sized) -> None:
    """The change is reported to be applied, by a cluster that has been watched for a minute."""
    one.push("web-old")
    one.report("", applied())
    assert one.changes()[0].state == "applied"


def outcome(one: Sized, change_id: str) -> str:
    watched = one.served.server.stores.watched.find(change_id)
    assert watched is not None
    return watched.outcome


def test_oom_kills_after_a_change_revert_it_and_the_value_is_not_written_again(
    tmp_path: Path, database_url: str
) -> None:
    with sized(tmp_path, database_url) as one:
        before, made = one.repo.log("%H", "-2")[1], one.changes()[0]
        in_force(one)
        killed(one)
        one.served.reconcile()
        said = message(one)
        assert EVIDENCE in said
        assert f"This reverts commit {made.commit}." in said
        assert f"Trimtab-Rollback: {made.commit}" in said
        assert f"Trimtab-Action: {made.subject.id}" in said
        assert git(one.repo.bare, "diff", "--stat", before, "main") == ""
        assert one.change(made.id)["state"] == "reverted"
        assert any(EVIDENCE in note for note in one.status()["notes"]) or one.status()["lastPass"] is None
        landed = one.status()["landed"]
        assert (landed[1]["state"], landed[1]["message"]) == ("reverted", f"taken back by the guard: {EVIDENCE}")
        head = one.repo.head()
        for _ in range(2):
            one.push(oomKills=3, restartCount=3)
            one.served.reconcile()
        assert one.repo.head() == head
        found = one.served.steward.ask(loop.recommend).result(timeout=60)
        assert f"refused by the guard ({EVIDENCE})" in str(found.recommendations)


def test_what_happened_as_often_before_is_no_reason(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        one.push("web-old")
        killed(one, 4, "web-old")
        one.report("", applied())
        killed(one, 4)
        one.served.reconcile()
        assert one.changes()[0].state == "applied"
        one.push(oomKills=7, restartCount=7)
        one.served.reconcile()
        assert "7 OOM kills of shop/web server between 10:06 and 10:10 UTC (4 in the same time before)" in message(one)


def test_what_the_first_push_of_a_cluster_has_counted_may_have_been_any_time(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        stores = one.served.server.stores
        stores.agents.delete("acme", one.agent[0])
        one.agent = one.served.agent("other", cluster="prod")
        made = one.changes()[0]
        one.report("", applied())
        with stores.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM pushes")
        one.push(oomKills=9, restartCount=9)
        one.served.reconcile()
        assert one.changes()[0].id == made.id
        one.push(oomKills=10, restartCount=10)
        one.served.reconcile()
        assert "1 OOM kill of shop/web server at 10:02 UTC" in message(one)


def test_an_exclusion_window_holds_the_guard_and_the_status_says_so(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        path = one.repo.work / "trimtab.yaml"
        one.repo.pull()
        one.repo.write("trimtab.yaml", path.read_text() + FREEZE)
        one.repo.commit("A freeze")
        killed(one)
        one.served.reconcile()
        assert one.changes()[0].id == made.id
        (note,) = (note for note in one.served.steward.ask(loop.plan).result(timeout=60).notes if "guard" in note)
        assert EVIDENCE in note
        found = one.served.steward.ask(loop.reconcile).result(timeout=60)
        (held,) = (note for note in found.notes if "guard" in note)
        assert "held until 2026-06-17 10:30 UTC" in held
        assert f"trimtab rollback {made.commit[:10]} --force" in held
        one.served.clock.forward(minutes=60)
        one.served.reconcile()
        assert EVIDENCE in message(one)


def test_a_restart_forgets_nothing_and_reverts_once(tmp_path: Path, database_url: str) -> None:
    with sized(tmp_path, database_url) as one:
        in_force(one)
        killed(one)
        one.served.server.flush()
    with serving(tmp_path, one.repo, database_url=database_url, clock=one.served.clock) as again:
        again.reconcile()
        assert EVIDENCE in message(one)
        head = one.repo.head()
        again.clock.forward(minutes=1)
        again.reconcile()
        assert one.repo.head() == head


def test_what_a_person_has_taken_back_is_not_taken_back_again(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        killed(one)
        one.repo.pull()
        git(one.repo.work, "revert", "--no-edit", made.commit)
        git(one.repo.work, "push", "-q")
        head = one.repo.head()
        one.served.reconcile()
        assert (one.repo.head(), outcome(one, made.id)) == (head, "over")


def test_it_can_be_switched_off_and_ends_by_itself(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        one.push(minutes=31)
        killed(one)
        one.served.reconcile()
        assert (one.changes()[0].id, outcome(one, made.id)) == (made.id, "quiet")
    with sized(tmp_path / "off", extra="  guard: {observe: 0m}\n") as one:
        in_force(one)
        made = one.changes()[0]
        killed(one)
        one.served.reconcile()
        assert (one.changes()[0].id, outcome(one, made.id)) == (made.id, "off")


def test_throttling_counts_where_the_fleet_says_so(tmp_path: Path) -> None:
    with sized(tmp_path, extra="  guard: {observe: 30m, revertOn: [throttling]}\n") as one:
        in_force(one)
        made = one.changes()[0]
        for share in (40, 60, 10, 80, 90):
            one.push(throttledPercent=share, oomKills=3)
        one.served.reconcile()
        assert one.changes()[0].id == made.id
        one.push(throttledPercent=25, oomKills=3)
        one.served.reconcile()
        assert "shop/web server was throttled again and again at 10:07 UTC, after its CPU limit went 500m → 47m" in (
            message(one)
        )


def test_what_argo_has_synced_is_guarded_before_it_ever_gets_healthy(tmp_path: Path) -> None:
    with sized(tmp_path, cluster=f"{{name: prod, path: {ROOT}, sync: argocd}}") as one:
        root = {"path": ROOT, "sync": "argocd", "source": "Application argocd/prod", "revision": one.repo.head()}
        one.push("web-old")
        one.report(roots=[{**root, "synced": True, "health": "degraded", "message": "web: CrashLoopBackOff"}])
        assert one.changes()[0].state == "committed"
        for count in range(1, 4):
            one.push(restartCount=count)
        one.served.reconcile()
        assert "3 restarts of shop/web server between 10:02 and 10:04 UTC, after its" in message(one)
