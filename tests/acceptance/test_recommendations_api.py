"""The Recommendations API as its document has it: requests, fields, errors, filtering patterns, pages."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from reconciler.model.observation import PushBody, SeriesKey
from reconciler.model.quantity import GIB
from reconciler.model.recommendation import WorkloadRecommendation
from reconciler.model.samples import Samples
from reconciler.model.workload import Resource, WorkloadKey
from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.recommended import DAYS, PROD, PROD_ID, STAGING, STAGING_ID, recommendation, sizes
from support.replay import NOW
from support.served import Served, serving
from support.small import root_files

LIST = "/v1/recommendations"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
DOCUMENTED = (
    "/v1/recommendations?recommendation_type=workload_rightsizing&priority=high&min_savings_hourly=0.05&limit=20"
)
MINUTES = DAYS * 1440

CART = recommendation(
    "cart-service",
    "0.62",
    namespace="payments",
    uid="b9f1a342-7c5e-4d8a-9e2b-1234567890ab",
    risk="low",
    priority="high",
    title="Reduce the CPU and memory requests of cart-service",
    description="Its pods use 18 % of the CPU that they request.",
    cause="The 95th percentile of CPU is 420m; the request is 2.",
    samples=MINUTES,
    current=(sizes("cart-service", 2000, 4 * GIB, cpu_limit=4000, memory_limit=8 * GIB), sizes("proxy", None, None)),
    recommended=(sizes("cart-service", 600, 2 * GIB, cpu_limit=1500, memory_limit=4 * GIB), sizes("proxy", None, None)),
    hourly_cost="1.84",
    replicas=3,
    restarts=2,
    oom_kills=1,
)
OTHERS = (
    recommendation("web", "0.2", priority="high", risk="medium", uid="uid-web", status="dismissed"),
    recommendation("db", "0.02", priority="medium", risk="high", kind="StatefulSet", namespace="data"),
    recommendation("old-web", "0.3", priority="high", status="applied", applied=(sizes(cpu=600),), uid="uid-web"),
    recommendation("older-web", "0.1", priority="high", status="archived", uid="uid-web"),
    recommendation("batch", "-0.05", kind="CronJob", cluster=STAGING, cluster_id=STAGING_ID, uid="uid-batch"),
)
ALL_STATUSES = "pending,applied,dismissed,archived"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    clusters = (
        f"{{name: {PROD}, id: {PROD_ID}, path: clusters/prod}}",
        f"{{name: {STAGING}, id: {STAGING_ID.upper()}, path: clusters/staging}}",
        "{name: unnamed, path: clusters/unnamed}",
        "{name: edge, id: edge-1, path: clusters/edge}",
    )
    files = {"trimtab.yaml": fleet_yaml(*clusters), **root_files(), **root_files("clusters/staging")}
    files |= root_files("clusters/unnamed") | root_files("clusters/edge")
    return new_fleet(tmp_path_factory.mktemp("acme"), files)


@pytest.fixture(scope="module")
def server(repo: FleetRepo, module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What is stored of acme stays as it is here; tests that store more do so for another organization."""
    with serving(tmp_path_factory.mktemp("server"), repo, database_url=module_database_url) as running:
        stored = [one.model_copy(update={"cluster_id": one.cluster_id.upper()}) if one.cluster == STAGING else one
                  for one in (CART, *OTHERS)]  # fmt: skip
        running.server.stores.recommendations.save(stored)
        yield running


@pytest.fixture
def served(server: Served) -> Served:
    """A new minute, as far as rate limits go."""
    server.clock.forward(seconds=60)
    return server


def get(served: Served, url: str = LIST, *, key: Mapping[str, str] | None = None, **query: object) -> dict[str, Any]:
    """The answer, which must be 200 and wear the envelope."""
    served.clock.forward(seconds=1)
    answer = served.client.get(url, params=query or None, headers=key)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"data", "meta"}
    assert body["meta"]["request_id"] == answer.headers["X-Request-Id"]
    assert body["meta"]["applied_at"] == served.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    return body


def names(served: Served, url: str = LIST, *, key: Mapping[str, str] | None = None, **query: object) -> list[str]:
    return [one["metadata"]["resource_name"] for one in get(served, url, key=key, **query)["data"]]


