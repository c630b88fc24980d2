"""Serve: the desired state of a cluster at a commit, out of what its roots build to there.

Only roots with ``sync: agent`` have entries: where Argo CD or Flux bring the cluster to what Git says, the agent applies
nothing, and its manifests are ``[]``. A root without our component (``write: inPlace`` or ``helmValues``, or not wired)
holds nothing of Trimtab's own either.
"""

import hashlib
from collections.abc import Mapping, Sequence

import yaml

from reconciler.actuate.base import Asked, BaseKey, Told, Values, base_values, told
from reconciler.actuate.desired import Desired, Object, OwnedField, merged, owned
from reconciler.errors import InputError, TrimtabError
from reconciler.manifests.wiring import EMPTY_COMPONENT
from reconciler.model.fleet import Cluster, Root
from reconciler.observe.inventory import overlay_fingerprint, root_fingerprint
from reconciler.observe.root_files import directories_read, files_below, overlay_directory, root_directory
from reconciler.render.fields import wanted_values
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House
from reconciler.steps.scene import RootScene, read_roots_of
from reconciler.steps.view import View

_INSTALL = "install kustomize or kubectl where the server runs; Trimtab finds either on PATH"


class NotServed(TrimtabError):
    """What a cluster should be cannot be told right now: a root does not build. Never to be taken for "nothing"."""


class UnknownRevision(TrimtabError):
    """A commit that is not on the branch, as far as it was fetched."""


def desired_of(house: House, cluster: Cluster, head: str) -> Desired:
    """What Trimtab owns in ``cluster`` at the commit ``head``, which the clone has. A root is built once for each content.

    :raises NotServed: when a root cannot be read or does not build, or there is nothing to build it with.
    """
    try:
        return _desired(house, cluster, View(house.repository.tree(head)))
    except InputError as error:  # nobody who asks can mend it
        raise NotServed(error.message, where=error.where, hint=error.hint) from error


def _desired(house: House, cluster: Cluster, view: View) -> Desired:
    scenes = read_roots_of(house, view, cluster)
    mine = {path: scene for path, scene in scenes.items() if _may_be_ours(view, scene.root)}
    for scene in mine.values():
        _refuse_unreadable(scene)
    entries = _entries(house, view, {path: scene for path, scene in mine.items() if scene.state.inventory.wired})
    tree = _tree_of(house, view, cluster)
    return Desired(view.commit, cluster.name, tree, merged(entries), repository=house.name, roots=cluster.roots)


def _may_be_ours(view: View, root: Root) -> bool:
    """Whether a root is to have entries. One that Trimtab writes into in place, or through Helm values, may be nothing that
    kustomize could build; only where our component is beside it, there is something to tell."""
    return root.sync == "agent" and (root.write == "overlay" or bool(files_below(view, overlay_directory(root))))


def _refuse_unreadable(scene: RootScene) -> None:
    for problem in scene.state.inventory.problems:
        if problem.blocks_root:
            raise NotServed(f"the root {scene.root.path} does not build: {problem}", hint=problem.hint)


def _entries(house: House, view: View, scenes: Mapping[str, RootScene]) -> list[Object]:
    found: list[Object] = []
    due: list[str] = []
    for path, scene in scenes.items():
        key, known = _content(view, scene), house.parsed.get(f"desired:{path}")
        if not (isinstance(known, tuple) and known[0] == key):
            due.append(path)
    _build(house, view, {path: scenes[path] for path in due})
    for path in scenes:
        known = house.parsed[f"desired:{path}"]
        assert isinstance(known, tuple)
        found += known[1]
    return found


def _content(view: View, scene: RootScene) -> str:
    """What a root's entries depend on."""
    return "\0".join((scene.root.model_dump_json(), scene.people, overlay_fingerprint(view, scene.root)))


def _build(house: House, view: View, scenes: Mapping[str, RootScene]) -> None:
    """Build roots, side by side, and keep what is ours in them."""
    if not scenes:
        return
    if house.builder is None:
        raise NotServed("roots cannot be built: neither kustomize nor kubectl is on PATH", hint=_INSTALL)
    house.builder.materialize(view.base, view.changed)
    directories = {path: root_directory(scene.root) for path, scene in scenes.items()}
    outputs = house.builder.build_many(directories.values())
    for path, scene in scenes.items():
        output = outputs[directories[path]]
        if isinstance(output, TrimtabError):
            raise NotServed(f"the root {path} does not build: {output.message}", hint=output.hint)
        house.parsed[f"desired:{path}"] = (_content(view, scene), _owned(scene, output))


