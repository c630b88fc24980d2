"""Proof for roots that Argo CD or Flux brings about: the revision that it has synced, and how what is in it is."""

from collections.abc import Callable
from typing import Literal

from reconciler.agent.kubernetes import argo, flux
from reconciler.agent.kubernetes.cluster import Cluster, Throttled, Unreachable
from reconciler.agent.link import Desired
from reconciler.errors import TrimtabError
from reconciler.model.agent import RootStatus

_Prove = Callable[[str], RootStatus]
"""The state of the root at a path."""


class Proofs:
    """Looks at the objects of Argo CD and Flux; each kind is listed once a step, and only where a root is theirs."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def look(self, desired: Desired) -> tuple[tuple[RootStatus, ...], bool]:
        """The state of each root that is not the agent's, and whether it could be read at all."""
        try:
            by_argo = self._roots(desired, "argocd", "Applications", self._applications)
            by_flux = self._roots(desired, "flux", "Kustomizations", self._kustomizations)
        except (Throttled, Unreachable):
            return (), False
        return by_argo + by_flux, True

    def _roots(
        self, desired: Desired, sync: Literal["argocd", "flux"], what: str, read: Callable[[Desired], _Prove]
    ) -> tuple[RootStatus, ...]:
        paths = [str(root["path"]) for root in desired.roots if root["sync"] == sync]
        if not paths:
            return ()
        try:
            prove = read(desired)
        except (Throttled, Unreachable):
            raise
        except TrimtabError as error:
            hint = f"; {error.hint}" if error.hint else ""
            message = f"{what} cannot be listed: {error.message}{hint}"
            return tuple(RootStatus(path=path, sync=sync, health="missing", message=message) for path in paths)
        return tuple(prove(path) for path in paths)

    def _applications(self, desired: Desired) -> _Prove:
        found = [one for item in self._cluster.list(*argo.KIND) for one in argo.sources_of(item)]
        return lambda path: argo.proof(path, desired.repository, found)

    def _kustomizations(self, _: Desired) -> _Prove:
        version = next((one for one in flux.VERSIONS if self._cluster.serves(one, flux.KIND)), flux.VERSIONS[0])
        found = [flux.summary(item) for item in self._cluster.list(version, flux.KIND)]
        return lambda path: flux.proof(path, found)
