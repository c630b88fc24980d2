"""Overlay files, and fields of them, whose object is gone: dropped at the next pass, whatever the windows say (DESIGN §3).

A patch whose workload a person deleted patches nothing (or breaks the build, without a ``target``); a patch of a renamed
container adds a container without an image. What a person took out of a quota or a NodePool must not be put back by ours.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from reconciler.evaluate.overlay_edits import removal, value_edit
from reconciler.manifests.container_order import is_out_of_order, standing_of
from reconciler.manifests.machine_files import path_for
from reconciler.model.change import Proposal, Subject
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, NodePool, Quota, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import BUILT_IN_KINDS, ObjectRef, Workload

TRIMTAB = Subject(kind="trimtab", id="trimtab", name="trimtab")

TARGET = "target"
"""The field of an edit by which a file is aimed at its object anew (:data:`reconciler.render.fields.TARGET`)."""

RefKey = tuple[str, str, str, str | None]
"""(group, kind, name, namespace or None): a version bump is the same object."""


@dataclass(frozen=True, eq=False)
class _Declared:
    """What a root declares, by the identity that machine-owned files name. ``autoscaled``: what has an HPA of ours.

    ``strays`` and ``twins`` as in :class:`~reconciler.model.inventory.Inventory`.
    """

    workloads: Mapping[RefKey, Workload]
    quotas: Mapping[RefKey, Quota]
    pools: Mapping[RefKey, NodePool]
    autoscaled: Collection[RefKey]
    strays: Mapping[str, str]
    twins: Mapping[str, str]
    overlay: str


@dataclass(frozen=True)
class _Stale:
    """Fields of one file that must go, and why. ``live``: the namespace and name of the object as people know it."""

    fields: tuple[str, ...] = ()
    why: str = ""
    live: tuple[str, str] = ("", "")


def stale_proposals(root_state: RootState, root: Root) -> tuple[Proposal, ...]:
    """One proposal for each machine-owned file of the root that is stale, as a whole or in part; sorted by path.

    Or whose object is to be found in another way since a person's change: that one is aimed anew. Nothing is concluded from an inventory with a
    problem that blocks the root: what is missing there may only be unread. What is gone from turndown files is not looked
    at here: :mod:`reconciler.evaluate.turndown` drops it.
    """
    inventory = root_state.inventory
    if not root_state.overlay or any(problem.blocks_root for problem in inventory.problems):
        return ()
    declared = _declared(root_state, root)
    proposals = []
    for path, file in sorted(root_state.overlay.items()):
        check = _CHECKS.get(file.form)
        stale = check(path, file, declared) if check is not None else _Stale()
        if stale.fields:
            proposals.append(_proposal(inventory, path, file, stale))
        elif path in root_state.mistargeted:
            proposals.append(_aimed_anew(inventory, path, file, stale.live, declared.workloads.get(_key(file.target))))
    return tuple(proposals)


def _declared(root_state: RootState, root: Root) -> _Declared:
    inventory = root_state.inventory
    return _Declared(
        {_key(workload.ref): workload for workload in inventory.workloads},
        {_key(quota.ref): quota for quota in inventory.quotas},
        {_key(pool.ref): pool for pool in inventory.node_pools},
        frozenset(
            _key(file.target)
            for file in root_state.overlay.values()
            if file.form == "hpa" and file.target.key not in inventory.strays
        ),
        inventory.strays,
        inventory.twins,
        root.overlay_path,
    )


def _workload_file(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    """A file about a workload that is gone, or that lives in another namespace than the file's place says."""
    workload = declared.workloads.get(_key(file.target))
    if workload is None:
        return _whole(file, f"{file.target.kind} {file.target.name} is no longer declared")
    live = workload.key.namespace, workload.key.name
    if path_for(declared.overlay, file.form, file.target, live[0]) != path:
        return _whole(file, f"{file.target.kind} {file.target.name} is now in namespace {live[0]}", live)
    return _Stale(live=live)


