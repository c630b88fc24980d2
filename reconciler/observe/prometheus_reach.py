"""How much of a cluster's history is asked for at a time: as much as the size of an answer allows, less where the server
says that it was too much. Shorter stretches first, then parts of the namespaces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from reconciler.model.pulled import STEP_SECONDS
from reconciler.observe.prometheus_scope import Scope
from reconciler.observe.prometheus_usage import Span

POINTS = 400_000
"""In one answer: some ten megabytes of it, and a hundred of memory while it is read."""
MOST_STEPS = 10_000
"""Prometheus gives 11,000 of a series at most."""

_DAY_STEPS = 86_400 // STEP_SECONDS


@dataclass(frozen=True)
class Reach:
    """``steps`` samples of each container at a time, of all namespaces at once, or of one of ``groups`` after the other.

    ``most``: up to where ``steps`` grows again; ``budget``: what an answer may have in it.
    """

    steps: int
    most: int
    budget: int
    groups: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, containers: int) -> Self:
        steps = max(1, min(MOST_STEPS, POINTS // max(1, containers)))
        return cls(steps, steps, steps)

    def smaller(self, span: Span, namespaces: Callable[[], Sequence[str]]) -> Self | None:
        """What to try after ``span`` was too much; None when it cannot be less."""
        if (steps := min(self.steps, span.steps) // 2) > 0:
            return replace(self, steps=steps, most=steps)
        listed = tuple(name for group in self.groups for name in group) or tuple(namespaces())
        if len(self.groups) >= len(listed):
            return None
        parts = 2 * max(1, len(self.groups))
        groups = tuple(group for place in range(parts) if (group := listed[place::parts]))
        return replace(self, steps=1, groups=groups, most=self.budget)

    def larger(self) -> Self:
        """What to try after it was answered."""
        return replace(self, steps=min(self.most, self.steps * 2))

    def scopes(self, scope: Scope) -> tuple[Scope, ...]:
        return scope.split(self.groups) if self.groups else (scope,)

    def span(self, after: int, until: int) -> Span | None:
        """The next stretch later than ``after``, up to ``until``; whole UTC days where it is longer than one."""
        first, last = (after // STEP_SECONDS + 1) * STEP_SECONDS, until // STEP_SECONDS * STEP_SECONDS
        if first > last:
            return None
        span = Span(first, min(last, first + (self.steps - 1) * STEP_SECONDS))
        if span.last < last and span.steps > _DAY_STEPS:
            return replace(span, last=span.last // 86_400 * 86_400 - STEP_SECONDS)
        return span