def refused(served: Served, url: str, *, key: Mapping[str, str] | None = None) -> tuple[int, str, list[dict[str, Any]]]:
    """Status, code and details of an error, which must wear the envelope."""
    served.clock.forward(seconds=1)
    answer = served.client.get(url, headers=key)
    body = answer.json()
    assert set(body) == {"data", "meta", "error"} and body["data"] is None
    assert body["meta"]["request_id"] == answer.headers["X-Request-Id"]
    assert body["meta"]["applied_at"].endswith("Z")
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"], body["error"].get("details", [])


# --- the two requests -------------------------------------------------------------------------------------------------

LISTED = {
    "id": CART.id,
    "kind": "Recommendation",
    "metadata": {
        "recommendation_type": "workload_rightsizing",
        "resource_type": "Deployment",
        "resource_name": "cart-service",
        "resource_uid": "b9f1a342-7c5e-4d8a-9e2b-1234567890ab",
        "cluster": {"id": PROD_ID, "name": PROD},
        "namespace": "payments",
        "title": CART.title,
        "description": CART.description,
        "cause": CART.cause,
        "risk_level": "low",
        "priority": "high",
        "status": "pending",
        "data_points_analyzed": 20160,
        "created_at": "2026-06-17T03:00:00Z",
        "updated_at": "2026-06-17T03:00:00Z",
    },
    "current": {
        "config": {
            "containers": [
                {
                    "name": "cart-service",
                    "requests": {"cpu": "2", "memory": "4Gi"},
                    "limits": {"cpu": "4", "memory": "8Gi"},
                },
                {"name": "proxy", "requests": {}, "limits": {}},
            ]
        },
        "hourly_cost": {"amount": "1.8400", "currency": "USD"},
    },
    "recommended": {
        "config": {
            "containers": [
                {
                    "name": "cart-service",
                    "requests": {"cpu": "600m", "memory": "2Gi"},
                    "limits": {"cpu": "1500m", "memory": "4Gi"},
                },
                {"name": "proxy", "requests": {}, "limits": {}},
            ]
        }
    },
    "applied": {"config": {}},
    "savings": {"estimated_hourly": {"amount": "0.6200", "currency": "USD"}},
}


def test_the_documented_list_has_every_documented_field(served: Served) -> None:
    body = get(served, DOCUMENTED)
    assert body["data"][0] == LISTED
    assert names(served, DOCUMENTED) == ["cart-service", "web"]
    assert body["meta"]["pagination"] == {"next_cursor": None, "has_more": False, "limit": 20}
    counted = get(served, limit=1, include_total="true")["meta"]["pagination"]
    assert counted["total_count"] == 4 and counted["has_more"] and counted["limit"] == 1
    payload = counted["next_cursor"].split(".")[0]
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert set(said) == {"v", "after_id", "after_value", "query_hash", "issued_at"}
    assert (said["v"], said["after_id"], said["after_value"]) == (1, CART.id, "0.6200")


def test_what_was_applied_is_shown_and_a_cost_is_below_zero(served: Served) -> None:
    applied, batch = get(served, status="applied")["data"][0], get(served, resource_type="CronJob")["data"][0]
    assert applied["applied"]["config"]["containers"] == [
        {"name": "server", "requests": {"cpu": "600m", "memory": "4Gi"}, "limits": {}}
    ]
    assert batch["savings"]["estimated_hourly"]["amount"] == "-0.0500"


