"""`trimtab recommend --prometheus` against a real Prometheus: no fleet repo, no database, and figures worked out by hand."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from support.fleets import FleetRepo, Ran
from support.prometheus import Running, Sampled
from support.scraped import END, MIB, NOW, START, World, burst, flat, simple

Start = Callable[..., Running]


def production() -> World:
    world = World({"cluster": "prod"})
    # A Deployment after a rollout: two pods run, an earlier one used more, and ended three days ago.
    for pod in ("web-6f7d8c9b5-aaaaa", "web-6f7d8c9b5-bbbbb"):
        world.owned("shop", pod, "ReplicaSet", "web-6f7d8c9b5")
        world.sized("shop", pod, "server", cpu=1, memory=1024 * MIB)
        world.used("shop", pod, "server", burst(0.2, 0.455), burst(100 * MIB, 325 * MIB))
    gone = {"since": START, "until": END - 3 * 86400}
    world.owned("shop", "web-5d9f7c4b6-zzzzz", "ReplicaSet", "web-5d9f7c4b6", **gone)
    world.sized("shop", "web-5d9f7c4b6-zzzzz", "server", cpu=4, memory=4096 * MIB, **gone)
    world.used("shop", "web-5d9f7c4b6-zzzzz", "server", flat(0.52), flat(390 * MIB), **gone)
    simple(world, "StatefulSet", "db", "db-0")
    simple(world, "DaemonSet", "agent", "agent-x1y2z", namespace="monitoring")
    simple(world, "Job", "import", "import-abcde", namespace="batch")
    simple(world, "ReplicaSet", "api-7c9d8f6b5", "api-7c9d8f6b5-ccccc")
    rollout = {"owner_kind": "Rollout", "owner_name": "api", "owner_is_controller": "true"}
    world.state("kube_replicaset_owner", namespace="shop", replicaset="api-7c9d8f6b5", **rollout)
    world.owned("dev", "debug", "<none>", "<none>")
    world.sized("dev", "debug", "main", cpu=1, memory=1024 * MIB)
    world.used("dev", "debug", "main", flat(0.13), flat(260 * MIB))
    _nightly(world)
    _guarded(world)
    world.state("kube_pod_labels", namespace="shop", pod="db-0", label_app_kubernetes_io_name="ledger")
    # Neither a pod as a whole nor its network is a container.
    world.used("shop", "db-0", "", flat(9), flat(9 * 2**30))
    world.used("shop", "db-0", "POD", flat(9), flat(9 * 2**30))
    return world


def _nightly(world: World) -> None:
    """A CronJob that ran for two hours on each of the last three nights, and does not run now."""
    for night in range(3):
        since = END - 10 * 3600 - night * 86400
        span, job = {"since": since, "until": since + 7200}, f"report-{29_000_000 + night}"
        world.owned("batch", f"{job}-qqqqq", "Job", job, **span)
        cron = {"owner_kind": "CronJob", "owner_name": "report", "owner_is_controller": "true"}
        world.state("kube_job_owner", namespace="batch", job_name=job, **cron, **span)
        world.sized("batch", f"{job}-qqqqq", "main", cpu=1, memory=1024 * MIB, **span)
        world.used("batch", f"{job}-qqqqq", "main", flat(0.13), flat(260 * MIB), **span)


def _guarded(world: World) -> None:
    """A pod with an init container and a native sidecar, which was OOM killed twice yesterday."""
    pod = "cart-5b7f9d8c6-ddddd"
    world.owned("shop", pod, "ReplicaSet", "cart-5b7f9d8c6")
    world.sized("shop", pod, "main", cpu=0.2, memory=500 * MIB)
    world.used("shop", pod, "main", flat(0.13), flat(260 * MIB))
    world.sized("shop", pod, "migrate", cpu=2, memory=1024 * MIB, init="init_")
    world.sized("shop", pod, "proxy", cpu=1, memory=1024 * MIB, init="init_")
    world.used("shop", pod, "proxy", flat(0.065), flat(130 * MIB))
    names = {"namespace": "shop", "pod": pod}
    world.state("kube_pod_init_container_info", container="migrate", restart_policy="", **names)
    world.state("kube_pod_init_container_info", container="proxy", restart_policy="Always", **names)
    seconds = range(START, END + 1, 120)
    restarts = [2.0 if second > END - 86400 else 0.0 for second in seconds]
    world.add("kube_pod_container_status_restarts_total", restarts, seconds, container="main", **names)
    ended = {"container": "main", "reason": "OOMKilled", **names}
    world.state("kube_pod_container_status_last_terminated_reason", since=END - 86400, **ended)


def staging() -> World:
    world = World({"cluster": "staging"})
    simple(world, "ReplicaSet", "web-6f7d8c9b5", "web-6f7d8c9b5-eeeee")
    world.state("kube_node_status_capacity", 4, node="n1", resource="cpu", unit="core")
    world.state("kube_node_status_capacity", 16 * 2**30, node="n1", resource="memory", unit="byte")
    hpa = {"namespace": "shop", "horizontalpodautoscaler": "web"}
    world.state("kube_horizontalpodautoscaler_info", scaletargetref_kind="Deployment", scaletargetref_name="web", **hpa)
    metric = {"metric_name": "cpu", "metric_target_type": "utilization"}
    world.state("kube_horizontalpodautoscaler_spec_target_metric", 70, **metric, **hpa)
    bound = {"namespace": "shop", "limitrange": "bounds", "type": "Container", "resource": "memory"}
    world.state("kube_limitrange", 512 * MIB, constraint="min", **bound)
    quota = {"namespace": "lab", "resourcequota": "compute", "type": "hard"}
    world.state("kube_resourcequota", 2, resource="requests.cpu", **quota)
    world.state("kube_resourcequota", 16 * 2**30, resource="requests.memory", **quota)
    simple(world, "ReplicaSet", "big-6f7d8c9b5", "big-6f7d8c9b5-fffff", namespace="lab", cores=3.9)
    return world


@pytest.fixture(scope="module")
def running(prometheus: Start) -> Running:
    return prometheus([*production().series, *staging().series])


@pytest.fixture
def person(tmp_path: Path) -> FleetRepo:
    """Someone with neither a fleet repo nor a database."""
    return FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "no-fleet")


def recommend(person: FleetRepo, running: Running | str, *words: str, now: str = "", code: int = 0) -> Ran:
    url = running if isinstance(running, str) else running.url
    words = ("recommend", "--prometheus", url, "--window", "4d", *words)
    return person.trimtab(*words, "--now", now or NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), fleet="/nowhere", code=code)


def rows(ran: Ran) -> dict[str, Any]:
    found = {f"{r['cluster']}/{r['namespace']}/{r['kind']}/{r['name']}/{r['container']}": r for r in ran.json()}
    assert len(found) == len(ran.json())
    return found


@pytest.fixture(scope="module")
def found(running: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("scan")
    someone = FleetRepo(home=home, work=home / "work", bare=home / "no-fleet")
    told = rows(recommend(someone, running, "--json"))
    assert not any((home / "state").glob("*")), "nothing is kept"
    return told


def test_a_recommendation_is_what_the_figures_say_by_hand(found: dict[str, Any]) -> None:
    web = found["prod/shop/Deployment/web/server"]
    # CPU: the pod that is gone used 0.52 cores, ÷ 0.65 = 800m. Memory: its 390 MiB ÷ 0.65 = 600Mi.
    assert web["current"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    assert web["recommended"] == {
        "requests": {"cpu": "800m", "memory": "600Mi"},
        "limits": {"cpu": "1600m", "memory": "1200Mi"},
    }
    assert web["replicas"] == 2
    # (0.2 × 0.031611 + (424 ÷ 1024) × 0.004237) × 730 h × 2 pods
    assert float(web["savingMonthly"]["amount"]) == pytest.approx(11.7919, abs=0.0002)
    assert web["usage"]["cpu"]["max"] == pytest.approx(0.52, rel=1e-6)
    assert web["usage"]["memory"]["max"] == 390 * MIB
    # Two pods for four days and one for a day, a scrape every two minutes.
    assert web["samples"] == pytest.approx((2 * 4 + 1) * 720, rel=0.002)
    assert web["why"]["cpu"].startswith("max 0.52 cores over 4 d ÷ 0.65 = 800m")


def test_averages_weigh_each_pod_by_how_long_it_ran(found: dict[str, Any]) -> None:
    usage = found["prod/shop/Deployment/web/server"]["usage"]
    # Two pods: 100 MiB, and 325 MiB in ten of 2,880 scrapes; one of a day: 390 MiB.
    memory = (2 * (100 * 4 * 720 + 225 * 10) + 390 * 720) / ((2 * 4 + 1) * 720) * MIB
    assert usage["memory"]["average"] == pytest.approx(memory, rel=0.002)
    cores = (2 * (0.2 * 4 * 86400 + 0.255 * 1200) + 0.52 * 86400) / (9 * 86400)
    assert usage["cpu"]["average"] == pytest.approx(cores, rel=0.01)
    assert usage["cpu"]["p95"] == pytest.approx(0.52, rel=1e-6), "of quantiles the highest of all pods counts"


@pytest.mark.parametrize(
    "name",
    [
        "prod/shop/StatefulSet/db/main",
        "prod/monitoring/DaemonSet/agent/main",
        "prod/batch/CronJob/report/main",
        "prod/batch/Job/import/main",
        "prod/shop/Rollout/api/main",
        "prod/dev/Pod/debug/main",
    ],
)
def test_every_kind_of_workload_is_sized(found: dict[str, Any], name: str) -> None:
    assert found[name]["recommended"]["requests"] == {"cpu": "200m", "memory": "400Mi"}, found[name]["why"]
    assert found[name]["current"]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_after_an_oom_kill_memory_is_raised(found: dict[str, Any]) -> None:
    main = found["prod/shop/Deployment/cart/main"]
    assert (main["oomKills"], main["restarts"], main["risk"]) == (2, 2, "high")
    # It was killed at its limit: 1000 MiB, × 1.2.
    assert main["recommended"]["requests"]["memory"] == "1200Mi"
    assert "2 OOM kills" in main["why"]["memory"]


def test_init_containers_and_sidecars_are_told_apart(found: dict[str, Any]) -> None:
    migrate, proxy = found["prod/shop/Deployment/cart/migrate"], found["prod/shop/Deployment/cart/proxy"]
    assert migrate["why"]["cpu"] == "no usage seen"
    assert migrate["current"]["requests"] == {"cpu": "2", "memory": "1Gi"}
    assert proxy["recommended"]["requests"] == {"cpu": "100m", "memory": "200Mi"}
    assert float(proxy["savingMonthly"]["amount"]) > 0, "a sidecar runs all month"


def test_nodes_limit_ranges_quotas_and_hpas_hold_as_ever(found: dict[str, Any]) -> None:
    web, big = found["staging/shop/Deployment/web/main"], found["staging/lab/Deployment/big/main"]
    assert "HorizontalPodAutoscaler shop/web" in web["why"]["cpu"]
    assert web["changes"] == ["memory"]
    assert web["recommended"]["requests"]["memory"] == "512Mi"
    assert "LimitRange bounds" in web["why"]["memory"]
    assert big["recommended"]["requests"]["cpu"] == "4", "3.9 ÷ 0.65 = 6 does not fit on the largest node"
    assert "largest node" in big["why"]["cpu"]
    assert "ResourceQuota" in big["why"]["cpu"]
    assert "ResourceQuota" not in big["why"]["memory"]


def test_one_question_is_about_all_containers(running: Running, person: FleetRepo) -> None:
    def asked() -> int:
        text = httpx.get(f"{running.url}/metrics").text
        found = re.findall(r'prometheus_http_requests_total\{code="200",handler="/api/v1/query"\} (\d+)', text)
        return int(found[0]) if found else 0

    before = asked()
    recommend(person, running)
    assert asked() - before <= 2 * 15, "of two clusters"


def test_the_table_is_the_usual_one(running: Running, person: FleetRepo) -> None:
    ran = recommend(person, running, "--filter", 'cluster:"prod"+controllerName:"web"')
    assert re.search(r"shop/web +server +1 → 800m +2 → 1600m +1Gi → 600Mi +2Gi → 1200Mi +\$11\.79", ran.out), ran.out
    assert "1 container, $11.79 a month together" in ran.out
    assert ran.err == ""


def test_profile_filter_and_window_work_as_ever(running: Running, person: FleetRepo) -> None:
    only = ("--json", "--filter", 'cluster:"prod"+controllerName:"web"')
    (web,) = rows(recommend(person, running, *only, "--profile", "High Availability")).values()
    assert web["recommended"]["requests"] == {"cpu": "1040m", "memory": "780Mi"}
    # A day back the earlier pod is out of sight: 0.455 ÷ 0.65, and 325 MiB ÷ 0.65.
    (web,) = rows(recommend(person, running, *only, "--window", "1d")).values()
    assert web["recommended"]["requests"] == {"cpu": "700m", "memory": "500Mi"}
    (web,) = rows(recommend(person, running, *only, "--window", "1h")).values()
    assert web["why"]["cpu"] == "only 60 samples of 100"


def test_too_much_at_once_is_asked_in_parts(
    prometheus: Start, running: Running, person: FleetRepo, found: dict[str, Any]
) -> None:
    """The server may load so little that a namespace has to be cut in time, too; the sizes stay the same."""
    narrow = prometheus(running, "--query.max-samples=4000")
    told = rows(recommend(person, narrow, "--json"))
    assert {k: r["recommended"] for k, r in told.items()} == {k: r["recommended"] for k, r in found.items()}
    assert {k: r["samples"] for k, r in told.items()} == {k: r["samples"] for k, r in found.items()}


def test_filters_on_labels_find_what_kube_state_metrics_exports(running: Running, person: FleetRepo) -> None:
    told = rows(recommend(person, running, "--json", "--filter", 'label[app.kubernetes.io/name]:"ledger"'))
    assert set(told) == {"prod/shop/StatefulSet/db/main"}
    assert "No container matches" in recommend(person, running, "--filter", 'namespace:"empty"').out


def test_a_filter_on_labels_where_none_are_exported_says_why_it_finds_nothing(
    prometheus: Start, person: FleetRepo
) -> None:
    world = World()
    simple(world, "StatefulSet", "db", "db-0")
    ran = recommend(person, prometheus(world.series), "--filter", 'label[team]:"web"')
    assert "No container matches" in ran.out
    assert "there is no kube_pod_labels" in ran.err


def test_of_several_clusters_each_is_named(running: Running, person: FleetRepo) -> None:
    ran = recommend(person, running, "--filter", 'controllerName:"web"')
    assert re.search(r"^prod/shop/web +server ", ran.out, re.MULTILINE)
    assert re.search(r"^staging/shop/web +main ", ran.out, re.MULTILINE)


# --- what can be wrong ------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(person: FleetRepo) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ran = recommend(person, url, code=1)
    assert f"Prometheus at {url} cannot be reached" in ran.err
    assert "then try again" in ran.err


def test_a_server_that_takes_too_long(prometheus: Start, running: Running, person: FleetRepo) -> None:
    ran = recommend(person, prometheus(running, "--query.timeout=1ms"), code=1)
    assert "timed out" in ran.err
    assert "try a shorter --window" in ran.err


@pytest.fixture(scope="module")
def guarded(prometheus: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that wants a password (`test`), and has cAdvisor's metrics only."""
    config = tmp_path_factory.mktemp("web") / "web.yml"
    config.write_text("basic_auth_users: {ann: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}\n")
    world = World()
    world.used("shop", "web-6f7d8c9b5-aaaaa", "server", flat(0.1), flat(100 * MIB), since=END - 86400)
    yield prometheus(world.series, f"--web.config.file={config}")


