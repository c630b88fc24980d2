"""A process that lives long: what it remembers does not grow with the commits that it has seen."""

import gc
from pathlib import Path

from reconciler.bootstrap import open_house
from reconciler.model.inventory import RootState
from reconciler.settings import Settings
from reconciler.steps.remembered import Remembered
from reconciler.steps.scene import read_scene
from reconciler.steps.view import View
from support.small import ROOT, deployment, small_fleet

COMMITS = 200


def test_roots_and_files_of_earlier_commits_are_let_go(tmp_path: Path) -> None:
    repo = small_fleet(tmp_path)
    with open_house(Settings(fleet=str(repo.bare), state_dir=tmp_path / "state")) as house:
        head = View(house.repository.tree(house.repository.fetch()))
        scenes = []
        for number in range(COMMITS):
            view = head.over(
                {f"{ROOT}/apps/web.yaml": deployment(namespace="").replace("100m", f"{number + 100}m").encode()}
            )
            scenes = [read_scene(house, view, house.now())]
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, RootState)]
        entries = len(house.parsed)
    (root,) = scenes[0].root_states
    assert "299" in root.model_dump_json()
    assert len(alive) < 8
    assert entries < COMMITS / 2


def test_what_is_used_stays_and_what_is_not_is_let_go_after_two_generations() -> None:
    memory = Remembered()
    memory["used"], memory["not used"] = 1, 2
    for generation in range(3):
        assert memory["used"] == 1
        memory[f"new {generation}"] = generation
        memory.age(at_most=1)
    assert sorted(memory) == ["new 2", "used"]
    del memory["used"]
    assert "used" not in memory and memory.get("used") is None and list(memory) == ["new 2"]


def test_nothing_is_let_go_while_there_is_little() -> None:
    memory = Remembered()
    for number in range(3):
        memory[str(number)] = number
        memory.age(at_most=3)
    assert list(memory.items()) == [("0", 0), ("1", 1), ("2", 2)]
