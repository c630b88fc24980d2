"""A rollback by value gives the tree that `git revert` gives, wherever that applies without a conflict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.clock import fixed_clock
from reconciler.commit.repository import Repository
from reconciler.commit.rollback import RollbackPlan, rollback_edits
from reconciler.commit.values import is_generated, is_machine_path
from reconciler.commit.writer import Writer
from reconciler.errors import NothingToRollBack
from reconciler.manifests import component, machine_files, splice
from reconciler.model.change import ValueEdit
from reconciler.model.fleet import Author
from support.fleets import git

OVERLAY = "clusters/prod/trimtab"
COMPONENT = f"{OVERLAY}/kustomization.yaml"
HANDOVER = f"{OVERLAY}/handover/kustomization.yaml"
CONTAINERS = ("cache", "log", "server")
KEYS = ("cpu", "memory")
VALUES = {
    (container, key): tuple(f"{size}{digit}{unit}" for size in (1, 2, 5))
    for digit, container in enumerate(CONTAINERS, start=1)
    for key, unit in (("cpu", "m"), ("memory", "Mi"))
}
"""Each container has values of its own: a merge by lines takes equal lines of two containers for one and the same."""

MACHINE = {name: f"{OVERLAY}/shop/requests-deployment-{name}.yaml" for name in ("api", "mail", "web")}
HANDED = {name: f"{OVERLAY}/handover/shop/replicas-deployment-{name}.yaml" for name in ("api", "mail", "web")}
MANIFESTS = {name: f"clusters/prod/apps/{name}.yaml" for name in ("api", "bare", "web")}
ANNOTATION = ("metadata", "annotations", "trimtab.dev/base-cpu-request")

Sizes = dict[str, dict[str, str]]
"""By container, then by resource."""


def text_of(name: str, sizes: Sizes, *, manifest: bool) -> bytes:
    """A workload's request patch as Trimtab writes it, or its manifest as a person does, with room between the values."""
    lines = [f"# {name}, kept by its team", ""] if manifest else []
    lines += ["apiVersion: apps/v1", "kind: Deployment", "metadata:", f"  name: {name}", "spec:"]
    lines += ["  replicas: 2"] if manifest else []
    lines += ["  template:", "    spec:", "      containers:"]
    for container, values in sorted(sizes.items()):
        lines += [f"        - name: {container}"]
        lines += ["          image: registry.example/it:1 # pinned", "          ports: []"] if manifest else []
        lines += ["          resources:", "            requests:"] if values else []
        lines += [f"              {key}: {values[key]}" for key in KEYS if key in values]
    return ("\n".join(lines) + "\n").encode()


def handed_over(name: str) -> bytes:
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: null\n".encode()