def test_wrong_credentials(guarded: Running, person: FleetRepo) -> None:
    ran = recommend(person, guarded, code=1)
    assert "does not let us in (401)" in ran.err
    ran = recommend(person, guarded.url.replace("//", "//ann:wrong-secret@"), code=1)
    assert "does not let us in (401)" in ran.err
    assert "wrong-secret" not in ran.text


def test_without_kube_state_metrics_it_is_said_which_exporter_is_missing(guarded: Running, person: FleetRepo) -> None:
    ran = recommend(person, guarded.url.replace("//", "//ann:test@"), code=1)
    assert "kube_pod_owner" in ran.err
    assert "kube-state-metrics" in ran.err


def test_without_cadvisor_it_is_said_which_exporter_is_missing(prometheus: Start, person: FleetRepo) -> None:
    world = World()
    world.owned("shop", "web-6f7d8c9b5-aaaaa", "ReplicaSet", "web-6f7d8c9b5", since=END - 7200)
    ran = recommend(person, prometheus(world.series), code=1)
    assert "container_cpu_usage_seconds_total" in ran.err
    assert "/metrics/cadvisor" in ran.err


def test_what_else_is_missing_is_said_and_the_rest_is_sized(prometheus: Start, person: FleetRepo) -> None:
    """No requests and limits, and no memory: CPU is sized of what is there."""
    world = World()
    world.owned("shop", "db-0", "StatefulSet", "db")
    world.used("shop", "db-0", "main", flat(0.13), flat(260 * MIB))
    kept = [one for one in world.series if one.name != "container_memory_working_set_bytes"]
    ran = recommend(person, prometheus(kept), "--json")
    (db,) = ran.json()
    assert db["current"] == {"requests": {}, "limits": {}}
    assert db["recommended"] == {"requests": {"cpu": "200m"}, "limits": {}}
    assert db["why"]["memory"] == "no usage seen"
    assert "there is no container_memory_working_set_bytes" in ran.err
    assert "kube_pod_container_resource_requests" in ran.err


