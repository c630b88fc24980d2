"""Changes, the one id of a decision, and the append-only log."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DatabaseError
from ulid import ULID

from reconciler.errors import RetryLater
from reconciler.model.change import Change, Decision, Proposal, Subject, ValueEdit, Verdict
from reconciler.model.log import DecisionRow
from reconciler.model.window import Window
from reconciler.model.workload import ObjectRef
from reconciler.store.changes import ChangeStore, DecisionLog
from reconciler.store.transactions import writing

AT = datetime(2026, 6, 17, 10, 0, 0, 123456, tzinfo=UTC)
FLEET = "acme"
WINDOW = Window(cron="0 22 * * *", duration=timedelta(hours=2), timezone="Europe/Berlin", name="nights")


def proposal(name: str = "web", value: str = "250m") -> Proposal:
    edit = ValueEdit(
        path=f"clusters/prod/trimtab/default/requests-deployment-{name}.yaml",
        form="requests",
        target=ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace="default"),
        field="containers/server/requests/cpu",
        old=None,
        new=value,
    )
    return Proposal(
        kind="requests",
        subject=Subject(kind="action", id="nightly", name="nightly", run="r1"),
        cluster="prod",
        root="clusters/prod",
        namespace="default",
        workload=f"Deployment/{name}",
        edits=(edit,),
        reason="p95 of 14 days",
        saving_monthly=Decimal("12.34"),
    )


def decision(name: str = "web", value: str = "250m", number: str = "") -> Decision:
    return Decision(id=number or str(ULID()), at=AT, proposal=proposal(name, value))


def change(*decisions: Decision, number: str = "", **fields: object) -> Change:
    given = {"id": number or str(ULID()), "group": "prod-requests", "decisions": decisions, "message": "Right-size"}
    return Change.model_validate({**given, **fields})


@pytest.fixture
def store(engine: Engine) -> ChangeStore:
    return ChangeStore(engine)


def test_a_change_comes_back_as_it_was_without_its_files(store: ChangeStore) -> None:
    held = Verdict(
        allowed=False, reason="outside the maintenance window", until=AT + timedelta(hours=12), window=WINDOW
    )
    one = change(decision("web"), decision("db"), state="held", verdict=held, files={"a.yaml": b"bytes"})
    store.save(one, FLEET)
    assert store.find(one.id) == one.model_copy(update={"files": {}})
    assert store.open_changes(FLEET) == (one.model_copy(update={"files": {}}),)
    assert store.open_changes("other") == ()
    assert store.find("unknown") is None


def test_a_decision_keeps_its_id_until_its_change_is_closed(store: ChangeStore) -> None:
    first = decision()
    one = change(first)
    store.save(one, FLEET)
    fingerprint = first.proposal.fingerprint
    assert store.decision_ids(FLEET, [fingerprint, "unknown"]) == {fingerprint: first.id}
    assert store.decision_ids("other", [fingerprint]) == {}
    assert store.mark(one.id, "committed", commit="c0ffee", at=AT)
    assert store.decision_ids(FLEET, [fingerprint]) == {}
    landed = store.by_commit("c0ffee")
    assert landed is not None
    assert (landed.id, landed.state, landed.commit) == (one.id, "committed", "c0ffee")
    assert store.by_commit("") is None
    assert not store.mark("unknown", "failed", at=AT)


def test_the_same_decision_under_two_ids_is_refused_whole(store: ChangeStore) -> None:
    store.save(change(decision("web")), FLEET)
    twice = change(decision("db"), decision("web"))
    with pytest.raises(RetryLater, match="another process"):
        store.save(twice, FLEET)
    assert store.find(twice.id) is None


def test_assigning_gives_what_is_there_and_keeps_what_is_new(store: ChangeStore) -> None:
    assert store.assign(FLEET, {"a": "1", "b": "2"}) == {"a": "1", "b": "2"}
    assert store.assign(FLEET, {"b": "9", "c": "3"}) == {"b": "2", "c": "3"}
    assert store.assign("other", {"a": "7"}) == {"a": "7"}


def test_two_processes_that_assign_at_once_agree(database_url: str) -> None:
    script = f"""
import sys
from reconciler.store.changes import ChangeStore
from reconciler.store.database import open_database
engine = open_database({database_url!r})
store = ChangeStore(engine)
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    ids = {{f"{{n}}-{{k}}": f"{{sys.argv[1]}}-{{n}}-{{k}}" for k in range(5)}}
    print(sorted(store.assign("acme", ids).items()))