def use(served: Served) -> None:
    """Two weeks of cart-service by the minute: nine tenths at 0.28 cores and 1.6 GiB, the rest at 0.42 and 2; a neighbour."""
    owner = WorkloadKey(cluster=PROD, namespace="payments", kind="Deployment", name="cart-service")
    neighbour = owner.model_copy(update={"name": "cart-service-2"})
    resources: tuple[Resource, Resource] = ("cpu", "memory")
    series = tuple(
        SeriesKey(workload=w, container="cart-service", resource=r) for w in (owner, neighbour) for r in resources
    )
    seconds = int(NOW.timestamp()) - np.arange(MINUTES) * 60
    busy = np.arange(MINUTES) % 10 == 0
    cpu, memory = np.where(busy, 0.42, 0.28), np.where(busy, 2.0, 1.6) * GIB
    served.server.stores.usage.record(
        Samples(
            series,
            np.repeat(np.arange(4), MINUTES),
            np.tile(seconds, 4),
            np.concatenate([cpu, memory, cpu * 50, memory * 50]),
        )
    )
    pod = {"namespace": "payments", "name": "cart-service-1", "uid": "p1", "ownerKind": "Deployment",
           "ownerName": "cart-service", "containers": [{"name": "cart-service", "restartCount": 2, "oomKills": 1}]}  # fmt: skip
    body = PushBody.model_validate({"timestamp": (NOW - timedelta(days=1)).isoformat(), "pods": [pod]})
    served.server.stores.record_push(body, PROD)


def test_the_documented_detail_adds_what_the_analysis_saw(served: Served) -> None:
    use(served)
    body = get(served, f"{LIST}/{CART.id}")
    assert "pagination" not in body["meta"]
    snapshot = body["data"].pop("metrics_snapshot")
    assert body["data"] == LISTED
    assert snapshot["window"] == {
        "start_at": "2026-06-03T10:00:00Z",
        "end_at": "2026-06-17T10:00:00Z",
        "samples": 20160,
    }
    about = lambda value: pytest.approx(value, rel=0.01)  # noqa: E731
    cpu = {
        "request_cores": 2.0, "used_cores_p50": about(0.28), "used_cores_p95": about(0.42), "used_cores_p99": about(0.42),
        "used_cores_max": 0.42, "used_cores_avg": about(0.294), "utilization_percent_p95": about(21.0),
    }  # fmt: skip
    memory = {
        "request_bytes": 4 * GIB, "used_bytes_p50": about(1.6 * GIB), "used_bytes_p95": about(2 * GIB),
        "used_bytes_p99": about(2 * GIB), "used_bytes_max": 2 * GIB, "used_bytes_avg": about(1.64 * GIB),
        "utilization_percent_p95": about(50.0),
    }  # fmt: skip
    assert snapshot["cpu"] == cpu and snapshot["memory"] == memory
    assert snapshot["replicas"] == {"desired_avg": 3.0, "running_avg": 3.0}
    assert (snapshot["restarts_total"], snapshot["oom_kills_total"]) == (2, 1)
    cart, proxy = snapshot["containers"]
    assert cart == {
        "name": "cart-service",
        "samples": 20160,
        "cpu": cpu,
        "memory": memory,
        "restarts": 2,
        "oom_kills": 1,
    }
    assert proxy == {"name": "proxy", "samples": 0, "cpu": {}, "memory": {}, "restarts": 0, "oom_kills": 0}


# --- filters ----------------------------------------------------------------------------------------------------------

PATTERNS: dict[str, list[str]] = {
    "": ["cart-service", "web", "db", "batch"],
    "risk_level=low&min_savings_hourly=0.10": ["cart-service"],
    f"status={ALL_STATUSES}": ["cart-service", "old-web", "web", "older-web", "db", "batch"],
    "status=applied&priority=high,medium": ["old-web"],
    f"workload_uid=uid-web&status={ALL_STATUSES}": ["old-web", "web", "older-web"],
    f"cluster_id={PROD_ID}": ["cart-service", "web", "db"],
    f"cluster_id={PROD_ID.upper()},{STAGING_ID}": ["cart-service", "web", "db", "batch"],
    f"cluster_id={UNKNOWN}": [],
    "namespace=payments,data": ["cart-service", "db"],
    "namespace=payments&namespace=data": ["cart-service", "db"],
    "namespace=%20payments%20,%20data": ["cart-service", "db"],
    "namespace=nowhere": [],
    "recommendation_type=workload_rightsizing": ["cart-service", "web", "db", "batch"],
    "status=dismissed": ["web"],
    "status=pending&status=archived": ["cart-service", "older-web", "db", "batch"],
    "risk_level=medium,high": ["web", "db"],
    "priority=medium": ["db"],
    "resource_type=StatefulSet,CronJob": ["db", "batch"],
    "resource_type=Node": [],
    "workload_uid=uid-batch,uid-none": ["batch"],
    "min_savings_hourly=0.2": ["cart-service", "web"],
    "min_savings_hourly=0.20001": ["cart-service"],
    "min_savings_hourly=2e-2": ["cart-service", "web", "db"],
    "min_savings_hourly=-0.05": ["cart-service", "web", "db", "batch"],
    "min_savings_hourly=999999999999999999999": [],
    "limit=2": ["cart-service", "web"],
    "limit=500": ["cart-service", "web", "db", "batch"],
}


