"""Bad input ends with an error that names the file, line and field; nothing is half-written, and the rest goes on."""

import os
import subprocess
from pathlib import Path

import pytest

from support.fleets import FleetRepo, boutique, fleet_yaml, git, policy
from support.replay import CLUSTER, write_csv

ROOT = "clusters/boutique-prod"
HEADER = "timestamp,cluster,namespace,kind,name,container,cpu_cores,memory_bytes\n"


def broken(home: Path, path: str, text: str) -> FleetRepo:
    """A fleet with one more policy that is fine, and one file that is not."""
    files = {"policies/good.yaml": policy("good", "default/adservice"), path: text}
    return boutique(home, files=files)


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("policies/bad.yaml", "kind: [\n", ["policies/bad.yaml:"]),
        ("policies/bad.yaml", policy("bad", "default/frontend", colour="red"), ["policies/bad.yaml:", "colour"]),
        (
            "policies/bad.yaml",
            policy("bad", "default/frontend", cpuTargetPercent=170),
            ["policies/bad.yaml:", "cpuTargetPercent"],
        ),
        (
            "policies/bad.yaml",
            policy("bad", "default/frontend", minReplicas=9, maxReplicas=2),
            ["policies/bad.yaml", "minReplicas"],
        ),
        ("policies/bad.yaml", policy("other", "default/adservice"), ["policies/good.yaml", "default/adservice"]),
        ("policies/later.yaml", policy("good", "default/frontend"), ["policies/later.yaml", "good"]),
        (
            "policies/bad.yaml",
            policy("bad", "default/frontend", maintenanceWindow="0 0 2 * * 0"),
            ["policies/bad.yaml:", "maintenanceWindow"],
        ),
        ("policies/bad.yaml", policy("bad", "default/fronted"), ["policies/bad.yaml", "default/fronted", "frontend"]),
        (
            "actions/bad.yaml",
            "apiVersion: trimtab.dev/v1alpha1\nkind: ActionConfig\nmetadata: {name: bad}\nspec: {scope: global, action: nonsense, config: {}}\n",
            ["actions/bad.yaml:", "action"],
        ),
        (
            "actions/bad.yaml",
            "apiVersion: trimtab.dev/v1alpha1\nkind: ActionConfig\nmetadata: {name: system}\nspec: {scope: global, action: rightsizing, config: {profile: Production}}\n",
            ["actions/bad.yaml:", "system"],
        ),
        (
            "actions/bad.yaml",
            "apiVersion: trimtab.dev/v1alpha1\nkind: ActionConfig\nmetadata: {name: bad}\nspec: {scope: global, action: rightsizing, config: {profile: Production, filter: 'namespace:'}}\n",
            ["actions/bad.yaml", "filter"],
        ),
    ],
)
def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, path: str, text: str, told: list[str]) -> None:
    repo = broken(tmp_path, path, text)
    ran = repo.at("reconcile", "--once", code=0)
    for words in told:
        assert words in ran.text, ran.text
    assert f"{ROOT}/trimtab/default/hpa-adservice.yaml" in repo.files()
    repo.pull()
    repo.trimtab("check", str(repo.work), code=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [\n", ["trimtab.yaml:"]),
        (fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}, wirte: overlay}}"), ["trimtab.yaml:6", "wirte", "write"]),
        (fleet_yaml(f"{{name: {CLUSTER}, path: ../elsewhere}}"), ["trimtab.yaml:6", "path"]),
        (
            fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra="  windows: {maintenance: ['0 0 2 * * 0']}\n"),
            ["trimtab.yaml:7", "windows"],
        ),
        (
            fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra="  pricing: {cpuCoreHour: cheap}\n"),
            ["trimtab.yaml:7", "cpuCoreHour"],
        ),
    ],
)
def test_a_broken_trimtab_yaml_stops_everything(tmp_path: Path, text: str, told: list[str]) -> None:
    repo = boutique(tmp_path, files={"trimtab.yaml": text})
    head = repo.head()
    for command in (("plan",), ("reconcile", "--once"), ("recommend",)):
        ran = repo.at(*command, code=1)
        for words in told:
            assert words in ran.err, ran.text
        assert "Traceback" not in ran.err
    assert repo.head() == head


