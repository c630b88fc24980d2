"""The guard, end to end: a right-sizing commit whose containers fare worse afterwards goes back, with the evidence."""

from pathlib import Path

from sqlalchemy import update

from reconciler import loop
from reconciler.store.tables import watched_changes
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
        (note,) = one.served.steward.ask(loop.plan).result(timeout=60).notes
        assert note.startswith(f"action rightsize: new sizes of shop/web server were refused by the guard ({EVIDENCE})")
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
        assert "7 OOM kills of shop/web server between 10:06 and 10:10 UTC (4 in the 30 minutes before)" in message(one)


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


def freeze(one: Sized, days: int) -> None:
    """A person lets nothing be written from now on."""
    one.repo.pull()
    window = f"  windows: {{exclusion: [{{cron: '0 10 17 6 *', duration: {days}d, name: freeze}}]}}\n"
    one.repo.write("trimtab.yaml", (one.repo.work / "trimtab.yaml").read_text() + window)
    one.repo.commit("A freeze")


def next_day(one: Sized) -> None:
    """The agent has a token for an hour, and registers again."""
    one.served.clock.forward(days=1)
    one.agent = one.served.agent("prod", cluster="prod")


def test_evidence_outlives_a_freeze_that_is_longer_than_incidents_are_kept(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        freeze(one, days=5)
        killed(one)
        one.served.reconcile()
        (landed,) = one.status()["landed"]
        assert landed["message"] == f"the guard is to take it back: {EVIDENCE}"
        (note,) = one.served.steward.ask(loop.plan).result(timeout=60).notes
        assert "held until 2026-06-22 10:00 UTC" in note and f"trimtab rollback {made.commit[:10]} --force" in note
        for day in range(4):
            next_day(one)
            one.push(oomKills=3, restartCount=4 + day)
            one.served.reconcile()
        assert one.changes()[0].id == made.id
        next_day(one)
        one.served.reconcile()
        assert EVIDENCE in message(one)


def test_a_person_who_is_quicker_in_a_freeze_is_the_one_who_has_taken_it_back(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        freeze(one, days=5)
        killed(one)
        one.served.reconcile()
        one.repo.pull()
        git(one.repo.work, "revert", "--no-edit", made.commit)
        git(one.repo.work, "push", "-q")
        one.served.reconcile()
        assert outcome(one, made.id) == "over"
        assert one.status()["landed"][0]["message"] == "taken back"


def test_what_happens_now_and_then_anyway_is_no_reason_a_minute_after_the_change(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        one.push("web-old")
        one.push("web-old", oomKills=1, restartCount=1)
        one.push("web-old", minutes=20, oomKills=1, restartCount=1)
        one.report("", applied())
        made = one.changes()[0]
        one.push("web-new", oomKills=1, restartCount=1)
        one.served.reconcile()
        assert one.changes()[0].id == made.id, "one kill in half an hour before, one since"
        one.push("web-new", oomKills=2, restartCount=2)
        one.served.reconcile()
        assert "2 OOM kills" in message(one) and "(1 in the 30 minutes before)" in message(one)


def test_what_a_later_value_has_done_is_not_held_against_the_one_before_it(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        in_force(one)
        made = one.changes()[0]
        path = f"{ROOT}/trimtab/shop/requests-deployment-web.yaml"
        one.repo.pull()
        one.repo.write(path, one.repo.show(path).replace("924Mi", "300Mi"))
        one.repo.commit("Smaller still")
        killed(one)
        one.served.reconcile()
        assert one.repo.log("%s")[0].startswith("Right-size web"), "Trimtab has put its own size back"
        assert "memory: 924Mi" in one.repo.show(path)
        one.push(oomKills=3, restartCount=3)
        one.served.reconcile()
        assert outcome(one, made.id) == ""
        assert {change.kind for change in one.changes()} == {"requests"}


def test_a_guard_that_ended_before_it_could_say_so_has_taken_it_back_all_the_same(
    tmp_path: Path, database_url: str
) -> None:
    with sized(tmp_path, database_url) as one:
        in_force(one)
        made = one.changes()[0]
        killed(one)
        one.served.reconcile()
        watched = one.served.server.stores.watched.find(made.id)
        assert watched is not None and watched.evidence == EVIDENCE
        with one.served.server.stores.engine.begin() as connection:
            body = watched.model_copy(update={"outcome": ""}).model_dump_json(by_alias=True)
            statement = update(watched_changes).where(watched_changes.c.change_id == made.id)
            connection.execute(statement.values(outcome="", body=body))
        one.served.reconcile()
        assert outcome(one, made.id) == "reverted"
        assert one.status()["landed"][1]["message"] == f"taken back by the guard: {EVIDENCE}"
