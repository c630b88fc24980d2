"""The container image: built on a real engine from a base made here, it runs the server, and its volume keeps everything."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity

from support.engine import Docker
from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.small import root_files

PROJECT = Path(__file__).resolve().parents[2]
BASE = "trimtab-base"
MEGABYTE = 1_000_000
UID = 10001

FLEET = {
    "trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}", extra="  hostPools: [{name: web-pool}]\n"),
    **root_files(),
}

HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"

POLICY = {
    "name": "web autoscaler",
    "runtime": "kubernetes",
    "targetRef": "shop/web",
    "cpuTargetPercent": 70,
    "minReplicas": 2,
    "maxReplicas": 10,
    "dryRun": False,
}


AGENT_KEY = ("trimtab", "key", "create", "--org", "acme", "--name", "host-1")


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image, built as its Dockerfile says, on a Debian root with python3 that stands in for python:3.12-slim."""
    _import_base(docker, tmp_path_factory.mktemp("base") / "root")
    arguments = [part for pair in _build_arguments().items() for part in ("--build-arg", "=".join(pair))]
    build, *words, _here = documented("build")
    docker(build, "--network", "host", "--build-arg", f"BASE={BASE}", *arguments, *words, str(PROJECT))
    return words[-1]


def _import_base(docker: Docker, root: Path) -> None:
    """Debian with python3, which trusts whom this machine trusts and asks whom it asks."""
    assert shutil.which("debootstrap"), "debootstrap not found: apt-get install debootstrap"
    mirror, release = _mirror()
    command = ["debootstrap", "--variant=minbase", "--include=python3", release, str(root), mirror]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    apt = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    acquire = [line for line in apt.splitlines() if line.startswith("Acquire::")]
    (root / "etc/apt/apt.conf.d/99host").write_text("\n".join(acquire) + "\n")
    for trusted in (Path("/usr/local/share/ca-certificates"), Path("/etc/ssl/certs/ca-certificates.crt")):
        _copy(trusted, root / trusted.relative_to("/"))
    with subprocess.Popen(["tar", "--create", "--directory", root, "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        docker("import", "-", BASE, stdin=tar.stdout.fileno())
    shutil.rmtree(root)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copyfile(source, target)


def _mirror() -> tuple[str, str]:
    """Where this machine gets Debian from, and which release of it."""
    pattern = ["--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    listed = subprocess.run(["apt-get", "indextargets", *pattern], check=True, capture_output=True, text=True).stdout
    release = re.findall(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)[0]
    mirrors = [uri for uri, codename in (line.split() for line in listed.splitlines()) if codename == release]
    assert mirrors, f"apt knows no mirror of {release}"
    return mirrors[0], release


def _build_arguments() -> dict[str, str]:
    """How this machine reaches a package index, if not as pip would by itself."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    pip = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE))
    names = ("index-url", "extra-index-url", "trusted-host")
    found = {f"PIP_{name.replace('-', '_').upper()}": _reachable(pip[name]) for name in names if name in pip}
    proxies = {
        name: value for name, value in os.environ.items() if name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    return {name: value for name, value in (found | proxies).items() if value}


def _reachable(urls: str) -> str:
    """Without directories of this machine, which are not in the container."""
    return " ".join(url for url in urls.split() if not url.startswith("file:"))


@pytest.fixture
def fleet(tmp_path: Path) -> FleetRepo:
    """A fleet repo that belongs to the image's user: Git refuses one of somebody else's."""
    repo = new_fleet(tmp_path, FLEET)
    for path in (repo.bare, *repo.bare.rglob("*")):
        os.chown(path, UID, UID)
    return repo


def documented(command: str, page: str = "server") -> list[str]:
    """The words of a docker command, as the page in docs shows it to be typed; ``command``: how it begins, after docker."""
    text = (PROJECT / f"docs/{page}.md").read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = (line for line in text.splitlines() if line.startswith(f"docker {command} "))
    return shlex.split(line)[1:]


def start(docker: Docker, fleet: FleetRepo) -> str:
    """A server, run as the docs say but for the port, the fleet repo and a more frequent health check; its container."""
    words = documented("run")
    port = words.index("-p")
    words[port : port + 2] = docker.publish(8080)
    words[words.index("-e") + 1] = "TRIMTAB_FLEET=/srv/fleet.git"
    return docker(*words[:-1], "--volume", f"{fleet.bare}:/srv/fleet.git", "--health-interval", "1s", words[-1])


def ready(docker: Docker, container: str) -> httpx.Client:
    """A client of the server, once it says that it can serve."""
    client = httpx.Client(base_url=f"http://{docker.address(container, 8080)}", timeout=10)

    @tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.1), reraise=True)
    def asked() -> None:
        assert docker.inspect(container, "{{.State.Running}}") == "true", docker.logs(container)
        try:
            answer = client.get("/readyz")
        except httpx.TransportError as error:
            raise AssertionError(f"no answer: {error}") from None
        assert answer.status_code == 200, answer.text

    asked()
    return client


@tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.2), reraise=True)
def wait_for(docker: Docker, container: str, wanted: str, *command: str) -> None:
    """Until a command in the container prints what is wanted."""
    assert wanted in docker("exec", container, *command), docker.logs(container)


@tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.2), reraise=True)
def wait_until_healthy(docker: Docker, container: str) -> None:
    state = json.loads(docker.inspect(container, "{{json .State}}"))
    assert state["Health"]["Status"] == "healthy", state


def stop(docker: Docker, container: str) -> float:
    """Stop it with SIGTERM; how long it took, in seconds."""
    began = time.monotonic()
    docker("stop", "--time", "30", container)
    took = time.monotonic() - began
    assert docker.inspect(container, "{{.State.ExitCode}}") == "0", docker.logs(container)
    return took


def an_agent_runs_in_it(docker: Docker, server: httpx.Client, container: str, home: Path) -> None:
    """An agent on this engine, run as the docs say but for the paths and the address: it pushes what the server runs as."""
    key = docker("exec", container, *AGENT_KEY, "--scope", "agents:register", "--scope", "agents:read")
    (home / "agent.key").write_text(key)
    words = documented("run -d --name trimtab-agent", "docker")
    socket = docker.host.removeprefix("unix://")
    places = {"/var/run/docker.sock:": f"{socket}:", "/etc/trimtab/agent.key:": f"{home}/agent.key:"}
    for ours, theirs in places.items():
        (place,) = (number for number, word in enumerate(words) if word.startswith(ours))
        words[place] = words[place].replace(ours, theirs, 1)
    words[words.index("--server") + 1] = str(server.base_url)
    agent = docker("run", "--network", "host", *words[1:])

    @tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.1), reraise=True)
    def pushed() -> None:
        (known,) = server.get("/api/v1/agents", headers={"X-API-Key": key}).json()
        told = (known["platform"], known["hostname"], known["status"], known["containerCount"])
        assert told == ("docker", "host-1", "connected", 2), docker.logs(agent)

    pushed()
    assert stop(docker, agent) < 10
    assert key not in docker.logs(agent)
    docker("rm", agent)


def in_fleet(*words: str) -> tuple[str, ...]:
    return ("git", "-C", "/srv/fleet.git", *words)


def policies(client: httpx.Client, key: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/scaling/policies", headers={"X-API-Key": key})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


# One test, so that one process builds the image, wherever tests run side by side.
def test_the_image_is_small_and_plain_and_its_volume_keeps_everything(
    docker: Docker, image: str, fleet: FleetRepo, tmp_path: Path
) -> None:
    is_small_and_plain(docker, image)
    can_do_all_that_trimtab_does(docker, image)

    first = start(docker, fleet)
    with closing(ready(docker, first)) as client:
        key = docker(*documented("exec"))
        created = client.post("/api/v1/scaling/policies", json=POLICY, headers={"Authorization": f"Bearer {key}"})
        assert created.status_code == 201, created.text
        wait_for(docker, first, HPA, *in_fleet("ls-tree", "-r", "--name-only", "main"))
        before, head = policies(client, key), docker("exec", first, *in_fleet("rev-parse", "main"))
    wait_until_healthy(docker, first)
    assert stop(docker, first) < 10
    docker("rm", first)

    second = start(docker, fleet)
    with closing(ready(docker, second)) as client:
        assert [policy["id"] for policy in before] == [created.json()["id"]]
        assert [policy["id"] for policy in policies(client, key)] == [created.json()["id"]]
        changed = {"maxReplicas": 12}
        path = f"/api/v1/scaling/policies/{created.json()['id']}"
        assert client.put(path, json=changed, headers={"X-API-Key": key}).status_code == 200
        wait_for(docker, second, "maxReplicas: 12", *in_fleet("show", f"main:{HPA}"))
        assert docker("exec", second, *in_fleet("rev-parse", "main~1")) == head, "the restart alone committed something"
        an_agent_runs_in_it(docker, client, second, tmp_path)
    assert stop(docker, second) < 10
    docker("rm", second)


def is_small_and_plain(docker: Docker, image: str) -> None:
    size = int(docker.inspect(image, "{{.Size}}"))
    assert size < 300 * MEGABYTE, docker("history", image)
    config = json.loads(docker.inspect(image, "{{json .Config}}"))
    assert config["User"] == f"{UID}:{UID}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {"/var/lib/trimtab": {}}
    assert config["Healthcheck"]["Test"][0] == "CMD"
    history = docker("history", "--no-trunc", image)
    assert not [value for value in _build_arguments().values() if value in history]


def can_do_all_that_trimtab_does(docker: Docker, image: str) -> None:
    """The templates, the example, kubectl, ssh and PostgreSQL's driver are inside; what could install more is not."""

    def sh(script: str) -> str:
        plain = ("--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--entrypoint", "sh")
        return docker("run", *plain, image, "-c", script)

    assert sh("id -u && umask") == f"{UID}\n0022"
    sh("cd /tmp && trimtab init fleet && kubectl kustomize fleet/clusters/demo && trimtab check fleet")
    assert "--host-pool" in sh("trimtab agent --help")
    sh("ssh -V && python -c 'import psycopg; assert psycopg.pq.__impl__ == \"binary\"'")
    assert sh("command -v apt-get pip pip3 cc gcc perl; true") == ""
    assert sh("find / -xdev -type f -perm /6000 2>/dev/null; true") == ""
    assert sh("touch /home/trimtab/file 2>/dev/null || echo refused") == "refused"
