"""Status reports: the newest of each agent, and which commits it has shown to be in force."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from reconciler.model.agent import ObjectStatus, StatusReport
from reconciler.model.observation import PushBody
from reconciler.store.observations import ObservationStore
from reconciler.store.reports import ReportStore
from reconciler.store.uids import ObservedUids, read_uids

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
ONE, TWO = "1" * 40, "2" * 40


def report(agent: str = "agent_1", revision: str = ONE, minutes: int = 0, **fields: Any) -> StatusReport:
    given = {"agent_id": agent, "cluster": "prod", "revision": revision, "at": AT + timedelta(minutes=minutes)}
    return StatusReport.model_validate({"since": {"agent": given["at"]}, **given, **fields})


def test_the_newest_report_about_a_cluster_is_read_back(engine: Engine) -> None:
    store = ReportStore(engine)
    said = ObjectStatus(
        api_version="v1", kind="ResourceQuota", namespace="shop", name="q", status="failed", message="ü"
    )
    store.keep(report(objects=(said,)))
    store.keep(report("agent_2", TWO, minutes=1))
    assert store.newest("prod") == report("agent_2", TWO, minutes=1)
    store.keep(report(minutes=2, objects=(said,)))
    assert store.newest("prod") == report(minutes=2, objects=(said,), since={"agent": AT})
    assert store.newest("elsewhere") is None


def test_what_was_proved_stands_until_the_next_report_is_gone_through(engine: Engine) -> None:
    store = ReportStore(engine)
    store.keep(report())
    store.prove(report(), ["c2", "c1"])
    store.keep(report(revision=TWO, minutes=1))
    newest = store.newest("prod")
    assert newest is not None
    assert (newest.revision, newest.proves) == (TWO, ("c1", "c2"))
    store.prove(report(revision=TWO, minutes=1), ["c1"])
    assert store.newest("prod") == report(revision=TWO, minutes=1, proves=("c1",))


def test_a_late_proof_says_nothing_about_another_revision(engine: Engine) -> None:
    store = ReportStore(engine)
    store.keep(report(revision=TWO))
    store.prove(report(revision=ONE), ["c1"])
    assert store.newest("prod") == report(revision=TWO)


def test_a_proof_goes_to_the_newest_report_of_its_revision(engine: Engine) -> None:
    store = ReportStore(engine)
    store.keep(report())
    store.keep(report(minutes=1))
    store.prove(report(), ["c1"])
    assert store.newest("prod") == report(minutes=1, proves=("c1",), since={"agent": AT})


def test_what_was_proved_of_one_cluster_is_not_of_the_next(engine: Engine) -> None:
    store = ReportStore(engine)
    store.keep(report(proves=("c1",)))
    store.keep(report(cluster="other", minutes=1))
    assert store.newest("other") == report(cluster="other", minutes=1)
    assert store.newest("prod") is None


# --- uids -----------------------------------------------------------------------------------------------------------


def push(seconds: int, *workloads: tuple[str, str], **fields: Any) -> PushBody:
    listed = [{"namespace": "shop", "kind": "Deployment", "name": name, "uid": uid} for name, uid in workloads]
    return PushBody.model_validate({"timestamp": AT + timedelta(seconds=seconds), "workloads": listed, **fields})


def test_uids_are_those_that_were_pushed_last(engine: Engine) -> None:
    store, nothing = ObservationStore(engine), ObservedUids()
    assert read_uids(engine, "prod", nothing) is nothing
    store.record(push(0, ("web", "u-1"), ("api", "")), cluster="prod", agent="agent_1")
    first = read_uids(engine, "prod", nothing)
    assert first.uids == {("Deployment", "shop", "web"): "u-1"}
    assert read_uids(engine, "prod", first) is first
    store.record(push(15, ("web", "u-9")), cluster="prod", agent="agent_1")
    assert read_uids(engine, "prod", first).uids == {("Deployment", "shop", "web"): "u-9"}
    assert read_uids(engine, "elsewhere", nothing) is nothing


def test_uids_of_a_push_in_parts_are_put_together(engine: Engine) -> None:
    store = ObservationStore(engine)
    store.record(push(0, ("old", "u-0")), cluster="prod", agent="agent_1")
    store.record(push(15, ("web", "u-1"), part=0, parts=2), cluster="prod", agent="agent_1")
    assert set(read_uids(engine, "prod", ObservedUids()).uids.values()) == {"u-0"}
    store.record(push(15, ("api", "u-2"), part=1, parts=2), cluster="prod", agent="agent_1")
    assert set(read_uids(engine, "prod", ObservedUids()).uids.values()) == {"u-1", "u-2"}
