"""Recommendations: made from stored history, kept at the end of a pass, and served a page at a time by a real server.

Beside them the limits run: reading the same history's bytes from the database, the bare query of a page, and a FastAPI route
that returns ready bytes.
"""

import gc
import http.client
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import delete, func, select

from bench.fleet import NOW, Fleet
from bench.printing import line, note
from bench.scale import Scale
from bench.serving import TRIMTAB, environment, served
from bench.stage import with_history
from reconciler.bootstrap import open_house
from reconciler.evaluate.filters import parse
from reconciler.evaluate.sizing import Covering
from reconciler.model.recommendation import (
    OPEN_STATUSES,
    ContainerRecommendation,
    ContainerSizes,
    RecommendationStatus,
    WorkloadRecommendation,
)
from reconciler.model.workload import Resources
from reconciler.settings import Settings
from reconciler.steps import deciding, evaluating, recommending, sizing
from reconciler.steps.house import House, Timings
from reconciler.steps.scene import Scene, read_scene
from reconciler.steps.view import View
from reconciler.store.database import open_database
from reconciler.store.recommendations import RecommendationStore, Wanted
from reconciler.store.tables import recommendations, usage_days
from reconciler.store.usage_rows import DAY_HEADER

SECONDS = 1.5
PAGE_MS = 50.0
PAGE = 100

_STATUSES: tuple[RecommendationStatus, ...] = ("pending", "dismissed", "applied", "archived", "archived", "archived")
"""A third of what is stored is open."""

T = TypeVar("T")


def run(scale: Scale) -> None:
    _made(scale)
    _paged(scale)


def _best(rounds: int, work: Callable[[], T]) -> tuple[T, float]:
    """What ``work`` gives, and the seconds of its best round; the collector rests meanwhile, as it does in a pass."""
    best = float("inf")
    gc.disable()
    for _ in range(rounds):
        start = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - start)
    gc.enable()
    return found, best


# --- made and kept --------------------------------------------------------------------------------------------------


def _made(scale: Scale) -> None:
    fleet, _ = with_history(scale, scale.large)
    with open_house(Settings(fleet=str(fleet.bare), state_dir=fleet.state), clock=lambda: NOW) as house:
        scene = read_scene(house, View(house.repository.tree(house.repository.fetch())), NOW)
        covering = _covering(scene)
        sized, seconds = _best(scale.rounds, lambda: sizing.size_all(house, scene, covering))
        made = sized.recommendations
        note(f"{len(made)} containers, {scale.days} days of history; best of {scale.rounds} rounds")
        line("recommendations from stored history", seconds, against="limit", limit=SECONDS, wanted="≤ 1")
        _, full = _best(scale.rounds, lambda: sizing.size_all(house, scene, covering, figures=evaluating.EVERYTHING))
        line("  with all percentiles, as trimtab recommend", full, against="without", limit=seconds)
        _, phase = _best(scale.rounds, lambda: evaluating.actions_phase(house, scene))
        line("  with the edits that a pass proposes of them", phase, against="without", limit=seconds)
        _, bare = _best(scale.rounds, lambda: _history_bytes(fleet))
        line("  beside reading the history's bytes", seconds, against="bare", limit=bare)
        _kept(scale, house, scene, made, seconds)


def _covering(scene: Scene) -> list[Covering]:
    """The fleet's actions, each with its filter."""
    usable, _ = evaluating.readable_actions(scene.state.actions)
    return [(action, parse(action.filter).matches) for action in usable]


def _history_bytes(fleet: Fleet) -> int:
    """The head of every day of every series, as SQLite gives it."""
    engine = open_database(fleet.database_url)
    query = select(usage_days.c.key, func.substr(usage_days.c.sketch, 1, DAY_HEADER.itemsize))
    with engine.connect() as connection:
        read = len(connection.execute(query).all())
    engine.dispose()
    return read


def _kept(scale: Scale, house: House, scene: Scene, made: tuple[ContainerRecommendation, ...], seconds: float) -> None:
    """What a pass stores at its end: everything at first, then nothing."""
    with house.stores.engine.begin() as connection:
        connection.execute(delete(recommendations))  # another measure may have made passes over this fleet
    worked = replace(deciding.begin(house, scene, Timings(house.step)), recommendations=made)
    _, first = _best(1, lambda: recommending.keep_recommendations(house, worked))
    stored = len(house.stores.recommendations.opened(house.name))
    line(f"  all of them stored for the first time ({stored} workloads)", first, against="made in", limit=seconds)
    _, again = _best(scale.rounds, lambda: recommending.keep_recommendations(house, worked))
    line("  and looked at again, where nothing has changed", again, against="made in", limit=seconds)


# --- pages ----------------------------------------------------------------------------------------------------------


