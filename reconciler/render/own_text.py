"""Files that a runtime has in a folder of its own: made whole from their values, edited in place, or taken away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from reconciler.errors import InputError, Where
from reconciler.model.base import Model
from reconciler.model.change import ValueEdit
from reconciler.render.source_edits import edit_source
from reconciler.render.templates import Templates

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class OwnForm(Generic[M]):
    """One kind of such files. ``variables``: what of the model the template is given. ``first``: the field that makes the
    file when it comes, and takes all of it away when it goes, whatever else a person has put into it. ``made``: the model
    from a path and its values by field."""

    template: str
    variables: frozenset[str]
    first: str
    parse: Callable[[bytes, str], M]
    fields_of: Callable[[M], Mapping[str, str]]
    made: Callable[[str, Mapping[str, str]], M]

    def text(self, model: M, templates: Templates, *, path: str) -> bytes:
        """The whole file of one that has none yet.

        :raises InputError: when a template of the fleet repo's own fails, or says something else than it was asked to.
        """
        text = templates.render(self.template, model.model_dump(include=set(self.variables))).encode()
        if templates.overridden(self.template):
            self._check(model, text, path)
        return text

    def _check(self, model: M, text: bytes, path: str) -> None:
        where = Where(f"templates/{self.template}")
        try:
            back = self.parse(text, path)
        except InputError as error:
            message = f"the template gives a file that cannot be read back: {error.message}"
            raise InputError(message, where=where) from error
        if back != model:
            lost = sorted(name for name, value in model if getattr(back, name) != value)
            raise InputError(f"the template loses {', '.join(lost)}", where=where, hint="compare it with Trimtab's own")

    def edit(
        self, text: bytes | None, edits: Sequence[ValueEdit], templates: Templates, *, path: str
    ) -> tuple[bytes | None, tuple[ValueEdit, ...]]:
        """What becomes of a file, and the edits whose ``old`` does not stand there any more: then nothing is changed.

        :raises InputError: when the file cannot be read, or the values make none.
        """
        if text is None:
            if any(edit.old is not None for edit in edits) or not any(edit.field == self.first for edit in edits):
                return None, tuple(edit for edit in edits if edit.new is not None)
            made = self.made(path, {edit.field: edit.new for edit in edits if edit.new is not None})
            return self.text(made, templates, path=path), ()
        if any(edit.field == self.first and edit.new is None for edit in edits):
            values = self.fields_of(self.parse(text, path))
            outdated = tuple(edit for edit in edits if values.get(edit.field) not in (edit.old, None))
            return (text if outdated else None), outdated
        return edit_source(text, edits, path=path)
