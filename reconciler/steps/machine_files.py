"""Machine-owned files that were read or rendered before, by path and blob id: reading their YAML is dear, and a pass of a
large fleet needs each of them several times (to apply edits to it, to list its component, to see what it has become)."""

from collections.abc import MutableMapping
from dataclasses import dataclass

from reconciler.manifests import machine_files
from reconciler.model.inventory import RootState
from reconciler.model.machine_file import MachineFile
from reconciler.observe.inventory import machine_file_key
from reconciler.steps.view import View, blob_id


@dataclass(frozen=True)
class MachineFiles:
    """``parsed`` is shared with the reading of roots. ``ours``: every template is Trimtab's own, so that what is rendered
    says just the values that it was rendered from; where a fleet repo has templates, it is read back."""

    parsed: MutableMapping[str, object]
    ours: bool = True

    def parse(self, text: bytes, path: str) -> MachineFile:
        """The values of a file.

        :raises InputError: when it is none that Trimtab wrote.
        """
        key = machine_file_key(path, blob_id(text))
        known = self.parsed.get(key)
        if not isinstance(known, MachineFile):
            known = self.parsed[key] = machine_files.parse(text, path=path)
        return known

    def find(self, text: bytes, path: str) -> MachineFile | None:
        """The values of a file when they are at hand, None when it would have to be read."""
        known = self.parsed.get(machine_file_key(path, blob_id(text)))
        return known if isinstance(known, MachineFile) else None

    def keep(self, path: str, text: bytes, file: MachineFile) -> None:
        """Remember what ``text`` was just rendered from."""
        if self.ours:
            self.parsed[machine_file_key(path, blob_id(text))] = file

    def keep_all(self, state: RootState, view: View) -> None:
        """Remember the files of a root that was read before, by another process."""
        for path, file in state.overlay.items():
            self.parsed[machine_file_key(path, view.blobs[path])] = file