engine.dispose()
"""
    command = [sys.executable, "-c", script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*command, name], **pipes) for name in ("left", "right")]  # type: ignore[call-overload]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    left, right = (process.communicate()[0] for process in both)
    assert left.count("\n") == 40
    assert left == right


def test_what_is_not_proposed_again_is_superseded(store: ChangeStore) -> None:
    old, kept = decision("old"), decision("kept")
    both = change(old, kept)
    store.save(both, FLEET)
    store.save(change(decision("theirs")), "other")
    moved = change(kept, decision("new"))
    store.replace_open(FLEET, [moved])
    assert store.open_changes(FLEET) == (moved,)
    left_behind = store.find(both.id)
    assert left_behind is not None
    assert (left_behind.state, left_behind.decisions) == ("superseded", (old,))
    fingerprints = [old.proposal.fingerprint, kept.proposal.fingerprint]
    assert store.decision_ids(FLEET, fingerprints) == {kept.proposal.fingerprint: kept.id}
    assert len(store.open_changes("other")) == 1


def test_a_change_that_goes_on_under_another_id_leaves_nothing_behind(store: ChangeStore) -> None:
    only = decision()
    before, after = change(only, state="held"), change(only, state="held")
    store.replace_open(FLEET, [before])
    store.replace_open(FLEET, [after])
    assert store.find(before.id) is None
    assert store.list(FLEET) == (after,)
    store.replace_open(FLEET, [])
    assert [one.state for one in store.list(FLEET)] == ["superseded"]


def test_a_decision_that_is_dropped_from_its_change_frees_its_id(store: ChangeStore) -> None:
    dropped, kept = decision("dropped"), decision("kept")
    one = change(dropped, kept)
    store.save(one, FLEET)
    store.save(one.model_copy(update={"decisions": (kept,)}), FLEET)
    assert store.open_changes(FLEET)[0].decisions == (kept,)
    assert store.decision_ids(FLEET, [dropped.proposal.fingerprint]) == {}


def test_the_newest_changes_are_listed_first(store: ChangeStore) -> None:
    all_three = [change(decision(str(n)), number=str(ULID.from_timestamp(1e9 + n))) for n in range(3)]
    for one in all_three:
        store.save(one, FLEET)
    store.mark(all_three[1].id, "failed", at=AT)
    assert [one.id for one in store.list(FLEET, limit=2)] == [all_three[2].id, all_three[1].id]
    assert [one.id for one in store.list(FLEET, states=["failed", "merged"])] == [all_three[1].id]


def test_what_landed_in_the_last_hour_is_counted(store: ChangeStore) -> None:
    for number, minutes in enumerate((90, 59, 5)):
        one = change(decision(str(number)))
        store.save(one, FLEET)
        store.mark(one.id, "committed", commit=f"c{number}", at=AT - timedelta(minutes=minutes))
        store.mark(one.id, "applied", at=AT)
    assert store.committed_since(FLEET, AT) == (AT - timedelta(minutes=59), AT - timedelta(minutes=5))
    assert store.committed_since("other", AT) == ()


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the database meanwhile, however many rows each statement takes."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_ten_thousand_decisions_are_written_at_once(engine: Engine, store: ChangeStore) -> None:
    few, many = change(decision("first")), change(*(decision(f"w{n}") for n in range(10_000)))
    with statements(engine) as one:
        store.replace_open(FLEET, [few])
    with statements(engine) as all_of_them:
        store.replace_open(FLEET, [many])
    assert len(store.open_changes(FLEET)[0].decisions) == 10_000
    assert len(all_of_them) < len(one) + 100


def row(**fields: object) -> DecisionRow:
    given = {"policy_id": "scp_1", "ts": AT, "runtime": "kubernetes", "action": "apply", "dry_run": False}
    return DecisionRow.model_validate({**given, **fields})


def test_the_log_gives_back_what_was_appended_newest_first(engine: Engine) -> None:
    log = DecisionLog(engine)
    full = row(
        change_id="01C",
        decision_id="01D",
        trigger_metric="cpu_percent",
        trigger_value=88.4,
        threshold=70,
        direction="up",
        from_replicas=4,
        to_replicas=5,
        rendered_manifest="apiVersion: autoscaling/v2\n",
        outcome="2 to 10 replicas",
    )
    log.append_once(FLEET, [full, row(policy_id="scp_2", action="dry_run", dry_run=True)])
    log.append_once("other", [row()])
    newest, oldest = log.recent(FLEET)
    assert (newest.policy_id, oldest) == ("scp_2", full.model_copy(update={"id": oldest.id, "fleet": FLEET}))
    assert newest.id > oldest.id > 0
    assert log.recent(FLEET, "scp_1") == (oldest,)
    assert log.recent(FLEET, limit=1) == (newest,)
    assert {"policyId", "triggerMetric", "fromReplicas", "dryRun", "renderedManifest", "ts"} <= oldest.model_dump(
        by_alias=True
    ).keys()


def test_a_decision_is_logged_once_for_each_action(engine: Engine) -> None:
    log = DecisionLog(engine)
    log.append_once(FLEET, [row(decision_id="01D")])
    log.append_once(FLEET, [row(decision_id="01D"), row(decision_id="01D", action="rollback"), row(), row()])
    assert [one.action for one in log.recent(FLEET)] == ["apply", "apply", "rollback", "apply"]


@pytest.mark.parametrize("statement", ["UPDATE decision_log SET outcome = 'other'", "DELETE FROM decision_log"])
def test_the_database_itself_refuses_to_change_the_log(engine: Engine, statement: str) -> None:
    log = DecisionLog(engine)
    log.append_once(FLEET, [row(outcome="first")])

    def tamper() -> None:
        with writing(engine) as connection:
            connection.execute(text(statement))

    with pytest.raises(DatabaseError, match="append-only"):
        tamper()
    assert [one.outcome for one in log.recent(FLEET)] == ["first"]
