"""`trimtab check` and `doctor` read container groups and LXC containers, too."""

from pathlib import Path

from support.fleets import fleet_yaml, new_fleet
from support.small import root_files

GROUP = "apiVersion: trimtab.dev/v1alpha1\nkind: ContainerGroup\nmetadata: {name: web}\nspec: {hostPool: edge, replicas: two}\n"


def test_a_group_that_cannot_be_read_is_named_by_file_line_and_field(tmp_path: Path) -> None:
    files = {
        "trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}", extra="  hostPools: [{name: edge}]\n"),
        **root_files(),
        "docker/edge/web.yaml": GROUP,
    }
    repo = new_fleet(tmp_path, files)
    checked = repo.trimtab("check", str(repo.work), code=1)
    assert "docker/edge/web.yaml:4" in checked.text and "replicas" in checked.text
    looked = repo.trimtab("doctor", code=1)
    assert "docker/edge/web.yaml:4" in looked.text
    repo.write("docker/edge/web.yaml", GROUP.replace("two", "2"))
    repo.commit("As a number")
    repo.trimtab("check", str(repo.work), code=0)
    assert "1 cluster," in repo.trimtab("doctor").text


CONTAINER = (
    "apiVersion: trimtab.dev/v1alpha1\nkind: LXCContainer\nmetadata: {name: '104'}\nspec: {node: pve1, cores: two}\n"
)


def test_a_container_that_cannot_be_read_is_named_by_file_line_and_field(tmp_path: Path) -> None:
    declared = fleet_yaml("{name: prod, path: clusters/prod}", extra="  lxcNodes: [{name: pve1}]\n")
    files = {"trimtab.yaml": declared, **root_files(), "lxc/pve1/104.yaml": CONTAINER, "lxc/pve2/105.yaml": "{}"}
    repo = new_fleet(tmp_path, files)
    checked = repo.trimtab("check", str(repo.work), code=1)
    assert "lxc/pve1/104.yaml:4" in checked.text and "cores" in checked.text
    assert "the node pve2 is not looked after by this fleet" in " ".join(checked.text.split())
    looked = repo.trimtab("doctor", code=1)
    assert "lxc/pve1/104.yaml:4" in looked.text
    repo.write("lxc/pve1/104.yaml", CONTAINER.replace("two", "2"))
    (repo.work / "lxc/pve2/105.yaml").unlink()
    repo.commit("As a number")
    repo.trimtab("check", str(repo.work), code=0)
    assert "1 cluster," in repo.trimtab("doctor").text
