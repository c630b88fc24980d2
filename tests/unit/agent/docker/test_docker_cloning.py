"""What a clone of a container is made of."""

import copy
from itertools import islice
from typing import Any

import pytest

from reconciler.agent.docker.cloning import Origin, clone_of, image_of, names
from reconciler.errors import InputError

ORIGIN = Origin("web-pool", "web", "cmd_1", "scp_1")
ID = "c3d52d519408e107de3d63ffdfbe5094d475f9f9d41b388b38b62c1c11960218"


def inspected(**host: Any) -> dict[str, Any]:
    return {
        "Id": ID,
        "Name": "/shop-web",
        "Image": "sha256:1",
        "Config": {
            "Hostname": ID[:12],
            "Image": "shop/web:1.2",
            "Env": ["MODE=fast"],
            "Cmd": ["serve"],
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/cache": {}},
            "Labels": {"trimtab.group": "web", "trimtab.template": "true", "team": "shop"},
        },
        "HostConfig": {"NetworkMode": "default", "Memory": 1024, "AutoRemove": False, "PortBindings": {}, **host},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "MacAddress": "02:42:ac:11:00:02"}}},
    }


def test_what_is_the_templates_alone_stays_behind() -> None:
    template = inspected()
    before = copy.deepcopy(template)
    clone = clone_of(template, "shop/web:1.2", ORIGIN, 4)
    assert template == before
    assert "Hostname" not in clone.config and "NetworkingConfig" not in clone.config and clone.networks == ()
    assert clone.config["Labels"] == {
        "trimtab.group": "web",
        "team": "shop",
        "trimtab.host-pool": "web-pool",
        "trimtab.command": "cmd_1",
        "trimtab.policy": "scp_1",
    }
    kept = ("Env", "Cmd", "Volumes", "ExposedPorts")
    assert {key: clone.config[key] for key in kept} == {key: before["Config"][key] for key in kept}
    assert clone.config["HostConfig"]["Memory"] == 1024


def test_a_host_name_of_its_own_is_kept_and_that_of_the_host_is_not() -> None:
    template = inspected()
    template["Config"]["Hostname"] = "shop"
    assert clone_of(template, "i", ORIGIN, 1).config["Hostname"] == "shop"
    template["HostConfig"]["NetworkMode"] = "host"
    assert "Hostname" not in clone_of(template, "i", ORIGIN, 1).config


def test_networks_are_joined_with_the_aliases_and_without_the_addresses() -> None:
    template = inspected(NetworkMode="front")
    template["NetworkSettings"]["Networks"] = {
        "back": {"IPAddress": "10.1.0.9", "Aliases": ["api", "shop-web", ID[:12]], "NetworkID": "b"},
        "front": {
            "IPAddress": "10.0.0.9",
            "Aliases": ["web"],
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "NetworkID": "f",
        },
    }
    clone = clone_of(template, "i", ORIGIN, 1)
    assert clone.config["NetworkingConfig"] == {"EndpointsConfig": {"front": {"Aliases": ["web"]}}}
    assert clone.networks == (("back", {"Aliases": ["api"]}),)

    by_id = copy.deepcopy(template)
    by_id["HostConfig"]["NetworkMode"] = "f"
    clone = clone_of(by_id, "i", ORIGIN, 1)
    assert clone.config["NetworkingConfig"] == {"EndpointsConfig": {"f": {"Aliases": ["web"]}}}
    assert [network for network, _ in clone.networks] == ["back"]


def test_another_containers_network_is_shared_without_ports() -> None:
    clone = clone_of(inspected(NetworkMode="container:abc"), "i", ORIGIN, 1)
    assert not {"Hostname", "ExposedPorts", "NetworkingConfig"} & clone.config.keys()
    assert clone.networks == ()


def test_links_are_given_as_they_were_typed() -> None:
    clone = clone_of(inspected(Links=["/db:/shop-web/database", "/cache:/shop-web/cache"]), "i", ORIGIN, 1)
    assert clone.config["HostConfig"]["Links"] == ["db:database", "cache:cache"]


@pytest.mark.parametrize("port", ["", "0", "8000-8010"])
def test_ports_that_the_engine_chooses_can_be_had_twice(port: str) -> None:
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": port}], "90/tcp": None}
    assert clone_of(inspected(PortBindings=bindings), "i", ORIGIN, 1).config["HostConfig"]["PortBindings"] == bindings


@pytest.mark.parametrize("port", ["8080", "8080-8080"])
def test_a_port_of_the_host_cannot_be_had_twice(port: str) -> None:
    with pytest.raises(
        InputError, match="shop-web has port 8080.* of the host for itself .container port 80/tcp."
    ) as told:
        clone_of(inspected(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": port}]}), "i", ORIGIN, 1)
    assert "-p 80 alone" in told.value.hint


def test_compose_is_told_another_number() -> None:
    template = inspected()
    template["Config"]["Labels"] |= {"com.docker.compose.service": "web", "com.docker.compose.container-number": "1"}
    labels = clone_of(template, "i", ORIGIN, 4).config["Labels"]
    assert (labels["com.docker.compose.service"], labels["com.docker.compose.container-number"]) == ("web", "4")


def test_the_lowest_free_numbers_are_taken() -> None:
    mine, others = {"web", "web-2", "web-pool-web-4"}, {"web-3", "web-5", "web-pool-web-5"}
    assert list(islice(names("web", "web-pool", mine, others), 3)) == [
        ("web-1", 1),
        ("web-pool-web-3", 3),
        ("web-6", 6),
    ]


def test_the_tag_is_kept_while_it_is_still_what_runs() -> None:
    assert image_of(inspected(), "sha256:1") == "shop/web:1.2"
    assert image_of(inspected(), "sha256:2") == "sha256:1"
    assert image_of(inspected(), "") == "sha256:1"
