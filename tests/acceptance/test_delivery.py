"""How changes reach the branch: grouping, author, signatures, templates of the fleet's own, http remotes, the wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.fleets import PROJECT, FleetRepo, boutique, fleet_yaml, git, policy
from support.git_remotes import served
from support.replay import CLUSTER, write_csv

ROOT = "clusters/boutique-prod"


def with_delivery(home: Path, delivery: str, **more: str) -> FleetRepo:
    text = fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra=f"  delivery: {delivery}\n")
    repo = boutique(
        home, files={"trimtab.yaml": text, "policies/front.yaml": policy("front", "default/frontend"), **more}
    )
    repo.trimtab("usage", "import", str(write_csv(home / "usage.csv")), code=0)
    return repo


def changes(repo: FleetRepo) -> list[dict[str, object]]:
    return list(repo.at("reconcile", "--once", "--json", code=0).json()["changes"])


@pytest.mark.parametrize(("group_by", "commits"), [("[cluster, kind]", 2), ("[cluster]", 2), ("[namespace, kind]", 2)])
def test_a_policy_and_an_action_never_share_a_commit(tmp_path: Path, group_by: str, commits: int) -> None:
    repo = with_delivery(tmp_path, f"{{groupBy: {group_by}}}")
    assert len(changes(repo)) == commits


def test_one_commit_per_workload_and_one_push(tmp_path: Path) -> None:
    repo = with_delivery(tmp_path, "{groupBy: [cluster, kind, workload]}")
    log = repo.bare / "pushes"
    hook = repo.bare / "hooks/post-receive"
    hook.write_text(f"#!/bin/sh\necho push >> {log}\n")
    hook.chmod(0o755)
    landed = changes(repo)
    assert len(landed) > 6
    assert len({change["commit"] for change in landed}) == len(landed)
    assert log.read_text() == "push\n"


def test_the_author_is_the_one_of_the_config(tmp_path: Path) -> None:
    repo = with_delivery(tmp_path, "{author: {name: Capacity Bot, email: capacity@example.com}}")
    changes(repo)
    assert set(repo.log("%an <%ae> %cn <%ce>", "-2")) == {
        "Capacity Bot <capacity@example.com> Capacity Bot <capacity@example.com>"
    }


def test_commits_are_signed_by_ssh(tmp_path: Path) -> None:
    key = tmp_path / "signing"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bot@example.com", "-f", str(key)], check=True)
    repo = with_delivery(
        tmp_path, f"{{sign: {{format: ssh, key: {key}}}, author: {{name: Bot, email: bot@example.com}}}}"
    )
    changes(repo)
    allowed = tmp_path / "allowed"
    allowed.write_text("bot@example.com " + (tmp_path / "signing.pub").read_text())
    words = ["-c", f"gpg.ssh.allowedSignersFile={allowed}", "log", "--show-signature", "-1", "main"]
    assert 'Good "git" signature for bot@example.com' in git(repo.bare, *words)


def test_a_signing_key_that_is_not_there_stops_before_anything_is_pushed(tmp_path: Path) -> None:
    repo = with_delivery(tmp_path, "{sign: {format: ssh, key: /nowhere/signing}}")
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=1)
    assert "/nowhere/signing" in ran.err
    assert repo.head() == head


def test_a_fleet_repo_may_override_a_template(tmp_path: Path) -> None:
    text = (PROJECT / "templates/commit-message.txt.j2").read_text()
    repo = with_delivery(tmp_path, "{}", **{"templates/commit-message.txt.j2": text + "\n\nTicket: CAP-1\n"})
    changes(repo)
    assert "Ticket: CAP-1" in "\n".join(repo.log("%B", "-1"))
    assert repo.log("%(trailers:key=Trimtab-Change,valueonly)", "-1")[0]


def test_a_broken_template_is_told_by_file_and_line(tmp_path: Path) -> None:
    repo = with_delivery(tmp_path, "{}", **{"templates/commit-message.txt.j2": "{{ subject }}\n{% if %}\n"})
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=1)
    assert "templates/commit-message.txt.j2" in ran.err
    assert repo.head() == head


def test_over_http_with_a_password_that_is_never_shown(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/front.yaml": policy("front", "default/frontend")})
    git(repo.bare, "config", "http.receivepack", "true")
    with served(tmp_path, username="bot", password="hunter2-secret") as host:
        url = f"{host.url}/fleet.git"
        repo.env = {"TRIMTAB_GIT_USERNAME": "bot", "TRIMTAB_GIT_PASSWORD": "wrong-secret"}
        ran = repo.trimtab("plan", fleet=url, code=1)
        assert "wrong-secret" not in ran.text
        repo.env = {"TRIMTAB_GIT_USERNAME": "bot", "TRIMTAB_GIT_PASSWORD": "hunter2-secret"}
        ran = repo.trimtab("reconcile", "--once", fleet=url, code=0)
        assert "hunter2" not in ran.text
    assert any("hpa-frontend" in path for path in repo.files())
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes(), file


def test_pull_requests_are_not_made_and_nothing_is_committed_instead(tmp_path: Path) -> None:
    repo = with_delivery(tmp_path, "{mode: pullRequest}")
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=0)
    assert repo.head() == head
    assert "pullRequest" in ran.out


def test_the_wheel_carries_templates_and_the_example(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(words, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    env = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    env |= {"PYTHONPATH": str(site), "HOME": str(tmp_path), "TRIMTAB_STATE_DIR": str(tmp_path / "state")}
    code = "import sys, reconciler; assert reconciler.__file__.startswith(sys.argv.pop(1)); from reconciler.cli import main; main()"
    base = [sys.executable, "-c", code, str(site)]
    done = subprocess.run([*base, "init", "fleet"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    planned = subprocess.run(
        [*base, "plan", "--fleet", "fleet", "--now", "2026-06-17T10:00:00Z"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert planned.returncode == 2, planned.stderr
    assert "hpa-storefront.yaml" in planned.stdout