def test_every_filter_picks_what_it_says(served: Served, subtests: pytest.Subtests) -> None:
    for query, expected in PATTERNS.items():
        with subtests.test(msg=query or "no filter"):
            assert names(served, f"{LIST}?{query}") == expected


# --- errors -----------------------------------------------------------------------------------------------------------

STATUSES = ["pending", "applied", "dismissed", "archived"]
LEVELS = ["low", "medium", "high"]
KINDS = ["Deployment", "StatefulSet", "DaemonSet", "Pod", "Node", "CronJob", "Job", "Rollout"]
COST_MODE = [{"field": "cost_mode", "reason": "not_accepted_on_this_endpoint"}]
BAD = 400, "BAD_REQUEST"
NOT_ALLOWED = 422, "VALIDATION_ERROR"

ERRORS: dict[str, tuple[int, str]] = {
    **{f"limit={value}": BAD for value in ("0", "501", "-1", "ten", "", "1.5", "1_0", "٣", "9" * 30)},
    **{f"min_savings_hourly={value}": BAD for value in ("NaN", "nan", "inf", "-Infinity", "", "ten", "0,5", "1_0", "0x1")},
    **{f"cursor={value}": BAD for value in ("", "x", "e30.e30", "e30", ".", "%F0%9F%92%A5", "a.b.c")},
    **{f"include_total={value}": BAD for value in ("1", "yes", "", "True")},
    **{f"namespace={value}": BAD for value in ("", "shop,", ",shop")},
    "workload_uid=": BAD,
    **{f"cluster_id={v}": (400, "INVALID_CLUSTER_ID") for v in ("prod", "", f"{PROD_ID},7", PROD_ID.replace("-", ""), "1")},
    **{f"cost_mode={value}": (422, "INVALID_COST_MODE") for value in ("", "amortized", "x&limit=5")},
    **{f"status={value}": NOT_ALLOWED for value in ("open", "", "pending,open", "Pending", "pending,")},
    "recommendation_type=node_rightsizing": NOT_ALLOWED,
    "recommendation_type=": NOT_ALLOWED,
    "risk_level=none": NOT_ALLOWED,
    "priority=urgent": NOT_ALLOWED,
    "resource_type=ReplicaSet": NOT_ALLOWED,
}  # fmt: skip


def test_every_error_of_the_list_is_as_documented(served: Served, subtests: pytest.Subtests) -> None:
    for query, expected in ERRORS.items():
        with subtests.test(msg=query):
            assert refused(served, f"{LIST}?{query}")[:2] == expected


def test_what_is_wrong_is_named_with_all_that_is_allowed(served: Served) -> None:
    allowed = {
        "recommendation_type": ["workload_rightsizing"], "status": STATUSES, "risk_level": LEVELS, "priority": LEVELS,
        "resource_type": KINDS,
    }  # fmt: skip
    for field, values in allowed.items():
        (detail,) = refused(served, f"{LIST}?{field}=wrong")[2]
        assert (detail["field"], detail["allowed"]) == (field, values)
    both = refused(served, f"{LIST}?status=wrong&priority=wrong")[2]
    assert [detail["field"] for detail in both] == ["status", "priority"]
    assert refused(served, f"{LIST}?limit=0")[2][0]["field"] == "limit"
    assert refused(served, f"{LIST}?cost_mode=x")[2] == COST_MODE
    message = served.client.get(f"{LIST}?cost_mode=x").json()["error"]["message"]
    assert message == "cost_mode is not supported on this endpoint"


