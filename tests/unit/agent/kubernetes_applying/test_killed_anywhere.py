"""The agent may end between any two calls: what it had begun is brought to its end by the next one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler.agent.kubernetes.cluster import Cluster, ObjectKey
from reconciler.agent.kubernetes.owning import owned_paths
from support.kube_applying import World, cpu_of, fields, hpa, requests, web, world

CPU = "spec.template.spec.containers.server.resources.requests.cpu"
CALLS = ("get", "apply", "patch", "delete")
MOST = 40


class Killed(BaseException):
    """Nothing catches it: it is the end of the process."""


class Mortal:
    """A cluster whose caller dies at its ``at``-th call: before the request was sent, or before the answer was read."""

    def __init__(self, cluster: Cluster, at: int, *, sent: bool, watch: Callable[[], None]) -> None:
        self._cluster, self._left, self._sent, self._watch = cluster, at, sent, watch
        self.over = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._counted(found) if name in CALLS else found

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._sent:
                raise Killed
            answer = call(*args, **more)
            self._watch()
            if self._left == 0:
                raise Killed
            return answer

        return counted


@pytest.fixture(scope="module")
def one() -> Iterator[World]:
    with world() as made:
        yield made


def test_a_kill_between_any_two_calls_leaves_nothing_undone_and_replicas_never_dip(one: World) -> None:
    kills = 0
    for sent in (False, True):
        for at in range(1, MOST):
            name = f"web-{at}-{'sent' if sent else 'not'}"
            ended = [_story(one, name, stage, at, sent=sent) for stage in ("taking", "changing", "leaving")]
            kills += sum(ended)
            if not any(ended):
                break
        else:
            raise AssertionError("the story has more calls than were tried")
    assert kills > 20, "hardly any call was interrupted"


def _story(one: World, name: str, stage: str, at: int, *, sent: bool) -> bool:
    """Play to ``stage``, die there at the call ``at``, start again; whether it died."""
    name = f"{name}-{stage}"
    key, scaler = ObjectKey("apps/v1", "Deployment", "shop", name), f"{name}"
    one.double.apply(web(name=name), manager="kubectl")
    one.told.git["Deployment", name] = {CPU: "100m", "spec.replicas": 3}
    one.restarted()
    low: list[int] = []
    stages = {
        "taking": [_named(requests("250m", replicas=5), name), hpa(name=scaler)],
        "changing": [_named(requests("260m"), name), hpa(12, name=scaler)],
        "leaving": [],
    }

    def watch() -> None:
        low.append(one.live(key)["spec"]["replicas"])

    died = False
    for here, manifests in stages.items():
        if here == stage:
            one.restarted(Mortal(one.cluster, at, sent=sent, watch=watch))
            try:
                _rounds(one, manifests)
            except Killed:
                died = True
            one.restarted(Mortal(one.cluster, 10_000, sent=True, watch=watch))
        _rounds(one, manifests)
        if here == stage:
            break
    _check(one, key, stage)
    assert min(low, default=3) >= 3, f"{name}: replicas went down to {min(low)} at call {at} of {stage}"
    one.restarted()
    _rounds(one, [])
    one.double.drop("Deployment", "shop", name)
    return died


def _rounds(one: World, manifests: list[dict[str, Any]]) -> None:
    for _ in range(2):
        one.round(*manifests)


def _named(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "name": name}}


def _check(one: World, key: ObjectKey, stage: str) -> None:
    live, scaler = one.live(key), one.double.get("HorizontalPodAutoscaler", "shop", key.name)
    if stage == "leaving":
        assert (cpu_of(live), scaler, owned_paths(live)) == ("100m", None, frozenset()), key.name
        assert not [each for each in one.applier._store.inventory.records if each.name == key.name]
    else:
        assert scaler is not None and scaler["spec"]["maxReplicas"] == (10 if stage == "taking" else 12)
        assert cpu_of(live) == ("250m" if stage == "taking" else "260m"), key.name
        assert live["spec"]["replicas"] == 5, key.name


def _dies_after_forcing(one: World, kind: str) -> Any:
    class Forcing:
        """A cluster whose caller dies as soon as something of ``kind`` was taken by force."""

        def __getattr__(self, name: str) -> Any:
            return getattr(one.cluster, name)

        def apply(self, manifest: Any, **how: Any) -> Any:
            answer = one.cluster.apply(manifest, **how)
            if how["force"] and manifest["kind"] == kind:
                raise Killed
            return answer

    return Forcing()


def test_who_had_drifted_is_told_though_the_agent_ended_right_after_it_was_put_back(one: World) -> None:
    one.double.apply(web(name="drifting"), manager="kubectl")
    wanted = _named(fields(replicas=5), "drifting")
    one.restarted()
    one.round(wanted)
    one.double.edit("Deployment", "shop", "drifting", {"spec": {"replicas": 2}}, manager="kubectl-scale")
    one.restarted(_dies_after_forcing(one, "Deployment"))
    with pytest.raises(Killed):
        one.round(wanted)
    one.restarted()
    (told,) = one.round(wanted).objects
    assert told.status == "drifted" and "kubectl-scale" in told.message


def test_an_hpa_of_somebodys_is_never_deleted_though_the_agent_ended_while_it_took_it(one: World) -> None:
    theirs = hpa(5, name="theirs")
    theirs["metadata"]["annotations"] = {}
    one.double.put(theirs, manager="kubectl")
    one.restarted(_dies_after_forcing(one, "HorizontalPodAutoscaler"))
    with pytest.raises(Killed):
        one.round(hpa(name="theirs"))
    one.restarted()
    one.round(hpa(name="theirs"))
    one.round()
    assert one.double.get("HorizontalPodAutoscaler", "shop", "theirs") is not None
