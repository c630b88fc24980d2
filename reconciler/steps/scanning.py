"""Recommendations from one look at a Prometheus: no fleet repo, no database, and nothing is kept."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from reconciler.errors import Stalled
from reconciler.evaluate.filters import parse as parse_filter
from reconciler.evaluate.sizing import recommend
from reconciler.evaluate.sizing_context import SizingContext
from reconciler.model.action import SizingParameters
from reconciler.model.fleet import Pricing
from reconciler.model.inventory import Problem
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.observe.config_fleet import BUILT_IN_PROFILES
from reconciler.observe.prometheus import Prometheus
from reconciler.observe.prometheus_around import around
from reconciler.observe.prometheus_scan import Scan, Wanted, clusters, scan
from reconciler.observe.prometheus_workloads import workloads_in
from reconciler.steps.evaluating import Recommended, is_about, override_of

PROFILES = {
    name: SizingParameters(profile=name, target_utilization_cpu=target, target_utilization_ram=target)
    for name, target in BUILT_IN_PROFILES.items()
}

_OF_LABELS = re.compile(r"\b(label|annotation|department|environment|owner|product|team)\b")
"""A filter that has one of these words may be about labels of pods, which are asked for only then."""

OnProgress = Callable[[int, int], None]
"""How many questions are answered, and how many there are; of one cluster after the other."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person wants to know. ``everything``: averages and quantiles of the usage, too."""

    now: datetime
    cluster_label: str = "cluster"
    filter_text: str = ""
    window: str | None = None
    profile: str | None = None
    everything: bool = False


def recommend_from(
    prometheus: Prometheus, asked: Asked, on_progress: OnProgress = lambda _done, _total: None
) -> Recommended:
    """Recommendations for every container that a Prometheus knows and that the filter matches, by OpenCost's prices.

    :raises InputError: for a filter, window or profile that is none, before anything is asked.
    :raises Stalled: when Prometheus lacks what is needed, of several clusters for each of them; what it lacks for one is a
        problem. Also when it refuses. :raises PrometheusBusy: when it is away or slow.
    :raises TooMuch: when even an hour of one namespace is too much for it.
    """
    matches = parse_filter(asked.filter_text).matches
    params = override_of(PROFILES, asked.window, asked.profile)(PROFILES["Production"])
    wanted = Wanted(everything=asked.everything, labels=bool(_OF_LABELS.search(asked.filter_text)))
    found: list[ContainerRecommendation] = []
    problems: list[Problem] = []
    failed = 0
    scopes = clusters(prometheus, asked.cluster_label, asked.now, params.window_seconds)
    for scope in scopes:
        place = f"{prometheus.url} {' '.join(scope.values)}".strip()
        try:
            seen = scan(prometheus, scope, asked.now, params.window_seconds, wanted, on_progress=on_progress)
        except Stalled as error:
            failed += 1
            if failed == len(scopes):
                raise
            problems.append(Problem(path=place, message=error.message, hint=error.hint))
            continue
        found += _recommendations(seen, params)
        problems += [Problem(path=place, message=note) for note in seen.notes]
    problems += [Problem(path=prometheus.url, message=warning) for warning in prometheus.warnings]
    return Recommended(
        recommendations=tuple(one for one in found if is_about(one, matches)),
        currency=Pricing().currency,
        problems=tuple(problems),
    )


def _recommendations(seen: Scan, params: SizingParameters) -> list[ContainerRecommendation]:
    found, fits = workloads_in(seen), around(seen)
    context = SizingContext(
        now=seen.at,
        params=params,
        usage=found.usage,
        ooms=found.ooms,
        limit_ranges=fits.limit_ranges,
        person_hpas=fits.hpas,
        replicas=found.replicas,
        largest_node=fits.largest_node,
        quotas=fits.quotas,
    )
    return [one for workload in found.workloads for one in recommend(workload, context)]
