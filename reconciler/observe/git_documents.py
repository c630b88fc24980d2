"""The documents of policies/ and actions/: read file by file, so that a bad one does not stop the others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from reconciler.errors import InputError
from reconciler.manifests.yaml_reader import KeyPath, Located, load_configs
from reconciler.model.inventory import Problem
from reconciler.model.tree import Tree
from reconciler.model.window import Window, Windows
from reconciler.observe.config_complaints import Complaint, complaints, without_nulls
from reconciler.observe.config_complaints import problem as as_problem
from reconciler.observe.config_fields import Section
from reconciler.observe.config_fleet import API_VERSION, Metadata
from reconciler.observe.root_files import files_below

Kind = Literal["ScalingPolicy", "ActionConfig"]


class DeclaredFile(Section):
    """What policies and actions have in common."""

    api_version: Literal["trimtab.dev/v1alpha1"]
    kind: str
    metadata: Metadata
    spec: dict[str, Any]


@dataclass(frozen=True)
class Declared:
    """One document: ``name`` is its metadata.name, ``spec`` is without fields that have no value."""

    name: str
    spec: dict[str, Any]
    located: Located

    def problem(self, at: KeyPath, message: str, hint: str = "") -> Problem:
        return as_problem(Complaint(at, message, hint), self.located)

    def problems(self, found: list[Complaint]) -> list[Problem]:
        return [as_problem(complaint, self.located) for complaint in found]

    def place(self) -> str:
        """Where its name is written, for messages about another document."""
        where = self.located.where(("metadata", "name"))
        return f"{where.path}:{where.line}"


def declared(tree: Tree, folder: str, kind: Kind) -> tuple[list[Declared], list[Problem]]:
    """Every document of that kind in the folder's YAML files, by path and then by place in the file; and what is none."""
    found: list[Declared] = []
    problems = list(_not_read(tree, folder))
    paths = [path for path in files_below(tree, folder) if re.fullmatch(rf"{folder}/[^/]+\.ya?ml", path)]
    texts = tree.read_many(paths)
    for path in paths:
        try:
            documents = load_configs(texts[path], path=path)
        except InputError as error:
            problems.append(Problem.of(path, error))
            continue
        for located in documents:
            document = _document(located, kind)
            if isinstance(document, Declared):
                found.append(document)
            else:
                problems += document
    return found, problems


def _not_read(tree: Tree, folder: str) -> Iterator[Problem]:
    for path in files_below(tree, folder):
        if re.fullmatch(rf"{folder}/.+/[^/]+\.ya?ml", path):
            yield Problem(
                path=path, message="not read", hint=f"only files directly in {folder}/ are read: move it there"
            )
    for path, what in sorted(tree.oddities.items()):
        if path.startswith(f"{folder}/") or path == folder:
            yield Problem(path=path, message=f"not read: it is a {what}", hint="put the file itself there")


def _document(located: Located, kind: Kind) -> Declared | list[Problem]:
    value = located.value
    if isinstance(value, dict) and value.get("kind") not in (kind, None):
        message = f"{value['kind']} is not a kind that is read here"
        hint = f"in this folder are documents of apiVersion {API_VERSION} and kind {kind}"
        return [as_problem(Complaint(("kind",), message, hint), located)]
    try:
        file = DeclaredFile.model_validate(without_nulls(value))
    except ValidationError as error:
        return [as_problem(complaint, located) for complaint in complaints(error, value, (), DeclaredFile)]
    return Declared(file.metadata.name, file.spec, located)


def placed_windows(windows: Windows, at: KeyPath) -> Iterator[tuple[KeyPath, Window]]:
    """Each window of a policy or action with the path of the field that holds it."""
    for name, listed in (("maintenanceWindow", windows.maintenance), ("exclusionWindow", windows.exclusion)):
        for index, window in enumerate(listed):
            yield (*at, name, index), window
