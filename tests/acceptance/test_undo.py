"""Undo: `trimtab rollback`, a person's own `git revert`, and that refused values stay away."""

from pathlib import Path

import yaml

from support.fleets import FleetRepo, boutique, fleet_yaml, git, new_fleet, policy
from support.replay import CLUSTER, write_csv

ROOT = "clusters/boutique-prod"
HPA = f"{ROOT}/trimtab/default/hpa-frontend.yaml"


def with_policy(home: Path, **spec: object) -> FleetRepo:
    files = {"policies/frontend.yaml": policy("frontend", "default/frontend", minReplicas=2, maxReplicas=6, **spec)}
    repo = boutique(home, files=files)
    (repo.work / "actions/rightsize.yaml").unlink()
    repo.commit("No action")
    return repo


def sized(home: Path) -> FleetRepo:
    repo = boutique(home)
    repo.trimtab("usage", "import", str(write_csv(home / "usage.csv")), code=0)
    repo.at("reconcile", "--once", code=0)
    return repo


def spec_of(repo: FleetRepo, path: str = "policies/frontend.yaml") -> dict[str, object]:
    return dict(yaml.safe_load(repo.show(path))["spec"])


def test_rolling_back_a_policy_takes_its_hpa_away_and_makes_it_dry_run(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    wrote = repo.head()
    assert HPA in repo.files()
    done = repo.at("rollback", "frontend", "--json", code=0).json()
    assert done["reverts"] == wrote
    assert done["kept"] == []
    assert f"This reverts commit {wrote}." in "\n".join(repo.log("%B", "-1"))
    assert HPA not in repo.files()
    assert spec_of(repo)["dryRun"] is True
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == before
    repo.build(ROOT)


def test_rolling_back_to_the_fields_of_the_commit_before(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    first = repo.show(HPA)
    repo.pull()
    repo.write("policies/frontend.yaml", policy("frontend", "default/frontend", minReplicas=2, maxReplicas=20))
    repo.commit("More replicas")
    repo.at("reconcile", "--once", code=0)
    assert "maxReplicas: 20" in repo.show(HPA)
    repo.at("rollback", "frontend", code=0)
    assert repo.show(HPA) == first
    assert spec_of(repo)["maxReplicas"] == 6
    assert spec_of(repo)["dryRun"] is False
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == before


def test_nothing_to_roll_back_is_a_clear_error(tmp_path: Path) -> None:
    repo = with_policy(tmp_path, dryRun=True)
    for target in ("frontend", "nobody", "deadbeef", repo.head()):
        ran = repo.at("rollback", target, code=1)
        assert "nothing to roll back" in ran.text or "not one of Trimtab's" in ran.text
        assert "Traceback" not in ran.text
    repo.pull()
    repo.write("policies/frontend.yaml", policy("frontend", "default/frontend"))
    repo.commit("Live")
    repo.at("reconcile", "--once", code=0)
    repo.at("rollback", "frontend", code=0)
    assert "undone already" in repo.at("rollback", "frontend", code=1).text


def test_rolling_back_a_commit_equals_git_revert(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    wrote = repo.head()
    repo.pull()
    git(repo.work, "revert", "--no-edit", wrote)
    by_git = git(repo.work, "rev-parse", "HEAD^{tree}")
    git(repo.work, "reset", "-q", "--hard", "origin/main")
    repo.at("rollback", wrote[:10], code=0)
    assert git(repo.bare, "rev-parse", "main^{tree}") == by_git
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == before, "the refused values are not written again"
    assert "refused" in str(repo.at("recommend", "--json", code=0).json())


def test_a_persons_own_revert_counts_the_same(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    repo.pull()
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == before


def test_a_persons_own_revert_restores_a_policy(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    repo.at("reconcile", "--once", code=0)
    assert HPA not in repo.files()
    assert spec_of(repo)["dryRun"] is True
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled
    assert "undone already" in repo.at("rollback", "frontend", code=1).text
    repo.pull()
    repo.write("policies/frontend.yaml", policy("frontend", "default/frontend", minReplicas=2, maxReplicas=6))
    repo.commit("I want it after all")
    repo.at("reconcile", "--once", code=0)
    assert HPA in repo.files(), "a person who declares the policy anew has decided anew"


def test_putting_all_values_back_by_hand_counts_as_a_revert(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    repo.pull()
    git(repo.work, "checkout", "-q", "HEAD~1", "--", f"{ROOT}/trimtab")
    for path in repo.files(f"{ROOT}/trimtab/default"):
        git(repo.work, "rm", "-qf", path)
    repo.commit("I do not want these")
    before = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == before


def test_a_rollback_keeps_what_a_person_has_changed_since(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    wrote = repo.head()
    repo.pull()
    path = next(
        p for p in repo.files(f"{ROOT}/trimtab/default") if "requests-deployment" in p and "cpu" in repo.show(p)
    )
    text = repo.show(path)
    line = next(line for line in text.splitlines() if "cpu:" in line)
    repo.write(path, text.replace(line, line.split("cpu:")[0] + "cpu: 777m", 1))
    repo.commit("This one I know better")
    done = repo.at("rollback", wrote, "--json", code=0).json()
    assert [(k["path"]) for k in done["kept"]] == [path]
    assert "777m" in repo.show(path)
    others = [p for p in repo.files(f"{ROOT}/trimtab/default") if "requests-" in p and p != path]
    assert others == []
    repo.build(ROOT)


def test_a_revert_of_the_revert_lets_the_values_come_back(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    repo.pull()
    sized_tree = git(repo.work, "rev-parse", "HEAD^{tree}")
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    repo.at("reconcile", "--once", code=0)
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    repo.at("reconcile", "--once", code=0)
    assert git(repo.bare, "rev-parse", "main^{tree}") == sized_tree
    assert "refused" not in str(repo.at("recommend", "--json", code=0).json())


def test_a_lost_database_forgets_no_refusal(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    repo.at("rollback", repo.head(), code=0)
    before = repo.head()
    other = FleetRepo(home=tmp_path, work=repo.work, bare=repo.bare)
    env = ("--now", repo.now)
    other.trimtab("usage", "import", str(tmp_path / "usage.csv"), state="fresh", code=0)
    other.trimtab("reconcile", "--once", *env, state="fresh", code=0)
    assert repo.head() == before


def test_an_exclusion_window_holds_a_rollback_unless_forced(tmp_path: Path) -> None:
    repo = sized(tmp_path)
    wrote = repo.head()
    repo.pull()
    extra = "  windows:\n    exclusion: [{cron: '0 0 17 6 *', duration: 2d, name: audit}]\n"
    repo.write("trimtab.yaml", fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}", extra=extra))
    repo.commit("Freeze")
    ran = repo.at("rollback", wrote, code=1)
    assert "audit" in ran.text
    assert "2026-06-19 00:00 UTC" in ran.text
    repo.at("rollback", wrote, "--force", code=0)


def test_deleting_a_policy_takes_its_hpa_away(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    (repo.work / "policies/frontend.yaml").unlink()
    repo.commit("No more autoscaling")
    repo.at("reconcile", "--once", code=0)
    assert HPA not in repo.files()


def test_a_broken_policy_file_is_not_taken_for_a_deleted_one(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    repo.write("policies/frontend.yaml", "kind: [\n")
    repo.commit("Oops")
    before = repo.head()
    assert "policies/frontend.yaml" in repo.at("reconcile", "--once", code=0).text
    assert repo.head() == before


def test_rollback_where_nothing_was_ever_committed(tmp_path: Path) -> None:
    repo = new_fleet(
        tmp_path,
        {"trimtab.yaml": fleet_yaml("{name: a, path: clusters/a}"), "clusters/a/kustomization.yaml": "resources: []\n"},
    )
    assert "nothing to roll back" in repo.at("rollback", "web", code=1).text


def test_rolling_back_a_policy_after_right_sizing_leaves_no_half_hpa(tmp_path: Path) -> None:
    files = {"policies/frontend.yaml": policy("frontend", "default/frontend", minReplicas=2, maxReplicas=6)}
    repo = boutique(tmp_path, files=files)
    repo.trimtab("usage", "import", str(write_csv(tmp_path / "usage.csv")), code=0)
    repo.at("reconcile", "--once", code=0)
    assert "averageValue" in repo.show(HPA), "right-sizing made the target absolute"
    done = repo.at("rollback", "frontend", "--json", code=0).json()
    assert done["kept"] == []
    assert HPA not in repo.files()
    assert "hpa-frontend" not in repo.show(f"{ROOT}/trimtab/kustomization.yaml")
    assert any("requests-deployment-frontend" in path for path in repo.files())
    repo.build(ROOT)
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled


def test_a_file_that_a_person_has_edited_since_is_not_taken_away(tmp_path: Path) -> None:
    repo = with_policy(tmp_path)
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    repo.write(HPA, repo.show(HPA).replace("maxReplicas: 6", "maxReplicas: 9") + "\n")
    repo.commit("Nine")
    done = repo.at("rollback", "frontend", "--json", code=0).json()
    assert {k["field"]: k["value"] for k in done["kept"]}["maxReplicas"] == "9"
    assert "maxReplicas: 9" in repo.show(HPA)
    repo.build(ROOT)