def test_a_cluster_that_lacks_something_does_not_keep_the_others_back(prometheus: Start, person: FleetRepo) -> None:
    good, bad = World({"cluster": "good"}), World({"cluster": "bad"})
    simple(good, "StatefulSet", "db", "db-0")
    bad.used("shop", "db-0", "main", flat(0.1), flat(100 * MIB), since=END - 7200)
    ran = recommend(person, prometheus([*good.series, *bad.series]), "--json")
    assert set(rows(ran)) == {"good/shop/StatefulSet/db/main"}
    assert "there is no kube_pod_owner with cluster" in ran.err and "bad" in ran.err


def test_no_data_in_the_window(running: Running, person: FleetRepo) -> None:
    ran = recommend(person, running, now="2025-01-15T10:00:00Z", code=1)
    assert "no usage of containers between 2025-01-11 10:00 and 2025-01-15 10:00 UTC" in ran.err
    assert "--now" in ran.err


def test_gaps_and_values_that_are_none_are_left_out_and_named(prometheus: Start, person: FleetRepo) -> None:
    world = World()
    for name in ("gap", "bad", "reset"):
        simple(world, "StatefulSet", name, f"{name}-0")
    simple(world, "StatefulSet", "stray", "stray-0")
    kept = [one for one in world.series if one.labels["pod"] != "stray-0" or one.name != "kube_pod_owner"]
    spoilt = prometheus([*map(_spoilt, kept)])
    told = rows(recommend(person, spoilt, "--json"))
    gap, bad, reset = (told[f"/shop/StatefulSet/{name}/main"] for name in ("gap", "bad", "reset"))
    # CPU is counted on while nobody scrapes: a rate is not over the gap, and an average never over the maximum.
    assert gap["usage"]["cpu"]["max"] == pytest.approx(0.13, rel=1e-3)
    assert gap["usage"]["cpu"]["average"] == pytest.approx(0.13, rel=0.01)
    assert reset["usage"]["cpu"]["max"] == pytest.approx(0.13, rel=1e-3)
    assert bad["why"]["memory"] == "no usage seen"
    ran = recommend(person, spoilt)
    assert "1 of 4 maxima of container_memory_working_set_bytes are absurd" in ran.err
    assert "nothing is said of memory there: shop/bad-0 main" in ran.err
    assert "1 of 4 pods have no kube_pod_owner (kube-state-metrics), left out: shop/stray-0" in ran.err


