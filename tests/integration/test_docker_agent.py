"""The Docker agent against a real engine: what it pushes, and what it makes of the server's commands."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from reconciler.agent.docker.running import run
from reconciler.agent.link import Link, Registration
from reconciler.agent.options import DockerOptions
from reconciler.clock import system_clock
from support.boxes import IMAGE, away, build, clear, present, running, template, until
from support.commands import CommandServer, command_server
from support.engine import Docker, engine
from support.fleets import new_fleet
from support.linked import link_to
from support.served import serving

POOL = "web-pool"
QUICK = ("--health-interval", "300ms", "--health-retries", "1")
HEALTHY = ("--health-cmd", "test -e /bin/sh", *QUICK)


@contextmanager
def agent(docker: Docker, server: CommandServer, home: Path, *balancers: tuple[str, str, Path]) -> Iterator[None]:
    """An agent in this process, until it is told to stop."""
    stop, failed = threading.Event(), []
    who = Registration(name=POOL, hostname="host-1", platform="docker", host_pool=POOL)
    link = Link(server.url, "key", who, clock=system_clock)
    options = DockerOptions(
        host_pool=POOL,
        ledger=home / "ledger",
        host=docker.host,
        balancers=balancers,
        healthy_seconds=90,
        grace_seconds=2,
    )

    def work() -> None:
        try:
            run(link, options, stop=stop, clock=system_clock, say=structlog.get_logger(), once=False)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        link.hang_up()
        thread.join(120)
        link.close()
        assert not thread.is_alive() and not failed, failed


@dataclass
class Host:
    """An engine with an agent that works for a server of the test's. ``home``: where load balancers' files are."""

    docker: Docker
    server: CommandServer
    home: Path

    def told(self, command_id: str, group: str, replicas: int, **payload: Any) -> tuple[str, str]:
        """Have it told to run so many, and what it answers."""
        self.server.order(command_id, group, replicas, **payload)
        return self.server.answer_to(command_id)

    def state(self, *names: str) -> dict[str, str]:
        """What would differ if somebody had touched them."""
        return {name: self.docker.inspect(name, "{{.Id}} {{.State.StartedAt}} {{.State.Status}}") for name in names}


@pytest.fixture(scope="module")
def host(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    build(docker)
    home = tmp_path_factory.mktemp("host")
    balancers = (("web", "traefik", home / "web.yml"), ("lost", "nginx", home / "no/lost.conf"))
    with command_server() as server, agent(docker, server, home, *balancers):
        yield Host(docker, server, home)
    clear(docker)


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Containers whose health is checked three times a second go once their test is over: the machine has others to run."""
    yield
    if "host" in request.fixturenames:
        clear(request.getfixturevalue("host").docker)


def test_a_group_grows_and_shrinks_and_nobody_elses_container_is_touched(host: Host) -> None:
    template(host.docker, "web", *HEALTHY)
    host.docker("run", "--detach", "--name", "web-2", IMAGE, "sleep", "1000")
    template(host.docker, "web", name="elsewhere", pool="other-pool")
    template(host.docker, "database")
    before = host.state("web", "web-2", "elsewhere", "database")

    assert host.told("grow-1", "web", 2) == ("succeeded", "2 of web run here; started web-1")
    assert host.told("grow-2", "web", 5)[0] == "succeeded"
    five = ["elsewhere", "web", "web-1", "web-3", "web-4", "web-pool-web-2"]
    assert running(host.docker, "web") == five
    assert host.told("shrink", "web", 3)[0] == "succeeded"
    left = present(host.docker, "web")
    assert len(left) == 4 and {"web", "web-1", "elsewhere"} < set(left), "the newest are gone, and removed"
    assert host.state("web", "web-2", "elsewhere", "database") == before

    labels = json.loads(host.docker.inspect("web-1", "{{json .Config.Labels}}"))
    told = {"trimtab.group": "web", "trimtab.host-pool": POOL, "trimtab.policy": "scp_1", "trimtab.command": "grow-1"}
    assert labels == told

    assert host.told("none", "web", 0)[0] == "succeeded"
    assert present(host.docker, "web") == ["elsewhere", "web"], "what a person made is stopped and kept"
    assert running(host.docker, "web") == ["elsewhere"]
    assert host.told("again", "web", 2)[0] == "succeeded"
    assert running(host.docker, "web") == ["elsewhere", "web", "web-1"]


