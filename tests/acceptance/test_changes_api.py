"""Changes over HTTP: listed, looked at, approved, rejected; and what the next pass makes of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from reconciler.model.policy import ScalingPolicySpec
from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy
from support.served import Served, serving
from support.small import root_files

HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"


def fleet(home: Path, extra: str = "", **files: str) -> FleetRepo:
    base = {
        "trimtab.yaml": fleet_yaml(
            "{name: prod, id: prod-id, path: clusters/prod}", "{name: dev, path: clusters/dev}", extra=extra
        ),
        **root_files("clusters/prod", "web", "db"),
        **root_files("clusters/dev"),
    }
    return new_fleet(home, base | files)


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    return fleet(tmp_path / "home")


@pytest.fixture
def served(tmp_path: Path, repo: FleetRepo, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as served:
        yield served


def make(served: Served, target: str = "shop/web", cluster: str = "prod", **fields: object) -> str:
    given = {"name": f"{cluster} {target}", "runtime": "kubernetes", "target_ref": target, "cluster": cluster}
    asked = {**given, "cpu_target_percent": 70, "dry_run": False, "approval_required": True, **fields}
    spec = ScalingPolicySpec.model_validate(asked)
    served.clock.forward(seconds=5)
    made = served.server.stores.policies.create("acme", spec, served.clock())
    served.server.wake("acme")
    return made.id


def retune(served: Served, policy_id: str, **fields: object) -> None:
    served.clock.forward(seconds=5)
    found = served.server.stores.policies.find(policy_id)
    assert found is not None
    served.server.stores.policies.update(policy_id, found.spec.model_copy(update=fields), served.clock())
    served.server.wake("acme")


def items(served: Served, **query: object) -> list[dict[str, Any]]:
    answer = served.client.get("/api/v1/changes", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def held(served: Served) -> dict[str, Any]:
    """The one change that is held after a pass."""
    served.reconcile()
    (found,) = items(served, state="held")
    return found


def test_what_needs_approval_is_held_listed_approved_and_lands_at_the_next_pass(
    served: Served, repo: FleetRepo
) -> None:
    policy_id = make(served, max_replicas=6)
    before = repo.head()
    change = held(served)
    assert repo.head() == before
    assert change["heldBy"] == "needs approval"
    assert change["until"] is None
    assert change["subject"] == {"kind": "policy", "id": policy_id, "name": "prod shop/web"}
    assert change["approval"] == {"required": True, "verdict": None, "by": None, "at": None, "reason": None}
    assert change["files"] == [HPA]
    assert change["fleet"] == str(repo.bare)
    assert change["createdAt"] == served.clock().isoformat()
    served.clock.forward(minutes=10)
    assert held(served)["id"] == change["id"], "the id that a person was given stays good"

    approver = served.key("changes:write")
    answer = served.client.post(
        f"/api/v1/changes/{change['id']}/approve", json={"reason": "agreed with shop"}, headers=approver
    )
    assert answer.status_code == 200, answer.text
    said = {"verdict": "approved", "by": "test", "at": served.clock().isoformat(), "reason": "agreed with shop"}
    assert answer.json()["approval"] == {"required": True, **said}
    assert answer.json()["state"] == "held"
    served.clock.forward(minutes=1)
    again = served.client.post(f"/api/v1/changes/{change['id']}/approve")
    assert again.status_code == 200
    assert again.json()["approval"]["by"] == "test", "the first approver stays"
    assert repo.head() == before

    served.reconcile()
    assert "maxReplicas: 6" in repo.show(HPA)
    landed = served.client.get(f"/api/v1/changes/{change['id']}").json()
    assert landed["state"] == "committed"
    assert landed["commit"] == repo.head()
    assert landed["heldBy"] is None
    assert landed["approval"] == {"required": True, **said}
    assert landed["times"]["committed"] == served.clock().isoformat()
    assert landed["times"]["proposed"] == change["createdAt"]
    assert landed["message"].splitlines()[0] == landed["summary"]
    assert {"path": HPA, "field": "maxReplicas", "old": None, "new": "6"} in landed["edits"]
    assert landed["edits"] == [edit for decision in landed["decisions"] for edit in decision["edits"]]
    late = served.client.post(f"/api/v1/changes/{change['id']}/approve")
    assert late.status_code == 200, "who asks again because the answer was lost is not told off"
    assert served.client.post(f"/api/v1/changes/{change['id']}/reject").status_code == 409


def test_a_proposal_that_changes_needs_a_new_approval(served: Served, repo: FleetRepo) -> None:
    policy_id = make(served, max_replicas=6)
    first = held(served)
    before = repo.head()
    served.client.post(f"/api/v1/changes/{first['id']}/approve")
    retune(served, policy_id, max_replicas=9)
    served.reconcile()
    assert repo.head() == before
    second = held(served)
    assert second["approval"]["verdict"] is None
    assert [e["new"] for d in second["decisions"] for e in d["edits"] if e["field"] == "maxReplicas"] == ["9"]
    served.client.post(f"/api/v1/changes/{second['id']}/approve")
    served.reconcile()
    assert "maxReplicas: 9" in repo.show(HPA)


def test_what_lands_a_second_time_is_asked_for_a_second_time(served: Served, repo: FleetRepo) -> None:
    from reconciler import loop

    policy_id = make(served, max_replicas=6)
    first = held(served)
    served.client.post(f"/api/v1/changes/{first['id']}/approve")
    served.reconcile()
    served.clock.forward(minutes=1)
    served.steward.ask(lambda house: loop.rollback(house, policy_id)).result(timeout=60)
    assert HPA not in repo.files()
    rolled_back = repo.head()
    served.server.stores.refusals.clear_subject(str(repo.bare), policy_id)
    retune(served, policy_id, dry_run=False)
    second = held(served)
    assert second["approval"] == {"required": True, "verdict": None, "by": None, "at": None, "reason": None}
    assert repo.head() == rolled_back
    assert served.client.get(f"/api/v1/changes/{first['id']}").json()["approval"]["verdict"] == "approved"


def test_what_is_approved_is_held_until_its_windows_allow(tmp_path: Path) -> None:
    repo = fleet(tmp_path / "home", extra="  windows:\n    maintenance: ['* 22-23 * * 1-5']\n")
    with serving(tmp_path, repo) as served:
        make(served)
        change = held(served)
        before = repo.head()
        served.client.post(f"/api/v1/changes/{change['id']}/approve")
        waiting = held(served)
        assert waiting["id"] == change["id"]
        assert waiting["until"] == "2026-06-17T22:00:00+00:00"
        assert waiting["approval"]["verdict"] == "approved"
        assert repo.head() == before
        served.clock.forward(hours=12)
        served.reconcile()
        assert repo.head() != before


def test_what_is_rejected_is_dismissed_and_not_proposed_until_it_differs(served: Served, repo: FleetRepo) -> None:
    policy_id = make(served, max_replicas=10)
    before = repo.head()
    change = held(served)
    answer = served.client.post(f"/api/v1/changes/{change['id']}/reject", json={"reason": "not before the sale"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["state"] == "dismissed"
    assert said["heldBy"] is None
    assert (said["approval"]["verdict"], said["approval"]["by"]) == ("rejected", "all")
    assert said["approval"]["reason"] == "not before the sale"
    assert said["times"]["dismissed"] == served.clock().isoformat()
    assert served.client.post(f"/api/v1/changes/{change['id']}/reject").status_code == 200
    refused = served.client.post(f"/api/v1/changes/{change['id']}/approve")
    assert refused.status_code == 409
    assert "rejected by all" in refused.json()["error"]
    for _ in range(2):
        served.clock.forward(minutes=5)
        served.reconcile()
    assert items(served, state="held,proposed") == []
    assert items(served)[0]["state"] == "dismissed"
    retune(served, policy_id, max_replicas=11)
    served.reconcile()
    assert items(served, state="held") == [], "11 is within 20 % of the 10 that was refused"
    retune(served, policy_id, max_replicas=20)
    second = held(served)
    assert second["id"] != change["id"]
    assert served.client.post(f"/api/v1/changes/{second['id']}/reject").status_code == 200
    served.reconcile()
    assert items(served, state="held") == [], "a second rejection of the same field stands beside the first"
    assert repo.head() == before


def test_an_approval_is_gone_once_the_change_is_rejected(served: Served, repo: FleetRepo) -> None:
    make(served)
    change = held(served)
    before = repo.head()
    served.client.post(f"/api/v1/changes/{change['id']}/approve")
    assert served.client.post(f"/api/v1/changes/{change['id']}/reject").json()["state"] == "dismissed"
    served.reconcile()
    assert repo.head() == before
    assert served.server.stores.verdicts.approved(str(repo.bare)) == {}


def test_what_needs_no_approval_says_so(tmp_path: Path) -> None:
    repo = fleet(tmp_path / "home", extra="  windows:\n    maintenance: ['* 22-23 * * 1-5']\n")
    with serving(tmp_path, repo) as served:
        make(served, approval_required=False)
        change = held(served)
        answer = served.client.post(f"/api/v1/changes/{change['id']}/approve")
        assert answer.status_code == 409
        assert "needs no approval" in answer.json()["error"]
        assert change["approval"]["required"] is False
        served.client.post(f"/api/v1/changes/{change['id']}/reject")
        served.clock.forward(hours=12)
        before = repo.head()
        served.reconcile()
        assert repo.head() == before, "also what needs no approval may be rejected"


def test_a_policy_declared_in_git_may_need_approval_and_editing_it_decides_anew(tmp_path: Path) -> None:
    declared = policy("front", "shop/web", cluster="prod", approvalRequired=True, maxReplicas=6)
    repo = fleet(tmp_path / "home", **{"policies/front.yaml": declared})
    with serving(tmp_path, repo) as served:
        change = held(served)
        served.client.post(f"/api/v1/changes/{change['id']}/reject")
        served.reconcile()
        assert items(served, state="held") == []
        served.clock.forward(minutes=1)
        repo.write("policies/front.yaml", declared.replace("maxReplicas: 6", "maxReplicas: 7"))
        repo.commit("Seven, after all")
        again = held(served)
        assert served.client.post(f"/api/v1/changes/{again['id']}/approve").status_code == 200
        served.reconcile()
        assert "maxReplicas: 7" in repo.show(HPA)


def test_pages_are_cut_by_a_cursor_and_narrowed_by_filters(served: Served) -> None:
    web = make(served)
    served.reconcile()
    db = make(served, target="shop/db")
    served.reconcile()
    dev = make(served, cluster="dev", approval_required=False)
    served.reconcile()
    every = items(served)
    assert [c["subject"]["id"] for c in every] == [dev, db, web], "the newest first"
    walked: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = served.client.get("/api/v1/changes", params={"limit": 1, "cursor": cursor}).json()
        assert len(page["items"]) == 1
        walked += page["items"]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert walked == every
    assert [c["subject"]["id"] for c in items(served, policyId=db)] == [db]
    assert items(served, actionId=db) == []
    assert [c["subject"]["id"] for c in items(served, cluster="dev")] == [dev]
    assert [c["subject"]["id"] for c in items(served, cluster="prod-id")] == [db, web]
    assert [c["subject"]["id"] for c in items(served, state=["committed", "applied"])] == [dev]
    assert len(items(served, state="held,committed")) == 3
    for wrong in ({"state": "open"}, {"cursor": "zzz"}, {"cursor": "%%%"}, {"limit": 0}, {"limit": 501}):
        answer = served.client.get("/api/v1/changes", params=wrong)  # type: ignore[arg-type]
        assert answer.status_code == 400, wrong
        assert answer.json()["field"] == next(iter(wrong))


def test_a_page_costs_the_same_queries_however_long_it_is(served: Served) -> None:
    for target in ("shop/web", "shop/db"):
        make(served, target=target)
    make(served, cluster="dev")
    served.reconcile()
    queries: list[str] = []
    engine = served.server.stores.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _cur, statement, *_: queries.append(statement))
    counts = []
    for limit in (1, 3):
        queries.clear()
        assert len(served.client.get("/api/v1/changes", params={"limit": limit}).json()["items"]) == limit
        counts.append(sum("FROM changes" in q or "FROM decisions" in q for q in queries))
    assert counts[0] == counts[1] <= 3


def test_nobody_sees_or_judges_what_is_anothers(served: Served) -> None:
    make(served)
    make(served, cluster="dev")
    served.reconcile()
    by_cluster = {c["cluster"]: c for c in items(served)}
    change = f"/api/v1/changes/{by_cluster['prod']['id']}"
    other = served.key("changes:write", organization="other")
    dev_only = served.key("changes:write", clusters=("dev",))
    reader = served.key("changes:read")
    assert served.client.get("/api/v1/changes", headers=other).json() == {"items": [], "next": None}
    assert [c["cluster"] for c in served.client.get("/api/v1/changes", headers=dev_only).json()["items"]] == ["dev"]
    assert served.client.get(f"/api/v1/changes/{by_cluster['dev']['id']}", headers=dev_only).status_code == 200
    for headers in (other, dev_only):
        assert served.client.get(change, headers=headers).status_code == 404
        for verb in ("approve", "reject"):
            assert served.client.post(f"{change}/{verb}", headers=headers).status_code == 404
    for verb in ("approve", "reject"):
        assert served.client.post(f"{change}/{verb}", headers=reader).status_code == 403
    assert served.client.get(change, headers=served.key("scaling:write")).status_code == 403
    for unknown in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "nope"):
        assert served.client.get(f"/api/v1/changes/{unknown}").status_code == 404
        assert served.client.post(f"/api/v1/changes/{unknown}/approve").status_code == 404
    for body in ({"why": "x"}, {"reason": 1}, {"reason": "a\x00b"}, []):
        assert served.client.post(f"{change}/approve", json=body).status_code == 400
    assert {c["approval"]["verdict"] for c in items(served)} == {None}, "none of it was judged"
