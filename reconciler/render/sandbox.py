"""The Jinja2 environment that templates run in: no way out, and no way to run for ever.

A fleet repo may override a template, and a server may hold the repos of many teams, so an override is treated as
hostile. Jinja2's immutable sandbox keeps it from attributes and state that it must not reach. What that sandbox leaves
open is time and memory; so here every loop draws on one budget per render, growing operators look at the size of their
result first, recursion (macros, includes) does not exist, and only the filters and methods below do.
"""

from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from reconciler.render.scalars import quoted_scalar, yaml_scalar

MAX_RANGE = 1_000
MAX_STEPS = 500_000
"""Rounds of all loops of one render, each weighed by the nodes inside it. A pull request of 200 rows takes about 5,000."""
MAX_VALUE = 1 << 16
"""Characters that one value made inside a template may have."""

BUDGET = "_budget"
"""The name under which a render's :class:`Budget` stands among its variables."""

_FILTERS = [
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "last",
    "length",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
]
_METHODS = frozenset(
    {"items", "keys", "values", "get", "startswith", "endswith", "lower", "upper", "strip", "split", "removeprefix"}
)
_PLACES = frozenset({"index", "index0", "first", "last"})
"""What a template asks of ``loop``, and what is plain there."""

_REFUSED: tuple[tuple[type[nodes.Node], str], ...] = (
    (nodes.Macro, "macros"),
    (nodes.CallBlock, "call blocks"),
    (nodes.FilterBlock, "filter blocks"),
    (nodes.AssignBlock, "block assignments"),
    (nodes.Include, "include"),
    (nodes.Import, "import"),
    (nodes.FromImport, "import"),
    (nodes.Extends, "extends"),
    (nodes.Block, "blocks"),
    (nodes.Concat, "the ~ operator"),
    (nodes.Pow, "the ** operator"),
    (nodes.List, "lists of your own"),
    (nodes.Dict, "mappings of your own"),
)


class Budget:
    """Steps that the loops of one render may still take."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def take(self, iterable: Iterable[object], weight: int) -> list[object]:
        """The items of ``iterable``, at ``weight`` steps each. :raises SecurityError: when that is more than is left."""
        items = []
        for item in iterable:
            self._left -= weight
            if self._left < 0:
                raise SecurityError("the template's loops take too many rounds")
            items.append(item)
        return items


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 as :mod:`reconciler.render.templates` uses it. Variables must be plain values (str, int, dict, list)."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.globals.clear()
        self.globals["range"] = _bounded_range
        self.filters = {name: FILTERS[name] for name in _FILTERS}
        self.filters |= {"yaml": yaml_scalar, "quoted": quoted_scalar, "join": _bounded_join, "rounds": _rounds}

    def compile_bounded(self, source: str, name: str) -> CodeType:
        """``source`` with every loop drawing on the render's budget.

        :raises jinja2.exceptions.TemplateSyntaxError: with the line, also for what is not allowed here.
        """
        tree = self.parse(source, name, name)
        for kind, words in _REFUSED:
            for node in tree.find_all(kind):
                raise TemplateSyntaxError(f"{words} cannot be used in a template of Trimtab's", node.lineno, name, name)
        for made in tree.find_all(nodes.Tuple):
            if made.ctx == "load":
                raise TemplateSyntaxError("lists of your own cannot be used", made.lineno, name, name)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise TemplateSyntaxError("recursive loops cannot be used", loop.lineno, name, name)
            weight = nodes.Const(sum(1 for _ in loop.find_all(nodes.Node)))
            loop.iter = nodes.Filter(loop.iter, "rounds", [weight], [], None, None)
            loop.iter.set_lineno(loop.lineno).set_environment(self)
        return self.compile(tree, name, name)

    def is_safe_callable(self, obj: Any) -> bool:
        if obj is _bounded_range:
            return True
        owner = getattr(obj, "__self__", None)
        return isinstance(owner, str | Mapping) and getattr(obj, "__name__", "") in _METHODS

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Variables are mappings, and Jinja2 would look for an attribute of each first: half of a small file's time.
        if type(obj) is dict and attribute in obj and attribute not in _METHODS:
            return obj[attribute]
        if type(obj) is LoopContext and attribute in _PLACES:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _refuse_growth(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _refuse_growth(operator: str, left: Any, right: Any) -> None:
    """Only numbers and text are added and multiplied: what nests lists in lists doubles with every line."""
    for value in (left, right):
        if not isinstance(value, str | int | float):
            raise SecurityError(f"the {operator} operator takes numbers and text only")
    if operator == "%" and isinstance(left, str):
        raise SecurityError("the % operator takes numbers only")
    size = _extent(left) * _extent(right) if operator == "*" else _extent(left) + _extent(right)
    if size > MAX_VALUE:
        raise SecurityError("a value in the template grows too large")


def _extent(value: str | int | float) -> int:
    return len(value) if isinstance(value, str) else abs(int(value))


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise SecurityError(f"range() of {len(numbers):,} numbers; at most {MAX_RANGE:,} are allowed")
    return numbers


def _bounded_join(values: Iterable[object], separator: str = "") -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_VALUE:
        raise SecurityError("a value in the template grows too large")
    return separator.join(texts)


@pass_context
def _rounds(context: Context, iterable: Iterable[object], weight: int) -> list[object]:
    budget = context[BUDGET]
    assert isinstance(budget, Budget)
    return budget.take(iterable, weight)