def _spoilt(one: Sampled) -> Sampled:
    """A day of `gap` is missing, a sample of `bad` is more than there is memory, and the counter of `reset` begins anew."""
    seconds, values = np.array(one.seconds), np.array(one.values)
    pod, half = one.labels["pod"], len(seconds) // 2
    if pod == "gap-0":
        seen = (seconds < START + 86400) | (seconds > START + 2 * 86400)
        seconds, values = seconds[seen], values[seen]
    elif pod == "bad-0" and one.name == "container_memory_working_set_bytes":
        values[half] = 1e20
    elif pod == "reset-0" and one.name == "container_cpu_usage_seconds_total":
        values[half:] -= values[half]
    return Sampled(one.name, one.labels, seconds.tolist(), values.tolist())


def test_what_two_servers_scrape_counts_once_and_every_start_counts(prometheus: Start, person: FleetRepo) -> None:
    world = World()
    simple(world, "StatefulSet", "db", "db-0")
    told = rows(recommend(person, prometheus([*_scraped_twice(world.series)]), "--json"))
    db = told["/shop/StatefulSet/db/main"]
    assert db["samples"] == pytest.approx(4 * 720, abs=2)
    assert db["usage"]["cpu"]["average"] == pytest.approx(0.13, rel=0.01)
    assert db["usage"]["memory"]["average"] == 260 * MIB
    assert db["replicas"] == 1


