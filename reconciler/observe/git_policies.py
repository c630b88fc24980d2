"""policies/*.yaml: scaling policies as declared in Git."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from reconciler.model.tree import Tree
from reconciler.model.window import Window, Windows
from reconciler.observe.config_complaints import complaints, suggestion, window_complaints
from reconciler.observe.config_fields import Section, WindowList
from reconciler.observe.config_fleet import windows_of
from reconciler.observe.git_documents import Declared, declared, placed_windows

FOLDER = "policies"


class PolicyWindowFields(Section):
    """What a declared policy has beside the fields of the Scaling API's request body."""

    maintenance_window: WindowList = []
    exclusion_window: WindowList = []


class PolicyFields(PolicyWindowFields, ScalingPolicySpec):
    """Every field that a policy's ``spec`` may have; read for their names only."""


_OWN_FIELDS = frozenset(field.alias for field in PolicyWindowFields.model_fields.values())


def read_policies(
    tree: Tree, fleet: Fleet, check_window: Callable[[Window], str | None]
) -> tuple[tuple[ScalingPolicy, ...], list[Problem]]:
    """The policies that can be used, in the order of their files; and why the others cannot."""
    documents, problems = declared(tree, FOLDER, "ScalingPolicy")
    policies: list[ScalingPolicy] = []
    names: dict[str, Declared] = {}
    targets: dict[tuple[str, str | None, str], Declared] = {}
    for document in documents:
        policy = _policy(document, fleet, check_window)
        if isinstance(policy, list):
            problems += policy
            continue
        spec = policy.spec
        target = (spec.runtime, spec.cluster, spec.target_ref)
        if document.name in names:
            other = names[document.name].place()
            problems.append(document.problem(("metadata", "name"), f"a second policy named {document.name} ({other})"))
        elif target in targets:
            first = targets[target]
            message = f"a second policy for {spec.target_ref}: {first.name} ({first.place()}) has it already"
            problems.append(document.problem(("spec", "targetRef"), message, "one workload has one policy"))
        else:
            names[document.name], targets[target] = document, document
            policies.append(policy)
    return tuple(policies), problems


def _policy(
    document: Declared, fleet: Fleet, check_window: Callable[[Window], str | None]
) -> ScalingPolicy | list[Problem]:
    problems: list[Problem] = []
    if "name" in document.spec:
        problems.append(
            document.problem(("spec", "name"), "unknown field", "a declared policy's name is metadata.name")
        )
    own = {key: value for key, value in document.spec.items() if key in _OWN_FIELDS}
    asked = {key: value for key, value in document.spec.items() if key not in _OWN_FIELDS and key != "name"}
    windows = _windows(document, own, check_window, problems)
    spec = _spec(document, asked, problems)
    if spec is not None:
        spec = _in_cluster(document, spec, fleet, problems)
    if problems or spec is None:
        return problems
    return ScalingPolicy(
        id=f"scp_{document.name}", spec=spec, windows=windows, source="git", path=document.located.path
    )


def _windows(
    document: Declared, own: dict[str, Any], check_window: Callable[[Window], str | None], problems: list[Problem]
) -> Windows:
    try:
        fields = PolicyWindowFields.model_validate(own)
    except ValidationError as error:
        found = complaints(error, document.located.value, ("spec",), PolicyWindowFields)
        problems += document.problems(found)
        return Windows()
    windows = windows_of(fields.maintenance_window, fields.exclusion_window, f"policy {document.name}")
    placed = placed_windows(windows, ("spec",))
    problems += document.problems(window_complaints(placed, document.located.value, check_window))
    return windows


def _spec(document: Declared, asked: dict[str, Any], problems: list[Problem]) -> ScalingPolicySpec | None:
    try:
        return ScalingPolicySpec.model_validate(
            {"name": document.name, **asked}, strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        problems += document.problems(complaints(error, document.located.value, ("spec",), PolicyFields))
        return None


def _in_cluster(
    document: Declared, spec: ScalingPolicySpec, fleet: Fleet, problems: list[Problem]
) -> ScalingPolicySpec:
    """The policy with its cluster filled in, where a fleet has only one."""
    names = [cluster.name for cluster in fleet.clusters]
    if spec.cluster is not None:
        if spec.cluster not in names:
            hint = suggestion(spec.cluster, names)
            message = f"there is no cluster {spec.cluster} in trimtab.yaml"
            problems.append(document.problem(("spec", "cluster"), message, hint))
        return spec
    if spec.runtime != "kubernetes":
        return spec
    if len(names) != 1:
        message = f"which cluster? The fleet has {len(names)}" if names else "the fleet has no clusters"
        hint = f"cluster: {names[0]}, for example" if names else "name them in trimtab.yaml under spec.clusters"
        problems.append(document.problem(("spec", "cluster"), message, hint))
        return spec
    return spec.model_copy(update={"cluster": names[0]})
