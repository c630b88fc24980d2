"""What Git says comes true in the cluster, and the server hears of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from reconciler.agent.kubernetes.cluster import Conflict
from reconciler.errors import RetryLater, TrimtabError
from support.kube_applying import HPA, INVENTORY, World, cpu_of, fields, hpa, requests, web, world


@pytest.fixture
def fresh() -> Iterator[World]:
    with world() as one:
        one.double.apply(web(), manager="kubectl")
        yield one


def test_whole_objects_and_fields_of_peoples_objects_are_applied_as_git_has_them(fresh: World) -> None:
    outcome = fresh.round(requests("250m"), hpa())
    assert [(one.kind, one.status) for one in outcome.objects] == [
        ("Deployment", "applied"),
        ("HorizontalPodAutoscaler", "applied"),
    ]
    live = fresh.live()
    assert cpu_of(live) == "250m"
    assert live["spec"]["replicas"] == 3 and live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert "trimtab.dev/owns" not in live["metadata"].get("annotations", {})
    mine = fresh.live(HPA)
    assert mine["spec"]["maxReplicas"] == 10 and mine["metadata"]["annotations"]["trimtab.dev/owns"] == "object"
    assert fresh.told.reports[-1][0] == "a" * 40


def test_what_is_applied_costs_no_write_and_no_report_until_something_changes(fresh: World) -> None:
    fresh.round(requests("250m"), hpa())
    fresh.double.requests.clear()
    reports = len(fresh.told.reports)
    for _ in range(10):
        fresh.round(requests("250m"), hpa())
    assert {one.verb for one in fresh.double.requests} == {"list"}
    assert len(fresh.told.reports) == reports
    fresh.round(requests("260m"), hpa())
    assert cpu_of(fresh.live()) == "260m"


def test_a_newer_commit_with_the_same_manifests_is_reported_at_once_and_the_same_again_after_five_minutes(
    fresh: World,
) -> None:
    fresh.round(hpa())
    fresh.double.requests.clear()
    fresh.round(hpa(), revision="b" * 40)
    assert fresh.told.reports[-1][0] == "b" * 40 and not fresh.writes()
    told = len(fresh.told.reports)
    fresh.clock.forward(minutes=5)
    fresh.round(hpa(), revision="b" * 40)
    assert len(fresh.told.reports) == told + 1


def test_everything_is_looked_at_again_within_eleven_minutes(fresh: World) -> None:
    fresh.round(requests("250m"), hpa())
    fresh.double.requests.clear()
    fresh.clock.forward(minutes=11)
    fresh.round(requests("250m"), hpa())
    looked = {one.kind for one in fresh.double.asked("get")}
    assert {"Deployment", "HorizontalPodAutoscaler"} <= looked


def test_a_field_that_somebody_takes_is_put_back_and_the_server_hears_who_it_was_once(fresh: World) -> None:
    fresh.round(fields(replicas=0))
    fresh.double.edit("Deployment", "shop", "web", {"spec": {"replicas": 2}}, manager="kubectl-scale")
    outcome = fresh.round(fields(replicas=0))
    (told,) = outcome.objects
    assert told.status == "drifted"
    assert "spec.replicas" in told.message and "kubectl-scale" in told.message and "2" in told.message
    assert fresh.live()["spec"]["replicas"] == 0
    (after,) = fresh.round(fields(replicas=0)).objects
    assert (after.status, after.message) == ("applied", "")
    assert [report[1][0].status for report in fresh.told.reports] == ["applied", "drifted", "applied"]


def test_a_drift_is_told_though_the_server_was_away_and_the_agent_started_anew(fresh: World) -> None:
    fresh.round(fields(replicas=0))
    fresh.double.edit("Deployment", "shop", "web", {"spec": {"replicas": 2}}, manager="kubectl-scale")
    fresh.told.away = RetryLater("the server is away", after_seconds=1)
    with pytest.raises(RetryLater):
        fresh.round(fields(replicas=0))
    fresh.told.away = None
    fresh.restarted()
    (told,) = fresh.round(fields(replicas=0)).objects
    assert told.status == "drifted" and "kubectl-scale" in told.message
    assert fresh.live()["spec"]["replicas"] == 0


def test_an_hpa_of_ours_that_somebody_changes_or_deletes_is_put_back(fresh: World) -> None:
    fresh.round(hpa())
    fresh.double.edit("HorizontalPodAutoscaler", "shop", "web", {"spec": {"maxReplicas": 50}}, manager="kubectl-edit")
    (told,) = fresh.round(hpa()).objects
    assert told.status == "drifted" and "maxReplicas was changed by kubectl-edit" in told.message
    assert fresh.live(HPA)["spec"]["maxReplicas"] == 10
    fresh.double.drop("HorizontalPodAutoscaler", "shop", "web")
    (told,) = fresh.round(hpa()).objects
    assert told.status == "drifted" and "deleted" in told.message
    assert fresh.live(HPA)["spec"]["maxReplicas"] == 10
    assert [one.status for one in fresh.round(hpa()).objects] == ["applied"]


def test_the_first_taking_of_a_persons_value_is_applied_and_names_the_owner(fresh: World) -> None:
    (told,) = fresh.round(requests("250m")).objects
    assert told.status == "applied" and "kubectl" in told.message and "requests.cpu" in told.message


class OneNameForAll:
    """An API server of 1.20: a conflict about several fields names the last of them several times."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def apply(self, *args: Any, **more: Any) -> Any:
        try:
            return self._cluster.apply(*args, **more)
        except Conflict as conflict:
            owners = conflict.owners[-1:] * len(conflict.owners)
            raise Conflict(conflict.message, owners=owners) from None


