"""Policies as they are shown: from the database and from Git, each with what the newest pass made of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from api.auth import Principal
from api.errors import NotFound
from api.scaling.asking import allow, cluster_of
from api.scaling.schemas import PolicyView
from api.server import Server
from reconciler.model.agent import StatusReport
from reconciler.model.policy import PolicyState, ScalingPolicy
from reconciler.report.health import apply_health, health_message
from reconciler.steps.scene import concerns
from reconciler.steward import Steward

_ID = re.compile(r"scp_[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True)
class Found:
    """A policy and the steward of the fleet repo that it is about; None while there is none."""

    policy: ScalingPolicy
    steward: Steward | None


def may_be_id(text: str) -> bool:
    """Whether any policy could have this id: a database is not asked about other texts."""
    return bool(_ID.fullmatch(text))


def declared(server: Server, organization: str) -> Iterator[Found]:
    """The policies in the fleet repos, by file."""
    for steward in server.of(organization):
        state = steward.watch.state
        for policy in state.policies if state else ():
            if policy.source == "git":
                yield Found(policy, steward)


def every(server: Server, principal: Principal) -> Iterator[Found]:
    """The policies within reach: those declared in Git by file, then those made through the API, the oldest first."""
    yield from (found for found in declared(server, principal.organization) if _sees(server, principal, found.policy))
    for stored in server.stores.policies.of(principal.organization):
        policy = stored.as_policy()
        if _sees(server, principal, policy):
            yield Found(policy, _home(server, principal.organization, policy))


def find(server: Server, principal: Principal, policy_id: str) -> Found:
    """:raises NotFound: when the organization has none of that id.  :raises Forbidden: when it is out of the key's reach."""
    organization = principal.organization
    found = next((one for one in declared(server, organization) if one.policy.id == policy_id), None)
    stored = server.stores.policies.find(policy_id) if found is None and may_be_id(policy_id) else None
    if stored is not None and stored.organization == organization:
        policy = stored.as_policy()
        found = Found(policy, _home(server, organization, policy))
    if found is None:
        raise NotFound(f"there is no policy {policy_id!r}")
    spec = found.policy.spec
    allow(principal, cluster_of(server, organization, spec), spec.cluster)
    return found


def _sees(server: Server, principal: Principal, policy: ScalingPolicy) -> bool:
    cluster = cluster_of(server, principal.organization, policy.spec)
    return principal.sees(cluster.name if cluster else policy.spec.cluster, cluster.id if cluster else "")


def _home(server: Server, organization: str, policy: ScalingPolicy) -> Steward | None:
    return next((steward for steward, fleet in server.fleets(organization) if concerns(policy, fleet)), None)


@dataclass
class Views:
    """Makes views for one request; what several policies share is read once."""

    server: Server
    organization: str
    _states: dict[str, dict[str, PolicyState]] = field(default_factory=dict)
    _reports: dict[str, StatusReport] | None = None

    def view(self, found: Found) -> PolicyView:
        policy, state = found.policy, self._state(found)
        spec, report = policy.spec, self._report(policy)
        conflict = (state.conflict if state else "") or _homeless(found)
        return PolicyView(
            id=policy.id,
            **spec.model_dump(exclude={"cluster"}),
            strategy=spec.strategy,
            cluster=spec.cluster,
            current_replicas=state.current_replicas if state else None,
            desired_replicas=state.desired_replicas if state else None,
            apply_health=apply_health(policy, state, report),
            last_evaluated_at=state.evaluated_at if state else None,
            source=policy.source,
            conflict=conflict or None,
            held=(state.held if state else "") or None,
            apply_message=health_message(policy, state, report) or None,
        )

    def _state(self, found: Found) -> PolicyState | None:
        if found.steward is None:
            return None
        fleet = found.steward.watch.url
        if fleet not in self._states:
            self._states[fleet] = self.server.stores.policies.states([fleet])
        return self._states[fleet].get(found.policy.id)

    def _report(self, policy: ScalingPolicy) -> StatusReport | None:
        cluster = cluster_of(self.server, self.organization, policy.spec)
        if self._reports is None:
            self._reports = self._by_cluster()
        return self._reports.get(cluster.name) if cluster else None

    def _by_cluster(self) -> dict[str, StatusReport]:
        """The newest report about each cluster, from the organization's own agents."""
        newest: dict[str, StatusReport] = {}
        keys = {agent.observed_as: agent.cluster for agent in self.server.stores.agents.list(self.organization)}
        for observed_as, name in keys.items():
            cluster = self.server.cluster(self.organization, name)
            report = self.server.stores.reports.newest(observed_as) if cluster else None
            if cluster and report:
                known = newest.get(cluster[1].name)
                newest[cluster[1].name] = max(report, known, key=lambda r: r.at) if known else report
        return newest


def _homeless(found: Found) -> str:
    """Why no fleet repo takes care of a policy; empty when one does."""
    spec = found.policy.spec
    if found.steward is not None:
        return ""
    if spec.runtime == "docker":
        return f"no fleet repo declares the host pool {spec.target_namespace}: name it under spec.hostPools of trimtab.yaml"
    if spec.runtime == "lxc":
        return f"no fleet repo declares the node {spec.target_namespace}: name it under spec.lxcNodes of trimtab.yaml"
    if spec.cluster is not None:
        return (
            f"no fleet repo declares the cluster {spec.cluster} any more: name it under spec.clusters of trimtab.yaml"
        )
    return "no fleet repo of the organization is served: start the server with --fleet"
