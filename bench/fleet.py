"""A fleet as large as wanted: a bare remote made by one `git fast-import`, and a usage history made through the store."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reconciler.manifests.wiring import EMPTY_COMPONENT
from reconciler.model.observation import SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.workload import RESOURCES, WorkloadKey
from reconciler.store.database import open_database
from reconciler.store.usage import UsageStore

NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
ROOTS_A_CLUSTER = 10

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/part-of: {namespace}
spec:
  replicas: 2
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
        app.kubernetes.io/part-of: {namespace}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "9090"
    spec:
      serviceAccountName: default
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
      containers:
        # The service itself; sized by hand when it was launched.
        - name: server
          image: registry.example.com/{namespace}/{name}:1.{number}.0
          imagePullPolicy: IfNotPresent
          ports:
            - name: http
              containerPort: 8080
            - name: metrics
              containerPort: 9090
          env:
            - name: LOG_LEVEL
              value: info
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef:
                  name: {name}-database
                  key: url
          readinessProbe:
            httpGet:
              path: /ready
              port: http
            periodSeconds: 5
          livenessProbe:
            httpGet:
              path: /healthz
              port: http
          resources:
            requests:
              cpu: {cpu}m # generous
              memory: {memory}Mi
            limits:
              memory: {limit}Mi
"""
"""61 lines, as FACTS §Git measures YAML."""

RIGHTSIZE = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: rightsize}
spec:
  scope: global
  action: containerRequestRightSizing
  config: {enabled: true, filter: '', cpu: true, memory: true, profile: Production, rightSizingWindow: 14d}
"""

POLICY = """\
apiVersion: trimtab.dev/v1alpha1
kind: ScalingPolicy
metadata: {{name: {name}}}
spec:
  {{cluster: {cluster}, runtime: kubernetes, targetRef: {namespace}/{name}, dryRun: false, minReplicas: 2, maxReplicas: 8,
   cpuTargetPercent: 70}}
"""


@dataclass(frozen=True)
class App:
    """One Deployment with one container. ``scaled``: a policy scales it, so that its manifest says no replicas."""

    number: int
    each: int
    scaled: bool = False

    @property
    def name(self) -> str:
        return f"app-{self.number}"

    @property
    def team(self) -> int:
        """The number of its root, which holds one namespace."""
        return self.number // self.each

    @property
    def namespace(self) -> str:
        return f"team-{self.team}"

    @property
    def cluster(self) -> str:
        return f"prod-{self.team // ROOTS_A_CLUSTER}"

    @property
    def root(self) -> str:
        return f"clusters/{self.cluster}/{self.namespace}"

    @property
    def request(self) -> tuple[int, int]:
        """Millicores and MiB."""
        return 200 + self.number % 9 * 100, 256 + self.number % 7 * 128

    @property
    def manifest(self) -> str:
        cpu, memory = self.request
        names = {"name": self.name, "namespace": self.namespace, "number": self.number}
        text = DEPLOYMENT.format(**names, cpu=cpu, memory=memory, limit=2 * memory)
        return text.replace("  replicas: 2\n", "") if self.scaled else text


@dataclass(frozen=True)
class Fleet:
    """``bare``: the remote. ``home`` holds everything, Trimtab's state directory too."""

    home: Path
    apps: tuple[App, ...]

    @property
    def bare(self) -> Path:
        return self.home / "fleet.git"

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.state / 'trimtab.sqlite3'}"

    @property
    def roots(self) -> list[str]:
        return list(dict.fromkeys(app.root for app in self.apps))


def make_fleet(home: Path, *, workloads: int, each: int, policies: int) -> Fleet:
    """A fleet repo whose plain Kustomize roots hold ``each`` Deployments, wired as `trimtab init` does it."""
    between = max(workloads // policies, 1) if policies else workloads + 1
    fleet = Fleet(home, tuple(App(n, each, scaled=(n + 1) % between == 0) for n in range(workloads)))
    fleet.state.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(fleet.bare)], check=True)
    subprocess.run(
        ["git", "-C", str(fleet.bare), "fast-import", "--quiet"],
        input=b"".join(_import_stream(dict(_files(fleet)))),
        check=True,
    )
    return fleet