def test_each_field_that_was_a_persons_is_named_where_the_api_server_does_not(fresh: World) -> None:
    fresh.restarted(OneNameForAll(fresh.cluster))
    sized = requests("250m")
    sized["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = "99Mi"
    (told,) = fresh.round(sized).objects
    assert "requests.cpu" in told.message and "requests.memory were owned by kubectl, now by Trimtab" in told.message


def test_the_log_says_once_for_each_revision_what_came_of_it(fresh: World) -> None:
    def said(*manifests: dict[str, Any], revision: str) -> list[dict[str, Any]]:
        with capture_logs() as log:
            fresh.round(*manifests, revision=revision)
        return [{**line, "log_level": ""} for line in log if "revision" in line]

    one, other = "a" * 40, "b" * 40
    assert said(requests("250m"), revision=one) == [
        {"event": "the cluster is as Git says", "revision": "a" * 12, "applied": 1, "log_level": ""}
    ]
    assert said(requests("250m"), revision=one) == []
    absent = requests("250m")
    absent["metadata"]["name"] = "late"
    (line,) = said(requests("250m"), absent, revision=other)
    assert line["event"] == "the cluster is as Git says in part" and (line["applied"], line["failed"]) == (1, 1)


def test_an_object_that_is_not_there_is_never_made_out_of_fields_and_is_set_when_it_comes(fresh: World) -> None:
    absent = requests("250m")
    absent["metadata"]["name"] = "late"
    outcome = fresh.round(absent, requests("250m"))
    by_name = {one.name: one for one in outcome.objects}
    assert by_name["late"].status == "failed" and "not in the cluster" in by_name["late"].message
    assert by_name["web"].status == "applied"
    assert fresh.double.get("Deployment", "shop", "late") is None
    fresh.double.apply(web(name="late"), manager="kubectl")
    assert {one.status for one in fresh.round(absent, requests("250m")).objects} == {"applied"}
    late = fresh.double.get("Deployment", "shop", "late")
    assert late is not None and cpu_of(late) == "250m"


def test_a_forbidden_or_invalid_object_and_a_missing_crd_fail_alone_and_are_not_hammered(fresh: World) -> None:
    fresh.double.apply(web(name="api"), manager="kubectl")
    fresh.double.fail(
        "apply", "Deployment", 403, times=None, name="api", message="deployments is forbidden for trimtab"
    )
    api = requests("250m")
    api["metadata"]["name"] = "api"
    pool = fields("NodePool", "karpenter.sh/v1", "general", limits={"cpu": "40"})
    wrong = hpa(most=1, name="wrong")  # less than its minReplicas
    outcome = fresh.round(api, pool, wrong, requests("250m"))
    told = {one.name: (one.status, one.message) for one in outcome.objects}
    assert told["web"][0] == "applied"
    assert told["api"][0] == "failed" and "forbidden" in told["api"][1]
    assert told["general"][0] == "failed" and "NodePool" in told["general"][1]
    assert told["wrong"][0] == "failed" and "maxReplicas" in told["wrong"][1]
    fresh.double.requests.clear()
    fresh.round(api, pool, wrong, requests("250m"))
    assert not fresh.writes()
    fresh.double.heal()
    fresh.clock.forward(minutes=1)
    outcome = fresh.round(api, pool, hpa(most=4, name="wrong"), requests("250m"))
    assert [one.name for one in outcome.objects if one.status == "failed"] == ["general"]


@pytest.mark.parametrize("status", [429, 503, 0])
def test_an_api_server_that_is_away_leaves_the_rest_for_the_next_round(fresh: World, status: int) -> None:
    fresh.double.apply(web(name="api"), manager="kubectl")
    api = requests("250m")
    api["metadata"]["name"] = "api"
    fresh.double.fail("apply", "Deployment", status, times=None, name="web")
    outcome = fresh.round(api, requests("250m"), hpa())
    assert not outcome.complete and not fresh.told.reports
    fresh.double.heal()
    outcome = fresh.round(api, requests("250m"), hpa())
    assert outcome.complete and {one.status for one in outcome.objects} == {"applied"} and len(outcome.objects) == 3
    assert len(fresh.told.reports) == 1


def test_a_dry_run_changes_nothing_and_reports_nothing() -> None:
    with world(dry_run=True) as one:
        one.double.apply(web(), manager="kubectl")
        before = one.live()
        outcome = one.round(requests("250m"), hpa())
        assert {(o.kind, o.status) for o in outcome.objects} == {
            ("Deployment", "applied"),
            ("HorizontalPodAutoscaler", "applied"),
        }
        assert one.live() == before and one.cluster.get(HPA) is None and one.cluster.get(INVENTORY) is None
        assert not one.told.reports
        one.double.requests.clear()
        one.round(requests("250m"), hpa())
        assert not one.writes()


def test_a_workload_that_was_made_anew_gets_its_fields_again(fresh: World) -> None:
    fresh.round(requests("250m"))
    fresh.double.drop("Deployment", "shop", "web")
    assert [one.status for one in fresh.round(requests("250m")).objects] == ["failed"]
    fresh.double.apply(web(), manager="kubectl")
    assert [one.status for one in fresh.round(requests("250m")).objects] == ["applied"]
    assert cpu_of(fresh.live()) == "250m"


def test_health_says_how_far_a_rollout_is(fresh: World) -> None:
    (told,) = fresh.round(requests("250m")).objects
    assert told.health == "progressing"
    live = fresh.live()
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 3)
    status = {"observedGeneration": live["metadata"]["generation"], **counts}
    fresh.double.edit("Deployment", "shop", "web", {"status": status}, manager="kube", subresource="status")
    (told,) = fresh.round(requests("250m")).objects
    assert (told.status, told.health) == ("applied", "healthy")
    assert fresh.told.reports[-1][1][0].health == "healthy"


