"""The inventory: what was applied is known after a restart, however much it is."""

from collections.abc import Iterator

import pytest

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.agent.kubernetes.inventory import PLAIN_BYTES, Record, Store, config_map_name
from reconciler.errors import Stalled
from support.kube_applying import INVENTORY, World, hpa, world


@pytest.fixture(scope="module")
def one() -> Iterator[World]:
    with world() as made:
        yield made


def store(one: World, name: str) -> Store:
    opened = Store(one.cluster, "trimtab-system", name)
    opened.open()
    return opened


def record(number: int, **more: object) -> Record:
    paths = frozenset(
        ("spec", "template", "spec", "containers", f"server-{number}", "resources", "requests", resource)
        for resource in ("cpu", "memory")
    )
    key = ObjectKey("apps/v1", "Deployment", f"team-{number % 50}", f"workload-{number}")
    return Record(key, "fields", f"uid-{number}", paths, "0" * 16, applied=True, **more)  # type: ignore[arg-type]


def test_everything_comes_back_as_it_was_kept(one: World) -> None:
    kept = store(one, "small")
    kept.keep(record(1, before=7, drift="spec.replicas was set to 2 by kubectl"), record(2, adopted=True))
    kept.save()
    assert store(one, "small").inventory == kept.inventory


def test_ten_thousand_objects_fit_and_shrink_again(one: World) -> None:
    kept = store(one, "large")
    kept.keep(*(record(number) for number in range(10_000)))
    kept.save()
    live = one.live(ObjectKey("v1", "ConfigMap", "trimtab-system", "trimtab-inventory-large"))
    assert "data" not in live and len(live["binaryData"]["inventory.json.gz"]) < PLAIN_BYTES
    again = store(one, "large")
    assert again.inventory == kept.inventory
    again.drop(*(record(number).key for number in range(1, 10_000)))
    again.save()
    assert set(store(one, "large").inventory.records) == {record(0).key}


def test_nothing_is_written_where_nothing_has_changed(one: World) -> None:
    kept = store(one, "quiet")
    kept.keep(record(1))
    kept.save()
    one.double.requests.clear()
    kept.keep(record(1))
    kept.save()
    assert not one.double.requests


def test_an_inventory_that_cannot_be_read_stops_everything_and_says_what_to_do(one: World) -> None:
    store_of = {"namespace": INVENTORY.namespace, "name": INVENTORY.name}
    for data in ({"inventory.json": "{"}, {"other": "1"}, {"inventory.json": '{"objects": [{"kind": "X"}]}'}):
        one.double.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": store_of, "data": data})
        one.restarted()
        with pytest.raises(Stalled, match=r"trimtab-system/trimtab-inventory-prod.*\n.*delete it"):
            one.round(hpa())
    assert one.double.get("HorizontalPodAutoscaler", "shop", "web") is None
    one.double.drop("ConfigMap", INVENTORY.namespace, INVENTORY.name)


def test_a_cluster_name_makes_a_name_of_kubernetes_and_two_never_the_same() -> None:
    assert config_map_name("prod-eu-west-1") == "trimtab-inventory-prod-eu-west-1"
    odd = [config_map_name(name) for name in ("Prod EU", "prod eu", "prod.eu", "Ünïcode", "x" * 400, "-")]
    assert len(set(odd)) == len(odd)
    for name in odd:
        assert len(name) <= 253 and name.strip("-") == name
        assert all(
            letter.isascii() and (letter.isalnum() or letter == "-") and letter == letter.lower() for letter in name
        )
