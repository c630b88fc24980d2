"""Policies in the database, and the decision log that nothing can rewrite."""

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from reconciler.model.change import Refusal
from reconciler.model.log import DecisionRow
from reconciler.model.policy import PolicyState, ScalingPolicySpec
from reconciler.store.database import open_database
from reconciler.store.decision_log import DecisionLog, last_ids, newest_rows
from reconciler.store.policies import PolicyStore, TargetTaken
from reconciler.store.refusals import RefusalStore
from reconciler.store.transactions import reading, writing

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)


def spec(**fields: object) -> ScalingPolicySpec:
    given = {"name": "web", "runtime": "kubernetes", "target_ref": "shop/web", "cluster": "prod"}
    return ScalingPolicySpec.model_validate({**given, "cpu_target_percent": 70, **fields})


def test_a_policy_changes_from_what_it_is(engine: Engine) -> None:
    store = PolicyStore(engine)
    made = store.create("acme", spec(), AT)
    changed = store.change(made.id, "acme", lambda old: old.model_copy(update={"max_replicas": 20}), LATER)
    assert changed == store.find(made.id)
    assert changed is not None
    assert (changed.spec, changed.created_at, changed.updated_at) == (spec(max_replicas=20), AT, LATER)


def test_nobody_changes_what_is_another_organizations_or_gone(engine: Engine) -> None:
    store = PolicyStore(engine)
    made = store.create("acme", spec(), AT)
    asked: list[ScalingPolicySpec] = []

    def apply(old: ScalingPolicySpec) -> ScalingPolicySpec:
        asked.append(old)
        return spec(max_replicas=99)

    assert store.change(made.id, "other", apply, LATER) is None
    assert store.find(made.id) == made
    assert store.delete(made.id, LATER)
    assert store.change(made.id, "acme", apply, LATER) is None
    assert asked == []


def test_a_change_that_is_refused_changes_nothing(engine: Engine) -> None:
    store = PolicyStore(engine)
    made = store.create("acme", spec(), AT)

    def refuse(_old: ScalingPolicySpec) -> ScalingPolicySpec:
        raise KeyError("no")

    with pytest.raises(KeyError):
        store.change(made.id, "acme", refuse, LATER)
    assert store.find(made.id) == made


def test_changes_at_once_do_not_lose_one_anothers_fields(engine: Engine) -> None:
    """Each thread counts its own field up, from what it finds."""
    store = PolicyStore(engine)
    made = store.create("acme", spec(max_replicas=1), AT)
    fields = ("max_replicas", "cooldown_scale_up_seconds", "cooldown_scale_down_seconds", "step_size")

    def count(name: str) -> None:
        for _ in range(15):
            store.change(made.id, "acme", lambda old: old.model_copy(update={name: getattr(old, name) + 1}), LATER)

    threads = [threading.Thread(target=count, args=(name,)) for name in fields]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.find(made.id)
    assert found is not None
    assert {name: getattr(found.spec, name) - getattr(made.spec, name) for name in fields} == dict.fromkeys(fields, 15)


def test_a_target_has_one_policy_and_the_other_is_named(engine: Engine) -> None:
    store = PolicyStore(engine)
    first = store.create("acme", spec(name="first"), AT)
    second = store.create("acme", spec(target_ref="shop/other"), AT)
    with pytest.raises(TargetTaken, match="first") as raised:
        store.create("acme", spec(), AT)
    assert raised.value.by == first
    with pytest.raises(TargetTaken, match=first.id):
        store.change(second.id, "acme", lambda old: old.model_copy(update={"target_ref": "shop/web"}), LATER)
    assert store.find(second.id) == second
    assert store.create("other", spec(), AT).id != first.id
    assert store.delete(first.id, LATER)
    assert store.create("acme", spec(), LATER).id
    assert first in store.ever("acme")
    assert first not in store.of("acme")