def test_a_quantity_that_is_none_is_named(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    file = repo.work / ROOT / "apps/adservice.yaml"
    file.write_text(file.read_text().replace("cpu: 200m", "cpu: a lot"))
    repo.commit()
    repo.trimtab("usage", "import", str(write_csv(tmp_path / "usage.csv")), code=0)
    ran = repo.at("plan")
    assert f"{ROOT}/apps/adservice.yaml" in ran.text
    assert "a lot" in ran.text
    assert "cartservice" in ran.text


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    repo = FleetRepo(home=tmp_path, work=tmp_path, bare=tmp_path / "nothing-here")
    (tmp_path / "nothing-here").mkdir()
    ran = repo.at("plan", code=1)
    assert "nothing-here" in ran.err
    assert "Traceback" not in ran.err


def test_a_remote_that_refuses(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/good.yaml": policy("good", "default/adservice")})
    hook = repo.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=1)
    assert "main is protected" in ran.err
    assert repo.head() == head
    hook.unlink()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() != head


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    (tmp_path / "state").write_text("a file is in the way")
    ran = repo.at("plan", code=1)
    assert "state" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("yesterday,c,n,Deployment,w,x,0.1,1", "timestamp"),
        ("2026-06-17T10:00:00Z,c,n,Deployment,w,x,-1,1", "cpu_cores"),
        ("2026-06-17T10:00:00Z,c,n,Deployment,w,x,0.1,nan", "memory_bytes"),
        ("2026-06-17T10:00:00Z,c,n,Deployment,,x,0.1,1", "name"),
        ("2026-06-17T10:00:00Z,c,n", ""),
    ],
)
def test_a_bad_row_is_reported_by_line_and_only_kept_out_with_keep_going(tmp_path: Path, row: str, told: str) -> None:
    repo = boutique(tmp_path)
    good = "".join(f"2026-06-1{d}T10:00:00Z,c,n,Deployment,w,x,0.1,1000000\n" for d in range(1, 7))
    file = tmp_path / "usage.csv"
    file.write_text(HEADER + good + row + "\n" + good.replace(",w,", ",v,"))
    ran = repo.trimtab("usage", "import", str(file), code=1)
    assert "8" in ran.err
    assert told in ran.err
    kept = repo.trimtab("usage", "import", str(file), "--keep-going", "--json", code=0).json()
    assert (kept["samples"], kept["seenBefore"], kept["badRows"]) == (24, 0, 1)


def test_a_filter_error_points_at_the_column(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    ran = repo.at("recommend", "--filter", 'namespace:"a" + pod "b"', code=1)
    assert "column" in ran.err or "^" in ran.err


DISKS = ["100k", "400k", "700k", "900k"] if os.geteuid() == 0 else []
"""Sizes of disks that fill up at different steps; making one takes root, as in CI."""


@pytest.mark.parametrize("size", DISKS)
def test_a_full_disk_loses_nothing(tmp_path: Path, size: str) -> None:
    repo = boutique(tmp_path, files={"policies/good.yaml": policy("good", "default/adservice")})
    usage = write_csv(tmp_path / "usage.csv")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], check=True)
    try:
        for words in (
            ("usage", "import", str(usage)),
            ("plan", "--now", repo.now),
            ("reconcile", "--once", "--now", repo.now),
        ):
            ran = repo.trimtab(*words, state="small")
            assert ran.code in (0, 1, 2)
            assert "Traceback" not in ran.text
            assert ran.code != 1 or "full" in ran.err, ran.text
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert git(repo.bare, "fsck") == ""
    repo.trimtab("usage", "import", str(usage), code=0)
    repo.at("reconcile", "--once", code=0)
    lines = [line for line in "\n".join(repo.log("%(trailers:key=Trimtab-Decision,valueonly)")).split("\n") if line]
    assert len(lines) == len(set(lines)) > 5
    repo.at("plan", code=0)


def test_a_person_who_breaks_the_root_is_told(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={"policies/good.yaml": policy("good", "default/adservice")})
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed.replace("adservice.yaml", "missing.yaml"))
    repo.commit("Break it")
    head = repo.head()
    ran = repo.at("reconcile", "--once", code=0)
    assert "missing.yaml" in ran.text
    assert repo.head() == head
    assert git(repo.bare, "fsck") == ""


def test_a_persons_patch_that_shadows_ours_blocks_the_change(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    text = (repo.work / ROOT / "kustomization.yaml").read_text()
    patch = "patches:\n- target: {kind: Deployment, name: adservice}\n  patch: |-\n    - {op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 123m}\n"
    repo.write(f"{ROOT}/kustomization.yaml", text + patch)
    repo.commit("I patch beside the component")
    repo.trimtab("usage", "import", str(write_csv(tmp_path / "usage.csv")), code=0)
    ran = repo.at("reconcile", "--once", code=0)
    assert "patches" in ran.text or "shadowed" in ran.text
    assert not any("requests-deployment-adservice" in path for path in repo.files())
