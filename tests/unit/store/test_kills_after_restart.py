"""OOM kills as an agent counts them that was started anew: it sees the last one alone, which may be counted already."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from reconciler.model.observation import PushBody
from reconciler.store.observations import ObservationStore

AT = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)


def record(engine: Engine, minutes: int, restarts: int, kills: int) -> None:
    container = {"name": "server", "restartCount": restarts, "oomKills": kills}
    pod = {"namespace": "shop", "name": "web-0", "uid": "u1", "ownerKind": "StatefulSet", "ownerName": "web"}
    body = {"timestamp": AT + timedelta(minutes=minutes), "pods": [{**pod, "containers": [container]}]}
    assert ObservationStore(engine).record(PushBody.model_validate(body), cluster="prod", agent="a")


def kills(engine: Engine) -> int:
    (found,) = ObservationStore(engine).ooms("prod", AT, AT + timedelta(days=1)).values()
    return found.oom_kills


@pytest.mark.parametrize(
    ("restarts", "total"), [(3, 3), (4, 4)], ids=["nothing has happened since", "it was killed once more"]
)
def test_a_kill_that_was_counted_before_is_not_counted_again(engine: Engine, restarts: int, total: int) -> None:
    record(engine, 0, restarts=3, kills=3)
    record(engine, 1, restarts=restarts, kills=1)
    assert kills(engine) == total
    record(engine, 2, restarts=restarts + 1, kills=2)
    assert kills(engine) == total + 1