def _scraped_twice(series: list[Sampled]) -> Iterator[Sampled]:
    """By two servers, which add a label; and the container was started anew two days ago, so that it has another id since."""
    half = END - 2 * 86400
    for one in series:
        for replica in ("a", "b"):
            labels = {**one.labels, "replica": replica}
            if "id" not in labels:
                yield Sampled(one.name, labels, one.seconds, one.values)
                continue
            for start in (0, 1):
                kept = [n for n, second in enumerate(one.seconds) if (second >= half) == bool(start)]
                seconds, values = ([column[n] for n in kept] for column in (one.seconds, one.values))
                yield Sampled(one.name, {**labels, "id": f"/start-{start}"}, seconds, values)


def test_old_data_is_used_and_its_age_is_said(running: Running, person: FleetRepo) -> None:
    words = ("--json", "--filter", 'cluster:"prod"+controllerName:"db"')
    (db,) = rows(recommend(person, running, *words, now="2026-06-19T10:00:00Z")).values()
    assert db["recommended"]["requests"] == {"cpu": "200m", "memory": "400Mi"}
    assert re.search("the newest sample is (2 d|48 h) old", db["why"]["cpu"]), "it is known to a scrape"


def test_an_address_below_a_path(prometheus: Start, running: Running, person: FleetRepo) -> None:
    below = prometheus(running, "--web.route-prefix=/api/prom")
    only = ("--filter", 'cluster:"prod"+controllerName:"web"')
    assert "1 → 800m" in recommend(person, f"{below.url}/api/prom", *only).out
    assert "1 → 800m" in recommend(person, f"{below.url}/api/prom/graph", *only).out
    ran = recommend(person, below, code=1)
    assert "does not speak the API of Prometheus (404)" in ran.err
    assert "such as https://prometheus.example.com/prometheus" in ran.err


def test_what_contradicts_itself_or_is_mistyped_is_said_before_anything_is_asked(person: FleetRepo) -> None:
    nowhere = "http://127.0.0.1:9"
    assert "do not go together" in person.trimtab("recommend", "--prometheus", nowhere, "--fleet", ".", code=1).err
    assert "column 11" in recommend(person, nowhere, "--filter", "namespace shop", code=1).err
    assert "'Cheap' is not known" in recommend(person, nowhere, "--profile", "Cheap", code=1).err
    assert "is not a duration" in person.trimtab("recommend", "--prometheus", nowhere, "--window", "soon", code=1).err
    assert "http://" in recommend(person, "prometheus:9090", code=1).err
