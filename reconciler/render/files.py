"""Value edits → files: the bytes that a change puts into the tree.

Machine-owned files are written whole from their values; people's files are spliced, value by value. Where files of a
component come or go, its ``kustomization.yaml`` is generated anew, and that of the handover component within it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from reconciler.errors import InputError, Where
from reconciler.manifests import component, machine_files
from reconciler.manifests.container_order import order_of
from reconciler.manifests.container_places import ContainerPlaces, places_in
from reconciler.manifests.machine_files import GENERATED, HANDOVER
from reconciler.model.change import EditForm, ValueEdit
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import BUILT_IN_KINDS
from reconciler.render.fields import BOOKKEEPING, MAX_TARGETED_PATCHES, PREPARED, TARGET
from reconciler.render.files_view import FilesOver, FilesView
from reconciler.render.group_text import GROUP
from reconciler.render.lxc_text import LXC
from reconciler.render.machine_text import ContainerIndex, ContainerPlace, Twins, machine_text
from reconciler.render.source_edits import edit_source
from reconciler.render.templates import Templates

__all__ = ["MAX_TARGETED_PATCHES", "AppliedEdits", "FilesView", "Parse", "apply_edits"]

Parse = Callable[[bytes, str], MachineFile]
"""A machine-owned file's bytes and path → its values; callers pass one that remembers."""


class AppliedEdits(NamedTuple):
    """``files``: new bytes by path, None = the file goes away; only what differs from the view.

    ``outdated``: edits whose ``old`` is not what stands in the file now, because someone changed it since the decision.
    None of an outdated file's edits is applied; the decision must be made again on the new head.
    ``made``: the values that each machine-owned file of ``files`` was rendered from, so that it need not be read again.
    """

    files: dict[str, bytes | None]
    outdated: tuple[ValueEdit, ...]
    made: Mapping[str, MachineFile] = {}


