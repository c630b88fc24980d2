"""Kustomizations as kustomize reads them, and which of them a root may be."""

import pytest

from reconciler.errors import InputError
from reconciler.manifests.kustomization import Kustomization, is_remote, parse_kustomization, root_refusal


def parse(text: str) -> Kustomization:
    return parse_kustomization(text.encode(), path="clusters/prod/kustomization.yaml")


def test_what_it_lists_and_does_to_names() -> None:
    k = parse(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        "resources: [apps, ../base]\nbases: [old]\ncomponents: [./trimtab/]\n"
        "namespace: shop\nnamePrefix: a-\nnameSuffix: -z\n"
    )
    assert k.resources == ("apps", "../base", "old")
    assert (k.namespace, k.name_prefix, k.name_suffix) == ("shop", "a-", "-z")
    assert k.directory == "clusters/prod"
    assert k.lists_component
    assert k.people_components == ()
    assert k.is_plain


def test_field_names_are_read_without_case_as_kustomize_does() -> None:
    assert parse("Resources: [a.yaml]\nNAMESPACE: x\n").namespace == "x"


def test_labels_reach_pod_templates_only_when_asked() -> None:
    k = parse(
        "resources: []\ncommonLabels: {a: one}\n"
        "labels: [{pairs: {b: two}}, {pairs: {c: three}, includeTemplates: true}, {pairs: {d: four}, includeSelectors: true}]\n"
        "commonAnnotations: {note: five}\n"
    )
    assert [(item.pairs, item.templates) for item in k.labels] == [
        ({"b": "two"}, False),
        ({"c": "three"}, True),
        ({"d": "four"}, True),
        ({"a": "one"}, True),
    ]
    assert k.annotations == {"note": "five"}


@pytest.mark.parametrize(
    "text",
    [
        "images: [{name: a, newTag: b}]",
        "configMapGenerator: [{name: a}]",
        "secretGenerator: [{name: a}]\ngeneratorOptions: {disableNameSuffixHash: true}",
        "openapi: {path: schema.json}\ncrds: [crd.json]",
        "sortOptions: {order: fifo}",
        "patches: []\nreplicas: []\ntransformers: null",
    ],
)
def test_fields_that_change_no_identity_and_no_size_are_plain(text: str) -> None:
    assert parse(f"resources: [a.yaml]\n{text}\n").is_plain


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("patches: [{path: p.yaml}]", "patches"),
        ("patchesStrategicMerge: [p.yaml]", "patchesStrategicMerge"),
        ("patchesJson6902: [{path: p.yaml}]", "patchesJson6902"),
        ("replicas: [{name: web, count: 3}]", "replicas"),
        ("replacements: [{path: r.yaml}]", "replacements"),
        ("vars: [{name: x}]", "vars"),
        ("configurations: [c.yaml]", "configurations"),
        ("generators: [g.yaml]", "generators"),
        ("transformers: [t.yaml]", "transformers"),
        ("helmCharts: [{name: x}]", "helmCharts"),
        ("buildMetadata: [managedByLabel]", "buildMetadata"),
        ("components: [trimtab, ../tracing]", "components"),
    ],
)
def test_what_only_kustomize_can_work_out_is_not_plain(text: str, reason: str) -> None:
    k = parse(f"resources: [a.yaml]\n{text}\n")
    assert not k.is_plain
    assert k.unfollowed == (reason,)


@pytest.mark.parametrize(
    "entry",
    [
        "https://example.com/a.yaml",
        "github.com/acme/apps//base?ref=v1",
        "git@github.com:acme/apps.git",
        "ssh://git@example.com/a.git",
        "example.com/acme/apps?ref=main",
    ],
)
def test_remote_resources_are_not_plain(entry: str) -> None:
    assert is_remote(entry)
    assert parse(f"resources: [apps, '{entry}']\n").unfollowed == (entry,)


@pytest.mark.parametrize("entry", ["apps", "../base", "github.com", "a.yaml", "./x/y.yaml"])
def test_local_resources(entry: str) -> None:
    assert not is_remote(entry)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("kind: Kustomization\n", "empty"),
        ("resources:\n", "empty"),
        ("- a\n", "not a mapping"),
        ("resources: [a]\nfoo: 1\n", "no such field"),
        ("resources: a.yaml\n", "list of paths"),
        ("resources: ['']\n", "list of paths"),
        ("resources: [{path: a}]\n", "list of paths"),
        ("resources: []\nnamespace: 7\n", "no text"),
        ("resources: []\nlabels: {a: b}\n", "should be a list"),
        ("resources: [\n", "not valid YAML"),
    ],
)
def test_what_kustomize_refuses_is_an_error_that_names_the_file(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert words in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.path == "clusters/prod/kustomization.yaml"


@pytest.mark.parametrize(
    "text",
    [
        "resources: [apps]\n",
        "resources: [apps, a.yaml]\ncomponents: [trimtab]\n",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: x}\nresources: []\n",
        "resources: [apps]\npatches: []\nnamespace: ''\n",
    ],
)
def test_roots_that_can_carry_the_component(text: str) -> None:
    assert root_refusal(parse(text)) == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("namespace: shop", "namespace"),
        ("namePrefix: a-", "namePrefix"),
        ("images: [{name: a}]", "images"),
        ("patches: [{path: p.yaml}]\nreplicas: [{name: a, count: 1}]", "patches, replicas"),
        ("configMapGenerator: [{name: a}]", "configMapGenerator"),
        ("bases: [old]", "bases"),
        ("components: [trimtab, tracing]", "the components tracing"),
        ("kind: Component", "it is a Component"),
    ],
)
def test_roots_that_cannot_are_told_what_to_move(text: str, named: str) -> None:
    assert named in root_refusal(parse(f"resources: [apps]\n{text}\n"))
