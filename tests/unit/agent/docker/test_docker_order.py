"""What the server's command says, and how long it leaves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.agent.docker.order import read_order
from reconciler.errors import InputError

NOW = datetime(2026, 6, 30, 8, 12, 4, tzinfo=UTC)


def body(**more: Any) -> dict[str, Any]:
    payload = {"hostPool": "web-pool", "group": "web", "replicas": 5, "fromReplicas": 4, "lbPoolRef": None}
    return {
        "command_id": "cmd_1",
        "type": "docker.scale",
        "policyId": "scp_1",
        "payload": payload,
        "issued_at": "2026-06-30T08:12:04Z",
        "expires_at": "2026-06-30T08:14:04Z",
    } | more


def test_a_command_as_documented() -> None:
    order = read_order(body(), "web-pool")
    assert (order.id, order.policy_id, order.group, order.replicas, order.ref) == ("cmd_1", "scp_1", "web", 5, "")
    assert not order.expired(NOW) and order.expired(NOW + timedelta(minutes=2))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "docker.exec"}, "does not know the command 'docker.exec'"),
        ({"payload": None}, "cannot be read"),
        ({"payload": {"hostPool": "web-pool", "group": "web"}}, "KeyError: 'replicas'"),
        (
            {"payload": body()["payload"] | {"hostPool": "other"}},
            "is for host pool 'other', and this host is in 'web-pool'",
        ),
        ({"payload": body()["payload"] | {"replicas": -1}}, "asks for -1 containers"),
        ({"expires_at": "soon"}, "cannot be read"),
    ],
)
def test_what_is_odd_is_refused_in_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_order(body(**wrong), "web-pool")


@pytest.mark.parametrize(
    ("after", "most", "seconds"),
    [
        (0, 90, 90),
        (0, 200, 105),
        (60, 90, 45),
        (110, 90, 5),
        (500, 90, 90),
        (-100, 90, 90),
    ],
)
def test_new_containers_have_until_shortly_before_it_expires(after: float, most: float, seconds: float) -> None:
    order = read_order(body(), "web-pool")
    assert order.seconds(NOW + timedelta(seconds=after), most) == seconds
