"""Templates by name: the project's own, each of which a fleet repo may override in its ``templates/``."""

from collections.abc import Iterable, Mapping

from jinja2 import Template
from jinja2.exceptions import TemplateSyntaxError, UndefinedError

from reconciler.errors import InputError, Where
from reconciler.render.sandbox import BUDGET, Budget, Sandbox

MAX_SOURCE = 16 * 1024
MAX_OUTPUT = 1 << 20
"""Bytes that one rendered file or message may have."""

FOLDER = "templates"


class Templates:
    """Compiled templates. ``builtin`` and ``overrides`` map a file name (``hpa.yaml.j2``) to its text.

    Rendering the same variables twice gives the same text: nothing in a template can ask for time or chance.
    Safe to use from several threads.

    :raises InputError: when an override is none of ``builtin``, or does not compile; with its file and line.
    """

    def __init__(self, builtin: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> None:
        self._sandbox = Sandbox()
        self._overrides = dict(overrides or {})
        self._sources = {**builtin, **self._overrides}
        self._compiled: dict[str, Template] = {}
        for name in sorted(self._overrides):
            if name not in builtin:
                raise InputError(
                    f"Trimtab has no template {name}",
                    where=Where(f"{FOLDER}/{name}"),
                    hint="remove it, or name it " + ", ".join(sorted(builtin)),
                )
            self._compiled[name] = self._compile(name)

    @property
    def has_overrides(self) -> bool:
        """Whether the fleet repo brings any text of its own."""
        return bool(self._overrides)

    def overridden(self, name: str) -> bool:
        """Whether the fleet repo brings its own text for ``name``."""
        return name in self._overrides

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        """The text of template ``name``. ``variables`` are plain values: str, int, bool, dict and list.

        :raises InputError: with the file and line where the template failed, or its text passed 1 MiB.
        """
        template = self._compiled.get(name) or self._compiled.setdefault(name, self._compile(name))
        budgeted = {**variables, BUDGET: Budget()}
        try:
            # Only what others wrote may grow without end; a pass renders thousands of files with templates of ours.
            text = _bounded(template.generate(budgeted)) if self.overridden(name) else template.render(budgeted)
        except Exception as error:
            # whatever an override does, it is the override that is at fault, and it is told so by file and line
            raise _failure(name, _message(error), _line_of(error, name)) from error
        if text is None or len(text) > MAX_OUTPUT:
            raise _failure(name, "its text is over 1 MiB", 0)
        return text

    def _compile(self, name: str) -> Template:
        source = self._sources[name]
        if len(source) > MAX_SOURCE:
            raise _failure(name, "the template is over 16 KiB", 0)
        try:
            code = self._sandbox.compile_bounded(source, name)
        except TemplateSyntaxError as error:
            raise _failure(name, error.message or "syntax error", error.lineno) from error
        except (RecursionError, SyntaxError, MemoryError, OverflowError, ValueError) as error:
            raise _failure(name, f"the template is nested too deeply to compile ({type(error).__name__})", 0) from error
        return Template.from_code(self._sandbox, code, dict(self._sandbox.globals))


def _bounded(parts: Iterable[str]) -> str | None:
    """``parts`` joined; None, without making the rest, once they are longer than :data:`MAX_OUTPUT`."""
    kept: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_OUTPUT:
            return None
        kept.append(part)
    return "".join(kept)


def _failure(name: str, message: str, line: int) -> InputError:
    return InputError(
        f"the template cannot be used: {message}",
        where=Where(f"{FOLDER}/{name}", line=line),
        hint="correct it, or delete it to go back to Trimtab's own",
    )


def _message(error: Exception) -> str:
    if isinstance(error, UndefinedError):
        return error.message or "a name is not defined"
    return " ".join(str(error).split())[:300] or type(error).__name__


def _line_of(error: BaseException, name: str) -> int:
    """The template's line in the traceback (Jinja2 rewrites its frames to the template's own lines); 0 = unknown."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