def apply_edits(
    view: FilesView,
    edits: Sequence[ValueEdit],
    templates: Templates,
    *,
    container_indexes: Mapping[str, ContainerIndex] | None = None,
    twins: Mapping[str, Twins] | None = None,
    parse: Parse | None = None,
    remake: Iterable[str] = (),
) -> AppliedEdits:
    """Apply ``edits`` to ``view``. The same view and edits give the same bytes; applying them again gives no files.

    ``container_indexes``: by path of a ``requests`` file, where containers stand in the manifest
    (:func:`~reconciler.render.machine_text.places_of`); without, they are where the file has them. ``twins``: by component folder (``<root>/trimtab``), the objects of
    its root that kustomize takes for one another. ``remake``: components whose lists are generated anew whatever the
    edits do.

    :raises InputError: when a file cannot be read, or a value has no place in it.
    """
    work = _Work(view, templates, container_indexes or {}, twins or {}, parse or _parse)
    for path, of_file in sorted(_by_path(edits).items()):
        work.apply(path, of_file)
    for overlay in sorted(work.overlays | {folder.removesuffix(f"/{HANDOVER}") for folder in remake}):
        work.write_component(overlay)
    files = work.changed_files()
    made = {path: file for path, file in work.made.items() if files.get(path) is not None}
    return AppliedEdits(files, tuple(work.outdated), made)


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
        self,
        view: FilesView,
        templates: Templates,
        indexes: Mapping[str, ContainerIndex],
        twins: Mapping[str, Twins],
        parse: Parse,
    ) -> None:
        self.files = FilesOver(view)
        self.outdated: list[ValueEdit] = []
        self.overlays: set[str] = set()
        self.made: dict[str, MachineFile] = {}
        self._view = view
        self._templates = templates
        self._indexes = indexes
        self._twins = twins
        self._parse = parse

    def apply(self, path: str, edits: Sequence[ValueEdit]) -> None:
        form = edits[0].form
        if form in ("source", "config"):
            self._edit_source(path, edits)
        elif form in ("group", "lxc"):
            self._edit_declared(path, edits)
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

    def _edit_declared(self, path: str, edits: Sequence[ValueEdit]) -> None:
        """The file of a group of containers, or of an LXC container."""
        form = GROUP if edits[0].form == "group" else LXC
        edited, outdated = form.edit(self.files.read(path), edits, self._templates, path=path)
        self.outdated += outdated
        if not outdated:
            self.files.written[path] = edited

    def _prepare(self, path: str, edits: Sequence[ValueEdit]) -> None:
        if (self.files.read(path) is None) == (edits[0].new is None):
            return
        text = None if edits[0].new is None else component.turndown_component_text(False).encode()
        self.files.written[path] = text
        self.overlays.add(_overlay_of(path, depth=3))

    def _edit_machine_file(self, path: str, edits: Sequence[ValueEdit]) -> None:
        text = self.files.read(path)
        before = self._read_machine_file(path, text) if text is not None else None
        values = dict(before.values) if before is not None else {}
        stale = [edit for edit in edits if values.get(edit.field) not in (edit.old, edit.new)]
        self.outdated += stale
        retargeted = text is not None and any(edit.field == TARGET for edit in edits)
        if retargeted:
            self.overlays.add(_overlay_of(path, depth=_depth(edits[0].form)))
        changed = any(values.get(edit.field) != edit.new for edit in edits)
        if stale or not (changed or (retargeted and _aims_itself(edits[0]))):
            return
        for edit in edits:
            if edit.new is None:
                values.pop(edit.field, None)
            else:
                values[edit.field] = edit.new
        self._write_machine_file(path, edits[0], values, before)

    def _write_machine_file(
        self, path: str, edit: ValueEdit, values: dict[str, str], before: MachineFile | None
    ) -> None:
        overlay, existed = _overlay_of(path, depth=_depth(edit.form)), before is not None
        text: bytes | None = None
        if values.keys() - BOOKKEEPING:
            assert edit.form != "source"
            assert edit.form != "config"
            assert edit.form != "group"
            assert edit.form != "lxc"
            order = self._order(path, edit, values, before)
            made = MachineFile(form=edit.form, target=edit.target, values=values, order=order)
            index = self._indexes.get(path) or self._places_in(path, made)
            twins = self._twins.get(overlay)
            text = machine_text(made, self._templates, container_index=index, twins=twins, path=path)
            self.made[path] = made
        if text is not None or existed:
            self.files.written[path] = text
        if edit.form == "turndown":
            self._write_turndown_component(path, overlay, text)
        elif (text is not None) != existed:
            self.overlays.add(overlay)

    def _order(
        self, path: str, edit: ValueEdit, values: Mapping[str, str], before: MachineFile | None
    ) -> tuple[str, ...]:
        """What the file will list: as the manifest has the containers, or else as the file itself has them."""
        if edit.form != "requests" or edit.target.kind not in BUILT_IN_KINDS:
            return ()
        places = self._indexes.get(path)
        if places is None:
            return order_of(values, before.order if before else ())
        return order_of(values, sorted(places, key=lambda entry: _index(places[entry])))

    def _places_in(self, path: str, file: MachineFile) -> ContainerPlaces | None:
        """Of a rollback nobody says where containers stand in the manifest; then they are where the file has them."""
        text = self.files.read(path) if component.is_json6902(file) else None
        return places_in(text, path=path) if text is not None else None

    def _write_turndown_component(self, path: str, overlay: str, text: bytes | None) -> None:
        """The list beside ``turndown.yaml``; the component above only when the namespace is new to it."""
        beside = f"{path.rpartition('/')[0]}/{GENERATED}"
        if self.files.read(beside) is None:
            self.overlays.add(overlay)
        with_targets = text is not None and b"kind: PatchTransformer" in text
        listed = component.turndown_component_text(text is not None, with_targets=with_targets)
        self.files.written[beside] = listed.encode()

    def _read_machine_file(self, path: str, text: bytes) -> MachineFile:
        return self.made.get(path) or self._parse(text, path)

    def write_component(self, overlay: str) -> None:
        """Generate the lists of ``overlay`` anew: its own, and that of the component that hands replicas over."""
        files, turndowns = self._listed(overlay)
        twins = self._twins.get(overlay, {})
        use_targets = sum(1 for file in files.values() if file.form != "hpa") <= MAX_TARGETED_PATCHES
        selectors = {path: selector for path, file in files.items() if (selector := twins.get(file.target.key))}
        own = component.component_text(files, turndowns=turndowns, use_targets=use_targets, selectors=selectors)
        handover = component.handover_text(files, use_targets=use_targets, selectors=selectors)
        self.files.written[f"{overlay}/{GENERATED}"] = own.encode()
        self.files.written[f"{overlay}/{HANDOVER}/{GENERATED}"] = handover.encode() if handover is not None else None

    def _listed(self, overlay: str) -> tuple[dict[str, MachineFile], list[str]]:
        """What the overlay and its handover list, by path relative to the overlay; namespaces with a turndown component."""
        files: dict[str, MachineFile] = {}
        turndowns: list[str] = []
        for path in self.files.list(f"{overlay}/"):
            relative = path.removeprefix(f"{overlay}/")
            if machine_files.is_list(relative):
                turndowns += relative.split("/")[:1] if relative.endswith(f"/turndown/{GENERATED}") else []
            elif machine_files.component_of(relative) in ("", HANDOVER):
                files[relative] = self._read_machine_file(path, self.files.read(path) or b"")
        return files, turndowns


def _aims_itself(edit: ValueEdit) -> bool:
    """Whether what a file is aimed at is in the file, and not only in the list beside it: targets, places of containers."""
    return edit.form in ("turndown", "requests")


def _index(place: ContainerPlace | int) -> int:
    return place if isinstance(place, int) else place.index


def _depth(form: EditForm) -> int:
    """How many levels below the overlay files of this form are."""
    return 3 if form in ("turndown", "replicas") else 2


def _overlay_of(path: str, *, depth: int) -> str:
    """The component's folder, ``depth`` levels above its file."""
    parts = path.split("/")
    if len(parts) <= depth:
        raise InputError("the path is not one of a file under a root's trimtab folder", where=Where(path))
    return "/".join(parts[:-depth])
