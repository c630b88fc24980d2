"""Check a tree that is not committed yet: the configuration, every root, and that no patch of ours loses its object."""

from collections.abc import Iterable

from reconciler.errors import TrimtabError
from reconciler.evaluate.filters import FilterError
from reconciler.evaluate.filters import parse as parse_filter
from reconciler.evaluate.index import Index
from reconciler.evaluate.scaling import policy_proposals
from reconciler.evaluate.stale import disorder, stale_proposals
from reconciler.gate.windows import check_window
from reconciler.manifests.wiring import EMPTY_COMPONENT
from reconciler.model.fleet import Root
from reconciler.model.inventory import Problem, RootState
from reconciler.model.state import FleetState
from reconciler.model.tree import Tree
from reconciler.observe.git_state import read_fleet
from reconciler.observe.inventory import read_root
from reconciler.observe.kustomize import Builder
from reconciler.steps.container_groups import read_groups
from reconciler.steps.lxc_containers import read_containers
from reconciler.steps.proving import compare
from reconciler.steps.scene import ref_key
from reconciler.steps.view import View


def check_tree(tree: Tree, builder: Builder | None) -> tuple[Problem, ...]:
    """Everything wrong in ``tree``, by file, line and field. A trimtab.yaml that cannot be used is the only problem then."""
    try:
        state = read_fleet(tree, check_window=check_window)
    except TrimtabError as error:
        return (_problem("trimtab.yaml", error),)
    found = [*state.problems, *_filters(state), *read_groups(View(tree), state)[1]]
    found += read_containers(View(tree), state)[1]
    roots: list[RootState] = []
    for cluster in state.fleet.clusters:
        for root in cluster.roots:
            read = _read(tree, cluster.name, root, builder)
            roots.append(read)
            found += read.inventory.problems
            found += _orphans(read, root)
            if builder is not None and read.inventory.wired and not any(p.blocks_root for p in read.inventory.problems):
                found += _built(tree, builder, root, read)
    found += _policies(state, roots)
    return tuple(dict.fromkeys(found))


def _problem(path: str, error: TrimtabError) -> Problem:
    where = error.where
    return Problem(
        path=where.path if where else path,
        line=where.line if where else 0,
        field=where.field if where else "",
        message=error.message,
        hint=error.hint,
        blocks_root=True,
    )


def _filters(state: FleetState) -> Iterable[Problem]:
    for action in state.actions:
        try:
            parse_filter(action.filter)
        except FilterError as error:
            yield Problem(path=action.path, field="spec.config.filter", message=error.message, hint=error.hint)


def _read(tree: Tree, cluster: str, root: Root, builder: Builder | None) -> RootState:
    def build(path: str) -> bytes:
        assert builder is not None
        builder.materialize(tree, {})
        return builder.build(path)

    return read_root(tree, cluster, root, build=build if builder else None)


_MISSES = "Trimtab does so at its next pass; until then it misses, or changes another object, too"
_DISORDERED = (
    "Trimtab does so at its next pass; until then the build has the containers in the file's order, and one that is gone "
    "comes back without an image. To have it right at once, list them in the file as the manifest does, in the same change"
)


def _orphans(state: RootState, root: Root) -> Iterable[Problem]:
    disordered = _disordered(state)
    for proposal in stale_proposals(state, root):
        for path in sorted({edit.path for edit in proposal.edits}):
            if path in state.mistargeted:
                hint = _DISORDERED if path in disordered else _MISSES
                yield Problem(path=path, message=proposal.reason, hint=hint)
                continue
            yield Problem(
                path=path,
                message=f"this would be left without its object: {proposal.reason}",
                hint="delete the file in the same change, or let Trimtab drop it at its next pass",
            )


def _disordered(state: RootState) -> frozenset[str]:
    if not state.mistargeted:
        return frozenset()
    workloads = {ref_key(workload.ref): workload for workload in state.inventory.workloads}
    files = {path: state.overlay[path] for path in state.mistargeted}
    return frozenset(path for path, file in files.items() if disorder(file, workloads.get(ref_key(file.target))))


def _built(tree: Tree, builder: Builder, root: Root, state: RootState) -> Iterable[Problem]:
    empty = {f"{root.overlay_path}/kustomization.yaml": EMPTY_COMPONENT.encode()}
    builder.materialize(tree, empty)
    people = builder.build_many([root.path])[root.path]
    builder.materialize(tree, {})
    built = builder.build_many([root.path])[root.path]
    for path, message in compare(state, people, built):
        yield Problem(
            path=path or root.path, message=message if path else f"does not build: {message}", blocks_root=True
        )


def _policies(state: FleetState, roots: list[RootState]) -> Iterable[Problem]:
    """Targets that are nowhere, and conflicts of live policies with what people wrote."""
    from reconciler.clock import system_clock

    scaled = policy_proposals(
        state.policies, Index(tuple(roots)), state.fleet, now=system_clock(), observations={}, policies_complete=False
    )
    yield from scaled.problems
    paths = {policy.id: policy.path for policy in state.policies}
    for proposal in scaled.proposals:
        if proposal.blocked:
            yield Problem(path=paths.get(proposal.subject.id, "policies"), message=proposal.blocked)