def test_every_error_of_the_detail_is_as_documented(served: Served) -> None:
    one = f"{LIST}/{CART.id}"
    assert refused(served, f"{LIST}/cart-service")[:2] == BAD
    assert refused(served, f"{LIST}/{UNKNOWN}")[:2] == (404, "RECOMMENDATION_NOT_FOUND")
    assert refused(served, f"{one}?cost_mode=")[1:] == ("INVALID_COST_MODE", COST_MODE)
    assert refused(served, one, key=served.key("admin", organization="globex"))[1] == "RECOMMENDATION_NOT_FOUND"
    assert refused(served, one, key=served.key("scaling:read"))[:2] == (403, "FORBIDDEN")
    limited = served.key("recommendations:read", clusters=(STAGING,))
    assert refused(served, one, key=limited)[:2] == (403, "CLUSTER_ACCESS_DENIED")
    assert refused(served, one, key={"Authorization": "Bearer tt_live_" + "0" * 32})[:2] == (401, "UNAUTHORIZED")


# --- who may ------------------------------------------------------------------------------------------------------------


def test_only_a_bearer_with_the_scope_comes_in(served: Served) -> None:
    bearer = served.key("recommendations:read")
    secret = bearer["Authorization"].removeprefix("Bearer ")
    anonymous = TestClient(create_app(served.server))
    by_header = anonymous.get(LIST, headers={"X-API-Key": secret})
    assert (by_header.status_code, by_header.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert "X-API-Key" not in by_header.json()["error"]["message"]
    assert anonymous.get(LIST).status_code == 401
    assert anonymous.get(LIST, headers={**bearer, "X-API-Key": "something else"}).status_code == 200
    assert names(served, key=served.key("recommendations:write")) == ["cart-service", "web", "db", "batch"]
    assert refused(served, LIST, key=served.key("changes:write"))[:2] == (403, "FORBIDDEN")
    assert names(served, key=served.key("admin", organization="globex")) == []


def test_a_key_sees_its_clusters_only(served: Served) -> None:
    for allowed in ((STAGING,), (STAGING_ID.upper(),)):
        key = served.key("recommendations:read", clusters=allowed)
        assert names(served, key=key, include_total="true") == ["batch"]
        assert get(served, key=key, include_total="true")["meta"]["pagination"]["total_count"] == 1
        assert names(served, key=key, cluster_id=STAGING_ID) == ["batch"]
        for asked in (PROD_ID, f"{STAGING_ID},{PROD_ID}", UNKNOWN):
            status, code, _ = refused(served, f"{LIST}?cluster_id={asked}", key=key)
            assert (status, code) == (403, "CLUSTER_ACCESS_DENIED"), asked
        batch = get(served, key=key)["data"][0]["id"]
        assert get(served, f"{LIST}/{batch}", key=key)["data"]["metadata"]["cluster"]["name"] == STAGING
    assert names(served, key=served.key("recommendations:read", clusters=("elsewhere",))) == []


def test_clusters_are_asked_for_by_the_ids_that_answers_show(served: Served) -> None:
    """Also where trimtab.yaml gives none, or one that is no UUID; and by a key that names the cluster."""
    (fleet,) = (fleet for _, fleet in served.server.fleets("acme"))
    rows = [
        recommendation(f"on-{name}", cluster=name, cluster_id=fleet.cluster_id(name), status="applied", uid="by-id")
        for name in ("unnamed", "edge")
    ]
    served.server.stores.recommendations.save(rows)
    for name in ("unnamed", "edge"):
        by_name = served.key("recommendations:read", clusters=(name,))
        for key in (None, by_name):
            (one,) = get(served, key=key, status="applied", cluster_id=fleet.cluster_id(name))["data"]
            assert one["metadata"]["cluster"] == {"id": fleet.cluster_id(name), "name": name}
    elsewhere = served.key("recommendations:read", clusters=(PROD,))
    assert refused(served, f"{LIST}?cluster_id=edge-1", key=elsewhere)[:2] == (400, "INVALID_CLUSTER_ID")
    unnamed = fleet.cluster_id("unnamed")
    assert refused(served, f"{LIST}?cluster_id={unnamed}", key=elsewhere)[:2] == (403, "CLUSTER_ACCESS_DENIED")
    # acme has again what all tests here begin with
    served.server.stores.recommendations.save([row.model_copy(update={"organization": "gone"}) for row in rows])


def test_the_limit_of_a_key_is_the_familys_own(served: Served) -> None:
    key = served.key("recommendations:read", "changes:read")
    statuses = [served.client.get(f"{LIST}?limit=1", headers=key).status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]
    served.clock.forward(seconds=20)
    over = served.client.get(f"{LIST}/{CART.id}", headers=key)
    assert (over.status_code, over.json()["error"]["code"], over.headers["Retry-After"]) == (429, "RATE_LIMITED", "40")
    assert served.client.get("/api/v1/changes", headers=key).status_code == 200
    assert served.client.get(LIST).status_code == 200, "another key"
    served.clock.forward(seconds=40)
    assert served.client.get(LIST, headers=key).status_code == 200


# --- pages --------------------------------------------------------------------------------------------------------------


def walk(served: Served, *, key: Mapping[str, str], **query: object) -> Iterator[dict[str, Any]]:
    cursor: dict[str, object] = {}
    while True:
        page = get(served, key=key, **query, **cursor)
        yield page
        if page["meta"]["pagination"]["next_cursor"] is None:
            return
        cursor = {"cursor": page["meta"]["pagination"]["next_cursor"]}


def many(count: int) -> list[WorkloadRecommendation]:
    """Of initech's, with savings that come again and again."""
    return [recommendation(f"w{n}", f"0.{n % 7}", organization="initech") for n in range(count)]


def test_pages_hold_everything_once_in_order(served: Served) -> None:
    served.server.stores.recommendations.save(many(60))
    key = served.key("recommendations:read", organization="initech")
    pages = list(walk(served, key=key, limit=7, include_total="true"))
    assert [len(page["data"]) for page in pages] == [7] * 8 + [4]
    assert {page["meta"]["pagination"]["total_count"] for page in pages} == {60}
    assert [page["meta"]["pagination"]["has_more"] for page in pages] == [True] * 8 + [False]
    rows = [(one["savings"]["estimated_hourly"]["amount"], one["id"]) for page in pages for one in page["data"]]
    assert len(set(rows)) == 60
    assert rows == sorted(rows, key=lambda row: (-float(row[0]), row[1]))
    assert [len(page["data"]) for page in walk(served, key=key, limit=20)] == [20, 20, 20]


def test_a_cursor_is_good_for_its_query_for_a_day(served: Served) -> None:
    asked = {"limit": 1, "status": "pending,dismissed", "priority": ["medium", "high"]}
    cursor = get(served, **asked)["meta"]["pagination"]["next_cursor"]
    issued = served.clock()
    other_key = served.key("recommendations:read")
    assert names(served, **asked, cursor=cursor) == ["web"]
    same = {"limit": 1, "priority": "high,medium,high", "include_total": "true", "cursor": cursor}
    assert names(served, key=other_key, **same) == ["web"]
    changed = (
        {"limit": 2}, {"status": "pending"}, {"priority": "high"}, {"namespace": "shop"}, {"cluster_id": PROD_ID},
        {"risk_level": "low"}, {"resource_type": "Pod"}, {"workload_uid": "u"}, {"min_savings_hourly": "0.1"},
    )  # fmt: skip
    gone = (410, "CURSOR_EXPIRED")
    for change in changed:
        query = urlencode({**asked, **change, "cursor": cursor}, doseq=True)
        assert refused(served, f"{LIST}?{query}")[:2] == gone, change
    url = f"{LIST}?{urlencode({**asked, 'cursor': cursor}, doseq=True)}"
    assert refused(served, url, key=served.key("admin", organization="globex"))[:2] == gone
    served.clock.now = issued + timedelta(hours=24, seconds=-1)
    assert names(served, url) == ["web"], "24 hours old"
    assert refused(served, url)[:2] == gone, "a second more"


def test_a_cursor_that_was_changed_is_none(served: Served) -> None:
    cursor = get(served, limit=1)["meta"]["pagination"]["next_cursor"]
    payload, _, signature = cursor.partition(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(said | {"issued_at": 2**40}).encode()).decode().rstrip("=")
    for wrong in (f"{forged}.{signature}", payload, f"{payload}.", f"{cursor}A", f"{cursor}=", f"A{cursor}"):
        assert refused(served, f"{LIST}?limit=1&cursor={wrong}")[:2] == BAD, wrong