def _hpa(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    """An HPA that kustomize points at another workload since a person renamed a copy of this one."""
    found = _workload_file(path, file, declared)
    other = declared.strays.get(file.target.key)
    if found.fields or not other:
        return found
    return _whole(file, f"kustomize now points the HPA of {file.target.name} at {other}", found.live)


def _patch(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    """A patch that now hits another object as well, and nothing tells the two apart."""
    found = _workload_file(path, file, declared)
    return found if found.fields else _indistinct(file, declared, found.live)


def _indistinct(file: MachineFile, declared: _Declared, live: tuple[str, str]) -> _Stale:
    if declared.twins.get(file.target.key) != "":
        return _Stale(live=live)
    name = f"{file.target.kind} {file.target.name}"
    return _whole(file, f"kustomize cannot tell {name} from another one any more", live)


def _requests(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    found = _patch(path, file, declared)
    workload = declared.workloads.get(_key(file.target))
    if found.fields or workload is None:
        return found
    present = {("containers" if c.role == "main" else "initContainers", c.name) for c in workload.containers}
    fields = tuple(name for name in sorted(file.values) if tuple(name.split("/")[:2]) not in present)
    gone = ", ".join(dict.fromkeys(name.split("/")[1] for name in fields))
    return _Stale(
        fields, f"container {gone} of {file.target.kind} {file.target.name} is no longer declared", found.live
    )


def _replicas(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    """A handover ends with the field that it hands over, and with the HPA that it hands it to: else 1 replica is left."""
    found = _patch(path, file, declared)
    workload = declared.workloads.get(_key(file.target))
    if found.fields or workload is None:
        return found
    name = f"{file.target.kind} {file.target.name}"
    if workload.replicas is None:
        return _whole(file, f"{name} no longer sets spec.replicas", found.live)
    if _key(file.target) not in declared.autoscaled:
        return _whole(file, f"{name} has no HPA of Trimtab's any more", found.live)
    return found


def _quota(path: str, file: MachineFile, declared: _Declared) -> _Stale:
    quota = declared.quotas.get(_key(file.target))
    if quota is None:
        return _whole(file, f"ResourceQuota {file.target.name} is no longer declared")
    live = quota.namespace, quota.name
    if path_for(declared.overlay, "quota", file.target, quota.namespace) != path:
        return _whole(file, f"ResourceQuota {file.target.name} is now in namespace {quota.namespace}", live)
    indistinct = _indistinct(file, declared, live)
    if indistinct.fields:
        return indistinct
    fields = tuple(name for name in sorted(file.values) if name.partition("/")[2] not in quota.hard)
    return _Stale(fields, f"ResourceQuota {quota.name} no longer has {_last_parts(fields)}", live)


def _node_pool(_path: str, file: MachineFile, declared: _Declared) -> _Stale:
    pool = declared.pools.get(_key(file.target))
    if pool is None:
        return _whole(file, f"NodePool {file.target.name} is no longer declared")
    limits = {"limits/cpu": pool.cpu_limit, "limits/memory": pool.memory_limit}
    fields = tuple(name for name in sorted(file.values) if limits.get(name) is None)
    return _Stale(fields, f"NodePool {pool.name} no longer limits {_last_parts(fields)}", ("", pool.name))


_CHECKS: Mapping[str, Callable[[str, MachineFile, _Declared], _Stale]] = {
    "hpa": _hpa,
    "requests": _requests,
    "replicas": _replicas,
    "quota": _quota,
    "nodepool": _node_pool,
}


def _whole(file: MachineFile, why: str, live: tuple[str, str] | None = None) -> _Stale:
    return _Stale(tuple(file.values), why, live or (file.target.namespace or "", file.target.name))


def _proposal(inventory: Inventory, path: str, file: MachineFile, stale: _Stale) -> Proposal:
    return Proposal(
        kind="stale",
        subject=TRIMTAB,
        cluster=inventory.cluster,
        root=inventory.root,
        namespace=stale.live[0],
        workload=stale.live[1],
        edits=removal(path, file, stale.fields),
        reason=f"{stale.why}: what Trimtab wrote for it is dropped",
        ignores_windows=True,
        ignores_budget=True,
    )


def disorder(file: MachineFile, workload: Workload | None) -> str:
    """What has become of the containers whose order a file keeps, for a person; "" when they are as it has them."""
    if workload is None or file.form != "requests" or file.target.kind not in BUILT_IN_KINDS:
        return ""
    standing = standing_of(workload)
    if not is_out_of_order(file, standing):
        return ""
    gone = [entry.partition("/")[2] for entry in file.order if entry not in standing]
    name = f"{file.target.kind} {file.target.name}"
    if gone:
        are = "is" if len(gone) == 1 else "are"
        return f"{', '.join(gone)} of {name}, named in Trimtab's file to keep the order, {are} no longer declared"
    return f"the containers of {name} stand in another order since its manifest was changed"


def _aimed_anew(
    inventory: Inventory, path: str, file: MachineFile, live: tuple[str, str], workload: Workload | None
) -> Proposal:
    down = file.form == "turndown"
    name = f"what sleeps in {file.target.name}" if down else f"{file.target.kind} {file.target.name}"
    otherwise = f"{name} is found in another way since its manifest was changed, or copied"
    return Proposal(
        kind="stale",
        subject=TRIMTAB,
        cluster=inventory.cluster,
        root=inventory.root,
        namespace=file.target.name if down else live[0],
        workload=live[1],
        edits=(value_edit(path, file.form, file.target, TARGET, None, None),),
        reason=f"{disorder(file, workload) or otherwise}: what Trimtab wrote is aimed anew",
        ignores_windows=True,
        ignores_budget=True,
    )


def _key(ref: ObjectRef) -> RefKey:
    return ref.group, ref.kind, ref.name, ref.namespace


def _last_parts(fields: tuple[str, ...]) -> str:
    return ", ".join(name.partition("/")[2] for name in fields)
