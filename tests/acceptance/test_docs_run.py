"""What the docs say is so: their commands are run, their YAML is read, and what they show being printed is printed."""

import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from reconciler.cli import app
from reconciler.gate.windows import check_window
from reconciler.manifests import lxc_container
from reconciler.manifests.container_group import parse, path_for
from reconciler.observe.git_state import read_fleet
from reconciler.settings import Settings
from support.proxmox import TOKEN, proxmox
from support.scraped import shop
from support.trees import Files

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "example-repo"
PAGES = {
    str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
    for path in (PROJECT / "README.md", EXAMPLE / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
}
NOT_RUN = {
    ("README.md", "make demo\nmake test\n"),
    ("README.md", "pip install .\npip install '.[postgres]'\n"),
    ("docs/server.md", "trimtab serve --fleet https://git.example.com/acme/fleet.git\n"),
    (
        "docs/server.md",
        """\
docker build -t trimtab .
docker run -d --name trimtab --restart unless-stopped -p 127.0.0.1:8080:8080 \\
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
    -v trimtab:/var/lib/trimtab -e TRIMTAB_FLEET=https://git.example.com/acme/fleet.git trimtab
docker exec trimtab trimtab key create --org acme --name ci --scope scaling:write
""",
    ),
    (
        "docs/install.md",
        """\
docker build -t registry.example.com/platform/trimtab:0.1.0 .
docker push registry.example.com/platform/trimtab:0.1.0
""",
    ),
    (
        "docs/install.md",
        """\
kubectl create namespace trimtab-system
kubectl -n trimtab-system create secret generic trimtab-server \\
    --from-literal=TRIMTAB_GIT_PASSWORD="$GIT_TOKEN" --from-literal=TRIMTAB_SECRET_KEY="$(openssl rand -hex 32)"
""",
    ),
    (
        "docs/install.md",
        """\
kubectl apply -n argocd -f bootstrap/argocd/trimtab-system.yaml
kubectl apply -f bootstrap/flux/trimtab-system.yaml
kubectl apply --server-side -k clusters/demo/trimtab-system
""",
    ),
    (
        "docs/install.md",
        """\
kubectl -n trimtab-system create secret generic trimtab-agent --from-literal=key="$(
    kubectl -n trimtab-system exec deploy/trimtab-server -- \\
        trimtab key create --org example --name demo-agent --scope agents:register --cluster demo)"
""",
    ),
}
"""The only blocks of commands that are not run here: they set up what the tests run in, go on for ever, (containers) are run
by tests/integration/test_image.py, or need a cluster: what those apply is built by test_install_manifests.py."""

NO_TABLE = {"init", "demo", "serve", "agent", "key create", "key revoke", "licence create"}

BEGIN = "$ "
COLUMNS = "100"
ELISION = "…"


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for page, text in PAGES.items():
        for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match.group(1), match.group(2)))
    return [block for block in found if language in ("", block.language)]


@dataclass(frozen=True)
class Step:
    """One command of a page, the exit codes that the page promises, and what it shows being printed."""

    at: str
    command: str
    codes: frozenset[int]
    shown: tuple[str, ...]


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for block in blocks("console"):
        if block.page != page:
            continue
        lines = block.text.replace("\\\n", "").splitlines()
        assert lines[0].startswith(BEGIN), f"{block} does not start with a command"
        for line in lines:
            if line.startswith(BEGIN):
                found.append(Step(str(block), line.removeprefix(BEGIN), _codes(line), ()))
            else:
                last = found.pop()
                found.append(Step(last.at, last.command, last.codes, (*last.shown, line)))
    return found


def _codes(line: str) -> frozenset[int]:
    """``# exits with 2`` means 2; ``# exits with 2 when …`` means 0 or 2; otherwise 0."""
    said = re.search(r"# exits with (\d)( when)?", line)
    if not said:
        return frozenset({0})
    return frozenset({int(said.group(1)), *([0] if said.group(2) else [])})


