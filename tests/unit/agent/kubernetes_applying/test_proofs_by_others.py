"""What Argo CD and Flux have brought about is proved by their own objects."""

from collections.abc import Iterator

import pytest

from reconciler.agent.kubernetes.argo import normal, same_repository
from reconciler.agent.kubernetes.flux import commit_of
from reconciler.model.agent import RootStatus
from support.kube_applying import World, world

FLEET = "https://git.example.com/acme/fleet.git"
SHA = "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345"


@pytest.fixture(scope="module")
def one() -> Iterator[World]:
    with world() as made:
        made.double.install("argoproj.io/v1alpha1", "Application", "applications")
        made.double.install("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations")
        yield made


def look(one: World, path: str, sync: str) -> RootStatus:
    (root,) = one.round(roots=({"path": path, "namespace": "x", "sync": sync},), repository=FLEET).roots
    return root


def application(one: World, name: str, *, sync: str = "Synced", health: str = "Healthy", **spec: object) -> None:
    several = "sources" in spec
    revision = {"revisions": ["f" * 40, SHA]} if several else {"revision": SHA}
    one.double.put(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": spec,
            "status": {"sync": {"status": sync, **revision}, "health": {"status": health}},
        }
    )


def kustomization(one: World, name: str, path: str, *, ready: str = "True", seen: int = 1, **status: object) -> None:
    condition = {"type": "Ready", "status": ready, "reason": "R", "message": "it says so", "observedGeneration": seen}
    one.double.put(
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system"},
            "spec": {"path": path},
            "status": {"lastAppliedRevision": f"main@sha1:{SHA}", "conditions": [condition], **status},
        }
    )


def test_an_application_proves_its_root(one: World) -> None:
    application(one, "demo", source={"path": "./clusters/demo/", "repoURL": FLEET})
    root = look(one, "clusters/demo", "argocd")
    assert root.source == "Application argocd/demo"
    assert (root.revision, root.synced, root.health) == (SHA, True, "healthy")
    assert one.told.reports[-1][2] == (root,)
    assert not one.writes()


def test_the_application_of_the_fleet_repo_counts_where_two_have_the_path(one: World) -> None:
    application(one, "a-fork", source={"path": "clusters/two", "repoURL": "https://git.example.com/fork/fleet"})
    application(
        one, "mine", sync="OutOfSync", source={"path": "clusters/two", "repoURL": "git@git.example.com:acme/fleet"}
    )
    root = look(one, "clusters/two", "argocd")
    assert (root.source, root.synced) == ("Application argocd/mine", False)


def test_of_several_sources_the_revision_of_the_right_one_counts(one: World) -> None:
    chart = {"chart": "postgres", "repoURL": "https://charts.example.com"}
    application(one, "several", health="Degraded", sources=[chart, {"path": "clusters/many", "repoURL": FLEET}])
    root = look(one, "clusters/many", "argocd")
    assert (root.revision, root.health) == (SHA, "degraded")


def test_a_root_without_an_application_is_missing_and_says_what_was_looked_for(one: World) -> None:
    root = look(one, "clusters/nowhere", "argocd")
    assert root.health == "missing" and "Application" in root.message and "clusters/nowhere" in root.message


def test_a_kustomization_proves_its_root(one: World) -> None:
    kustomization(one, "demo", "./clusters/flux")
    root = look(one, "clusters/flux", "flux")
    assert root.source == "Kustomization flux-system/demo"
    assert (root.revision, root.synced, root.health) == (SHA, True, "healthy")


def test_a_kustomization_that_is_not_ready_says_why(one: World) -> None:
    kustomization(one, "broken", "./clusters/broken", ready="False")
    root = look(one, "clusters/broken", "flux")
    assert (root.synced, root.health, root.message) == (False, "degraded", "it says so")


def test_what_was_said_of_an_older_generation_is_no_proof(one: World) -> None:
    kustomization(one, "old", "./clusters/old", seen=0)
    root = look(one, "clusters/old", "flux")
    assert (root.synced, root.health) == (False, "progressing")


def test_a_cluster_without_flux_says_that_it_is_missing() -> None:
    with world() as bare:
        root = look(bare, "clusters/flux", "flux")
        assert root.health == "missing" and "Kustomization" in root.message


def test_paths_repositories_and_revisions_are_compared_by_what_they_mean() -> None:
    assert normal("./clusters//prod/") == "clusters/prod" and normal("./") == "." == normal("")
    assert same_repository("https://user:pw@Git.example.com/acme/fleet.git", "ssh://git@git.example.com/acme/fleet")
    assert same_repository("git@git.example.com:acme/fleet.git", "https://git.example.com/acme/fleet/")
    assert not same_repository("https://git.example.com/acme/fleet", "https://git.example.com/acme/fleet2")
    assert not same_repository("", "")
    assert commit_of(f"main@sha1:{SHA}") == commit_of(f"main/{SHA}") == commit_of(f"sha1:{SHA}") == SHA
