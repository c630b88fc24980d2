"""LXCContainer files: read strictly, edited in one place, told by their path."""

import pytest

from reconciler.errors import InputError
from reconciler.manifests.lxc_container import (
    CORES,
    MEMORY,
    container_from,
    fields_of,
    key_of,
    parse,
    path_for,
    with_values,
)
from reconciler.model.lxc_container import ContainerKey, LXCContainer

PATH = "lxc/pve1/104.yaml"
TEXT = """\
# the database
apiVersion: trimtab.dev/v1alpha1
kind: LXCContainer
metadata:
  name: "104"
  labels: {team: data}
spec:
  node: pve1
  cores:   2   # see the runbook
  memoryMB: 4096
  rootfsGB: 8
  hostname: db
"""


def test_a_file_is_read_whole() -> None:
    assert parse(TEXT.encode(), path=PATH) == LXCContainer(
        node="pve1", vmid=104, cores=2, memory_mb=4096, rootfs_gb=8, hostname="db"
    )


def test_what_may_be_left_out() -> None:
    text = "apiVersion: trimtab.dev/v1alpha1\nkind: LXCContainer\nmetadata: {name: '104'}\nspec: {node: pve1, cores: null}\n"
    assert parse(text.encode(), path=PATH) == LXCContainer(node="pve1", vmid=104)


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("v1alpha1", "v1", 2, "apiVersion"),
        ("kind: LXCContainer", "kind: ContainerGroup", 3, "kind"),
        ('name: "104"', 'name: "105"', 5, "metadata.name"),
        ('name: "104"', "name: 104", 5, "metadata.name"),
        ("{team: data}", "{team: 3}", 6, "metadata.labels.team"),
        ("labels: {team: data}", "namespace: web", 6, "metadata.namespace"),
        ("node: pve1", "node: pve2", 8, "spec.node"),
        ("cores:   2", "cores: '2'", 9, "spec.cores"),
        ("cores:   2", "cores: 0", 9, "spec.cores"),
        ("cores:   2", "cores: 8193", 9, "spec.cores"),
        ("cores:   2   #", "core: 2 #", 9, "spec.core"),
        ("memoryMB: 4096", "memoryMB: 4Gi", 10, "spec.memoryMB"),
        ("memoryMB: 4096", "memoryMB: 15", 10, "spec.memoryMB"),
        ("rootfsGB: 8", "rootfsGB: 8.5", 11, "spec.rootfsGB"),
        ("hostname: db", "hostname: a b", 12, "spec.hostname"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(old: str, new: str, line: int, field: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(TEXT.replace(old, new).encode(), path=PATH)
    where = raised.value.where
    assert where is not None
    assert (where.path, where.line, where.field) == (PATH, line, field)


def test_a_vmid_without_quotes_says_what_to_do() -> None:
    with pytest.raises(InputError) as raised:
        parse(TEXT.replace('"104"', "104").encode(), path=PATH)
    assert (raised.value.message, raised.value.hint) == ("should be the text '104'", "put it in quotes")


@pytest.mark.parametrize(
    "path",
    [
        "lxc/104.yaml",
        "lxc/pve1/104.yml",
        "lxc/pve1/99.yaml",
        "lxc/pve1/0104.yaml",
        "lxc/pve1/db.yaml",
        "lxc/pve1/more/104.yaml",
        "lxc/trimtab/104.yaml",
        "lxc/../104.yaml",
        "docker/pve1/104.yaml",
    ],
)
def test_paths_that_are_no_containers(path: str) -> None:
    assert key_of(path) is None


@pytest.mark.parametrize("key", [("pve1", 100), ("pve-2.example.com", 999_999_999)])
def test_a_path_says_whose_it_is(key: ContainerKey) -> None:
    assert key_of(path_for(key)) == key


@pytest.mark.parametrize("key", [("", 104), ("a/b", 104), ("..", 104), ("trimtab", 104), ("pve1", 99), ("pve1", -104)])
def test_keys_that_no_path_can_have(key: ContainerKey) -> None:
    with pytest.raises(InputError):
        path_for(key)


def test_only_the_values_change_and_one_that_is_new_joins_the_others() -> None:
    edited = with_values(TEXT.encode(), {CORES: "4", MEMORY: "8192"}, path=PATH)
    assert edited == TEXT.replace("cores:   2 ", "cores:   4 ").replace("4096", "8192").encode()
    without = TEXT.replace("  memoryMB: 4096\n", "").encode()
    assert parse(with_values(without, {MEMORY: "512"}, path=PATH), path=PATH).memory_mb == 512


def test_values_and_container_say_the_same() -> None:
    container = parse(TEXT.encode(), path=PATH).model_copy(update={"policy": "scp_db"})
    assert container_from(container.key, fields_of(container)) == container
    assert container_from(("pve1", 104), {"spec/node": "pve1"}) == LXCContainer(node="pve1", vmid=104)
    for field, value in ((CORES, "x"), (CORES, "0"), (MEMORY, "1"), ("spec/hostname", "a\nb: c")):
        with pytest.raises(InputError):
            container_from(container.key, {**fields_of(container), field: value})