def test_a_command_that_is_delivered_again_changes_nothing(host: Host) -> None:
    template(host.docker, "thrice", *HEALTHY)
    body = host.server.order("thrice", "thrice", 3)
    first = host.server.answer_to("thrice")
    host.docker("rm", "--force", "thrice-2")
    before = host.state("thrice", "thrice-1")
    for times in (2, 3):
        with host.server.changed:
            host.server.waiting.append(body)
            host.server.changed.notify_all()
        assert host.server.answer_to("thrice", times) == first
    assert present(host.docker, "thrice") == ["thrice", "thrice-1"]
    assert host.state("thrice", "thrice-1") == before


def test_a_clone_is_like_its_template(host: Host, tmp_path: Path) -> None:
    host.docker("network", "create", "front")
    host.docker("network", "create", "back")
    given = (
        *("--network", "front", "--network-alias", "shop", "--hostname", "own", "--env", "MODE=fast", "--user", "0:0"),
        *("--workdir", "/tmp", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "99", "--ulimit", "nofile=500:600"),
        *(
            "--volume",
            "named:/named",
            "--volume",
            "/scratch",
            "--volume",
            f"{tmp_path}:/bound:ro",
            "--tmpfs",
            "/run:size=1m",
        ),
        *("--mount", "type=volume,destination=/mounted", "--restart", "on-failure:3", "--cap-drop", "NET_RAW"),
        *(
            "--security-opt",
            "no-new-privileges",
            "--add-host",
            "db:10.0.0.9",
            "--dns",
            "10.0.0.53",
            "--stop-timeout",
            "7",
        ),
        *("--log-opt", "max-size=1m", "--label", "team=shop", "--publish", "127.0.0.1::80", "--init=false", *HEALTHY),
    )
    template(host.docker, "fine", "--label", "trimtab.template=true", *given)
    host.docker("network", "connect", "--alias", "inner", "back", "fine")
    assert host.told("fine", "fine", 2)[0] == "succeeded"
    mine, clone = (json.loads(host.docker("inspect", name))[0] for name in ("fine", "fine-1"))

    config, labels = {**clone["Config"]}, clone["Config"]["Labels"]
    assert labels.items() >= {"team": "shop", "trimtab.group": "fine"}.items() and "trimtab.template" not in labels
    config["Labels"] = mine["Config"]["Labels"]
    assert config == mine["Config"]
    assert clone["HostConfig"] == mine["HostConfig"]
    assert clone["Image"] == mine["Image"]

    def joined(inspected: dict[str, Any]) -> dict[str, list[str]]:
        short = inspected["Id"][:12]
        networks = inspected["NetworkSettings"]["Networks"]
        return {name: [a for a in one["Aliases"] if a not in (short, "own")] for name, one in networks.items()}

    assert joined(clone) == joined(mine) == {"front": ["shop"], "back": ["inner"]}
    volumes = [{m["Destination"]: m.get("Name", m["Source"]) for m in one["Mounts"]} for one in (mine, clone)]
    same = {place for place in volumes[0] if volumes[0][place] == volumes[1][place]}
    assert volumes[0].keys() == volumes[1].keys() == {"/named", "/scratch", "/bound", "/mounted"}
    assert same == {"/named", "/bound"}, "a volume without a name is each one's own"