def plain(line: str) -> str:
    """A line without what differs from run to run: commit ids, ULIDs, and blanks at its end."""
    line = re.sub(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", "<ulid>", line)
    return re.sub(r"\b[0-9a-f]{7,40}\b", "<commit>", line).rstrip()


def first_untrue(shown: list[str], printed: str) -> str | None:
    """The first line shown that was not printed, in that order; None when all were."""
    rest = iter([plain(line) for line in printed.splitlines()])
    for line in shown:
        if line != ELISION and plain(line) not in rest:
            return line
    return None


def environment(home: Path) -> dict[str, str]:
    """A person's shell, with trimtab on the PATH."""
    scripts = Path(sys.executable).parent
    assert (scripts / "trimtab").exists(), f"trimtab is not installed beside {sys.executable}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "TRIMTAB_", "XDG_"))}
    return kept | {
        "HOME": str(home),
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": COLUMNS,
        "NO_COLOR": "1",
        "GIT_PAGER": "cat",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def in_demo(home: Path) -> dict[str, str]:
    """The settings that the demo tells to set."""
    return {"TRIMTAB_FLEET": str(home / "demo/fleet.git"), "TRIMTAB_STATE_DIR": str(home / "demo/state")}


def shell(
    home: Path, where: Path, commands: list[str], *, settings: dict[str, str], strict: bool = True
) -> list[tuple[int, str]]:
    """Run commands one after another in one shell; for each its exit code and all that it printed."""
    script = "".join(f"{command}\nprintf '\\036%s\\n' $?\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=where,
        env=environment(home) | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    printed = re.split(r"\x1e(\d+)\n", done.stdout)
    ran = [(int(code), text) for text, code in zip(printed[0::2], printed[1::2], strict=False)]
    assert len(ran) == len(commands), done.stdout
    if strict:
        for command, (code, text) in zip(commands, ran, strict=True):
            assert code == 0, f"{command} ended with {code}:\n{text}"
    return ran


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """The demo's fleet some time after the demo: where it is, a copy of it, and what the demo printed.

    A person has taken back the demo's rollback, so that the policy stands, and the freeze of December, so that the pages
    are true on every day of the year.
    """
    home = tmp_path_factory.mktemp("reader")
    (home / ".gitconfig").write_text("[user]\nname = Robin Reader\nemail = robin@example.com\n")
    ((_, printed),) = shell(home, home, ["trimtab demo --keep demo"], settings={})
    work = home / "demo/fleet"
    shell(home, work, ["git pull -q", "git revert --no-edit HEAD"], settings={})
    config = (work / "trimtab.yaml").read_text()
    without = re.sub(r"^  windows:\n(    .*\n)+", "", config, flags=re.MULTILINE)
    assert "freeze" in config and "freeze" not in without
    (work / "trimtab.yaml").write_text(without)
    shell(home, work, ["git commit -qam 'No freeze this year'", "git push -q"], settings={})
    shell(home, work, ["trimtab reconcile --once --now 2026-06-17T10:30:00Z", "git pull -q"], settings=in_demo(home))
    copy = tmp_path_factory.mktemp("pristine")
    shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
    yield home, copy, printed


@pytest.fixture
def reader(pristine: tuple[Path, Path, str]) -> Path:
    """A home with the demo's fleet in ``demo``, as good as new, always at the same path."""
    home, copy, _ = pristine
    shutil.rmtree(home)
    shutil.copytree(copy, home, symlinks=True)
    return home


SERVED = {"docs/actions.md", "docs/agents.md", "docs/policies.md", "docs/recommendations.md", "docs/server.md"}
"""Pages whose commands ask a server: it serves the demo's fleet at ``$URL``, and ``$KEY`` may do everything."""

ON_PROXMOX = {"docs/lxc.md"}
"""Pages whose commands ask a server that has a Proxmox VE: container 104 on the node pve1 is there."""

SCANNED = {"docs/prometheus.md"}
"""Pages whose commands look at a Prometheus, at ``$PROMETHEUS``."""


@contextmanager
def served(home: Path, more: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A server beside the reader's shell, with ``more`` set for it, and what the reader has set.

    What the hour asks for (a namespace that sleeps now) is committed before, so that the branch stands still while it is read.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = in_demo(home) | more
    words = ["trimtab", "key", "create", "--org", "example", "--name", "reader", "--scope", "admin"]
    env = environment(home) | settings
    key = subprocess.run(words, env=env, cwd=home, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["trimtab", "reconcile", "--once"], env=env, cwd=home, capture_output=True, check=True)
    url = f"http://127.0.0.1:{port}"
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(["trimtab", "serve", "--port", str(port)], env=env, cwd=home, stdout=log, stderr=log)
    try:
        ready = ["curl", "-sf", "--retry", "60", "--retry-all-errors", "--retry-delay", "1", f"{url}/readyz"]
        subprocess.run(ready, check=True, capture_output=True)
        yield settings | {"URL": url, "KEY": key}
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0, (home / "server.log").read_text()


@pytest.fixture
def pve() -> Iterator[dict[str, str]]:
    """A Proxmox VE, by the settings of a server that has it."""
    with proxmox() as running:
        running.add(104)
        yield {
            "TRIMTAB_PROXMOX_URL": running.url,
            "TRIMTAB_PROXMOX_TOKEN": TOKEN,
            "TRIMTAB_PROXMOX_VERIFY": running.ca,
        }


@pytest.mark.parametrize("page", [page for page in PAGES if steps(page)])
def test_every_command_does_what_the_page_says(page: str, reader: Path, request: pytest.FixtureRequest) -> None:
    """README's first steps start from nothing; the other pages are read in the checkout of the demo's fleet."""
    told = steps(page)
    where, settings = (reader, {}) if page == "README.md" else (reader / "demo/fleet", in_demo(reader))
    if page in SCANNED:
        settings |= {"PROMETHEUS": request.getfixturevalue("prometheus")(shop()).url}
    more: dict[str, str] = request.getfixturevalue("pve") if page in ON_PROXMOX else {}
    with served(reader, more) if page in SERVED | ON_PROXMOX else nullcontext(settings) as settings:
        _follow(told, reader, where, settings)


def _follow(told: list[Step], reader: Path, where: Path, settings: dict[str, str]) -> None:
    ran = shell(reader, where, [step.command for step in told], settings=settings, strict=False)
    for step, (code, printed) in zip(told, ran, strict=True):
        assert code in step.codes, f"{step.at}: {step.command} ended with {code}:\n{printed}"
        untrue = first_untrue(list(step.shown), printed)
        assert untrue is None, f"{step.at}: {step.command} did not print\n{untrue}\nbut\n{printed}"


def test_the_transcript_of_the_demo_is_what_the_demo_prints(pristine: tuple[Path, Path, str]) -> None:
    transcript = next(b for b in blocks("text") if b.page == "README.md" and b.text.startswith("$ make demo\n"))
    shown = transcript.text.splitlines()[1:]
    untrue = first_untrue(shown, pristine[2])
    assert untrue is None, f"{transcript}: the demo does not print, or not at this place:\n{untrue}"
    for number in range(1, 7):
        assert any(line.startswith(f"{number}. ") for line in shown), f"part {number} of the demo is not shown"


def test_only_what_sets_things_up_is_not_run() -> None:
    assert {(block.page, block.text) for block in blocks("sh")} == NOT_RUN
    assert {block.language for block in blocks("")} <= {"console", "sh", "text", "yaml"}
    prompts = [line for block in blocks("text") for line in block.text.splitlines() if line.startswith(BEGIN)]
    assert prompts == ["$ make demo"]


def declared(block: Block) -> list[dict[str, object]]:
    return [document for document in yaml.safe_load_all(block.text) if document]


def _ours(block: Block) -> bool:
    return all(str(d.get("apiVersion", "")).startswith("trimtab.dev/") for d in declared(block))


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_can_be_read(block: Block) -> None:
    assert declared(block)
    for document in declared(block):
        assert isinstance(document, dict)
        assert "apiVersion" not in document or {"kind"} <= document.keys()


def _is(block: Block, kind: str) -> bool:
    return _ours(block) and {document["kind"] for document in declared(block)} == {kind}


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if _is(b, "ContainerGroup")], ids=str)
def test_container_groups_are_read_without_complaint(block: Block) -> None:
    (document,) = declared(block)
    spec, metadata = document["spec"], document["metadata"]
    assert isinstance(spec, dict) and isinstance(metadata, dict)
    group = parse(block.text.encode(), path=path_for((spec["hostPool"], metadata["name"])))
    assert group.replicas == spec["replicas"]


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if _is(b, "LXCContainer")], ids=str)
def test_lxc_containers_are_read_without_complaint(block: Block) -> None:
    (document,) = declared(block)
    spec, metadata = document["spec"], document["metadata"]
    assert isinstance(spec, dict) and isinstance(metadata, dict)
    path = lxc_container.path_for((spec["node"], int(metadata["name"])))
    assert lxc_container.parse(block.text.encode(), path=path).cores == spec["cores"]


