"""What waits to be sent is bounded, and every cut of it holds all of it, once."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent.unsent import Push, Unsent

NOW = datetime(2026, 6, 16, 10, 0, tzinfo=UTC)
ITEMS = st.lists(st.builds(lambda text: {"name": text}, st.text(max_size=60)), max_size=30)


@given(st.dictionaries(st.sampled_from(["pods", "nodes", "workloads", "limitRanges"]), ITEMS), st.integers(400, 3000))
def test_parts_hold_every_item_once_in_order_and_every_list(lists: dict[str, list[dict[str, str]]], limit: int) -> None:
    bodies = Push.of(lists, NOW).bodies(limit)
    parts = [json.loads(body) for body in bodies]
    assert {name: [item for part in parts for item in part.get(name, [])] for name in lists} == lists
    assert all(any(name in part for part in parts) for name in lists)
    assert [part["part"] for part in parts] == list(range(len(parts)))
    assert {part["parts"] for part in parts} == {len(parts)}
    assert all(
        len(body) <= limit or sum(len(part.get(name, [])) for name in lists) == 1
        for body, part in zip(bodies, parts, strict=True)
    )


def test_what_waits_is_bounded_by_its_bytes_and_the_newest_always_stays() -> None:
    unsent = Unsent(most=20, most_bytes=10_000)
    for number in range(20):
        unsent.add(Push.of({"pods": [{"name": "x" * 3000}]}, NOW + timedelta(seconds=number)))
    assert len(unsent) == 3
    unsent.add(Push.of({"pods": [{"name": "x" * 30_000}]}, NOW + timedelta(seconds=99)))
    assert len(unsent) == 1
    assert unsent.first is not None and unsent.first.at == NOW + timedelta(seconds=99)


def test_an_old_push_without_usage_is_not_worth_keeping() -> None:
    unsent = Unsent()
    unsent.add(Push.of({"workloads": [{"name": "web"}]}, NOW))
    unsent.add(Push.of({"pods": []}, NOW + timedelta(seconds=15)))
    assert len(unsent) == 1
