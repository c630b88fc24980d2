"""Proof for roots that Argo CD or Flux brings about: the revision that it has synced, and how what is in it is."""

from reconciler.agent.kubernetes import argo, flux
from reconciler.agent.kubernetes.cluster import Cluster, Throttled, Unreachable
from reconciler.agent.link import Desired
from reconciler.errors import TrimtabError
from reconciler.model.agent import RootStatus


class Proofs:
    """Looks at the objects of Argo CD and Flux; each kind is listed once a step, and only where a root is theirs."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def look(self, desired: Desired) -> tuple[tuple[RootStatus, ...], bool]:
        """The state of each root that is not the agent's, and whether it could be read at all."""
        try:
            return self._argo(desired) + self._flux(desired), True
        except (Throttled, Unreachable):
            return (), False

    def _argo(self, desired: Desired) -> tuple[RootStatus, ...]:
        paths = [str(root["path"]) for root in desired.roots if root["sync"] == "argocd"]
        if not paths:
            return ()
        try:
            found = [one for item in self._cluster.list(*argo.KIND) for one in argo.sources_of(item)]
        except (Throttled, Unreachable):
            raise
        except TrimtabError as error:
            return tuple(
                RootStatus(path=path, sync="argocd", health="missing", message=_unread("Applications", error))
                for path in paths
            )
        return tuple(argo.proof(path, desired.repository, found) for path in paths)

    def _flux(self, desired: Desired) -> tuple[RootStatus, ...]:
        paths = [str(root["path"]) for root in desired.roots if root["sync"] == "flux"]
        if not paths:
            return ()
        try:
            version = next((one for one in flux.VERSIONS if self._cluster.serves(one, flux.KIND)), flux.VERSIONS[0])
            found = [flux.summary(item) for item in self._cluster.list(version, flux.KIND)]
        except (Throttled, Unreachable):
            raise
        except TrimtabError as error:
            return tuple(
                RootStatus(path=path, sync="flux", health="missing", message=_unread("Kustomizations", error))
                for path in paths
            )
        return tuple(flux.proof(path, found) for path in paths)


def _unread(what: str, error: TrimtabError) -> str:
    return f"{what} cannot be listed: {error.message}"