CONFIGURES = [b for b in blocks("yaml") if _ours(b) and not _is(b, "ContainerGroup") and not _is(b, "LXCContainer")]


@pytest.mark.parametrize("block", CONFIGURES, ids=str)
def test_fleets_policies_and_actions_are_read_without_complaint(block: Block) -> None:
    """By the code that reads a fleet repo; policies and actions in the fleet of their page, else in the example's."""
    kinds = [str(document["kind"]) for document in declared(block)]
    fleets = [b.text for b in blocks("yaml") if b.page == block.page and "kind: Fleet" in b.text and _ours(b)]
    files = {"trimtab.yaml": (fleets or [(EXAMPLE / "trimtab.yaml").read_text()])[0]}
    folder = {"Fleet": "trimtab.yaml", "ScalingPolicy": "policies/a.yaml", "ActionConfig": "actions/a.yaml"}
    files[folder[kinds[0]]] = block.text
    tree = Files({path: text.encode() for path, text in files.items()})
    state = read_fleet(tree, check_window=check_window)
    assert state.problems == ()
    assert len(state.policies) == kinds.count("ScalingPolicy")
    assert len(state.actions) == kinds.count("ActionConfig")


@pytest.mark.parametrize("file", ["bootstrap/argocd/application.yaml", "clusters/demo/kustomization.yaml"])
def test_readme_shows_the_objects_that_init_ships(file: str) -> None:
    shown = [d for block in blocks("yaml") if block.page == "README.md" for d in declared(block)]
    assert yaml.safe_load((EXAMPLE / file).read_text()) in shown


