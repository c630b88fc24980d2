"""The fleet repo's own configuration at one commit: trimtab.yaml, policies/, actions/.

Only trimtab.yaml can stop everything. What is wrong elsewhere is a problem with file, line and field, and costs just the
policy or action that it is in.
"""

from collections.abc import Callable

from reconciler.errors import InputError, Stalled, Where
from reconciler.manifests.yaml_reader import load_config
from reconciler.model.fleet import Fleet
from reconciler.model.state import FleetState
from reconciler.model.tree import Tree
from reconciler.model.window import Window
from reconciler.observe.config_complaints import stalled, window_complaints
from reconciler.observe.config_fleet import fleet_from
from reconciler.observe.git_actions import read_actions
from reconciler.observe.git_policies import read_policies

FLEET_FILE = "trimtab.yaml"


def read_fleet(tree: Tree, *, check_window: Callable[[Window], str | None]) -> FleetState:
    """Everything that people declare to Trimtab in a fleet repo.

    ``check_window`` says what is wrong with a window's cron text, None when nothing is. Policies and actions come in
    the order of their files; a second one of a name, or for a target, is left out and named with the first.

    :raises Stalled: when trimtab.yaml is not there, is no YAML, or has anything in it that cannot be used.
    """
    fleet = _fleet(tree, check_window)
    policies, policy_problems = read_policies(tree, fleet, check_window)
    actions, action_problems = read_actions(tree, fleet, check_window)
    return FleetState(
        commit=tree.commit,
        fleet=fleet,
        policies=policies,
        actions=actions,
        problems=(*policy_problems, *action_problems),
        policies_complete=not policy_problems,
        actions_complete=not action_problems,
    )


def _fleet(tree: Tree, check_window: Callable[[Window], str | None]) -> Fleet:
    if FLEET_FILE not in tree.blobs:
        what = tree.oddities.get(FLEET_FILE)
        message = f"it is a {what}, not a file" if what else "the fleet repo has no trimtab.yaml"
        raise Stalled(message, where=Where(FLEET_FILE), hint="`trimtab init` writes one to start from")
    try:
        located = load_config(tree.read(FLEET_FILE), path=FLEET_FILE)
    except InputError as error:
        raise Stalled(error.message, where=error.where, hint=error.hint) from None
    fleet, windows = fleet_from(located)
    found = window_complaints(windows, located.value, check_window)
    if found:
        raise stalled(found, located)
    return fleet