def test_states_of_two_fleets_with_policies_of_one_name_are_apart(engine: Engine) -> None:
    store = PolicyStore(engine)
    for fleet, replicas in (("a", 1), ("b", 2)):
        store.keep_states(fleet, [PolicyState(policy_id="scp_web", current_replicas=replicas)], AT)
    assert [store.states([fleet])["scp_web"].current_replicas for fleet in "ab"] == [1, 2]
    store.keep_states("a", [], LATER)
    assert store.states("a") == {}
    assert store.states("b")["scp_web"].evaluated_at == AT


def test_all_that_was_refused_to_a_policy_is_forgotten_at_once(engine: Engine) -> None:
    store = RefusalStore(engine)
    given = {"value": "1", "at": AT, "by": "ada", "commit": "c1"}
    for subject in ("scp_1", "scp_2"):
        store.add("acme", [Refusal(subject=subject, path="a.yaml", field=field, **given) for field in ("x", "y")])
    store.add("other", [Refusal(subject="scp_1", path="a.yaml", field="x", **given)])
    store.clear_subject("acme", "scp_1")
    assert [refusal.subject for refusal in store.standing("acme")] == ["scp_2", "scp_2"]
    assert len(store.standing("other")) == 1


def row(**fields: object) -> DecisionRow:
    given = {"policy_id": "scp_1", "ts": AT, "runtime": "kubernetes", "action": "apply", "dry_run": False}
    return DecisionRow.model_validate({**given, **fields})


def test_the_log_of_several_fleets_is_one(engine: Engine) -> None:
    log = DecisionLog(engine)
    for number in range(6):
        log.append_once("ab"[number % 2], [row(policy_id=f"scp_{number % 3}", outcome=str(number))])
    log.append_once("elsewhere", [row(outcome="not mine")])
    assert [one.outcome for one in log.newest_of(["a", "b"])] == ["5", "4", "3", "2", "1", "0"]
    assert [one.outcome for one in log.newest_of(["a", "b"], limit=2)] == ["5", "4"]
    assert [one.outcome for one in log.newest_of(["a", "b"], ["scp_0"])] == ["3", "0"]
    assert [one.outcome for one in log.newest_of(["b"], ["scp_0", "scp_2"])] == ["5", "3"]
    assert log.newest_of([], ["scp_0"]) == ()
    assert {policy: one.outcome for policy, one in log.newest("a").items()} == {
        "scp_0": "0",
        "scp_1": "4",
        "scp_2": "2",
    }
    assert log.newest("nobody") == {}


def test_the_row_of_a_decision_is_found(engine: Engine) -> None:
    log = DecisionLog(engine)
    log.append_once("a", [row(), row(decision_id="01D"), row(decision_id="01D", action="rollback")])
    found = log.of_decision("01D", "rollback")
    assert found is not None
    assert (found.action, found.decision_id) == ("rollback", "01D")
    assert log.of_decision("01D", "apply_failed") is None
    assert log.of_decision("", "apply") is None


COLUMNS = (
    "ts, fleet, policy_id, change_id, decision_id, runtime, direction, action, dry_run, rendered_manifest, outcome"
)
VALUES = "0, 'a', 'scp_1', '', '{decision}', 'kubernetes', 'none', 'apply', {false}, '', 'forged'"
TAMPER = {
    "sqlite": [
        "UPDATE decision_log SET outcome = 'forged'",
        "UPDATE OR REPLACE decision_log SET id = 2 WHERE id = 1",
        "DELETE FROM decision_log",
        f"INSERT OR REPLACE INTO decision_log (id, {COLUMNS}) VALUES (1, {VALUES})",
        f"REPLACE INTO decision_log (id, {COLUMNS}) VALUES (1, {VALUES})",
        f"INSERT INTO decision_log (id, {COLUMNS}) VALUES (1, {VALUES}) ON CONFLICT (id) DO UPDATE SET outcome = 'forged'",
    ],
    "postgresql": [
        "UPDATE decision_log SET outcome = 'forged'",
        "UPDATE decision_log SET outcome = 'forged' WHERE false",
        "DELETE FROM decision_log",
        "TRUNCATE decision_log",
        f"INSERT INTO decision_log (id, {COLUMNS}) VALUES (1, {VALUES}) ON CONFLICT (id) DO UPDATE SET outcome = 'forged'",
    ],
}


