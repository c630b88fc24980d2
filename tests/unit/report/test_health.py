"""``applyHealth``: what stands in Git, and what the cluster's agent has reported of it, as one word."""

from typing import Any

import pytest

from reconciler.model.agent import StatusReport
from reconciler.model.policy import PolicyState, ScalingPolicy
from reconciler.report.health import apply_health, health_message
from support.declared import NOW, policy

HPA, POOL = "HorizontalPodAutoscaler shop/web", "NodePool default"
NEWEST = "b" * 40
OLDER = "a" * 40


def state(*objects: str, **fields: Any) -> PolicyState:
    given = {"policy_id": "policy-web", "objects": objects, "revision": NEWEST if objects else "", "evaluated_at": NOW}
    return PolicyState.model_validate({**given, **fields})


def report(*statuses: str, revision: str = NEWEST, proves: tuple[str, ...] = (), **objects: str) -> StatusReport:
    """What was said of the HPA (and of the NodePool, as ``pool``), with a stranger's object that failed."""
    said = [("HorizontalPodAutoscaler", "shop", "web", status) for status in statuses]
    said += [("NodePool", "", "default", status) for status in objects.values()]
    said += [("HorizontalPodAutoscaler", "other", "web", "failed"), ("Deployment", "shop", "web", "drifted")]
    return StatusReport.model_validate(
        {
            "agent_id": "agent_1",
            "cluster": "prod",
            "revision": revision,
            "at": NOW,
            "proves": proves,
            "objects": [
                {"apiVersion": "v1", "kind": k, "namespace": ns, "name": n, "status": s, "message": f"{n} is {s}"}
                for k, ns, n, s in said
            ],
        }
    )


@pytest.mark.parametrize(
    ("health", "found", "told"),
    [
        ("unknown", None, None),
        ("pending", state(), None),
        ("pending", state(held="outside of its windows"), report("applied")),
        ("pending", state(HPA), None),
        ("pending", state(HPA), report()),
        ("pending", state(HPA), report("applied", revision=OLDER)),
        ("pending", state(HPA), report("applied", revision="c" * 40, proves=(OLDER,))),
        ("pending", state(HPA, POOL), report("applied")),
        ("applied", state(HPA), report("applied")),
        ("applied", state(HPA), report("applied", revision="c" * 40, proves=(OLDER, NEWEST))),
        ("applied", state(HPA, proved=True), report("applied", revision="c" * 40)),
        ("applied", state(HPA, POOL), report("applied", pool="applied")),
        ("applied", state(HPA, "NodePool /default"), report("applied", pool="applied")),
        ("drifted", state(HPA), report("drifted")),
        ("drifted", state(HPA, POOL), report("applied", pool="drifted")),
        ("drifted", state(HPA), report("drifted", revision=OLDER)),
        ("failed", state(HPA), report("failed")),
        ("failed", state(HPA, POOL), report("drifted", pool="failed")),
        ("failed", state(HPA, failure="the push was refused"), report("applied")),
        ("failed", state(failure="the push was refused"), None),
    ],
)
def test_a_live_kubernetes_policy(health: str, found: PolicyState | None, told: StatusReport | None) -> None:
    assert apply_health(policy(), found, told) == health


@pytest.mark.parametrize("fields", [{"dry_run": True}, {"enabled": False}])
def test_a_policy_that_is_not_live_is_unknown(fields: dict[str, bool]) -> None:
    assert apply_health(policy(**fields), state(HPA), report("failed")) == "unknown"
    assert health_message(policy(**fields), state(HPA), report("failed")) == ""


def docker() -> ScalingPolicy:
    return policy(runtime="docker", target="web-pool/web")


@pytest.mark.parametrize(
    ("health", "fields"),
    [
        ("pending", {}),
        ("pending", {"revision": NEWEST}),
        ("applied", {"revision": NEWEST, "proved": True}),
        ("failed", {"revision": NEWEST, "failure": "web-1: no such image"}),
    ],
)
def test_a_docker_policy_goes_by_what_its_commands_were_answered(health: str, fields: dict[str, Any]) -> None:
    assert apply_health(docker(), state(**fields), None) == health


@pytest.mark.parametrize(
    ("words", "found", "told"),
    [
        ("", state(HPA), report("applied")),
        ("committed", state(), None),
        ("held until 22:00", state(HPA, held="held until 22:00"), None),
        ("two HPAs", state(conflict="two HPAs"), None),
        ("cluster prod", state(HPA, cluster="prod"), None),
        (NEWEST[:12], state(HPA), report("applied", revision=OLDER)),
        (f"{HPA}: web is drifted", state(HPA), report("drifted")),
        (f"{POOL}: default is failed", state(HPA, POOL), report("drifted", pool="failed")),
        ("the push was refused", state(HPA, failure="the push was refused"), report("applied")),
    ],
)
def test_people_are_told_why(words: str, found: PolicyState, told: StatusReport | None) -> None:
    message = health_message(policy(), found, told)
    assert words in message if words else message == ""
    assert "other" not in message  # nothing of another policy's object