def _paged(scale: Scale) -> None:
    fleet, _ = with_history(scale, scale.small)
    engine = open_database(fleet.database_url)
    store = RecommendationStore(engine)
    store.save(tuple(_rows(scale.recommendations)))
    wanted = Wanted(statuses=OPEN_STATUSES)
    note(
        f"{scale.recommendations} stored, {store.count('bench', wanted)} of them open; {scale.pages} pages of {PAGE} by cursor, "
        f"one after the other on one connection; best of {scale.rounds} rounds"
    )
    _, bare = _times(scale, _pages_of_the_store(store, wanted))
    _, nowhere = _times(scale, _pages_of_the_store(store, replace(wanted, namespaces=("nowhere",))))
    engine.dispose()
    env = environment(fleet.bare, fleet.state) | {"TRIMTAB_RECOMMENDATIONS_RATE_LIMIT": "100000000/minute"}
    ready = [sys.executable, "-m", "bench.bare_get"]
    with (
        served(ready, {**os.environ}) as (ready_port, _),
        served([*TRIMTAB, "serve", "--no-loop", "--port"], env) as (port, _),
    ):
        _, nothing = _times(scale, _answers(ready_port, "/readyz"))
        median, ours = _times(scale, _pages_of_the_server(port, _key(env)))
    line("a page from the server, p99", ours, "ms", against="limit", limit=PAGE_MS, wanted="≤ 1")
    line("  its median", median, "ms", against="limit", limit=PAGE_MS)
    line("  p99 beside the store's query of it", ours, "ms", against="bare", limit=bare)
    line("  p99 beside a FastAPI GET of ready bytes", ours, "ms", against="bare", limit=nothing)
    line("a filter that nothing matches, in the store, p99", nowhere, "ms", against="a page", limit=bare)


def _times(scale: Scale, answers: Iterator[None]) -> tuple[float, float]:
    """Median and p99 in milliseconds, each of its best round. The first answer of a connection is not counted: it opens things.

    The collector rests here, as this process holds a lot by now; in the server it does not.
    """
    next(answers)
    rounds = []
    gc.disable()
    for _ in range(scale.rounds):
        took = []
        for _ in range(scale.pages):
            start = time.perf_counter()
            next(answers)
            took.append((time.perf_counter() - start) * 1e3)
        rounds.append(sorted(took))
    gc.enable()
    return min(r[len(r) // 2] for r in rounds), min(r[int(len(r) * 0.99)] for r in rounds)


def _pages_of_the_store(store: RecommendationStore, wanted: Wanted) -> Iterator[None]:
    after = None
    while True:
        rows = store.page("bench", wanted, after=after, limit=PAGE)
        after = (rows[-1].saving_hourly, rows[-1].id) if len(rows) == PAGE else None
        yield


def _pages_of_the_server(port: int, key: str) -> Iterator[None]:
    connection, cursor = http.client.HTTPConnection("127.0.0.1", port), ""
    while True:
        query = urlencode({"limit": PAGE} | ({"cursor": cursor} if cursor else {}))
        connection.request("GET", f"/v1/recommendations?{query}", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 200, told
        cursor = told["meta"]["pagination"]["next_cursor"] or ""
        yield


def _answers(port: int, path: str) -> Iterator[None]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        connection.request("GET", path)
        connection.getresponse().read()
        yield


def _key(env: dict[str, str]) -> str:
    words = ["key", "create", "--org", "bench", "--name", "bench", "--scope", "recommendations:read"]
    return subprocess.run([*TRIMTAB, *words], env=env, capture_output=True, text=True, check=True).stdout.strip()


def _rows(number: int) -> Iterator[WorkloadRecommendation]:
    """Recommendations of a fleet repo that no pass looks at, two containers each."""
    chance = random.Random(number)
    for n in range(number):
        now, then = _sizes(2000, 4), _sizes(chance.randrange(100, 2000), 2)
        yield WorkloadRecommendation(
            id=str(UUID(int=chance.getrandbits(128), version=4)),
            organization="bench",
            fleet="stored",
            cluster=f"prod-{n % 10}",
            cluster_id=str(UUID(int=n % 10)),
            namespace=f"team-{n % 300}",
            kind="Deployment",
            name=f"app-{n}",
            uid=str(UUID(int=n)),
            status=chance.choice(_STATUSES),
            risk="low",
            priority="medium",
            title=f"Reduce CPU and memory requests on app-{n}",
            description=(
                f"Over the last 14 days, app-{n} used on average 10% of the CPU and 19% of the memory that it requests. "
                "Requesting 600m CPU instead of 2 and 2Gi memory instead of 4Gi saves $452.60 a month with 3 replicas."
            ),
            cause=(
                "Peak CPU over 14 days is 0.42 cores against a request of 2 cores. "
                "Peak memory over 14 days is 1.5 GiB against a request of 4 GiB."
            ),
            samples=20160,
            current=now,
            recommended=then,
            hourly_cost=Decimal("1.8400"),
            saving_hourly=Decimal(chance.randrange(20_000)).scaleb(-4),
            created_at=NOW,
            updated_at=NOW,
            analyzed_at=NOW,
            window_seconds=14 * 86_400,
        )


def _sizes(millicores: int, gib: int) -> tuple[ContainerSizes, ...]:
    sized = Resources(
        cpu_request=millicores, memory_request=gib * 2**30, cpu_limit=2 * millicores, memory_limit=gib * 2**31
    )
    return tuple(ContainerSizes(name=name, resources=sized) for name in ("server", "proxy"))
