"""`trimtab init`: a new fleet repo, or what an existing one lacks."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from git import GitCommandError, Repo
from rich.markup import escape

from reconciler.bootstrap import share
from reconciler.commands.options import out
from reconciler.commands.scaffold import Scaffold, discover_clusters, fleet_text, wire_root
from reconciler.errors import InputError, Stalled
from reconciler.gate.windows import check_window
from reconciler.observe.git_state import read_fleet
from reconciler.observe.work_tree import WorkTree


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The fleet repo; made when it is not there.")],
    root: Annotated[
        list[str] | None,
        typer.Option(
            "--root", metavar="NAME=PATH", help="A cluster and the path that Argo CD or Flux builds; repeatable."
        ),
    ] = None,
    commit: Annotated[
        bool, typer.Option(help="Commit what was added (nothing else that is staged or changed).")
    ] = True,
) -> None:
    """Scaffold a fleet repo, or add what an existing one lacks; nothing that is there is touched.

    An empty DIR becomes a complete example. In an existing repository, trimtab.yaml is written for the clusters found
    below clusters/ (or given by --root), and each root gets the component trimtab/ in its kustomization.

    Examples:

    ```
    trimtab init fleet
    trimtab init . --root prod=deploy/overlays/prod
    ```
    """
    if not folder.exists() or not any(entry for entry in folder.iterdir() if entry.name != ".git"):
        _scaffold_new(folder)
    else:
        _add_missing(folder, dict(_root(text) for text in root or ()), commit=commit)


def _root(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--root: {text!r} is not NAME=PATH", hint="for example --root prod=clusters/prod")
    return name, path.rstrip("/")


def _scaffold_new(folder: Path) -> None:
    try:
        shutil.copytree(share("example-repo"), folder, dirs_exist_ok=True)
    except OSError as error:
        raise Stalled(f"cannot write {folder}: {error}") from None
    with _said_plainly():
        repo = Repo(folder) if (folder / ".git").exists() else Repo.init(folder, initial_branch="main")
        repo.git.add("--all")
        _commit(repo, "Start a fleet repo", [])
    out.print(f"[green]A fleet repo is in {escape(str(folder))}.[/] Look at its README.md, then:", soft_wrap=True)
    out.print(f"    trimtab plan --fleet {shlex.quote(str(folder))}", markup=False, soft_wrap=True)


def _add_missing(folder: Path, roots: dict[str, str], *, commit: bool) -> None:
    if not (folder / ".git").exists():
        raise Stalled(
            f"{folder} has files but is not a Git repository", hint=f"run: git -C {folder} init, commit, and try again"
        )
    tree = WorkTree(folder)
    scaffold = Scaffold()
    paths = _roots_of(tree, folder, roots, scaffold)
    for path in paths:
        wire_root(tree, path, scaffold)
    for empty in ("policies", "actions"):
        if not any(name.startswith(f"{empty}/") for name in tree.blobs):
            scaffold.files[f"{empty}/.gitkeep"] = ""
    _write(folder, scaffold)
    if commit and scaffold.files:
        with _said_plainly():
            repo = Repo(folder)
            repo.git.add("--intent-to-add", "--", *scaffold.files)
            _commit(repo, "Let Trimtab write beside what is here", sorted(scaffold.files))
            scaffold.notes += _left_out(repo, paths)
    _say(folder, scaffold)


def _left_out(repo: Repo, roots: list[str]) -> list[str]:
    """What to say when files below a root are not committed: the root in Git may list them by now."""
    return [
        f"{root} has changes that are not committed; the root may not build without them: git add {shlex.quote(root)}"
        for root in roots
        if repo.git.status("--porcelain", "--", root)
    ]


def _roots_of(tree: WorkTree, folder: Path, given: dict[str, str], scaffold: Scaffold) -> list[str]:
    if "trimtab.yaml" in tree.blobs:
        scaffold.kept.append("trimtab.yaml")
        fleet = read_fleet(tree, check_window=check_window).fleet
        return [root.path for cluster in fleet.clusters for root in cluster.roots]
    roots = given or {name: f"clusters/{name}" for name in discover_clusters(tree)}
    if not roots:
        raise InputError(
            "no cluster found: there is no clusters/<name>/ in it",
            hint="say which path Argo CD or Flux builds: trimtab init DIR --root NAME=PATH",
        )
    for path in roots.values():
        if not any(name.startswith(f"{path}/") for name in tree.blobs):
            raise InputError(f"--root: there is nothing at {path}", hint="give a path below the repository's top")
    name = folder.resolve().name.lower()
    scaffold.files["trimtab.yaml"] = fleet_text(name, roots, _branch(folder))
    return sorted(roots.values())


def _branch(folder: Path) -> str:
    """The branch that is checked out; ``main`` on a detached head."""
    repo = Repo(folder)
    return "main" if repo.head.is_detached else repo.head.ref.name


def _write(folder: Path, scaffold: Scaffold) -> None:
    for path, text in scaffold.files.items():
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
        except OSError as error:
            raise Stalled(f"cannot write {target}: {error.strerror}") from None


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except GitCommandError as error:
        words = str(error.stderr).strip().removeprefix("stderr:").strip(" '\n")
        raise Stalled(f"git could not do it: {words}") from None


def _commit(repo: Repo, message: str, paths: list[str]) -> None:
    """Commit as the person, or as Trimtab where Git knows no identity; with ``paths``, only those."""
    identity: list[str] = []
    try:
        repo.git.var("GIT_AUTHOR_IDENT")
    except GitCommandError:
        identity = ["-c", "user.name=Trimtab", "-c", "user.email=trimtab@localhost"]
    only = ["--only", "--", *paths] if paths else []
    repo.git(c=identity[1::2]).commit("--quiet", "-m", message, *only)


def _say(folder: Path, scaffold: Scaffold) -> None:
    for path in sorted(scaffold.files):
        out.print(f"[green]added[/]  {escape(path)}", soft_wrap=True)
    for path in sorted(scaffold.kept):
        out.print(f"[dim]kept   {escape(path)}[/]", soft_wrap=True)
    for note in scaffold.notes:
        out.print(f"[yellow]note[/]   {escape(note)}", soft_wrap=True)
    if scaffold.files:
        out.print(f"\nPush it, then: trimtab plan --fleet {shlex.quote(str(folder))}", markup=False, soft_wrap=True)
    else:
        out.print("\nNothing is missing.")