def lists_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The lists of the component and of the handover within it, made from the files below."""
    beside = {path: text for path, text in files.items() if path.startswith(f"{OVERLAY}/") and not is_generated(path)}
    parsed = {p.removeprefix(f"{OVERLAY}/"): machine_files.parse(text, path=p) for p, text in beside.items()}
    handover = component.handover_text(parsed)
    lists = {COMPONENT: component.component_text(parsed).encode()}
    return lists | ({HANDOVER: handover.encode()} if handover else {})


def with_lists(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: text for path, text in files.items() if not is_generated(path)} | lists_of(files)


def sizes_of(containers: frozenset[str], numbers: tuple[int, ...], memory: bool) -> Sizes:
    keys = KEYS if memory else ("cpu",)
    return {
        container: {key: VALUES[container, key][numbers[place]] for key in keys}
        for place, container in enumerate(sorted(containers))
    }


sizes = st.builds(
    sizes_of,
    st.frozensets(st.sampled_from(CONTAINERS), min_size=1),
    st.tuples(*[st.integers(0, 2)] * len(CONTAINERS)),
    st.booleans(),
)
value = st.tuples(st.sampled_from(CONTAINERS), st.sampled_from(KEYS), st.integers(0, 2))


@dataclass
class Step:
    """One commit: whole request patches, single values in them, single values in manifests, some of which have to be added
    with the mappings around them, and handovers (True: it is there afterwards)."""

    patches: dict[str, Sizes | None]
    values: dict[str, tuple[str, str, int]]
    sources: dict[str, tuple[str, str, int]]
    annotations: dict[str, int]
    handovers: dict[str, bool]


def steps(most: int) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        patches=st.dictionaries(st.sampled_from(sorted(MACHINE)), st.none() | sizes, max_size=most - 1),
        values=st.dictionaries(st.sampled_from(sorted(MACHINE)), value, max_size=most),
        sources=st.dictionaries(st.sampled_from(sorted(MANIFESTS)), value, max_size=most - 1),
        annotations=st.dictionaries(st.sampled_from(sorted(MANIFESTS)), st.integers(1, 3), max_size=most - 1),
        handovers=st.dictionaries(st.sampled_from(sorted(HANDED)), st.booleans(), max_size=most - 1),
    )


def parsed(text: bytes, path: str) -> Sizes:
    found: Sizes = {}
    for field, quantity in machine_files.parse(text, path=path).values.items():
        _, container, _, key = field.split("/")
        found.setdefault(container, {})[key] = quantity
    return found


def files_after(files: Mapping[str, bytes], step: Step) -> dict[str, bytes]:
    """What the tree holds after ``step``; the component's list is always as Trimtab makes it."""
    after = dict(files)
    for name, whole in step.patches.items():
        after.pop(MACHINE[name], None)
        if whole is not None:
            after[MACHINE[name]] = text_of(name, whole, manifest=False)
    for name, (container, key, number) in step.values.items():
        if MACHINE[name] in after:
            current = parsed(after[MACHINE[name]], MACHINE[name])
            current.setdefault(container, {})[key] = VALUES[container, key][number]
            after[MACHINE[name]] = text_of(name, current, manifest=False)
    for name, (container, key, number) in step.sources.items():
        place = ("spec", "template", "spec", "containers", container, "resources", "requests", key)
        after[MANIFESTS[name]] = splice.set_scalars(
            after[MANIFESTS[name]], 0, {place: VALUES[container, key][number]}, path=MANIFESTS[name]
        )
    for name, number in step.annotations.items():
        sets = {ANNOTATION: f"{number}0m"}
        after[MANIFESTS[name]] = splice.set_scalars(after[MANIFESTS[name]], 0, sets, path=MANIFESTS[name])
    for name, there in step.handovers.items():
        after.pop(HANDED[name], None)
        after |= {HANDED[name]: handed_over(name)} if there else {}
    return with_lists(after)


def rolled_back(head: Mapping[str, bytes], plan: RollbackPlan) -> dict[str, bytes]:
    """``plan`` on top of ``head``: files as they are, then single values of ours, then the lists."""
    result = {**head, **plan.files}
    for edit in plan.edits:
        if edit.path not in plan.files:
            result[edit.path] = with_edit(result[edit.path], edit)
    files = {path: text for path, text in result.items() if text is not None}
    return with_lists(files) if plan.components else files


def with_edit(text: bytes, edit: ValueEdit) -> bytes:
    assert edit.form == "requests", "people's files, and files with one value, come whole"
    current = parsed(text, edit.path)
    _, container, _, key = edit.field.split("/")
    assert current.get(container, {}).get(key) == edit.old
    if edit.new is None:
        del current[container][key]
    else:
        current.setdefault(container, {})[key] = edit.new
    return text_of(edit.target.name, {name: values for name, values in current.items() if values}, manifest=False)


def entries(files: Mapping[str, bytes]) -> dict[str, list[str]]:
    """What the generated lists list, in alphabetical order."""
    lists = {path: yaml.safe_load(text) for path, text in files.items() if is_generated(path)}
    return {
        path: sorted(str(entry) for field in ("resources", "components", "patches") for entry in value.get(field, []))
        for path, value in lists.items()
    }


