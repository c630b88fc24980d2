"""What is pulled from a metrics server goes in whole, once, and with how far it goes."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from reconciler.model.observation import SeriesKey
from reconciler.model.pulled import STEP_SECONDS, Progress, Pulled, Restarted
from reconciler.model.samples import Samples
from reconciler.model.workload import RESOURCES, WorkloadKey
from reconciler.store.observations import ObservationStore
from reconciler.store.pulled import PulledStore
from reconciler.store.usage import UsageStore

WEB = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")
KEY = SeriesKey(workload=WEB, container="server", resource="cpu")
AT = int(datetime(2026, 6, 17, 10, tzinfo=UTC).timestamp())


def pulled(*values: float, restarts: int = 0) -> Pulled:
    index, seconds = np.zeros(len(values), np.int64), np.full(len(values), AT, np.int64)
    samples = Samples((KEY,), index, seconds, np.array(values))
    return Pulled(samples, (Restarted(WEB, "server", AT, restarts, True, 1 << 20),) if restarts else ())


def counted(engine: Engine) -> tuple[int, int]:
    """Samples and OOM kills."""
    first, last = datetime.fromtimestamp(AT - 86400, UTC), datetime.fromtimestamp(AT + 86400, UTC)
    found = UsageStore(engine).summaries("prod", since=first, until=last, quantiles=dict.fromkeys(RESOURCES, 0.95))
    kills = ObservationStore(engine).ooms("prod", first, last)
    return sum(one.samples for one in found.values()), sum(one.oom_kills for one in kills.values())


def test_several_pods_at_one_second_all_count_and_the_progress_is_kept(engine: Engine) -> None:
    store = PulledStore(engine)
    assert store.progress("prod") is None
    assert store.record("prod", None, Progress(AT, (AT + 900, AT + 1800)), pulled(0.1, 0.2, restarts=2))
    assert counted(engine) == (2, 2)
    assert PulledStore(engine).progress("prod") == Progress(AT, (AT + 900, AT + 1800))
    assert store.known("prod") == (AT // 86400 * 86400, AT)
    assert (store.progress("dev"), store.known("dev")) == (None, None)


def test_of_two_servers_that_pulled_the_same_one_stores_it(engine: Engine) -> None:
    one, other = PulledStore(engine), PulledStore(engine)
    assert one.record("prod", None, Progress(AT), pulled(0.1, restarts=1))
    assert not other.record("prod", None, Progress(AT), pulled(0.1, restarts=1))
    assert counted(engine) == (1, 1)


def test_what_cannot_be_stored_moves_nothing(engine: Engine) -> None:
    store = PulledStore(engine)
    with pytest.raises(ValueError, match="negative"):
        store.record("prod", None, Progress(AT), pulled(0.1, -1.0, restarts=1))
    assert store.progress("prod") is None
    assert counted(engine) == (0, 0)


seconds = st.integers(0, 400).map(lambda steps: steps * 97)


@given(oldest=seconds, known=st.none() | st.tuples(seconds, seconds).map(lambda t: (min(t), max(t))), until=seconds)
def test_every_sample_is_pulled_once_or_was_there(oldest: int, known: tuple[int, int] | None, until: int) -> None:
    progress, asked = Progress.begin(oldest, known), []
    while (stretch := progress.next(until)) is not None:
        step = (stretch[0] // STEP_SECONDS + 1) * STEP_SECONDS
        asked.append(step)
        progress = Progress.load(progress.moved(step).dump())
    first, last = known or (until + 1, until)
    samples = range((oldest // STEP_SECONDS + 1) * STEP_SECONDS, until + 1, STEP_SECONDS)
    assert asked == [second for second in samples if not first <= second <= last]