def test_readme_shows_the_flux_objects_that_init_ships() -> None:
    pages = {"README.md", "docs/install.md"}
    shown = [d for block in blocks("yaml") if block.page in pages for d in declared(block)]
    for file in sorted((EXAMPLE / "bootstrap/flux").glob("*.yaml")):
        assert yaml.safe_load(file.read_text()) in shown, file.name


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `TRIMTAB_{name.upper()}` |" in PAGES["README.md"]


def slug(heading: str) -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (PROJECT / page).parent / path if path else PROJECT / page
        assert file.exists(), f"{page} links to {target}"
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {slug(heading) for heading in headings}, f"{page} links to {target}"


COMMAND_LINE = typer.main.get_command(app)


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by how it is typed, those of groups included."""
    found = {}
    for name, command in COMMAND_LINE.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


def command_of(words: list[str]) -> str:
    return next(
        name for name in sorted(commands(), key=len, reverse=True) if words[: name.count(" ") + 1] == name.split()
    )


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist_with_their_options(page: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`trimtab ([a-z][^`\n]*)`", prose):
        words = shlex.split(code)
        command = commands()[command_of(words)]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        asked = {word for word in words if word.startswith("--")} - {"--help"}
        assert asked <= known, f"{page}: trimtab {code}"


@pytest.mark.parametrize("name", commands())
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"| `trimtab {name}" in PAGES["README.md"]


def printed_help(*words: str) -> str:
    ran = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": COLUMNS, "NO_COLOR": "1"})
    assert ran.exit_code == 0, ran.output
    return ran.output


def examples(text: str) -> list[str]:
    fenced = re.search(r"Examples?:\n\n```\n(.*?)```", text, re.DOTALL)
    return fenced.group(1).split("\n")[:-1] if fenced else []


@pytest.mark.parametrize("name", commands())
def test_every_command_has_examples_in_its_help_one_a_line_and_they_parse(name: str) -> None:
    command = commands()[name]
    typed = examples(_dedented(command.help or ""))
    assert typed, f"trimtab {name} --help has no example"
    shown = [line.strip() for line in printed_help(*name.split()).splitlines()]
    for line in typed:
        assert line in shown, f"trimtab {name} --help does not show on a line of its own: {line}"
        words = shlex.split(line)
        assert words[0] == "trimtab"
        assert command_of(words[1:]) == name
        with command.make_context(name, words[name.count(" ") + 2 :]):
            pass


def _dedented(text: str) -> str:
    return "\n".join(line.strip() for line in io.StringIO(text).read().split("\n"))


@pytest.mark.parametrize("name", [name for name in commands() if name not in NO_TABLE])
def test_what_is_printed_as_a_table_can_be_had_as_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in commands()[name].params)


@pytest.mark.parametrize(
    ("words", "told"),
    [((), "plan also with 2"), (("plan",), "Exits with"), (("check",), "Exits with"), (("doctor",), "Exits with")],
)
def test_help_says_what_the_exit_codes_mean(words: tuple[str, ...], told: str) -> None:
    assert told in " ".join(printed_help(*words).split())


@pytest.mark.parametrize("words", ["plan --nonsense", "rollback", "nonsense", "reconcile --now 2026-06-17T10:00:00Z"])
def test_what_cannot_be_understood_is_an_error_and_no_plan(words: str, tmp_path: Path) -> None:
    """Exit code 2 is `plan`'s for something to commit: a slip of the hand must not look like it."""
    line = [sys.executable, "-m", "reconciler.cli", *words.split()]
    env = os.environ | {"TRIMTAB_STATE_DIR": str(tmp_path)}
    done = subprocess.run(line, capture_output=True, text=True, env=env, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
