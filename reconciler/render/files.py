"""Value edits → files: the bytes that a change puts into the tree.

Machine-owned files are written whole from their values; people's files are spliced, value by value. Where files of a
component come or go, its ``kustomization.yaml`` is generated anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from reconciler.errors import InputError, Where
from reconciler.manifests import component, machine_files
from reconciler.model.change import ValueEdit
from reconciler.model.machine_file import MachineFile
from reconciler.render.fields import BOOKKEEPING
from reconciler.render.files_view import FilesOver, FilesView
from reconciler.render.machine_text import ContainerIndex, machine_text
from reconciler.render.source_edits import edit_source
from reconciler.render.templates import Templates

MAX_TARGETED_PATCHES = 150
"""Above this, patches go without ``target``: kustomize's time grows faster than linear with them (FACTS)."""

PREPARED = "prepared"
"""The field of the edit that makes a namespace's empty turndown component."""

Parse = Callable[[bytes, str], MachineFile]
"""A machine-owned file's bytes and path → its values; callers pass one that remembers."""


class AppliedEdits(NamedTuple):
    """``files``: new bytes by path, None = the file goes away; only what differs from the view.

    ``outdated``: edits whose ``old`` is not what stands in the file now, because someone changed it since the decision.
    None of an outdated file's edits is applied; the decision must be made again on the new head.
    """

    files: dict[str, bytes | None]
    outdated: tuple[ValueEdit, ...]


def apply_edits(
    view: FilesView,
    edits: Sequence[ValueEdit],
    templates: Templates,
    *,
    container_indexes: Mapping[str, ContainerIndex] | None = None,
    parse: Parse | None = None,
    remake: Iterable[str] = (),
) -> AppliedEdits:
    """Apply ``edits`` to ``view``. The same view and edits give the same bytes; applying them again gives no files.

    ``container_indexes``: by file path, where containers stand in the manifest of a kind that is not built in
    (:func:`~reconciler.render.machine_text.places_of`). ``remake``: components whose list is generated anew whatever the
    edits do.

    :raises InputError: when a file cannot be read, or a value has no place in it.
    """
    work = _Work(view, templates, container_indexes or {}, parse or _parse)
    for path, of_file in sorted(_by_path(edits).items()):
        work.apply(path, of_file)
    for overlay in sorted(work.overlays | set(remake)):
        work.write_component(overlay)
    return AppliedEdits(work.changed_files(), tuple(work.outdated))


def _parse(text: bytes, path: str) -> MachineFile:
    return machine_files.parse(text, path=path)


def _by_path(edits: Iterable[ValueEdit]) -> dict[str, list[ValueEdit]]:
    by_path: dict[str, list[ValueEdit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return by_path


class _Work:
    """One run of :func:`apply_edits`: what is written, what is outdated, and which components need a new list."""

    def __init__(
        self, view: FilesView, templates: Templates, indexes: Mapping[str, ContainerIndex], parse: Parse
    ) -> None:
        self.files = FilesOver(view)
        self.outdated: list[ValueEdit] = []
        self.overlays: set[str] = set()
        self._view = view
        self._templates = templates
        self._indexes = indexes
        self._parse = parse
        self._made: dict[str, MachineFile] = {}

    def apply(self, path: str, edits: Sequence[ValueEdit]) -> None:
        form = edits[0].form
        if form in ("source", "config"):
            self._edit_source(path, edits)
        elif form == "turndown" and edits[0].field == PREPARED:
            self._prepare(path, edits)
        else:
            self._edit_machine_file(path, edits)

    def changed_files(self) -> dict[str, bytes | None]:
        return {path: text for path, text in sorted(self.files.written.items()) if text != self._view.read(path)}

    def _edit_source(self, path: str, edits: Sequence[ValueEdit]) -> None:
        text = self.files.read(path)
        if text is None:
            self.outdated += edits
            return
        edited, outdated = edit_source(text, edits, path=path)
        self.outdated += outdated
        if edited != text:
            self.files.written[path] = edited

    def _prepare(self, path: str, edits: Sequence[ValueEdit]) -> None:
        if (self.files.read(path) is None) == (edits[0].new is None):
            return
        text = None if edits[0].new is None else component.turndown_component_text(()).encode()
        self.files.written[path] = text
        self.overlays.add(_overlay_of(path, depth=3))

    def _edit_machine_file(self, path: str, edits: Sequence[ValueEdit]) -> None:
        text = self.files.read(path)
        values = dict(self._read_machine_file(path, text).values) if text is not None else {}
        stale = [edit for edit in edits if values.get(edit.field) not in (edit.old, edit.new)]
        if stale:
            self.outdated += stale
            return
        for edit in edits:
            if edit.new is None:
                values.pop(edit.field, None)
            else:
                values[edit.field] = edit.new
        self._write_machine_file(path, edits[0], values, existed=text is not None)

    def _write_machine_file(self, path: str, edit: ValueEdit, values: dict[str, str], *, existed: bool) -> None:
        stays = bool(values.keys() - BOOKKEEPING)
        if stays:
            assert edit.form not in ("source", "config")
            made = MachineFile(form=edit.form, target=edit.target, values=values)
            index = self._indexes.get(path)
            self.files.written[path] = machine_text(made, self._templates, container_index=index, path=path)
            self._made[path] = made
        elif existed:
            self.files.written[path] = None
        if stays != existed:
            self._list_changed(path, edit, stays=stays)

    def _list_changed(self, path: str, edit: ValueEdit, *, stays: bool) -> None:
        if edit.form != "turndown":
            self.overlays.add(_overlay_of(path, depth=2))
            return
        folder = path.rpartition("/")[0]
        beside = f"{folder}/kustomization.yaml"
        if self.files.read(beside) is None:
            self.overlays.add(_overlay_of(path, depth=3))
        present = (path.rpartition("/")[2],) if stays else ()
        self.files.written[beside] = component.turndown_component_text(present).encode()

    def _read_machine_file(self, path: str, text: bytes) -> MachineFile:
        return self._made.get(path) or self._parse(text, path)

    def write_component(self, overlay: str) -> None:
        """Generate ``<overlay>/kustomization.yaml`` from the files beside it."""
        files: dict[str, MachineFile] = {}
        turndowns: list[str] = []
        for path in self.files.list(f"{overlay}/"):
            relative = path.removeprefix(f"{overlay}/")
            folders = relative.split("/")[:-1]
            if len(folders) == 2 and relative.endswith("/turndown/kustomization.yaml"):
                turndowns.append(folders[0])
            elif len(folders) == 1 and relative.endswith(".yaml"):
                text = self.files.read(path)
                files[relative] = self._read_machine_file(path, text or b"")
        patches = sum(1 for file in files.values() if file.form != "hpa")
        text = component.component_text(files, turndowns=turndowns, use_targets=patches <= MAX_TARGETED_PATCHES)
        self.files.written[f"{overlay}/kustomization.yaml"] = text.encode()


def _overlay_of(path: str, *, depth: int) -> str:
    """The component's folder, ``depth`` levels above its file."""
    parts = path.split("/")
    if len(parts) <= depth:
        raise InputError("the path is not one of a file under a root's trimtab folder", where=Where(path))
    return "/".join(parts[:-depth])
