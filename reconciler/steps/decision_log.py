"""The decision log of policies, and of what people ask for LXC containers: `dry_run`, `apply`, `apply_failed`, `rollback`
(DESIGN §6), as rows that are only ever added."""

from collections.abc import Iterable, Mapping

from reconciler.evaluate.scaling_forecast import Forecast, direction_of
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.manifests.container_group import REPLICAS
from reconciler.manifests.lxc_container import CORES
from reconciler.model.change import Change, Proposal
from reconciler.model.log import DecisionRow, LogAction
from reconciler.model.policy import Runtime, ScalingPolicySpec
from reconciler.render.machine_text import machine_text
from reconciler.render.templates import Templates
from reconciler.steps.house import House

Outlooks = Mapping[str, Outlook]


def log_changes(
    house: House, changes: Iterable[Change], action: LogAction, outlooks: Outlooks, outcome: str = ""
) -> None:
    """One row per decision of a policy, or of a person's about an LXC container; one that has its row gets no second one.

    ``outcome`` empty = the decision's own reason.
    """
    rows = [row for change in changes for row in _rows(house, change, action, outlooks, outcome)]
    if rows:
        house.stores.log.append_once(house.name, rows)


def _rows(house: House, change: Change, action: LogAction, outlooks: Outlooks, outcome: str) -> Iterable[DecisionRow]:
    if change.subject.kind != "policy" and change.kind != "resources":
        return
    outlook = outlooks.get(change.subject.id)
    for decision in change.decisions:
        yield DecisionRow(
            ts=house.now(),
            policy_id=change.subject.id,
            change_id=change.id,
            decision_id=decision.id,
            runtime=_runtime(decision.proposal),
            action="rollback" if action == "apply" and change.kind == "rollback" else action,
            dry_run=False,
            rendered_manifest=_written(house, change),
            outcome=outcome or _outcome(decision.proposal, outlook),
        ).model_copy(update=_figures(decision.proposal, outlook.forecast if outlook else None))


def _figures(proposal: Proposal, seen: Forecast | None) -> dict[str, object]:
    """The forecast; where something is taken on or a step is undone, what its file says before and after."""
    edit = next((e for e in proposal.edits if (e.form, e.field) in _COUNTED), None)
    if edit is None or proposal.kind in ("containers", "resources"):
        return _forecast(seen)
    before, after = (int(value) for value in (edit.old or edit.new or "0", edit.new or edit.old or "0"))
    return {"direction": direction_of(before, after), "from_replicas": before, "to_replicas": after}


_COUNTED = (("group", REPLICAS), ("lxc", CORES))
"""What replicas are: containers of a group, cores of an LXC container."""


def _runtime(proposal: Proposal) -> Runtime:
    """By the files: a policy that is gone still has them."""
    first = proposal.edits[0].path.partition("/")[0] if proposal.edits else ""
    return _RUNTIME_OF_FOLDER.get(first, "kubernetes")


_RUNTIME_OF_FOLDER: dict[str, Runtime] = {"docker": "docker", "lxc": "lxc"}


def _outcome(proposal: Proposal, outlook: Outlook | None) -> str:
    """In the words of the Scaling API's document where it has some; else the decision's own reason."""
    gone = {edit.path for edit in proposal.edits if edit.field == "maxReplicas" and edit.new is None}
    if proposal.kind == "hpa" and outlook is not None and any(edit.path not in gone for edit in proposal.edits):
        return f"Applying HPA spec: {_hpa_words(outlook.policy.spec)}."
    return proposal.reason


def _would(outlook: Outlook) -> str:
    if outlook.container is not None:
        cores, memory = outlook.container.cores, outlook.container.memory_mb
        sizes = [f"{cores} {'core' if cores == 1 else 'cores'}"] if cores else []
        sizes += [f"{memory} MB of memory"] if memory else []
        return f"Would give {outlook.policy.spec.target_ref} {' and '.join(sizes)}."
    if outlook.group is None:
        return f"Would apply HPA spec: {_hpa_words(outlook.policy.spec)}."
    return f"Would run {outlook.group.replicas} of {outlook.policy.spec.target_ref}."


def _hpa_words(spec: ScalingPolicySpec) -> str:
    """``2 to 10 replicas, CPU 70% target``."""
    targets = (("CPU", spec.cpu_target_percent), ("memory", spec.memory_target_percent))
    metrics = "".join(f", {name} {percent:g}% target" for name, percent in targets if percent is not None)
    return f"{spec.min_replicas} to {spec.max_replicas} replicas{metrics}"


def _written(house: House, change: Change) -> str:
    """The manifests as the commit holds them, or would."""
    paths = sorted({edit.path for decision in change.decisions for edit in decision.proposal.edits})
    files = house.repository.files_at(change.commit, paths) if change.commit else change.files
    return "---\n".join(data.decode() for path in paths if (data := files.get(path)))


def _forecast(seen: Forecast | None) -> dict[str, object]:
    if seen is None:
        return {}
    return {
        "trigger_metric": seen.trigger_metric,
        "trigger_value": seen.trigger_value,
        "threshold": seen.threshold,
        "direction": seen.direction,
        "from_replicas": seen.current_replicas,
        "to_replicas": seen.desired_replicas,
    }


def log_dry_runs(house: House, outlooks: Outlooks, templates: Templates) -> None:
    """What policies in dry run would do, each time that it differs from what their last row says."""
    dry = [outlook for outlook in outlooks.values() if outlook.policy.spec.enabled and outlook.policy.spec.dry_run]
    asked = [outlook for outlook in dry if outlook.rendered is not None or outlook.manifest]
    if not asked:
        return
    last = house.stores.log.newest(house.name)
    rows: list[DecisionRow] = []
    for outlook in asked:
        manifest = outlook.manifest
        if outlook.rendered is not None:
            manifest = machine_text(outlook.rendered, templates, path=outlook.path).decode()
        before = last.get(outlook.policy.id)
        replicas = outlook.forecast.desired_replicas if outlook.forecast else None
        if before and (before.to_replicas, before.rendered_manifest) == (replicas, manifest):
            continue
        spec = outlook.policy.spec
        rows.append(
            DecisionRow(
                ts=house.now(),
                policy_id=outlook.policy.id,
                runtime=spec.runtime,
                action="dry_run",
                dry_run=True,
                rendered_manifest=manifest,
                outcome=_would(outlook),
            ).model_copy(update=_forecast(outlook.forecast))
        )
    house.stores.log.append_once(house.name, rows)
