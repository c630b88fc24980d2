"""From a kustomization through everything it lists: objects with the identity they have at the end, without kustomize.

What only kustomize can work out is not guessed: the entry under which it stands is named in :attr:`Walk.unfollowed`.
"""

import posixpath
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field

from reconciler.errors import InputError
from reconciler.manifests.kustomization import NAMES, Kustomization, is_remote, parse_kustomization
from reconciler.manifests.objects_placed import Placed, duplicates
from reconciler.manifests.workloads import Objects, read_objects
from reconciler.model.inventory import Problem
from reconciler.model.tree import Tree

Cache = MutableMapping[str, object]

MAX_ENTRIES = 20_000
"""Entries followed in one walk: a few directories that list each other twice a level would otherwise never end."""


@dataclass
class Walk:
    """One walk through a tree. ``cache`` keeps what a file says by path and blob id; it may be shared by walks.

    ``problems`` is what kustomize would stumble over, and what people should know. ``unfollowed``: what only kustomize
    can work out, with the file that says so.
    """

    tree: Tree
    cache: Cache = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unfollowed: list[tuple[str, str]] = field(default_factory=list)
    _texts: dict[str, bytes] = field(default_factory=dict)
    _followed: int = 0

    def expect(self, paths: Iterable[str]) -> None:
        """Read manifests together that the walk will most likely come by; one by one takes several times as long."""
        unread = [
            path
            for path in paths
            if path.endswith((".yaml", ".yml", ".json"))
            and _objects_key(self.tree, path) not in self.cache
            and _kustomization_key(self.tree, path) not in self.cache
        ]
        self._texts = self.tree.read_many(unread) if unread else {}

    def _text(self, path: str) -> bytes:
        text = self._texts.get(path)
        return self.tree.read(path) if text is None else text

    def objects(self, path: str) -> Objects:
        """What the file at ``path`` declares."""
        key = _objects_key(self.tree, path)
        known = self.cache.get(key)
        if not isinstance(known, Objects):
            known = self.cache[key] = read_objects(self._text(path), path=path)
        return known

    def kustomization(self, directory: str) -> Kustomization | None:
        """The kustomization of a directory; None when it has none. :raises InputError: when it cannot be used."""
        found = [path for name in NAMES if (path := posixpath.join(directory, name)) in self.tree.blobs]
        if not found:
            return None
        if len(found) > 1:
            raise InputError(f"kustomize refuses a directory with several kustomizations: {', '.join(found)}")
        key = _kustomization_key(self.tree, found[0])
        known = self.cache.get(key)
        if not isinstance(known, Kustomization):
            known = self.cache[key] = parse_kustomization(self._text(found[0]), path=found[0])
        return known

    def directory(self, directory: str, within: Sequence[str] = ()) -> list[Placed]:
        """The objects of a directory with a kustomization, after its transformers. ``within``: directories being read."""
        kustomization = self.usable(directory)
        if kustomization is None:
            return []
        if kustomization.kind == "Component":
            self._blocked(kustomization.path, "a Component is listed under components, not under resources")
            return []
        self.unfollowed += [(kustomization.path, reason) for reason in kustomization.unfollowed]
        found: list[Placed] = []
        for entry in kustomization.resources:
            found += self.entry(kustomization, entry, (*within, directory))
        return self.transformed(found, kustomization)

    def transformed(self, objects: list[Placed], by: Kustomization) -> list[Placed]:
        """The objects of one level after its transformers, each identity once; others are noted as problems."""
        objects = self._unique(objects)
        for placed in objects:
            placed.transform(by)
        return self._unique(objects) if by.namespace else objects

    def usable(self, directory: str) -> Kustomization | None:
        """As :meth:`kustomization`; one that cannot be used is noted as a problem."""
        try:
            return self.kustomization(directory)
        except InputError as error:
            where = error.where
            path = where.path if where else directory
            self._blocked(
                path, error.message, line=where.line if where else 0, at=where.field if where else "", hint=error.hint
            )
            return None

    def entry(self, kustomization: Kustomization, entry: str, within: Sequence[str]) -> list[Placed]:
        """The objects of one entry under ``resources``; ``within`` ends with the directory of ``kustomization``."""
        self._followed += 1
        if is_remote(entry) or self._followed > MAX_ENTRIES:
            self._refuse_more(kustomization)
            return []
        path = posixpath.normpath(posixpath.join(kustomization.directory, entry))
        path = "" if path == "." else path
        if path in self.tree.blobs:
            return self._file(kustomization, entry, path)
        if any(posixpath.join(path, name) in self.tree.blobs for name in NAMES):
            if any(is_inside(visited, path) for visited in within):
                self._blocked(
                    kustomization.path, f"{entry} leads back to a directory that is being read", at="resources"
                )
                return []
            return self.directory(path, within)
        self._missing(kustomization, entry, path)
        return []

    def _refuse_more(self, kustomization: Kustomization) -> None:
        if self._followed == MAX_ENTRIES + 1:
            hint = "directories that are listed several times multiply; list each once"
            self._blocked(kustomization.path, f"more than {MAX_ENTRIES} entries are listed from here", hint=hint)

    def _file(self, kustomization: Kustomization, entry: str, path: str) -> list[Placed]:
        if not is_inside(path, kustomization.directory):
            self._blocked(
                kustomization.path,
                f"{entry} is outside of this directory: kustomize lists only whole directories from elsewhere",
                at="resources",
            )
            return []
        objects = self.objects(path)
        self.problems += _blocking(objects.problems) if objects.broken else objects.problems
        return [Placed(declared) for declared in objects.objects]

    def _missing(self, kustomization: Kustomization, entry: str, path: str) -> None:
        odd = next((place for place in _and_parents(path) if place in self.tree.oddities), None)
        if odd:
            message = f"{entry} is not read: {odd} is a {self.tree.oddities[odd]}"
            hint = "Trimtab reads files that are in the fleet repo itself; commit the content instead"
        elif path == ".." or path.startswith("../"):
            message, hint = f"{entry} is outside of the fleet repo", "list what is inside of it"
        else:
            message = f"{entry} is neither a file nor a directory with a kustomization.yaml"
            hint = f"commit {path}, or take the entry out"
        self._blocked(kustomization.path, message, at="resources", hint=hint)

    def _unique(self, objects: list[Placed]) -> list[Placed]:
        """``objects`` without those that kustomize refuses because one before has the same identity."""
        pairs = duplicates(objects)
        for first, second in pairs:
            ref, source, other = second.declared.ref, second.declared.source, first.declared.source
            self._blocked(
                source.path,
                f"{ref.kind} {second.name} is declared twice in {second.namespace or 'one namespace'}: "
                f"also in {other.path}:{other.line}",
                line=source.line,
                hint="kustomize refuses to build this; keep one of the two",
            )
        refused = {id(second) for _, second in pairs}
        return [placed for placed in objects if id(placed) not in refused] if refused else objects

    def _blocked(self, path: str, message: str, *, line: int = 0, at: str = "", hint: str = "") -> None:
        self.problems.append(Problem(path=path, line=line, field=at, message=message, hint=hint, blocks_root=True))


def _objects_key(tree: Tree, path: str) -> str:
    return f"objects:{path}:{tree.blobs[path]}"


def _kustomization_key(tree: Tree, path: str) -> str:
    return f"kustomization:{path}:{tree.blobs[path]}"


def is_inside(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or below it."""
    return not directory or path == directory or path.startswith(directory + "/")


def _blocking(problems: Iterable[Problem]) -> list[Problem]:
    return [problem.model_copy(update={"blocks_root": True}) for problem in problems]


def _and_parents(path: str) -> Iterable[str]:
    while path:
        yield path
        path = posixpath.dirname(path)
