"""What `trimtab doctor` looks at. Each check yields (mark, message, next step); one that raises ends the examination."""

from collections.abc import Callable, Iterator, Mapping

from reconciler.commit.push_check import push_problem
from reconciler.evaluate.index import Index
from reconciler.evaluate.stale import stale_proposals
from reconciler.gate.windows import check_window, warn_short
from reconciler.model.workload import WorkloadKey
from reconciler.observe.git_state import read_fleet
from reconciler.render.files import MAX_TARGETED_PATCHES
from reconciler.report.passes import counted
from reconciler.steps import evaluating, proving
from reconciler.steps.calendar import PASS_INTERVAL
from reconciler.steps.container_groups import read_groups
from reconciler.steps.house import House
from reconciler.steps.lxc_containers import read_containers
from reconciler.steps.scene import Scene, read_scene
from reconciler.steps.view import View

Look = Iterator[tuple[str, str, str]]


def _scene(house: House) -> Scene:
    return read_scene(house, View(house.repository.tree(house.repository.head)), house.now())


def repository(house: House) -> Look:
    head = house.repository.fetch()
    yield "ok", f"{house.name} at {head[:10]} on {house.repository.branch}", ""
    if note := house.repository.remote.note:
        yield "warning", note, ""


def remote(house: House) -> Look:
    problem = push_problem(house.repository)
    if problem:
        yield (
            "failed",
            f"the remote does not take pushes: {problem}",
            "give Trimtab's account write access to the branch",
        )
    else:
        yield "ok", f"the remote takes pushes to {house.repository.branch}", ""


def identity(house: House) -> Look:
    delivery = read_fleet(house.repository.tree(house.repository.head), check_window=check_window).fleet.delivery
    signed = f", signed by {delivery.sign.format}" if delivery.sign else ""
    yield "ok", f"commits are by {delivery.author.name} <{delivery.author.email}>{signed}", ""


def configuration(house: House) -> Look:
    scene = _scene(house)
    state = scene.state
    _, unreadable = evaluating.readable_actions(state.actions)
    _, unusable = read_groups(scene.view, state)
    _, unread = read_containers(scene.view, state, keeps=house.keeps_lxc_node)
    problems = [*state.problems, *unreadable, *unusable, *unread]
    for problem in problems:
        yield "failed", str(problem), problem.hint
    owners = [state.fleet.windows, *(c.windows for c in state.fleet.clusters)]
    owners += [p.windows for p in state.policies] + [a.windows for a in state.actions]
    for window in [w for owner in owners for w in owner.maintenance]:
        if warning := warn_short(window, PASS_INTERVAL):
            yield "warning", f"{window.source}: {warning}", ""
    if not problems:
        clusters, policies = (
            counted(len(state.fleet.clusters), "cluster"),
            counted(len(state.policies), "policy", "policies"),
        )
        yield "ok", f"{clusters}, {policies} and {counted(len(state.actions), 'action')} are declared", ""


def roots(house: House) -> Look:
    scene = _scene(house)
    if house.builder is None:
        yield (
            "warning",
            "neither kustomize nor kubectl is on PATH",
            "install one of them: roots are built before a commit",
        )
    for path, root in scene.roots.items():
        for problem in root.state.inventory.problems:
            yield "failed" if problem.blocks_root else "warning", str(problem), problem.hint
        if not root.state.inventory.wired:
            yield "failed", f"{path} does not list the component {root.root.overlay_path}", "run: trimtab init"
    if house.builder is not None:
        for path, wrong in proving.examine(house, scene).items():
            for ours, message in wrong:
                yield "failed", f"{ours or path}: {message}", "mend the manifests, or let trimtab check say so in CI"
            if not wrong:
                yield "ok", f"{path} builds, and every patch changes just what it says", ""


def patches(house: House) -> Look:
    scene = _scene(house)
    stale = 0
    for path, root in scene.roots.items():
        for proposal in stale_proposals(root.state, root.root):
            stale += 1
            yield "warning", proposal.reason, "the next pass mends it"
        count = sum(1 for file in root.state.overlay.values() if file.form != "hpa")
        if count > MAX_TARGETED_PATCHES:
            yield (
                "warning",
                f"{path} has {count} patches: kustomize gets slow above {MAX_TARGETED_PATCHES}",
                "split the root",
            )
    if not stale:
        yield "ok", "every patch has its object", ""


def autoscalers(house: House) -> Look:
    scene = _scene(house)
    evaluated = evaluating.policies_phase(house, scene)
    blocked = [p for p in evaluated.proposals if p.blocked]
    for proposal in blocked:
        yield "warning", f"policy {proposal.subject.name}: {proposal.blocked}", ""
    for problem in evaluated.problems:
        yield "warning", str(problem), problem.hint
    yield from _hand_overs(scene)
    if not blocked:
        yield "ok", "no policy is in conflict with an HPA, or with spec.replicas, of people's", ""


def _hand_overs(scene: Scene) -> Look:
    """Client-side Argo CD takes replicas for its own unless it is told to ignore them (DESIGN §3)."""
    by_key = {w.key: r for r in scene.roots.values() for w in r.state.inventory.workloads}
    for policy in scene.state.policies:
        placed = Index(scene.root_states).workloads
        target = (policy.spec.cluster or "", policy.spec.target_namespace, "Deployment", policy.spec.target_name)
        if not policy.spec.hand_over or target not in placed:
            continue
        cluster, namespace, kind, name = target
        root = by_key.get(WorkloadKey(cluster=cluster, namespace=namespace, kind=kind, name=name))
        if root and root.root.sync == "argocd":
            yield (
                "warning",
                f"policy {policy.spec.name} hands replicas over to its HPA, and Argo CD syncs {root.root.path}",
                "unless it syncs with ServerSideApply, ignoreDifferences of the Application must name /spec/replicas",
            )


CHECKS: Mapping[str, Callable[[House], Look]] = {
    "repository": repository,
    "remote": remote,
    "identity": identity,
    "configuration": configuration,
    "roots": roots,
    "patches": patches,
    "autoscalers": autoscalers,
}
