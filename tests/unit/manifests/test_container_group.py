"""ContainerGroup files: read strictly, edited in one place, told by their path."""

import pytest

from reconciler.errors import InputError
from reconciler.manifests.container_group import fields_of, group_from, key_of, parse, path_for, with_replicas
from reconciler.model.container_group import ContainerGroup

PATH = "docker/web-pool/web.yaml"
TEXT = """\
# the shop
apiVersion: trimtab.dev/v1alpha1
kind: ContainerGroup
metadata:
  name: web
  labels: {team: shop}
spec:
  hostPool: web-pool
  replicas:   2   # see the runbook
  maxReplicasPerHost: 4
  image: "registry.example.com/web:1.24"
  lbPoolRef: haproxy/web
"""


def test_a_file_is_read_whole() -> None:
    assert parse(TEXT.encode(), path=PATH) == ContainerGroup(
        host_pool="web-pool",
        name="web",
        replicas=2,
        max_replicas_per_host=4,
        image="registry.example.com/web:1.24",
        lb_pool_ref="haproxy/web",
    )


def test_what_may_be_left_out() -> None:
    text = "apiVersion: trimtab.dev/v1alpha1\nkind: ContainerGroup\nmetadata: {name: web}\nspec: {hostPool: web-pool, replicas: 0, lbPoolRef: null}\n"
    group = parse(text.encode(), path=PATH)
    assert (group.replicas, group.max_replicas_per_host, group.image, group.lb_pool_ref) == (0, None, "", None)


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("v1alpha1", "v1", 2, "apiVersion"),
        ("kind: ContainerGroup", "kind: Deployment", 3, "kind"),
        ("name: web", "name: shop", 5, "metadata.name"),
        ("{team: shop}", "{team: 3}", 6, "metadata.labels.team"),
        ("labels: {team: shop}", "namespace: web", 6, "metadata.namespace"),
        ("hostPool: web-pool", "hostPool: other", 8, "spec.hostPool"),
        ("replicas:   2", "replicas: '2'", 9, "spec.replicas"),
        ("replicas:   2", "replicas: 2.5", 9, "spec.replicas"),
        ("replicas:   2", "replicas: true", 9, "spec.replicas"),
        ("replicas:   2", "replicas: -1", 9, "spec.replicas"),
        ("replicas:   2", "replicas: 1000000", 9, "spec.replicas"),
        ("replicas:   2   #", "replica: 2 #", 9, "spec.replica"),
        ("maxReplicasPerHost: 4", "maxReplicasPerHost: 0", 10, "spec.maxReplicasPerHost"),
        ('"registry.example.com/web:1.24"', '"a b"', 11, "spec.image"),
        ('"registry.example.com/web:1.24"', '""', 11, "spec.image"),
        ("lbPoolRef: haproxy/web", "lbPoolRef: [a]", 12, "spec.lbPoolRef"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(old: str, new: str, line: int, field: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(TEXT.replace(old, new).encode(), path=PATH)
    where = raised.value.where
    assert where is not None
    assert (where.path, where.line, where.field) == (PATH, line, field)


@pytest.mark.parametrize("text", ["", "a: [", "[]", "3", TEXT + "---\n" + TEXT, "spec: 3\n"])
def test_what_is_no_group_at_all(text: str) -> None:
    with pytest.raises(InputError):
        parse(text.encode(), path=PATH)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "-a", "a-", "a..b", "a b", "a\n", "é", "x" * 129, "trimtab", "kustomization"]
)
def test_names_that_no_path_can_have(name: str) -> None:
    for key in ((name, "web"), ("web-pool", name)):
        with pytest.raises(InputError):
            path_for(key)


@pytest.mark.parametrize(
    "path",
    [
        "docker/web.yaml",
        "docker/a/b/c.yaml",
        "docker/a/b.yml",
        "docker/a/b.json",
        "lxc/a/b.yaml",
        "docker/trimtab/x.yaml",
        "docker/a/..yaml",
    ],
)
def test_paths_that_are_no_groups(path: str) -> None:
    assert key_of(path) is None


@pytest.mark.parametrize("key", [("web-pool", "web"), ("POOL_1", "web.v2"), ("a", "x" * 128)])
def test_a_path_says_whose_it_is(key: tuple[str, str]) -> None:
    assert key_of(path_for(key)) == key


def test_only_the_number_changes() -> None:
    edited = with_replicas(TEXT.encode(), 11, path=PATH)
    assert edited == TEXT.replace("replicas:   2 ", "replicas:   11 ").encode()
    assert with_replicas(edited, 2, path=PATH) == TEXT.encode()


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_ends_and_a_byte_order_mark_stay(ending: str) -> None:
    text = b"\xef\xbb\xbf" + TEXT.replace("\n", ending).encode()
    assert with_replicas(text, 3, path=PATH) == text.replace(b"replicas:   2", b"replicas:   3")


def test_values_and_group_say_the_same() -> None:
    group = parse(TEXT.encode(), path=PATH).model_copy(update={"policy": "scp_web"})
    assert group_from(group.key, fields_of(group)) == group
    with pytest.raises(InputError):
        group_from(group.key, {})
    with pytest.raises(InputError):
        group_from(group.key, {**fields_of(group), "spec/image": "a\nb: c"})
