"""When a new container is up, and what is said when it is not."""

from typing import Any

import pytest

from reconciler.agent.docker.readiness import Broken, is_up, serves, without_secrets


def inspected(health: str = "", restarts: int = 0, **state: Any) -> dict[str, Any]:
    full = {"Running": True, "Restarting": False, "ExitCode": 0, **state}
    if health:
        full["Health"] = {"Status": health, "Log": [{"ExitCode": 7, "Output": "first\nno database\n"}]}
    return {"Name": "/web-3", "State": full, "RestartCount": restarts, "Config": {"Env": ["TOKEN=s3cret-value", "X=1"]}}


def test_its_own_check_decides_where_there_is_one() -> None:
    assert is_up(inspected("healthy"), 0, 0)
    assert not is_up(inspected("starting"), 60, 0)
    with pytest.raises(Broken, match=r"^web-3 is unhealthy \(its check ended with code 7: no database\)$"):
        is_up(inspected("unhealthy"), 60, 0)


def test_without_one_it_must_stay_up_for_two_seconds() -> None:
    assert not is_up(inspected(), 1.9, 0)
    assert is_up(inspected(), 2.0, 0)
    assert is_up(inspected(restarts=3), 2.0, 3)
    assert is_up(inspected("none"), 2.0, 0)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (inspected(Running=False, ExitCode=137, OOMKilled=True), r"web-3 ended with code 137 \(out of memory\)"),
        (inspected(Running=False, ExitCode=127, Error="no such file"), "web-3 ended with code 127: no such file"),
        (inspected(Restarting=True, ExitCode=2), "web-3 does not stay up: it ended with code 2 and was started again"),
        (inspected(restarts=1), "web-3 does not stay up: it ended and was started again"),
    ],
)
def test_what_ends_is_not_up(gone: dict[str, Any], said: str) -> None:
    with pytest.raises(Broken, match=said):
        is_up(gone, 5, 0)


def test_requests_go_to_those_that_run_and_are_not_sick() -> None:
    assert serves(inspected()) and serves(inspected("healthy"))
    for not_now in (inspected("starting"), inspected("unhealthy"), inspected(Running=False), inspected(Paused=True)):
        assert not serves(not_now)


def test_values_of_its_environment_are_not_told() -> None:
    said = without_secrets("cannot log in with s3cret-value in 1 try", inspected())
    assert said == "cannot log in with *** in 1 try"
    assert len(without_secrets("x" * 1000, inspected())) == 300
