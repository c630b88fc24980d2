"""The other commands, as a new user calls them: init, check, where, windows, doctor, status, demo."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from support.fleets import FleetRepo, boutique, git, policy
from support.replay import REAL, write_csv

ROOT = "clusters/boutique-prod"


@pytest.fixture
def home(tmp_path: Path) -> FleetRepo:
    return FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "fleet.git")


def test_init_scaffolds_a_fleet_repo_that_builds_and_checks(home: FleetRepo) -> None:
    home.trimtab("init", str(home.work), code=0)
    assert git(home.work, "status", "--porcelain") == ""
    assert (home.work / "bootstrap/argocd/application.yaml").is_file()
    kinds = {d["kind"] for f in (home.work / "bootstrap/flux").iterdir() for d in yaml.safe_load_all(f.read_text())}
    assert kinds == {"GitRepository", "Kustomization"}
    assert (
        subprocess.run(
            ["kubectl", "kustomize", str(home.work / "clusters/demo")], check=False, capture_output=True
        ).returncode
        == 0
    )
    home.trimtab("check", str(home.work), code=0)
    home.trimtab("plan", "--fleet", str(home.work), "--now", "2026-06-17T10:00:00Z", code=2)


def existing(home: FleetRepo, folder: str = "clusters/prod") -> dict[str, bytes]:
    import shutil

    shutil.copytree(REAL / "online-boutique", home.work / folder, copy_function=shutil.copyfile)
    (home.work / folder).chmod(0o755)
    subprocess.run(["git", "init", "-q", "-b", "main", str(home.work)], check=True)
    git(home.work, "add", "-A")
    git(home.work, "commit", "-qm", "Ours")
    return {path: (home.work / path).read_bytes() for path in git(home.work, "ls-files").splitlines()}


def test_init_adds_what_an_existing_repository_lacks(home: FleetRepo) -> None:
    before = existing(home)
    (home.work / "unsaved.txt").write_text("mine")
    home.trimtab("init", str(home.work), code=0)
    for path, data in before.items():
        now = (home.work / path).read_bytes()
        if path != "clusters/prod/kustomization.yaml":
            assert now == data, path
        else:
            assert now.startswith(data)
    assert yaml.safe_load((home.work / "clusters/prod/kustomization.yaml").read_text())["components"] == ["trimtab"]
    assert git(home.work, "status", "--porcelain") == "?? unsaved.txt"
    commits = git(home.work, "rev-list", "HEAD")
    home.trimtab("check", str(home.work), code=0)
    assert "Nothing is missing" in home.trimtab("init", str(home.work), code=0).out
    assert git(home.work, "rev-list", "HEAD") == commits


def test_init_lists_the_files_of_a_root_without_kustomization(home: FleetRepo) -> None:
    existing(home)
    (home.work / "clusters/prod/kustomization.yaml").unlink()
    (home.work / "clusters/prod/values.yaml").write_text("replicas: 3\n")
    git(home.work, "commit", "-qam", "Plain files")
    ran = home.trimtab("init", str(home.work), code=0)
    listed = yaml.safe_load((home.work / "clusters/prod/kustomization.yaml").read_text())["resources"]
    assert "frontend.yaml" in listed
    assert "values.yaml" not in listed
    assert "values.yaml" in ran.out
    home.trimtab("check", str(home.work), code=0)


def test_init_refuses_a_root_that_transforms_and_says_what_to_move(home: FleetRepo) -> None:
    existing(home)
    file = home.work / "clusters/prod/kustomization.yaml"
    file.write_text(file.read_text() + "namespace: shop\n")
    git(home.work, "commit", "-qam", "Namespace")
    ran = home.trimtab("init", str(home.work), code=1)
    assert "namespace" in ran.err
    assert "git mv" in ran.err
    assert not (home.work / "clusters/prod/trimtab").exists()
    assert git(home.work, "status", "--porcelain") == ""


def test_what_init_proposes_to_move_works_as_printed(home: FleetRepo) -> None:
    existing(home)
    file = home.work / "clusters/prod/kustomization.yaml"
    file.write_text(file.read_text() + "namespace: shop\n")
    git(home.work, "commit", "-qam", "Namespace")
    hint = home.trimtab("init", str(home.work), code=1).err
    commands = [line.strip() for line in hint.splitlines() if line.strip().startswith(("mkdir", "git mv", "printf"))]
    subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=home.work, check=True)
    git(home.work, "add", "-A")
    git(home.work, "commit", "-qm", "One level down")
    home.trimtab("init", str(home.work), code=0)
    home.trimtab("check", str(home.work), code=0)


def test_where_names_file_line_and_field(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    rows = repo.trimtab("where", "default/cartservice", "server", "--json", code=0).json()
    cpu = next(r for r in rows if r["field"] == "requests.cpu")
    lines = repo.show(cpu["path"]).splitlines()
    assert lines[cpu["line"] - 1].strip() == "cpu: 200m"
    assert cpu["by"] == "people"
    repo.trimtab("usage", "import", str(write_csv(tmp_path / "usage.csv")), code=0)
    repo.at("reconcile", "--once", code=0)
    both = repo.trimtab("where", "default/cartservice", "server", "--json", code=0).json()
    ours = next(r for r in both if r["by"] == "trimtab" and r["field"] == "requests.cpu")
    assert ours["value"] in repo.show(ours["path"]).splitlines()[ours["line"] - 1]
    assert "redis" in repo.trimtab("where", "default/redis-cart", "nope", code=1).err
    assert "cartservice" in repo.trimtab("where", "default/nope", "server", code=1).err


def test_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/load.yaml": policy("load", "default/loadgenerator")})
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    hpa = (
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: ads}\nspec:\n"
        "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: adservice}\n  maxReplicas: 3\n"
    )
    repo.write(f"{ROOT}/apps/ads-hpa.yaml", hpa)
    repo.write("policies/ads.yaml", policy("ads", "default/adservice"))
    repo.write(
        f"{ROOT}/apps/kustomization.yaml",
        listed.replace("resources:\n", "resources:\n - ads-hpa.yaml\n - loadgenerator.yaml\n"),
    )
    repo.commit("Conflicts")
    found = repo.trimtab("doctor", "--json", code=0).json()
    checks = {f["check"] for f in found}
    assert {"repository", "remote", "identity", "configuration", "roots", "patches", "autoscalers"} <= checks
    told = " ".join(f["message"] for f in found)
    assert "ads-hpa.yaml" in told
    assert "replicas" in told
    assert f"{ROOT}/apps/loadgenerator.yaml" in told
    repo.write("policies/broken.yaml", "a: [\n")
    repo.commit("Break")
    failed = repo.trimtab("doctor", "--json", code=1).json()
    assert any(f["mark"] == "failed" and "policies/broken.yaml" in f["message"] for f in failed)
    gone = repo.trimtab("doctor", "--fleet", str(tmp_path / "nowhere"), code=1)
    assert "Traceback" not in gone.text


def test_a_person_hpa_and_a_person_replicas_block_a_policy_with_file_and_line(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/load.yaml": policy("load", "default/loadgenerator")})
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed.replace("resources:\n", "resources:\n - loadgenerator.yaml\n"))
    repo.commit("loadgenerator sets replicas")
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=0)
    assert "loadgenerator.yaml" in ran.text
    assert "handOver" in ran.text
    assert repo.head() == head


def test_status_prints_revision_and_what_is_held(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    found = repo.at("status", "--json", code=0).json()
    assert found["head"] == repo.head()
    assert found["branch"] == "main"


def test_the_fleet_may_be_a_checkout_whose_remote_is_meant(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/front.yaml": policy("front", "default/frontend")})
    repo.trimtab("reconcile", "--once", "--now", repo.now, "--fleet", str(repo.work), code=0)
    assert any("hpa-frontend" in path for path in repo.files())


def test_the_fleet_may_be_a_checkout_without_a_remote(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/front.yaml": policy("front", "default/frontend")})
    git(repo.work, "remote", "remove", "origin")
    repo.trimtab("reconcile", "--once", "--now", repo.now, "--fleet", str(repo.work), code=0)
    assert (repo.work / ROOT / "trimtab/default/hpa-frontend.yaml").is_file()
    assert git(repo.work, "status", "--porcelain") == ""


def test_another_branch(tmp_path: Path) -> None:
    from support.fleets import fleet_yaml
    from support.replay import CLUSTER

    text = fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra="  delivery: {branch: live}\n")
    repo = boutique(tmp_path, files={"trimtab.yaml": text, "policies/front.yaml": policy("front", "default/frontend")})
    git(repo.work, "push", "-q", "origin", "main:live")
    head = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == head
    assert "hpa-frontend" in git(repo.bare, "ls-tree", "-r", "--name-only", "live")


def test_naming_another_branch_is_said_and_taken_up(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    repo.at("reconcile", "--once", code=0)
    git(repo.work, "push", "-q", "origin", "main:live")
    text = (repo.work / "trimtab.yaml").read_text()
    repo.write("trimtab.yaml", text + "  delivery: {branch: live}\n")
    repo.commit("Deliver to live")
    git(repo.work, "push", "-q", "origin", "main:live")
    assert "live" in repo.at("plan", code=1).err
    repo.at("plan", code=0)


def test_reconcile_loops_until_it_is_told_to_stop(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
    env |= {"HOME": str(tmp_path), "TRIMTAB_STATE_DIR": str(tmp_path / "state"), "TRIMTAB_FLEET": str(repo.bare)}
    words = [sys.executable, "-u", "-m", "reconciler.cli", "reconcile", "--interval", "1"]
    with subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as running:
        assert running.stdout
        assert "Nothing to commit" in running.stdout.readline()
        repo.write("policies/front.yaml", policy("front", "default/frontend"))
        repo.commit("A policy, while it runs")
        assert any("Scale front" in line for line in iter(running.stdout.readline, ""))
        running.terminate()
        assert running.wait(timeout=60) == 0
    assert any("hpa-frontend" in path for path in repo.files())


def test_the_demo_shows_the_whole_job_in_under_a_minute(home: FleetRepo) -> None:
    start = time.monotonic()
    ran = home.trimtab("demo", "--keep", str(home.home / "demo"), code=0)
    assert time.monotonic() - start < 60
    for words in (
        "shop/storefront",
        "+++ b/clusters/demo/trimtab/shop/hpa-storefront.yaml",
        "2026-06-17 22:00 UTC",
        "2026-06-17 20:00 UTC",
        "Trimtab-Change:",
        "kubectl kustomize clusters/demo:",
        "trimtab rollback storefront",
        "What to type next",
    ):
        assert words in ran.out, words
    assert "hpa-storefront" not in git(home.home / "demo/fleet.git", "ls-tree", "-r", "--name-only", "main")


def test_secrets_in_a_url_are_never_shown(home: FleetRepo) -> None:
    ran = home.trimtab("plan", fleet="http://pat:hunter2-secret@127.0.0.1:9/fleet.git", code=1)
    assert "hunter2" not in ran.text
    assert "127.0.0.1" in ran.err
