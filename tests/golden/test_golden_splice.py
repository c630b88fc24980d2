"""Golden trees of in-place edits: ``splice/<case>/original.yaml`` becomes ``expected.yaml``, byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.manifests.splice import remove_keys, set_scalars

CASES = Path(__file__).parent / "splice"
POD = ("spec", "template", "spec", "containers")
Edit = Callable[[bytes], bytes]


def sets(document: int, values: dict[tuple[str, ...], str]) -> Edit:
    return lambda text: set_scalars(text, document, values, path="original.yaml")


def removes(*keys: tuple[str, ...]) -> Edit:
    return lambda text: remove_keys(text, 0, keys, path="original.yaml")


EDITS: dict[str, Edit] = {
    "values_keep_comments_and_quotes": sets(
        0,
        {
            ("spec", "replicas"): "5",
            (*POD, "server", "resources", "requests", "cpu"): "250m",
            (*POD, "server", "resources", "requests", "memory"): "300Mi",
            (*POD, "server", "resources", "limits", "memory"): "600Mi",
        },
    ),
    "added_keys_follow_their_siblings": sets(
        0,
        {
            (*POD, "server", "resources", "limits", "ephemeral-storage"): "2Gi",
            (*POD, "server", "resources", "claims", "gpu"): "on",
            (*POD, "sidecar", "resources", "requests", "cpu"): "20m",
            (*POD, "sidecar", "resources", "requests", "memory"): "32Mi",
            ("metadata", "annotations", "trimtab.dev/base-cpu-request"): "1",
            ("spec", "template", "metadata", "labels", "tier"): "1",
        },
    ),
    "windows_line_ends_and_byte_order_mark": sets(
        0,
        {
            ("spec", "containers", "app", "resources", "requests", "cpu"): "150m",
            ("spec", "containers", "app", "resources", "requests", "memory"): "64Mi",
            ("spec", "containers", "app", "resources", "limits", "memory"): "64Mi",
        },
    ),
    "no_line_break_at_the_end": sets(
        0,
        {
            ("spec", "resources", "requests", "cpu"): "1500m",
            ("spec", "resources", "limits", "cpu"): "2",
            ("spec", "paused"): "true",
        },
    ),
    "one_document_of_many": sets(2, {("spec", "suspend"): "true", ("spec", "schedule"): "30 4 * * 1-5"}),
    "removed_keys": removes(
        (*POD, "app", "resources", "requests", "memory"),
        (*POD, "app", "resources", "limits", "cpu"),
        (*POD, "app", "env", "B"),
        (*POD, "app", "note"),
        (*POD, "side", "resources"),
        (*POD, "app", "nothing"),
    ),
    "json": sets(
        0,
        {
            ("spec", "replicas"): "4",
            ("spec", "resources", "requests", "cpu"): "500m",
            ("spec", "resources", "requests", "memory"): "1Gi",
        },
    ),
    "helm_values_and_empty_mappings": sets(
        0,
        {
            ("web", "resources", "requests", "cpu"): "1",
            ("worker", "resources", "requests", "memory"): "128Mi",
            ("db", "resources", "limits", "memory"): "1Gi",
            ("web", "image", "tag"): "8",
        },
    ),
}


@pytest.mark.parametrize("case", sorted(EDITS))
def test_an_edit_gives_exactly_the_expected_bytes(case: str) -> None:
    original, expected = ((CASES / case / name).read_bytes() for name in ("original.yaml", "expected.yaml"))
    assert EDITS[case](original).decode() == expected.decode()


def test_every_golden_tree_has_an_edit() -> None:
    assert sorted(EDITS) == sorted(path.name for path in CASES.iterdir())
