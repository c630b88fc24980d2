"""Action configs made through the API: what each means for one fleet repo of its organization."""

import uuid
from collections.abc import Iterable

from reconciler.evaluate.filters import FilterError, parse
from reconciler.gate.windows import check_window
from reconciler.model.action import ActionConfig, StoredAction
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.state import FleetState
from reconciler.observe.action_fields import ActionFields, action_from
from reconciler.observe.config_complaints import Complaint, written_path


def read_stored(stored: StoredAction, fleet: Fleet) -> ActionConfig | list[Complaint]:
    """What a config asks of ``fleet``, or all that is wrong with it, by the fields of the request: ``config``, ``filter``."""
    document = {"name": stored.name, "cluster": stored.cluster, "config": stored.config}
    fields = ActionFields(scope=stored.scope, cluster=stored.cluster, action=stored.action, config=stored.config)
    action = action_from(
        fields,
        action_id=stored.id,
        name=stored.name,
        fleet=fleet,
        check_window=check_window,
        document=document,
        at=(),
        name_at=("name",),
    )
    if isinstance(action, list):
        return action
    try:
        parse(action.filter)
    except FilterError as error:
        first, _, _ = error.message.partition("\n")
        return [Complaint(written_path(document, ("config", "filter")), first, error.hint)]
    return action.model_copy(update={"source": "API", "config": stored.config})


def made_through_api(
    made: Iterable[StoredAction], fleet: Fleet, name: str
) -> tuple[tuple[ActionConfig, ...], tuple[Problem, ...]]:
    """The configs of an organization that are about ``fleet``, and why others of them cannot be used any more.

    ``name``: the fleet repo, as the stores know it. A config was good when it was made; the fleet may have changed since.
    """
    actions: list[ActionConfig] = []
    problems: list[Problem] = []
    for stored in made:
        if not _concerns(stored, fleet, name):
            continue
        action = read_stored(stored, fleet)
        if isinstance(action, ActionConfig):
            actions.append(action)
        else:
            problems += [_problem(stored, complaint) for complaint in action]
    return tuple(actions), tuple(problems)


def of_another_database(action_id: str, state: FleetState) -> bool:
    """Whether an id, as a file of ours names it, is of a config that was made through the API, and not in this database.

    Such ids are random, version 4; those of declared actions follow from names, version 5.
    """
    if action_id in state.ended_actions or any(action.id == action_id for action in state.actions):
        return False
    try:
        return uuid.UUID(action_id).version == 4
    except ValueError:
        return False


def _concerns(stored: StoredAction, fleet: Fleet, name: str) -> bool:
    """Whether it is about this fleet: its cluster is here, or was when the config was made, which is then told."""
    if stored.scope != "cluster" or stored.fleet == name:
        return True
    return any(stored.cluster in (cluster.name, cluster.id) for cluster in fleet.clusters)


def _problem(stored: StoredAction, complaint: Complaint) -> Problem:
    return Problem(
        path=f"action {stored.name}",
        field=".".join(map(str, complaint.at)),
        message=complaint.message,
        hint=complaint.hint or f"POST /action/config with the id {stored.id} changes it",
    )
