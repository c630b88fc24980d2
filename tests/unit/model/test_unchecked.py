"""Models that are made without being checked are the same as those that are."""

from datetime import UTC, datetime

import pytest

from reconciler.model.base import Model
from reconciler.model.change import ObjectRef, ValueEdit
from reconciler.model.observation import UsageSummary
from reconciler.model.workload import Resources

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)

MODELS: list[tuple[type[Model], dict[str, object]]] = [
    (Resources, {"cpu_request": 1, "memory_request": None, "cpu_limit": 2, "memory_limit": None}),
    (
        UsageSummary,
        {"samples": 1, "maximum": 0.5, "average": 0.25, "base": {"max": 0.5}, "quantiles": {}, "first": AT, "last": AT},
    ),
    (
        ValueEdit,
        {
            "path": "p.yaml",
            "form": "requests",
            "target": ObjectRef(api_version="v1", kind="Pod", name="web"),
            "field": "containers/web/requests/cpu",
            "old": None,
            "new": "1",
            "was": None,
        },
    ),
]


@pytest.mark.parametrize(("model", "fields"), MODELS, ids=[model.__name__ for model, _ in MODELS])
def test_it_is_equal_to_a_checked_one_in_every_way(model: type[Model], fields: dict[str, object]) -> None:
    made, checked = model.unchecked(**fields), model(**fields)
    assert made == checked
    assert made.model_dump_json(by_alias=True) == checked.model_dump_json(by_alias=True)
    assert made.model_copy(update={}) == checked
    assert made.model_fields_set == checked.model_fields_set
    assert repr(made) == repr(checked)


def test_it_is_as_frozen_as_all() -> None:
    made = Resources.unchecked(cpu_request=1, memory_request=1, cpu_limit=None, memory_limit=None)
    assert hash(made) == hash(Resources(cpu_request=1, memory_request=1))
    with pytest.raises(ValueError, match="frozen"):
        made.cpu_request = 2  # type: ignore[misc]
