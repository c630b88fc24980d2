"""The decision log: what dry runs would do, what was applied, rolled back, and what could not be applied; once each."""

from pathlib import Path

from reconciler.model.log import DecisionRow
from reconciler.store.changes import DecisionLog
from reconciler.store.database import open_database
from support.fleets import FleetRepo, boutique, policy

FRONT = "policies/front.yaml"


def rows(repo: FleetRepo) -> list[DecisionRow]:
    """Oldest first."""
    engine = open_database(f"sqlite:///{repo.home / 'state/trimtab.sqlite3'}")
    try:
        return list(reversed(DecisionLog(engine).recent(str(repo.bare), "scp_front")))
    finally:
        engine.dispose()


def test_dry_run_apply_and_rollback_are_logged_once_each(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={FRONT: policy("front", "default/frontend", dryRun=True)})
    for _ in range(2):
        repo.at("reconcile", "--once", code=0)
    assert [row.action for row in rows(repo)] == ["dry_run"]
    assert "kind: HorizontalPodAutoscaler" in rows(repo)[0].rendered_manifest
    repo.write(FRONT, policy("front", "default/frontend", dryRun=True, maxReplicas=4))
    repo.commit("Retune")
    repo.at("reconcile", "--once", code=0)
    repo.write(FRONT, policy("front", "default/frontend", maxReplicas=4))
    repo.commit("Live")
    for _ in range(2):
        repo.at("reconcile", "--once", code=0)
    repo.at("rollback", "front", code=0)
    repo.at("reconcile", "--once", code=0)
    found = rows(repo)
    assert [row.action for row in found][:4] == ["dry_run", "dry_run", "apply", "rollback"]
    applied = found[2]
    assert not applied.dry_run
    assert "maxReplicas: 4" in applied.rendered_manifest
    assert applied.decision_id in "\n".join(repo.log("%B"))
    assert applied.from_replicas == 1


def test_what_the_remote_refuses_is_logged_as_failed_once(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={FRONT: policy("front", "default/frontend")})
    hook = repo.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    for _ in range(2):
        repo.at("reconcile", "--once", code=1)
    assert [row.action for row in rows(repo)] == ["apply_failed"]
    assert "main is protected" in rows(repo)[0].outcome
    hook.unlink()
    repo.at("reconcile", "--once", code=0)
    assert [row.action for row in rows(repo)] == ["apply_failed", "apply"]


def test_a_policy_that_is_off_is_not_logged(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={FRONT: policy("front", "default/frontend", enabled=False)})
    repo.at("reconcile", "--once", code=0)
    assert rows(repo) == []