def _files(fleet: Fleet) -> Iterator[tuple[str, str]]:
    clusters: dict[str, list[str]] = {}
    for app in fleet.apps:
        yield f"{app.root}/apps/{app.name}.yaml", app.manifest
        if app.root not in clusters.setdefault(app.cluster, []):
            clusters[app.cluster].append(app.root)
    for root in fleet.roots:
        names = "".join(f"  - {app.name}.yaml\n" for app in fleet.apps if app.root == root)
        yield f"{root}/kustomization.yaml", "resources: [apps]\ncomponents: [trimtab]\n"
        yield f"{root}/apps/kustomization.yaml", f"resources:\n{names}"
        yield f"{root}/trimtab/kustomization.yaml", EMPTY_COMPONENT
    yield "trimtab.yaml", _fleet_yaml(clusters)
    yield "actions/rightsize.yaml", RIGHTSIZE
    for app in fleet.apps:
        if app.scaled:
            policy = POLICY.format(name=app.name, cluster=app.cluster, namespace=app.namespace)
            yield f"policies/{app.name}.yaml", policy


def _fleet_yaml(clusters: dict[str, list[str]]) -> str:
    listed = "".join(
        f"    - name: {name}\n      roots: [{', '.join(f'{{path: {root}, namespace: default}}' for root in roots)}]\n"
        for name, roots in clusters.items()
    )
    return (
        "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: bench}\nspec:\n"
        f"  clusters:\n{listed}  delivery: {{commitsPerHour: 1000}}\n"
    )


def _import_stream(files: dict[str, str]) -> Iterator[bytes]:
    who = f"Pat Person <pat@example.com> {int(NOW.timestamp()) - 86400} +0000"
    yield f"commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata 5\nStart\n".encode()
    for path, text in files.items():
        data = text.encode()
        yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"


# --- usage --------------------------------------------------------------------------------------------------------


def record_history(fleet: Fleet, *, since: datetime, until: datetime, step: int, share: float = 0.1) -> int:
    """Usage of every container from ``since`` to ``until``, into the store as an import does it; gives the samples.

    ``share``: of the request that is used on average. The shape is that of a day, with noise.
    """
    seconds = np.arange(int(since.timestamp()), int(until.timestamp()), step)
    engine = open_database(fleet.database_url)
    store, total = UsageStore(engine), 0
    clusters: dict[str, list[App]] = {}
    for app in fleet.apps:
        clusters.setdefault(app.cluster, []).append(app)
    for number, apps in enumerate(clusters.values()):
        total += store.record(_samples(apps, seconds, share, seed=number)).new
    engine.dispose()
    return total


def series_of(app: App) -> tuple[SeriesKey, ...]:
    """CPU and memory of the app's container."""
    key = WorkloadKey(cluster=app.cluster, namespace=app.namespace, kind="Deployment", name=app.name)
    return tuple(SeriesKey(workload=key, container="server", resource=resource) for resource in RESOURCES)


def _samples(apps: list[App], seconds: NDArray[np.int64], share: float, seed: int) -> Samples:
    requests = [(cpu / 1000, memory * 1024**2) for cpu, memory in (app.request for app in apps)]
    values = usage_like(np.array(requests).ravel(), seconds, share, seed=seed)
    series = tuple(key for app in apps for key in series_of(app))
    return Samples(
        series=series,
        index=np.repeat(np.arange(len(series)), len(seconds)),
        seconds=np.tile(seconds, len(series)),
        values=values.ravel(),
    )


def usage_like(
    requests: NDArray[np.float64], seconds: NDArray[np.int64], share: float, *, seed: int
) -> NDArray[np.float64]:
    """One row a series: ``share`` of its request on average, most at 15:00 UTC, noise of 20 %."""
    random = np.random.default_rng(seed)
    day = 1 - 0.5 * np.cos((seconds / 3600 % 24 - 3) / 24 * 2 * np.pi)
    noise = random.lognormal(0, 0.2, (len(requests), len(seconds)))
    return np.asarray(requests[:, None] * share * day[None, :] * noise, np.float64)
