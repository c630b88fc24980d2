"""Which series of a Prometheus are asked for, in PromQL."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from reconciler.errors import Stalled

RUNNING = ('container!=""', 'container!="POD"')
"""Of cAdvisor's series: containers, and neither pods as a whole, nor the container that holds a pod's network."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Scope:
    """The series of one cluster: ``label`` has one of ``values``, where "" is a series without it. Without a label: all.

    ``namespaces``: only these; ``outside``: only what is in none of these.
    """

    label: str = ""
    values: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def series(self, name: str, *matchers: str) -> str:
        """A selector: ``name`` may be a regular expression between slashes."""
        named = f"__name__=~{quoted(name[1:-1])}" if name.startswith("/") else ""
        found = [
            named,
            *matchers,
            self._of("namespace", "!~", self.outside),
            self._of("namespace", "=~", self.namespaces),
        ]
        if self.label:
            found.append(self._of(self.label, "=~", self.values))
        return f"{'' if named else name}{{{','.join(filter(None, found))}}}"

    def _of(self, label: str, operator: str, values: Iterable[str]) -> str:
        return label + operator + one_of(values) if values else ""

    def split(self, groups: Iterable[tuple[str, ...]]) -> tuple[Self, ...]:
        """A scope for each group of namespaces, and one for every other namespace, so that nothing is left out."""
        listed = tuple(groups)
        rest = tuple(sorted(name for group in listed for name in group))
        return (*(replace(self, namespaces=group) for group in listed), replace(self, outside=rest))


def one_of(values: Iterable[str]) -> str:
    """A quoted regular expression that matches any of these values, and nothing else."""
    return quoted("|".join(re.escape(value) for value in values))


def quoted(text: str) -> str:
    """A string of PromQL."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def label_name(text: str) -> str:
    """:raises Stalled: when no label can have this name."""
    if text and not _LABEL.fullmatch(text):
        raise Stalled(
            f"{text!r} cannot be the name of a label",
            hint="set TRIMTAB_PROMETHEUS_CLUSTER_LABEL to letters, digits and underscores, such as cluster",
        )
    return text
