"""The ledger: what is written stays, and belongs to one agent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.agent.docker.ledger import FILE, Ledger
from reconciler.errors import Stalled

NOW = datetime(2026, 6, 30, 8, tzinfo=UTC)


def body(command_id: str) -> dict[str, object]:
    return {"command_id": command_id, "payload": {"group": "web"}}


def test_what_was_done_is_known_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger")
    assert ledger.received(body("c1"), NOW).status == ""
    ledger.received(body("c2"), NOW)
    ledger.done("c1", "failed", "why")
    ledger.done("c1", "succeeded", "later")
    ledger.close()

    again = Ledger(tmp_path / "deep" / "ledger")
    assert [(entry.id, entry.status) for entry in again.open()] == [("c1", "failed"), ("c2", "")]
    entry = again.received(body("c1"), NOW)
    assert (entry.status, entry.message, entry.body) == ("failed", "why", body("c1"))
    again.told("c1")
    assert [entry.id for entry in again.open()] == ["c2"]
    again.close()


def test_a_day_later_it_is_forgotten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.received(body("old"), NOW)
    ledger.done("old", "succeeded", "")
    ledger.received(body("new"), NOW + timedelta(days=1))
    assert ledger.received(body("old"), NOW + timedelta(days=1)).status == "succeeded"
    ledger.received(body("new"), NOW + timedelta(days=1, seconds=1))
    assert [entry.id for entry in ledger.open()] == ["new"]
    ledger.close()


def test_pools_of_load_balancers_are_remembered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for group, ref in (("web", "lb"), ("api", ""), ("web", "lb2"), ("off", "lb"), ("off", "")):
        ledger.remember_pool("pool", group, ref)
    assert ledger.pools("pool") == (("web", "lb2"),)
    assert ledger.pools("other") == ()
    ledger.close()


def test_two_agents_do_not_share_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(Stalled, match="another agent has the ledger") as told:
        Ledger(tmp_path)
    assert "--ledger" in told.value.hint
    ledger.close()
    Ledger(tmp_path).close()


def test_what_is_no_ledger_is_said_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("what a person wrote, longer than the first page's head of a hundred bytes" * 10)
    with pytest.raises(Stalled, match="cannot be used: file is not a database") as told:
        Ledger(tmp_path)
    assert "move the file away" in told.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(Stalled, match="cannot be used") as told:
        Ledger(tmp_path / "file")
    assert "a folder on a disk" in told.value.hint
