"""Policies made through the API become commits, go away with them, and come back as they were."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import loop
from reconciler.errors import NothingToRollBack
from reconciler.model.policy import PolicyState, ScalingPolicySpec
from reconciler.steps.house import House
from reconciler.steps.undoing import Undone
from support.fleets import FleetRepo, fleet_yaml, git, new_fleet
from support.served import Served, serving
from support.small import root_files

FILES = {
    "trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}"),
    **root_files(),
}
HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    return new_fleet(tmp_path / "home", FILES)


@pytest.fixture
def served(tmp_path: Path, repo: FleetRepo, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as served:
        yield served


def spec(**fields: object) -> ScalingPolicySpec:
    given = {"name": "web autoscaler", "runtime": "kubernetes", "target_ref": "shop/web", "cluster": "prod"}
    return ScalingPolicySpec.model_validate({**given, "cpu_target_percent": 70, "dry_run": False, **fields})


def make(served: Served, **fields: object) -> str:
    return served.server.stores.policies.create("acme", spec(**fields), served.clock()).id


def change(served: Served, policy_id: str, **fields: object) -> None:
    served.clock.forward(seconds=5)
    served.server.stores.policies.update(policy_id, spec(**fields), served.clock())
    served.server.wake("acme")


def roll_back(served: Served, policy_id: str) -> Undone:
    def undo(house: House) -> Undone:
        return loop.rollback(house, policy_id)

    served.clock.forward(seconds=5)
    return served.steward.ask(undo).result(timeout=60)


def actions(served: Served, policy_id: str) -> list[str]:
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    return [row.action for row in served.server.stores.log.recent(name, policy_id)]


def state(served: Served, policy_id: str) -> PolicyState:
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    return served.server.stores.policies.states([name])[policy_id]


def test_in_dry_run_it_is_only_logged_and_live_it_is_committed(served: Served, repo: FleetRepo) -> None:
    policy_id = make(served, dry_run=True)
    before = repo.head()
    served.reconcile()
    served.reconcile()
    assert repo.head() == before
    assert actions(served, policy_id) == ["dry_run"]
    change(served, policy_id, min_replicas=2)
    served.reconcile()
    assert f"Trimtab-Policy: {policy_id}" in repo.log("%B", "-1")
    assert "minReplicas: 2" in repo.show(HPA)
    assert actions(served, policy_id) == ["apply", "dry_run"]
    seen = state(served, policy_id)
    assert seen.objects == ("HorizontalPodAutoscaler shop/web",)
    assert seen.revision == repo.head()
    assert seen.evaluated_at == served.clock()


def test_a_policy_that_is_switched_off_leaves_git_alone_and_one_that_is_deleted_takes_its_files_along(
    served: Served, repo: FleetRepo
) -> None:
    policy_id = make(served)
    served.reconcile()
    committed = repo.head()
    change(served, policy_id, enabled=False)
    served.reconcile()
    change(served, policy_id, dry_run=True, min_replicas=3)
    served.reconcile()
    assert repo.head() == committed
    assert served.server.stores.policies.delete(policy_id, served.clock())
    served.server.wake("acme")
    served.reconcile()
    assert HPA not in repo.files()
    assert len(repo.log("%H", f"{committed}..main")) == 1


def test_a_database_that_has_never_heard_of_a_policy_leaves_its_files_alone(
    served: Served, repo: FleetRepo, tmp_path: Path
) -> None:
    make(served)
    served.reconcile()
    committed = repo.head()
    with serving(tmp_path / "other", repo) as other:
        other.reconcile()
        found = other.steward.ask(loop.plan).result(timeout=60)
    assert repo.head() == committed
    assert any("not in this database" in note for note in found.notes)


def test_a_rollback_brings_back_the_fields_of_the_commit_before_and_then_dry_run(
    served: Served, repo: FleetRepo
) -> None:
    policy_id = make(served, max_replicas=4)
    served.reconcile()
    change(served, policy_id, max_replicas=10)
    served.reconcile()
    assert "maxReplicas: 10" in repo.show(HPA)
    roll_back(served, policy_id)
    assert "maxReplicas: 4" in repo.show(HPA)
    found = served.server.stores.policies.find(policy_id)
    assert found is not None and found.spec == spec(max_replicas=4)
    settled = repo.head()
    served.reconcile()
    assert repo.head() == settled
    roll_back(served, policy_id)
    assert HPA not in repo.files()
    found = served.server.stores.policies.find(policy_id)
    assert found is not None and found.spec == spec(max_replicas=4, dry_run=True)
    assert actions(served, policy_id)[:4] == ["rollback", "rollback", "apply", "apply"]
    with pytest.raises(NothingToRollBack):
        roll_back(served, policy_id)


def test_a_persons_own_revert_counts_the_same(served: Served, repo: FleetRepo) -> None:
    policy_id = make(served)
    served.reconcile()
    repo.pull()
    served.clock.forward(seconds=5)
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q")
    reverted = repo.head()
    served.reconcile()
    served.reconcile()
    assert repo.head() == reverted
    found = served.server.stores.policies.find(policy_id)
    assert found is not None and found.spec.dry_run
    # Live again with the same values: refused until a person decides anew, and that is what they have just done.
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    assert {r.subject for r in served.server.stores.refusals.standing(name)} == {policy_id}


def test_an_approved_change_lands_and_names_who_approved_it(served: Served, repo: FleetRepo) -> None:
    policy_id = make(served, approval_required=True)
    before = repo.head()
    served.reconcile()
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    (held,) = served.server.stores.changes.open_changes(name)
    served.clock.forward(minutes=1)
    served.server.stores.recorded()
    served.reconcile()
    (again,) = served.server.stores.changes.open_changes(name)
    assert again.id == held.id
    assert repo.head() == before
    assert "needs approval" in state(served, policy_id).held
    prints = [decision.proposal.fingerprint for decision in held.decisions]
    served.server.stores.verdicts.give(name, prints, "approved", change_id=held.id, by="ada", at=served.clock())
    served.server.stores.recorded()
    served.reconcile()
    assert repo.log("%H", f"{before}..main") == [repo.head()]
    assert "approved by ada" in "\n".join(repo.log("%B", "-1"))
    change(served, policy_id, approval_required=True, max_replicas=20)
    landed = repo.head()
    served.reconcile()
    assert repo.head() == landed


def test_what_is_asked_for_during_a_pass_is_for_the_next_one(served: Served, repo: FleetRepo) -> None:
    made: list[str] = []

    def late(step: str) -> None:
        if step == "report" and not made:
            made.append(make(served))
            served.server.stores.recorded()

    def one(house: House) -> None:
        house.step = late
        loop.reconcile(house)

    before = repo.head()
    served.steward.ask(one).result(timeout=60)
    assert made and repo.head() == before
    served.reconcile()
    assert f"Trimtab-Policy: {made[0]}" in repo.log("%B", "-1")
