"""The templates that go for a fleet repo: Trimtab's own, and those that it overrides in ``templates/``."""

from reconciler.render.templates import Templates
from reconciler.steps.house import House
from reconciler.steps.view import View

OVERRIDES = "templates/"
"""Where a fleet repo keeps templates of its own."""


def templates_at(house: House, view: View) -> Templates:
    """:raises InputError: when a template of the fleet repo's own cannot be used."""
    overrides = {
        path.removeprefix(OVERRIDES): view.read(path).decode("utf-8", "replace")
        for path in view.list(OVERRIDES)
        if path.endswith(".j2")
    }
    return Templates(house.templates, overrides)