BROKEN = {
    "unhealthy": (
        ("--health-cmd", "test ! -e /gate/shut || { echo no database; false; }", *QUICK),
        "touch /gate/up; sleep 1000",
        "unhealthy-1 is unhealthy (its check ended with code 1: no database)",
    ),
    "ends": (
        ("--env", "PASSWORD=correct-horse"),
        "test ! -e /gate/shut || { echo; echo no login with $PASSWORD; exit 3; }; touch /gate/up; sleep 1000",
        "ends-1 ended with code 3; its last words: no login with ***",
    ),
    "restarts": (
        ("--restart", "always"),
        "test ! -e /gate/shut || exit 4; touch /gate/up; sleep 1000",
        "restarts-1 ",
    ),
    "port": (
        ("--publish", "127.0.0.1:43817:80"),
        "touch /gate/up; sleep 1000",
        "port has port 43817 of the host for itself",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_start_that_fails_leaves_the_group_as_it_was(host: Host, tmp_path: Path, name: str) -> None:
    words, script, said = BROKEN[name]
    template(host.docker, name, "--volume", f"{tmp_path}:/gate", *words, script=script)
    until((tmp_path / "up").exists)
    (tmp_path / "shut").touch()
    before = host.state(name)
    status, message = host.told(name, name, 3)
    assert (status, said in message or said.replace("-1", "-2") in message) == ("failed", True), message
    assert present(host.docker, name) == [name]
    assert host.state(name) == before
    assert len(message) <= 500


def test_an_image_that_is_gone_is_said_so(host: Host) -> None:
    host.docker("tag", IMAGE, "passing:1")
    host.docker(
        "run", "--detach", "--name", "imageless", "--label", "trimtab.group=imageless", "passing:1", "sleep", "99"
    )
    host.docker("tag", IMAGE, "kept:1")
    host.docker("rmi", "passing:1")
    assert host.told("untagged", "imageless", 2)[0] == "succeeded", "the image is there under its id"
    status, message = host.told("nobody", "nobody", 2)
    assert (status, "no container on this host has the label trimtab.group=nobody" in message) == ("failed", True)
    assert "docker run --label trimtab.group=nobody" in message


def test_the_load_balancer_knows_before_anything_stops(host: Host) -> None:
    """The hook of each container copies the file as it is when that container is about to be stopped."""
    hook = ("--label", "trimtab.pre-stop=cat /lb/web.yml > /lb/at-stop.yml", "--volume", f"{host.home}:/lb")
    template(host.docker, "lb", "--label", "trimtab.port=8080", *hook, *HEALTHY)

    def servers(file: str = "web.yml") -> set[str]:
        told = yaml.safe_load((host.home / file).read_text())
        return {server["url"] for server in told["http"]["services"]["web"]["loadBalancer"]["servers"]}

    def addresses(*names: str) -> set[str]:
        return {f"http://{host.docker.inspect(one, '{{.NetworkSettings.IPAddress}}')}:8080" for one in names}

    assert host.told("lb-3", "lb", 3, lbPoolRef="web")[0] == "succeeded"
    assert servers() == addresses("lb", "lb-1", "lb-2")
    host.docker("kill", "lb-1")
    until(lambda: servers() == addresses("lb", "lb-2"))
    assert host.told("lb-1", "lb", 1, lbPoolRef="web")[0] == "succeeded"
    assert servers("at-stop.yml") == servers() == addresses("lb")

    before = host.state("lb")
    status, message = host.told("lb-lost", "lb", 0, lbPoolRef="lost")
    assert (status, "no/lost.conf cannot be written: No such file" in message) == ("failed", True), message
    assert host.state("lb") == before, "a file that cannot be written keeps everything as it is"
    status, message = host.told("lb-unknown", "lb", 0, lbPoolRef="unknown")
    assert (status, "knows no load balancer 'unknown'" in message) == ("failed", True)
    assert host.state("lb") == before


def test_what_containers_use_is_pushed(host: Host) -> None:
    busy = "while :; do :; done"
    template(host.docker, "busy", "--cpus", "0.3", "--memory", "64m", script=busy)
    host.docker("run", "--name", "ended", IMAGE, "sh", "-c", "exit 0")

    def pushed() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in host.server.pushes[-1]["containers"]} if host.server.pushes else {}

    until(lambda: pushed().get("busy", {}).get("cpuPercent", 0) > 10)
    until(lambda: pushed().get("ended", {}).get("status") == "exited")
    told = pushed()["busy"]
    assert told["cpuPercent"] < 60 and told["memoryLimitMB"] == 64 and 0 < told["memoryMB"] < 64
    assert (told["group"], told["status"], told["image"]) == ("busy", "running", IMAGE)
    assert "hostPool" not in told
    assert "group" not in pushed()["ended"]
    host.docker("rm", "--force", "busy")
    until(lambda: "busy" not in pushed())


@contextmanager
def process(docker: Docker, server: CommandServer, home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`trimtab agent`, as it runs on a host."""
    words = ("agent", "--platform", "docker", "--host-pool", POOL, "--docker-host", docker.host)
    with (home / "log").open("ab") as log:
        popen = subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli", *words, "--server", server.url, "--ledger", str(home / "ledger")],
            env={**os.environ, "TRIMTAB_KEY": "key", "HOME": str(home)},
            stderr=log,
        )
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait(30)


def test_a_killed_agent_goes_on_where_it_was_when_it_is_started_again(
    docker: Docker, host: Host, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    slow = ("--health-cmd", "test -e /gate/open", "--health-interval", "300ms", "--health-start-period", "60s")
    template(docker, "killed", "--volume", f"{gate}:/gate", *slow)
    with command_server() as server:
        server.order("killed", "killed", 4)
        with process(docker, server, tmp_path) as first:
            until(lambda: "killed-1" in present(docker, "killed"))
            first.send_signal(signal.SIGKILL)
            first.wait()
        with process(docker, server, tmp_path) as second:
            until(lambda: len(running(docker, "killed")) == 4)
            second.send_signal(signal.SIGKILL)
            second.wait()
        assert server.answers == []
        before = host.state(*present(docker, "killed"))
        (gate / "open").touch()
        with process(docker, server, tmp_path) as third:
            assert server.answer_to("killed")[0] == "succeeded", (tmp_path / "log").read_text()
            assert present(docker, "killed") == ["killed", "killed-1", "killed-2", "killed-3"]
            assert host.state(*before) == before, "what the killed ones had started was taken over"
            third.send_signal(signal.SIGTERM)
            assert third.wait(60) == 0
    assert [answer[:2] for answer in server.answers] == [("killed", "succeeded")]


FLEET = (
    "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  hostPools: [{name: web-pool}]\n"
)


@pytest.fixture(scope="module")
def other() -> Iterator[Docker]:
    """A second engine."""
    with engine(bridge=False) as docker:
        build(docker)
        yield docker


def test_two_engines_are_two_hosts_of_a_pool(host: Host, other: Docker, tmp_path: Path) -> None:
    clear(host.docker)
    repo = new_fleet(tmp_path / "home", {"trimtab.yaml": FLEET})
    with serving(tmp_path, repo) as served:
        hosts = {"host-1": host.docker, "host-2": other}
        links = {name: link_to(served, platform="docker", host_pool=POOL, hostname=name) for name in hosts}
        for docker in hosts.values():
            template(docker, "web", "--network", "none", *HEALTHY)

        def one_round(name: str) -> None:
            options = DockerOptions(POOL, tmp_path / name, hosts[name].host, healthy_seconds=90, grace_seconds=2)
            never, say = threading.Event(), structlog.get_logger()
            run(links[name], options, stop=never, clock=served.clock, say=say, once=True)

        def round_of_each() -> None:
            with ThreadPoolExecutor() as pool:
                list(pool.map(one_round, hosts))

        def containers() -> list[int]:
            return [len(running(docker, "web")) for docker in hosts.values()]

        def policy(replicas: int) -> dict[str, Any]:
            sizes = {"minReplicas": replicas, "maxReplicas": replicas, "stepSize": 9, "maxReplicasPerHost": 3}
            target = {"name": "web", "runtime": "docker", "targetRef": f"{POOL}/web", "cpuTargetPercent": 70}
            return {**target, **sizes, "dryRun": False}

        round_of_each()
        policy_id = served.client.post("/api/v1/scaling/policies", json=policy(5)).json()["id"]
        served.reconcile()
        assert "replicas: 5" in repo.show("docker/web-pool/web.yaml"), "first the commit"
        assert containers() == [1, 1]
        round_of_each()
        assert sorted(containers()) == [2, 3]

        served.client.put(f"/api/v1/scaling/policies/{policy_id}", json={"minReplicas": 3, "maxReplicas": 3})
        served.clock.forward(seconds=301)
        round_of_each()
        served.reconcile()
        round_of_each()
        assert sorted(containers()) == [1, 2]
        served.reconcile()
        states = [change.state for change in served.server.stores.changes.list(served.steward.watch.url)]
        assert states[:2] == ["applied", "applied"], "both hosts have said that they did it"
        for link in links.values():
            link.close()


def test_an_engine_that_goes_away_in_the_middle_is_waited_for(other: Docker, tmp_path: Path) -> None:
    docker = other
    clear(docker)
    gate = tmp_path / "gate"
    gate.mkdir()
    slow = ("--health-cmd", "test -e /gate/open", "--health-interval", "300ms", "--health-start-period", "60s")
    with command_server() as server, agent(docker, server, tmp_path):
        template(docker, "web", "--network", "none", "--volume", f"{gate}:/gate", *slow)
        server.order("away", "web", 3)
        until(lambda: len(running(docker, "web")) == 3)
        with away(docker) as back:
            (gate / "open").touch()
            pushes = len(server.pushes)
            back()
            assert running(docker, "web") == [], "they ended with their engine"
            assert server.answer_to("away")[0] == "succeeded"
            assert running(docker, "web") == ["web", "web-1", "web-2"]
            until(lambda: len(server.pushes) > pushes)
        assert [answer[:2] for answer in server.answers] == [("away", "succeeded")]
