"""One look at a cluster through a Prometheus, with no history kept: all containers at once, in about a dozen questions.

Three of them are large: the maximum of CPU, the maximum of memory, and how often each container was scraped. The last is
about each slice of the window, which says also since when a container runs and until when. What a pod is and what
it was given is read of what runs now, and asked of the past only for what runs no more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.errors import Stalled
from reconciler.model.workload import WorkloadKey
from reconciler.observe import prometheus_questions as questions
from reconciler.observe.prometheus import Point, Prometheus, TooMuch
from reconciler.observe.prometheus_bulk import Answers, Asking, Bulk, Question, ask_all, by_place, place_of
from reconciler.observe.prometheus_owners import Asking as AskingOwners
from reconciler.observe.prometheus_owners import Owners, PodName
from reconciler.observe.prometheus_scope import RUNNING, Scope, label_name
from reconciler.observe.prometheus_slices import Life, Slice, lives, slices
from reconciler.observe.prometheus_usage import CPU, MEMORY, Place, Windows, scrape_seconds, series_by_cluster
from reconciler.observe.usage_batch import MAX_CORES, MAX_MEMORY_BYTES

QUANTILES = (0.95,)
"""Each takes as long as the maximum, or longer: one that tells most."""

OnProgress = Callable[[int, int], None]

_NAMED = 3
_SCRAPES, _NOW, _AROUND, _BEFORE = "scrapes", "now", "around", "before"


@dataclass(frozen=True, eq=False)
class Scan:
    """What was found of one cluster. CPU in cores, memory in bytes, by container of a pod.

    ``owners``: None for static pods, which belong to a node. ``running``: what runs at ``at``. ``quantiles`` by resource
    and quantile, ``cpu_seconds`` and ``memory_sums`` (over scrapes) are empty unless asked for. ``sizes`` by name of the
    metric. ``answers``: what else was answered, by the name of the metric.
    """

    cluster: str
    at: datetime
    seconds: int
    cpu: Mapping[Place, float]
    memory: Mapping[Place, float]
    lives: Mapping[Place, Life]
    running: frozenset[Place]
    owners: Mapping[PodName, WorkloadKey | None]
    sizes: Mapping[str, Mapping[tuple[Place, str], float]]
    answers: Answers
    quantiles: Mapping[tuple[str, float], Mapping[Place, float]]
    cpu_seconds: Mapping[Place, float]
    memory_sums: Mapping[Place, float]
    notes: tuple[str, ...] = ()


def clusters(prometheus: Prometheus, label: str, at: datetime, seconds: int) -> list[Scope]:
    """One scope for each cluster that has containers now; where none has, that had some in the window.

    :raises Stalled: when there are none, with what seems to be missing. Raises what :meth:`Prometheus.query` does.
    """
    label = label_name(label)
    found = set(series_by_cluster(prometheus, label, int(at.timestamp())))
    if not found:
        by = f" by ({label})" if label else ""
        for metric in (MEMORY, CPU):
            counted = f"count{by} (last_over_time({Scope().series(metric, *RUNNING)}[{seconds}s]))"
            found |= {point.labels.get(label, "") for point in prometheus.query(counted, at)}
    if not found:
        raise _nothing(prometheus, at, seconds)
    if found == {""}:
        return [Scope()]
    return [Scope(label, (value,)) for value in sorted(found)]


@dataclass(frozen=True)
class Wanted:
    """``everything``: averages and quantiles, too, which takes twice as long. ``labels``: those of pods."""

    everything: bool = False
    labels: bool = False


def scan(
    prometheus: Prometheus, scope: Scope, at: datetime, seconds: int, wanted: Wanted, *, on_progress: OnProgress
) -> Scan:
    """Look at one cluster in the ``seconds`` up to ``at``.

    :raises Stalled: when there was no scrape in the window, or nothing says whose the pods are. Raises what :meth:`Bulk.within` does.
    """
    bulk, cuts = Bulk(prometheus, scope, at, seconds), slices(at, seconds)
    every = scrape_seconds(prometheus, scope, int(at.timestamp()))
    metric = MEMORY if every else _scraped(bulk)
    asked = _large(bulk, Windows.for_scrapes(every), cuts, metric, everything=wanted.everything)
    answers = _apart(ask_all(asked | _small(bulk, metric, labels=wanted.labels), on_progress), metric)
    lived = lives(cuts, _counts(cuts, answers[_SCRAPES]), every)
    if not lived:
        raise _nothing(prometheus, at, seconds)
    places = lived.keys()
    running = frozenset(place_of(point) for point in answers["running"])
    owners = _owners(bulk, {place[:2] for place in places}, {place[:2] for place in running})
    answers = {**answers, **_past(bulk, answers, owners, running)}
    return Scan(
        cluster=scope.values[0] if scope.values else "",
        at=at,
        seconds=seconds,
        cpu=by_place(answers["cpu"], MAX_CORES),
        memory=by_place(answers["memory"], MAX_MEMORY_BYTES),
        lives=lived,
        running=running,
        owners=owners,
        sizes={name: _sized(answers[name]) for name in questions.SIZES},
        answers=answers,
        quantiles={
            (resource, q): by_place(
                answers[_quantile(resource, q)], MAX_CORES if resource == "cpu" else MAX_MEMORY_BYTES
            )
            for resource in ("cpu", "memory")
            for q in (QUANTILES if wanted.everything else ())
        },
        cpu_seconds=_summed(answers.get("cpu seconds", ())),
        memory_sums=_summed(answers.get("memory sums", ())),
        notes=_notes(answers, owners, {place[:2] for place in places}),
    )


def _large(bulk: Bulk, windows: Windows, cuts: list[Slice], metric: str, *, everything: bool) -> dict[str, Asking]:
    """What is asked of every scrape in the window, the longest first."""
    cpu, memory = questions.cpu_over_time, questions.memory_over_time
    found: dict[str, Asking] = {}
    for q in QUANTILES if everything else ():
        found[_quantile("cpu", q)] = _within(bulk, cpu("quantile_over_time", windows, str(q)))
        found[_quantile("memory", q)] = _within(bulk, memory("quantile_over_time", str(q)))
    found["cpu"] = _within(bulk, cpu("max_over_time", windows))
    found["memory"] = _within(bulk, memory("max_over_time"))
    if everything:
        found["cpu seconds"] = _within(bulk, questions.cpu_seconds)
        found["memory sums"] = _within(bulk, questions.memory_sums)
    found[_SCRAPES] = lambda: bulk.along(questions.counted(metric), cuts)
    return found


def _small(bulk: Bulk, metric: str, *, labels: bool) -> dict[str, Asking]:
    """What is asked of this instant, or of few series."""
    start = bulk.at - timedelta(seconds=bulk.seconds)
    found = {
        name: _now(bulk, questions.together(group), start if name == _BEFORE else None)
        for name, group in _groups(metric).items()
    }
    found["killed"] = _within(bulk, questions.killed)
    for name in (questions.LABELS, questions.ANNOTATIONS) if labels else ():
        found[name] = _within(bulk, questions.labels_of(name))
    return found


def _groups(metric: str) -> dict[str, dict[str, Question]]:
    """The small questions that are asked together."""
    now = {"running": questions.running(metric)} | {name: questions.sizes(name) for name in questions.SIZES}
    now[questions.INIT] = questions.per_container(questions.INIT, more="restart_policy")
    now[questions.RESTARTS] = questions.above_zero(questions.RESTARTS)
    before = {
        "restarts before": questions.above_zero(questions.RESTARTS),
        "killed before": questions.above_zero(questions.ENDED, questions.KILLED),
    }
    around = {name: questions.latest(name, by, *matchers) for name, (by, *matchers) in questions.AROUND.items()}
    return {_NOW: now, _AROUND: around, _BEFORE: before}


def _apart(answers: Answers, metric: str) -> Answers:
    """Answers by what was asked, also where it was asked together."""
    found = dict(answers)
    for name, group in _groups(metric).items():
        found |= questions.apart(found.pop(name), group)
    return found


def _scraped(bulk: Bulk) -> str:
    """The metric that says how often there was a scrape: where memory is not collected, CPU."""
    return MEMORY if bulk.now(questions.running(MEMORY)) or not bulk.now(questions.running(CPU)) else CPU


def _counts(cuts: Sequence[Slice], points: Iterable[Point]) -> list[dict[Place, float]]:
    """The scrapes of each container, by slice."""
    start, step = cuts[0].end.timestamp(), cuts[0].seconds
    found: list[dict[Place, float]] = [{} for _ in cuts]
    labels, place = None, Place("", "", "")
    for point in points:
        if point.labels is not labels:  # the points of one series follow one another
            labels, place = point.labels, place_of(point)
        by = found[round((point.second - start) / step)]
        by[place] = by.get(place, 0.0) + point.value
    return found


def _within(bulk: Bulk, question: Question) -> Asking:
    return lambda: bulk.within(question)


def _now(bulk: Bulk, question: Question, at: datetime | None = None) -> Asking:
    return lambda: bulk.now(question, at=at)


def _quantile(resource: str, q: float) -> str:
    return f"{resource} {q}"


def _owners(bulk: Bulk, pods: set[PodName], running: set[PodName]) -> Mapping[PodName, WorkloadKey | None]:
    """The workloads of pods: of those that run now as it is now, of the others as it was.

    :raises Stalled: when nobody knows any of them.
    """
    found: dict[PodName, WorkloadKey | None] = {}
    cluster = bulk.scope.values[0] if bulk.scope.values else ""
    for some, seconds in ((pods & running, 300), (pods, bulk.seconds)):
        if missing := some - found.keys():
            found |= _owners_in(bulk, cluster, missing, seconds)
    if pods and not found:
        where = f' with {bulk.scope.label}="{cluster}"' if cluster else ""
        raise Stalled(
            f"Prometheus at {bulk.prometheus.url} does not say whose pods are: there is no kube_pod_owner{where}",
            hint="let it scrape kube-state-metrics"
            + (f", with the label {bulk.scope.label} that the kubelets' metrics have" if cluster else ""),
        )
    return found


def _owners_in(bulk: Bulk, cluster: str, pods: set[PodName], seconds: int) -> Mapping[PodName, WorkloadKey | None]:
    def of(scopes: Iterable[Scope]) -> Mapping[PodName, WorkloadKey | None]:
        at = int(bulk.at.timestamp())
        return Owners(cluster).of(pods, AskingOwners(bulk.prometheus, tuple(scopes), at, seconds))

    try:
        return of([bulk.scope])
    except TooMuch:
        return of([replace(bulk.scope, namespaces=(name,)) for name in sorted({namespace for namespace, _ in pods})])


def _past(
    bulk: Bulk, answers: Answers, owners: Mapping[PodName, WorkloadKey | None], running: frozenset[Place]
) -> dict[str, list[Point]]:
    """Sizes of what does not run now, such as CronJobs between two runs."""
    up = {owners.get(place[:2]) for place in running}
    if all(workload is None or workload in up for workload in owners.values()):
        return {}
    past = ask_all({name: _within(bulk, questions.sizes(name)) for name in questions.SIZES}, lambda _done, _all: None)
    return {name: [*past[name], *answers[name]] for name in questions.SIZES}


def _sized(points: Iterable[Point]) -> dict[tuple[Place, str], float]:
    """By container and resource; of several answers the last counts."""
    return {
        (place_of(point), point.labels.get("resource", "")): point.value
        for point in points
        if 0 <= point.value <= MAX_MEMORY_BYTES
    }


def _summed(points: Iterable[Point]) -> dict[Place, float]:
    found: dict[Place, float] = {}
    for point in points:
        if 0 <= point.value < float("inf"):
            found[place_of(point)] = found.get(place_of(point), 0.0) + point.value
    return found


def _notes(answers: Answers, owners: Mapping[PodName, WorkloadKey | None], pods: set[PodName]) -> tuple[str, ...]:
    """What is not there, or could not be used, each with what follows from it."""
    notes = []
    for name, what in (("cpu", CPU), ("memory", MEMORY)):
        if not answers[name]:
            notes.append(f"there is no {what} (the kubelets' /metrics/cadvisor): nothing is said of {name}")
        most = MAX_CORES if name == "cpu" else MAX_MEMORY_BYTES
        bad = [place_of(point) for point in answers[name] if not 0 <= point.value <= most]
        if bad:
            named = _some(f"{place.namespace}/{place.pod} {place.container}" for place in bad)
            absurd = f"{len(bad)} of {len(answers[name])} maxima of {what} are absurd"
            notes.append(f"{absurd}, nothing is said of {name} there: {named}")
    if not any(answers[name] for name in questions.SIZES):
        notes.append(
            f"there is neither {questions.REQUESTS} nor {questions.LIMITS} (kube-state-metrics): "
            "what containers request now is not known"
        )
    if questions.LABELS in answers and not (answers[questions.LABELS] or answers[questions.ANNOTATIONS]):
        notes.append(
            f"there is no {questions.LABELS} (kube-state-metrics with --metric-labels-allowlist): "
            "a filter on labels matches nothing"
        )
    if unknown := pods - owners.keys():
        named, all_pods = _some("/".join(pod) for pod in unknown), len(pods)
        notes.append(
            f"{len(unknown)} of {all_pods} pods have no kube_pod_owner (kube-state-metrics), left out: {named}"
        )
    return tuple(notes)


def _some(names: Iterable[str]) -> str:
    """The first of these, and how many more there are."""
    listed = sorted(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _nothing(prometheus: Prometheus, at: datetime, seconds: int) -> Stalled:
    """Why there are no containers: nobody collects them, or not in this window."""
    seen = f"count(last_over_time({Scope().series(MEMORY, *RUNNING)}[1h]))"
    others = prometheus.query(f"count(last_over_time(kube_pod_owner[{seconds}s])) or count(up)", at)
    if others and not prometheus.query(seen, at):
        return Stalled(
            f"Prometheus at {prometheus.url} has neither {CPU} nor {MEMORY}, but other metrics",
            hint="let it scrape cAdvisor: the path /metrics/cadvisor of each kubelet",
        )
    since = at - timedelta(seconds=seconds)
    return Stalled(
        f"Prometheus at {prometheus.url} has no usage of containers between {since:%Y-%m-%d %H:%M} and {at:%Y-%m-%d %H:%M} UTC",
        hint="check --window and --now, and that it scrapes cAdvisor (/metrics/cadvisor of each kubelet)",
    )
