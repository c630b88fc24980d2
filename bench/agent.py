"""The Kubernetes agent beside an API server with many pods: a real process, against the API server that the tests use.

Memory and processor time are the agent's alone; the limit beside them is reading the same answers as JSON, and nothing else.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from bench.printing import line, note
from bench.scale import Scale
from bench.serving import TRIMTAB

PROJECT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT / "tests"))  # what the tests' support modules import each other from

PODS_OF_EACH = 5
PODS_ON_EACH = 20
HASH = "6f7d8c9b5"
INTERVAL_SECONDS = 15.0
CORE_SHARE = 0.05
MEMORY_MIB = 150
_PATIENCE_SECONDS = 120.0
_WARM_ROUNDS = 2

Put = Callable[[dict[str, Any]], Any]


def run(scale: Scale) -> None:
    from support.hand_made import Told, hand_made
    from support.kube_double import kube_double

    with kube_double() as cluster, hand_made() as server:
        _fill(cluster.put, scale.pods)
        registered = {"agentId": "agent_1", "token": "token", "tokenExpiresIn": 3600, "pushIntervalSeconds": 1}
        server.tell("POST register", Told(200, registered))
        etag = {"ETag": '"tree"', "Trimtab-Revision": "4f1c2a9"}
        desired = {"revision": "4f1c2a9", "cluster": "prod", "manifests": [], "roots": [], "repository": ""}
        server.tell("GET desired", Told(200, desired, etag), Told(304, None, etag))
        with _agent(server.url, cluster.kubeconfig) as process:
            _until(process, lambda: _pushes(server) >= _WARM_ROUNDS)
            cluster.requests.clear()
            before, pushes, pulls = _cpu_seconds(process.pid), _pushes(server), server.count("GET desired")
            _until(process, lambda: _pushes(server) >= pushes + scale.rounds)
            rounds, spent = _pushes(server) - pushes, _cpu_seconds(process.pid) - before
            listed = Counter(one.path for one in list(cluster.requests) if one.verb == "list")
            pulled = (server.count("GET desired") - pulls) / rounds
            memory = _peak_mib(process.pid)
        size = next(len(body) for route, _, body in reversed(server.requests) if route == "POST push")
        bytes_read, reading = _read_as_json(cluster, sorted(listed))
    note(
        f"{scale.pods} pods, {bytes_read / 2**20:.1f} MiB in {len(listed)} lists; {rounds} rounds, {size} bytes the last body"
    )
    line("processor time of a round", spent / rounds, against="json.loads of the same bytes", limit=reading)
    share = spent / rounds / INTERVAL_SECONDS
    line("  of a core at 15 s", share * 100, "%", wanted=f"< {CORE_SHARE * 100:g} %")
    line("peak of memory", memory, "MiB", wanted=f"< {MEMORY_MIB} MiB")
    line("pulls of the desired state in a round", pulled, "")


def _pushes(server: Any) -> int:
    """How many have come in; large ones come in parts."""
    return sum(route == "POST push" and b'"part":0,' in body[:200] for route, _, body in list(server.requests))


def _fill(put: Put, pods: int) -> None:
    """Deployments of five pods with two containers each, twenty pods on a node, and what all of them use."""
    from support import kube_objects as made

    metrics = "metrics.k8s.io/v1beta1"
    for number in range(pods):
        owner, node = f"web-{number // PODS_OF_EACH}", f"node-{number // PODS_ON_EACH}"
        name = f"{owner}-{HASH}-{number:05d}"
        if number % PODS_OF_EACH == 0:
            put({"apiVersion": "apps/v1", "kind": "Deployment", **made.workload("Deployment", owner, replicas=5)})
        if number % PODS_ON_EACH == 0:
            put({"apiVersion": "v1", "kind": "Node", **made.node(node, cpu="32", memory="128Gi")})
            put({"apiVersion": metrics, "kind": "NodeMetrics", **made.node_metrics(node)})
        pod = made.pod(
            name,
            node=node,
            owner=("ReplicaSet", f"{owner}-{HASH}"),
            labels={"app": owner, "pod-template-hash": HASH},
            containers=[made.container(), made.container("proxy")],
            statuses=[made.status_of(), made.status_of("proxy")],
        )
        put({"apiVersion": "v1", "kind": "Pod", **pod})
        put({"apiVersion": metrics, "kind": "PodMetrics", **made.pod_metrics(name, cpu=f"{number + 1}00123n")})


@contextmanager
def _agent(server: str, kubeconfig: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = ["agent", "--platform", "kubernetes", "--cluster", "prod", "--server", server]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TRIMTAB_", "KUBE"))}
    process = subprocess.Popen(
        [*TRIMTAB, *words, "--kubeconfig", str(kubeconfig)],
        env={**env, "TRIMTAB_KEY": "key"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _until(process: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
    """Wait for it while the process runs."""
    start = time.perf_counter()
    while not done():
        assert process.poll() is None, "the agent has ended"
        assert time.perf_counter() - start < _PATIENCE_SECONDS, "the agent does not come round"
        time.sleep(0.02)


def _read_as_json(cluster: Any, paths: list[str]) -> tuple[int, float]:
    """The bytes of all lists, and the processor seconds that ``json.loads`` takes for them; best of three."""
    pool = urllib3.PoolManager(cert_reqs="CERT_NONE")
    headers = {"Authorization": f"Bearer {cluster.token}"}
    bodies = [pool.request("GET", cluster.url + path, headers=headers).data for path in paths]
    took = []
    for _ in range(3):
        before = time.process_time()
        for body in bodies:
            json.loads(body)
        took.append(time.process_time() - before)
    return sum(map(len, bodies)), min(took)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5): the fields after the name in brackets)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> float:
    """The most memory that was ever resident (proc(5), ``VmHWM``)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