def filled(engine: Engine) -> DecisionLog:
    log = DecisionLog(engine)
    log.append_once("a", [row(outcome="first", decision_id="01A"), row(outcome="second", decision_id="01B")])
    return log


def run(engine: Engine, statement: str, *, pragma: str = "") -> None:
    false = "0" if engine.dialect.name == "sqlite" else "false"
    with writing(engine) as connection:
        if pragma:
            connection.exec_driver_sql(pragma)
        connection.execute(text(statement.format(decision="01A", false=false)))


def test_no_statement_rewrites_the_log(engine: Engine) -> None:
    log = filled(engine)
    before = log.recent("a")
    for statement in TAMPER[engine.dialect.name]:
        with pytest.raises(DatabaseError, match="append-only"):
            run(engine, statement)
        assert log.recent("a") == before, statement


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copyfile(sqlite_template, tmp_path / "own.db")
    opened = open_database(f"sqlite:///{tmp_path}/own.db")
    yield opened
    opened.dispose()


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_a_replace_takes_no_rows_place_whatever_the_connection_is_set_to(sqlite: Engine, recursive: str) -> None:
    """SQLite drops the row in the way of a REPLACE without asking triggers about DELETE, unless recursive_triggers is on."""
    log = filled(sqlite)
    before = log.recent("a")
    pragma = f"PRAGMA recursive_triggers = {recursive}"
    run(sqlite, f"INSERT OR REPLACE INTO decision_log ({COLUMNS}) VALUES ({VALUES})", pragma=pragma)
    assert log.recent("a") == before
    with pytest.raises(DatabaseError, match="append-only"):
        run(sqlite, f"REPLACE INTO decision_log (id, {COLUMNS}) VALUES (1, {VALUES})", pragma=pragma)
    assert log.recent("a") == before


def test_connections_ask_triggers_about_what_a_replace_drops(sqlite: Engine) -> None:
    with reading(sqlite) as connection:
        assert connection.exec_driver_sql("PRAGMA recursive_triggers").scalar() == 1


NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29999) SELECT {} FROM n",
    "postgresql": "SELECT {} FROM generate_series(0, 29999) AS n(i)",
}


def plan_of(engine: Engine, query: object) -> str:
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    compiled = query.compile(engine, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    with reading(engine) as connection:
        return "\n".join(str(line) for line in connection.exec_driver_sql(f"{explain} {compiled}"))


def test_a_long_log_is_read_from_the_end_of_an_index(engine: Engine) -> None:
    """No query looks at every row, or sorts: neither where one organization has nearly all of them, nor where it has few."""
    columns = (
        "0, CASE WHEN i % 1000 = 0 THEN 'small' ELSE 'large' END, 'scp_' || (i % 7), '', '', 'kubernetes', 'none', 'dry_run', "
        + ("1" if engine.dialect.name == "sqlite" else "true")
        + ", '', ''"
    )
    with writing(engine) as connection:
        connection.execute(text(f"INSERT INTO decision_log ({COLUMNS}) {NUMBERS[engine.dialect.name].format(columns)}"))
    with writing(engine) as connection:
        connection.execute(text("ANALYZE decision_log"))
    for fleet in ("small", "large"):
        for query in (newest_rows(fleet, None, 100), newest_rows(fleet, ["scp_3"], 100)):
            plan = plan_of(engine, query)
            assert "Seq Scan" not in plan and "SCAN decision_log\n" not in plan and "TEMP B-TREE" not in plan, plan
            assert "ix_decision_log" in plan or "pk_decision_log" in plan or "decision_log_pkey" in plan, plan
        plan = plan_of(engine, last_ids(fleet))
        assert "Seq Scan on decision_log" not in plan and "SCAN decision_log" not in plan, plan