def _owned(scene: RootScene, output: bytes) -> tuple[Object, ...]:
    files = scene.state.overlay
    fields = [
        OwnedField(wanted.target, wanted.path, wanted.value)
        for _, file in sorted(files.items())
        for wanted in wanted_values(file)
        if wanted.value is not None  # handed over: the HPA decides, and nobody applies a number
    ]
    if not files:
        return ()
    built = [one for one in yaml.load_all(output, Loader=yaml.CSafeLoader) if isinstance(one, dict)]
    return owned(built, files, fields, scene.root.namespace)


def _tree_of(house: House, view: View, cluster: Cluster) -> str:
    """The id of the Git tree that is the cluster's one root; a hash where the manifests depend on more than that: several
    roots, directories that a root reaches by ``../``, what trimtab.yaml says of them."""
    trees = {
        root.path: [_tree_at(house, view, at) for at in directories_read(view, root_directory(root))]
        for root in cluster.roots
    }
    if len(cluster.roots) == 1:
        (root,) = cluster.roots
        if len(trees[root.path]) == 1 and root == Root(path=root.path):
            return trees[root.path][0]
    parts = [part for root in cluster.roots for part in (root.model_dump_json(), *trees[root.path])]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def _tree_at(house: House, view: View, directory: str) -> str:
    found = house.repository.objects.look_up(f"{view.commit}:{directory}")
    return found.id if found else ""


# --- what people's own manifests say --------------------------------------------------------------------------------


def base_of(house: House, cluster: Cluster, revision: str, asked: Sequence[Asked]) -> tuple[Told, ...]:
    """What the cluster's roots build to without our component at a commit of the branch, in fields of capacity.

    Roots that Argo CD or Flux bring about say nothing. A root is built once for each content of people's files.

    :raises UnknownRevision: when the branch does not contain ``revision``.
    :raises NotServed: when a root does not build, or there is nothing to build it with.
    """
    commits, _ = whole_history(house, house.repository.head)
    if all(commit.sha != revision for commit in commits):
        raise UnknownRevision(
            f"commit {revision[:12]} is not on the branch {house.repository.branch}",
            hint="pull the desired state again, and ask with its revision",
        )
    view = View(house.repository.tree(revision))
    known: dict[BaseKey, Values] = {}
    for values in _people_say(house, view, cluster):
        known = {**values, **known}
    return tuple(told(one, known.get(one.key)) for one in asked)


def _people_say(house: House, view: View, cluster: Cluster) -> list[Mapping[BaseKey, Values]]:
    """By root, in their order."""
    roots = [root for root in cluster.roots if _may_be_ours(view, root) and files_below(view, root_directory(root))]
    keys = {root.path: f"{root.model_dump_json()}\0{root_fingerprint(view, root)}" for root in roots}
    due = [root for root in roots if not _is_known(house, root, keys[root.path])]
    if due and house.builder is None:
        raise NotServed("roots cannot be built: neither kustomize nor kubectl is on PATH", hint=_INSTALL)
    if due and house.builder is not None:
        empty = {f"{root.overlay_path}/kustomization.yaml": EMPTY_COMPONENT.encode() for root in due}
        house.builder.materialize(view.base, empty)
        outputs = house.builder.build_many([root_directory(root) for root in due])
        for root in due:
            output = outputs[root_directory(root)]
            if isinstance(output, TrimtabError):
                raise NotServed(f"the root {root.path} does not build: {output.message}", hint=output.hint)
            built = (one for one in yaml.load_all(output, Loader=yaml.CSafeLoader) if isinstance(one, dict))
            house.parsed[f"base:{root.path}"] = (keys[root.path], base_values(built, root))
    return [known[1] for root in roots if isinstance(known := house.parsed[f"base:{root.path}"], tuple)]


def _is_known(house: House, root: Root, key: str) -> bool:
    known = house.parsed.get(f"base:{root.path}")
    return isinstance(known, tuple) and known[0] == key
