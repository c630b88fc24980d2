"""Take back: revert what was committed and cannot come true, with the words of who refused it (DESIGN §8)."""

from collections.abc import Sequence

from reconciler.errors import NothingToRollBack
from reconciler.steps import catching_up, lxc_actuating, undoing
from reconciler.steps.house import House
from reconciler.steps.lxc_actuating import TakeBack
from reconciler.steps.scene import read_scene
from reconciler.steps.view import View


def take_back(house: House, refused: Sequence[TakeBack]) -> None:
    """One revert for each commit, whatever the windows say, and the containers as they are to be after it.

    :raises RetryLater: when the branch has moved, or the remote is away; the next pass meets the same refusal again.
    """
    head = ""
    for one in refused:
        before = house.repository.fetch()
        catching_up.catch_up(house, before)
        scene = read_scene(house, View(house.repository.tree(before)), house.now())
        try:
            head = undoing.undo(house, scene, one.commit, force=True, because=one.because).commit
        except NothingToRollBack:  # a person was quicker
            continue
        catching_up.catch_up(house, head)
    if head:
        lxc_actuating.actuate_at(house, head)
