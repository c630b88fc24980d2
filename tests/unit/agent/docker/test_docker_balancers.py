"""Backends files of load balancers."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.agent.docker.balancers import Balancers, Server, address_of
from reconciler.errors import Stalled

TWO = (Server("web-2", "172.17.0.3:80"), Server("web-1", "172.17.0.2:80"))


def written(kind: str, file: Path, *servers: Server) -> str:
    assert Balancers([("web", kind, file)]).write("web", "shop", servers)
    return file.read_text()


def test_traefik_reads_its_servers(tmp_path: Path) -> None:
    told = yaml.safe_load(written("traefik", tmp_path / "web.yml", *TWO))
    servers = [{"url": "http://172.17.0.2:80"}, {"url": "http://172.17.0.3:80"}]
    assert told == {"http": {"services": {"web": {"loadBalancer": {"servers": servers}}}}}
    none = yaml.safe_load(written("traefik", tmp_path / "none.yml"))
    assert none["http"]["services"]["web"]["loadBalancer"] == {"servers": []}


def test_haproxy_and_nginx_have_theirs(tmp_path: Path) -> None:
    assert written("haproxy", tmp_path / "web.cfg", *TWO).splitlines()[1:] == [
        "backend web",
        "    balance roundrobin",
        "    server web-1 172.17.0.2:80 check",
        "    server web-2 172.17.0.3:80 check",
    ]
    assert written("nginx", tmp_path / "web.conf", *TWO).splitlines()[1:] == [
        "upstream web {",
        "    server 172.17.0.2:80;  # web-1",
        "    server 172.17.0.3:80;  # web-2",
        "}",
    ]
    assert "server 127.0.0.1:9 down;" in written("nginx", tmp_path / "none.conf")


@pytest.mark.parametrize(("ref", "pool"), [("web", "web"), ("haproxy/web", "web"), ("lb/web pool:80", "web-pool-80")])
def test_the_pool_is_called_by_the_end_of_its_ref(tmp_path: Path, ref: str, pool: str) -> None:
    file = tmp_path / "lb.cfg"
    Balancers([(ref, "haproxy", file)]).write(ref, "shop", TWO)
    assert f"backend {pool}\n" in file.read_text()


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.j2").write_text(
        "{% for s in servers %}{{ ref }} {{ group }} {{ s.name }}={{ s.address }};{% endfor %}"
    )
    kind = f"template:{tmp_path}/own.j2"
    assert written(kind, tmp_path / "out", *TWO) == "web shop web-1=172.17.0.2:80;web shop web-2=172.17.0.3:80;"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for %}", "own.j2:1"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        (None, "No such file"),
    ],
)
def test_a_template_that_is_wrong_is_told_at_the_start(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "own.j2").write_text(text)
    with pytest.raises(Stalled, match=said):
        Balancers([("web", f"template:{tmp_path}/own.j2", tmp_path / "out")])


def test_the_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    balancers = Balancers([("web", "traefik", file)])
    balancers.write("web", "shop", TWO)
    assert oct(file.stat().st_mode)[-3:] == "644"
    file.chmod(0o640)
    with file.open() as before:
        assert balancers.write("web", "shop", TWO[:1])
        assert "172.17.0.2" in before.read(), "who reads the old file reads all of it"
    assert oct(file.stat().st_mode)[-3:] == "640"
    assert [path.name for path in tmp_path.iterdir()] == ["web.yml"]
    assert not balancers.write("web", "shop", TWO[:1]), "what is so already is not written again"


def test_a_persons_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text("global\n  daemon\n")
    balancers = Balancers([("web", "haproxy", file)])
    for act in (lambda: balancers.check("web"), lambda: balancers.write("web", "shop", TWO)):
        with pytest.raises(Stalled, match="it was not written by Trimtab"):
            act()
    assert file.read_text() == "global\n  daemon\n"


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    balancers = Balancers([("web", "traefik", tmp_path / "no" / "web.yml")])
    with pytest.raises(Stalled, match="cannot be written: No such file"):
        balancers.check("web")
    with pytest.raises(Stalled, match="knows no load balancer 'api'") as told:
        balancers.check("api")
    assert "--lb api=traefik:FILE" in told.value.hint


def inspected(labels: dict[str, str], ports: dict[str, Any], **addresses: str) -> dict[str, Any]:
    joined = {"bridge": {"IPAddress": "", "GlobalIPv6Address": "", **addresses}}
    return {"Name": "/web", "Config": {"Labels": labels}, "NetworkSettings": {"Networks": joined, "Ports": ports}}


def test_where_a_container_is_reached() -> None:
    port, bound = {"trimtab.port": "80"}, {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "81/tcp": None}
    assert address_of(inspected(port, bound, IPAddress="172.17.0.2")) == "172.17.0.2:80"
    assert address_of(inspected(port, {}, GlobalIPv6Address="fd00::2")) == "[fd00::2]:80"
    assert address_of(inspected({}, bound, IPAddress="172.17.0.2")) == "127.0.0.1:32768"
    with pytest.raises(Stalled, match="web has no label trimtab.port and publishes no port"):
        address_of(inspected({}, {"80/tcp": None}))