def test_an_inventory_that_cannot_be_written_stops_everything_before_anything_is_applied(fresh: World) -> None:
    fresh.double.fail("apply", "ConfigMap", 403, times=None)
    with pytest.raises(TrimtabError, match="inventory.*nothing is applied"):
        fresh.round(requests("250m"))
    assert cpu_of(fresh.live()) == "100m"
    fresh.double.heal()
    fresh.round(requests("250m"))
    assert cpu_of(fresh.live()) == "250m"


def test_a_webhook_that_changes_what_is_applied_is_a_failure_that_says_so(fresh: World) -> None:
    class Webhook:
        """A cluster in which every CPU request becomes 50m."""

        def __getattr__(self, name: str) -> Any:
            return getattr(fresh.cluster, name)

        def apply(self, manifest: Any, **how: Any) -> Any:
            if manifest["kind"] == "Deployment":
                manifest = json.loads(json.dumps(manifest).replace("250m", "50m"))
            return fresh.cluster.apply(manifest, **how)

    fresh.restarted(Webhook())
    (told,) = fresh.round(requests("250m")).objects
    assert told.status == "failed" and "50m" in told.message and "webhook" in told.message


def test_a_value_that_the_api_server_writes_in_another_way_is_no_drift(fresh: World) -> None:
    class Sorting:
        """A cluster that writes a value of an HPA in a way of its own."""

        def __getattr__(self, name: str) -> Any:
            return getattr(fresh.cluster, name)

        def apply(self, manifest: Any, **how: Any) -> Any:
            if manifest["kind"] == "HorizontalPodAutoscaler":
                manifest = json.loads(json.dumps(manifest).replace('"maxReplicas": 10', '"maxReplicas": 11'))
            return fresh.cluster.apply(manifest, **how)

    fresh.restarted(Sorting())
    for _ in range(3):
        assert [one.status for one in fresh.round(hpa()).objects] == ["applied"]
    fresh.double.requests.clear()
    fresh.round(hpa())
    assert {one.verb for one in fresh.double.requests} == {"list"}
    fresh.restarted(Sorting())
    assert [one.status for one in fresh.round(hpa()).objects] == ["applied"]


def test_requests_that_are_the_same_quantity_are_no_drift(fresh: World) -> None:
    fresh.round(requests("1000m"))
    fresh.double.requests.clear()
    assert [one.status for one in fresh.round(requests("1000m")).objects] == ["applied"]
    assert not fresh.writes()