class Lab:
    """One clone in which each example grows a branch of its own from ``base``; reverts happen in ``work``."""

    def __init__(self, home: Path) -> None:
        git(home, "init", "--quiet", "--bare", "--initial-branch=main", "fleet.git")
        git(home, "clone", "--quiet", "fleet.git", "first")
        git(home / "first", "commit", "--quiet", "--allow-empty", "--message", "start")
        git(home / "first", "push", "--quiet", "origin", "HEAD:main")
        self.repository = Repository.open(str(home / "fleet.git"), state_dir=home / "state", branch="main")
        instant = datetime(2026, 6, 16, tzinfo=UTC)
        self.writer = Writer(self.repository, author=Author(), signing=None, clock=fixed_clock(instant))
        full = sizes_of(frozenset(CONTAINERS), (0, 0, 0), memory=True)
        self.files = {path: text_of(name, full, manifest=True) for name, path in MANIFESTS.items()}
        self.files |= {MANIFESTS["bare"]: text_of("bare", {name: {} for name in CONTAINERS}, manifest=True)}
        self.files = with_lists(self.files | {MACHINE["web"]: text_of("web", full, manifest=False)})
        self.base = self.commit(self.repository.fetch(), {}, self.files, "base")
        git(self.repository.git_dir, "worktree", "add", "--quiet", "--detach", str(home / "work"), self.base)
        self.work = home / "work"
        self._numbers = count()

    def commit(self, parent: str, old: Mapping[str, bytes], new: Mapping[str, bytes], message: str) -> str:
        changes: dict[str, bytes | None] = {path: None for path in old if path not in new}
        return self.writer.commit(parent, {**changes, **new}, message)

    def reverted(self, commit: str, head: str) -> str | None:
        """The tree of `git revert commit` on ``head``; None where it conflicts. Without guesses about renamed files."""
        git(self.work, "reset", "--quiet", "--hard", head)
        # The strategy ort of Git before 2.50 takes files for renamed ones whatever it is told.
        words = ("--strategy=recursive", "--strategy-option=no-renames")
        git(self.work, "-c", "merge.conflictStyle=merge", "revert", "--no-commit", *words, commit, check=False)
        clean = not git(self.work, "ls-files", "--unmerged")
        tree = git(self.work, "write-tree") if clean else None
        git(self.work, "revert", "--quit", check=False)
        return tree

    def files_of(self, tree: str) -> dict[str, bytes]:
        paths = git(self.work, "ls-tree", "-r", "--name-only", tree).splitlines()
        return {path: (git(self.work, "show", f"{tree}:{path}") + "\n").encode() for path in paths}

    def close(self) -> None:
        self.writer.close()
        self.repository.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=steps(3), later=st.lists(steps(2), max_size=3), earlier=st.lists(steps(2), max_size=1))
def test_a_rollback_is_git_revert_wherever_that_applies(
    lab: Lab, target: Step, later: list[Step], earlier: list[Step]
) -> None:
    tips, contents = [lab.base], [lab.files]
    for step in (*earlier, target, *later):
        contents.append(files_after(contents[-1], step))
        tips.append(lab.commit(tips[-1], contents[-2], contents[-1], "step"))
    at = len(earlier) + 1
    if tips[at] == tips[at - 1]:
        event("the commit changes nothing")
        return
    expected = lab.reverted(tips[at], tips[-1])
    tree = lab.repository.tree
    try:
        plan = rollback_edits(tree(tips[at - 1]), tree(tips[at]), tree(tips[-1]), is_machine=is_machine_path)
    except NothingToRollBack:
        event("nothing to roll back")
        assert expected in (None, lab.repository.tree_id(tips[-1]))
        return
    result = rolled_back(contents[-1], plan)
    assert lists_of(result) == {path: text for path, text in result.items() if is_generated(path)}
    ours = lab.commit(tips[-1], contents[-1], result, "rollback")
    event("git revert conflicts" if expected is None else "git revert applies")
    if expected is not None and lab.repository.tree_id(ours) != expected:
        event("git revert leaves a list in another order")
        theirs = lab.files_of(expected)
        assert {path: text for path, text in theirs.items() if not is_generated(path)} == {
            path: text for path, text in result.items() if not is_generated(path)
        }
        listed = entries(theirs)
        if any(len(set(found)) < len(found) for found in listed.values()):
            event("git revert lists a file twice, which does not build")
        else:
            assert listed == entries(result), "ours are sorted, as every list is that is made anew"
    for edit in plan.kept:
        assert not is_generated(edit.path)
        assert edit.old != edit.new
