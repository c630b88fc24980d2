"""`trimtab audit verify`: log and history agree after all that happens in earnest, and each forgery or loss is named."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.log import DecisionRow
from reconciler.store.changes import DecisionLog
from reconciler.store.database import open_database
from support.fleets import FleetRepo, fleet_yaml, git, new_fleet, policy
from support.replay import NOW
from support.small import deployment, root_files

FRONT = "policies/front.yaml"
HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"
FILES = {
    "trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}"),
    FRONT: policy("front", "shop/web", maxReplicas=4),
    **root_files(),
}


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    """A fleet repo in which the policy has made one commit."""
    repo = new_fleet(tmp_path, FILES)
    repo.at("reconcile", "--once", code=0)
    assert HPA in repo.files()
    return repo


@contextmanager
def log_of(repo: FleetRepo) -> Iterator[DecisionLog]:
    engine = open_database(f"sqlite:///{repo.home / 'state/trimtab.sqlite3'}")
    try:
        yield DecisionLog(engine)
    finally:
        engine.dispose()


def findings(repo: FleetRepo, *words: str) -> list[dict[str, Any]]:
    found = repo.trimtab("audit", "verify", "--json", *words, code=1).json()
    assert found["agree"] is False
    return list(found["findings"])


def retune(repo: FleetRepo, replicas: int, now: str) -> None:
    repo.pull()
    repo.write(FRONT, policy("front", "shop/web", maxReplicas=replicas))
    repo.commit(f"{replicas} replicas")
    repo.at("reconcile", "--once", now=now, code=0)


def test_they_agree_after_passes_a_rollback_and_a_persons_revert(tmp_path: Path, database_url: str) -> None:
    repo = new_fleet(tmp_path, FILES)
    repo.env["TRIMTAB_DATABASE_URL"] = database_url
    assert "log and history agree: 0 decisions, 0 commits" in repo.trimtab("audit", "verify", code=0).out
    repo.at("reconcile", "--once", code=0)
    retune(repo, 8, now="2026-06-17T11:00:00Z")
    repo.at("rollback", "front", now="2026-06-17T12:00:00Z", code=0)
    retune(repo, 20, now="2026-06-17T13:00:00Z")
    repo.pull()
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    for hour in (14, 15):
        repo.at("reconcile", "--once", now=f"2026-06-17T{hour}:00:00Z", code=0)
    ours = len(repo.log("%H", "--grep=^Trimtab-Change:"))
    assert ours >= 4
    found = repo.trimtab("audit", "verify", "--json", code=0).json()
    assert (found["agree"], found["findings"]) == (True, [])
    assert (found["commits"], found["head"]) == (ours, repo.head())
    assert f"log and history agree: {ours} decisions, {ours} commits" in repo.trimtab("audit", "verify", code=0).out


def test_a_forged_commit_is_named(repo: FleetRepo) -> None:
    repo.pull()
    trailers = "Trimtab-Change: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nTrimtab-Decision: 01ARZ3NDEKTSV4RRFFQ69G5FAW\n"
    repo.write("clusters/prod/apps/web.yaml", deployment().replace("100m", "4"))
    sha = repo.commit(f"Scale web\n\n{trailers}Trimtab-Policy: scp_front")
    (found,) = findings(repo)
    assert (found["kind"], found["commit"]) == ("unknown commit", sha)
    assert found["policyId"] == "scp_front"
    assert "Pat Person" in found["message"]
    ran = repo.trimtab("audit", "verify", code=1)
    assert "disagree: 1 finding in 2 decisions, 2 commits" in ran.out
    assert sha[:10] in ran.out
    assert f"git revert {sha[:10]}" in ran.out


def test_trailers_of_ours_without_a_change_are_named(repo: FleetRepo) -> None:
    repo.pull()
    repo.write("notes.md", "Hello\n")
    sha = repo.commit("Scale web\n\nTrimtab-Policy: scp_front")
    (found,) = findings(repo)
    assert (found["kind"], found["commit"]) == ("unknown commit", sha)
    assert "no Trimtab-Change" in found["message"]


def test_a_commit_that_was_pushed_away_is_named(repo: FleetRepo) -> None:
    gone = repo.head()
    repo.pull()
    git(repo.work, "reset", "-q", "--hard", "HEAD^")
    repo.write("notes.md", "Hello\n")
    git(repo.work, "add", "-A")
    git(repo.work, "commit", "-qm", "A person's own")
    git(repo.work, "push", "-q", "--force")
    (found,) = findings(repo)
    assert (found["kind"], found["commit"], found["policyId"]) == ("commit gone", gone, "scp_front")
    assert "not on main any more" in found["message"]
    repo.at("reconcile", "--once", code=0)
    assert HPA in repo.files(), "the value is decided anew"
    assert [f["commit"] for f in findings(repo)] == [gone], "and the loss stays on record"


def test_a_commit_that_was_rewritten_is_named(repo: FleetRepo) -> None:
    was = repo.head()
    repo.pull()
    repo.write(HPA, repo.show(HPA).replace("maxReplicas: 4", "maxReplicas: 400"))
    git(repo.work, "commit", "-qa", "--amend", "--no-edit")
    git(repo.work, "push", "-q", "--force")
    found = {f["kind"]: f for f in findings(repo)}
    assert found.keys() == {"history rewritten", "other manifest"}
    assert was[:10] in found["history rewritten"]["message"]
    assert found["history rewritten"]["commit"] == found["other manifest"]["commit"] == repo.head()


def test_a_copy_of_a_commit_is_named(repo: FleetRepo) -> None:
    repo.pull()
    first = repo.head()
    message = repo.log("%B", "-1")
    repo.write("notes.md", "Hello\n")
    copy = repo.commit("\n".join(message))
    (found,) = findings(repo)
    assert (found["kind"], found["commit"]) == ("commit twice", copy)
    assert first[:10] in found["message"]


def test_rows_that_no_commit_holds_are_named(repo: FleetRepo) -> None:
    with log_of(repo) as log:
        (applied,) = log.of_actions(str(repo.bare), ("apply",))
        forged = applied.model_copy(update={"change_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "decision_id": "nowhere"})
        other = applied.model_copy(update={"action": "rollback", "policy_id": "scp_else"})
        log.append_once(str(repo.bare), [forged, other])
    found = findings(repo)
    assert [f["kind"] for f in found] == ["row without commit", "other policy"]
    assert found[0]["decisionId"] == "nowhere"
    assert "scp_else" in found[1]["message"]


def test_a_row_with_other_manifests_is_named(repo: FleetRepo) -> None:
    with log_of(repo) as log:
        (applied,) = log.of_actions(str(repo.bare), ("apply",))
        log.append_once(
            str(repo.bare), [applied.model_copy(update={"action": "rollback", "rendered_manifest": "kind: Nothing\n"})]
        )
    (found,) = findings(repo)
    assert (found["kind"], found["commit"]) == ("other manifest", repo.head())


def test_a_dry_run_and_a_failure_need_no_commit(repo: FleetRepo) -> None:
    row = DecisionRow(policy_id="scp_front", ts=NOW, runtime="kubernetes", action="dry_run", dry_run=True)
    failed = row.model_copy(update={"action": "apply_failed", "dry_run": False, "decision_id": "d1"})
    with log_of(repo) as log:
        log.append_once(str(repo.bare), [row, failed])
    repo.trimtab("audit", "verify", code=0)


def test_a_lost_database_is_said_in_one_sentence(repo: FleetRepo) -> None:
    retune(repo, 8, now="2026-06-17T11:00:00Z")
    ran = repo.trimtab("audit", "verify", "--json", state="other", code=1).json()
    (found,) = ran["findings"]
    assert found["kind"] == "database lost"
    assert "2 commits" in found["message"]
    assert "knows nothing of this fleet repo" in found["message"]
    assert "--database-url" in found["hint"]


def test_a_database_that_begins_later_is_said_once_and_looked_past_with_since(tmp_path: Path) -> None:
    repo = new_fleet(tmp_path, FILES)
    repo.trimtab("reconcile", "--once", "--now", repo.now, state="first", code=0)
    retune(repo, 8, now="2026-06-17T11:00:00Z")
    (found,) = findings(repo)
    assert (found["kind"], "begins later" in found["message"]) == ("database lost", True)
    since = repo.trimtab("audit", "verify", "--since", "2026-06-17T10:30:00Z", "--json", code=0).json()
    assert (since["agree"], since["commits"]) == (True, 1)
    assert "--since" in repo.trimtab("audit", "verify", "--since", "yesterday", code=1).err


def test_one_git_log_and_no_process_a_commit(repo: FleetRepo, tmp_path: Path) -> None:
    def processes() -> list[str]:
        trace = tmp_path / "trace"
        repo.trimtab("audit", "verify", code=0)  # like every command, the first one catches up with what has landed
        trace.unlink(missing_ok=True)
        repo.env["PATH"] = f"{_counting(tmp_path, trace)}:{os.environ['PATH']}"
        repo.trimtab("audit", "verify", code=0)
        return trace.read_text().split()

    before = processes()
    for number in (6, 8, 12):
        retune(repo, number, now=f"2026-06-17T{10 + number}:00:00Z")
    after = processes()
    assert after.count("log") == 1
    assert sorted(after) == sorted(before)


def _counting(home: Path, trace: Path) -> Path:
    """A git on the PATH that notes each subcommand before it becomes the real one."""
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    script = folder / "git"
    script.write_text(
        '#!/bin/sh\nfor word; do case $word in -*) ;; *) echo "$word" >> '
        f"'{trace}'; break;; esac; done\nexec {shutil.which('git')} \"$@\"\n"
    )
    script.chmod(0o755)
    return folder
