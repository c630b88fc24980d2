"""Fleet repos for tests: a person's checkout, a bare remote, and the command line as a user calls it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support import zygote
from support.replay import CLUSTER, NOW, REAL

PROJECT = Path(__file__).resolve().parents[2]


def git(where: Path, *words: str, check: bool = True) -> str:
    """Git as a person runs it in ``where``; its standard output without the last line end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {
        "GIT_AUTHOR_NAME": "Pat Person",
        "GIT_AUTHOR_EMAIL": "pat@example.com",
        "GIT_COMMITTER_NAME": "Pat Person",
        "GIT_COMMITTER_EMAIL": "pat@example.com",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, env=env, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(words)}: {done.stderr}")
    return done.stdout.rstrip("\n")


@dataclass
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class FleetRepo:
    """``work`` is a person's checkout, ``bare`` the remote that Trimtab is given."""

    home: Path
    work: Path
    bare: Path
    now: str = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    env: dict[str, str] = field(default_factory=dict)

    def trimtab(self, *words: str, fleet: str | None = None, state: str = "state", code: int | None = None) -> Ran:
        """Run the command line; with ``code``, the exit code is checked and what was printed is shown when it differs."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
        env |= {
            "TRIMTAB_STATE_DIR": str(self.home / state),
            "TRIMTAB_FLEET": fleet or str(self.bare),
            "HOME": str(self.home),
            **self.env,
            **zygote.FIXED,
        }
        done = zygote.run(list(words), env, self.home)
        ran = Ran(done.returncode, done.stdout, done.stderr)
        if code is not None and ran.code != code:
            raise AssertionError(f"trimtab {' '.join(words)} ended with {ran.code}, not {code}:\n{ran.text}")
        return ran

    def at(self, *words: str, code: int | None = None, now: str | None = None) -> Ran:
        """A command with ``--now``."""
        return self.trimtab(*words, "--now", now or self.now, code=code)

    def write(self, path: str, text: str) -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def commit(self, message: str = "A person's change", *, push: bool = True) -> str:
        """Commit everything in the checkout as a person would, on top of what the remote has."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-qm", message)
        if push:
            git(self.work, "pull", "-q", "--rebase")
            git(self.work, "push", "-q")
        return git(self.work, "rev-parse", "HEAD")

    def pull(self) -> None:
        git(self.work, "pull", "-q", "--rebase")

    def head(self) -> str:
        return git(self.bare, "rev-parse", "main")

    def log(self, fmt: str = "%H", *words: str) -> list[str]:
        return git(self.bare, "log", f"--format={fmt}", *words, "main").splitlines()

    def show(self, path: str, rev: str = "main") -> str:
        return git(self.bare, "show", f"{rev}:{path}")

    def files(self, under: str = "", rev: str = "main") -> list[str]:
        return git(self.bare, "ls-tree", "-r", "--name-only", rev, *([under] if under else [])).splitlines()

    def build(self, root: str) -> list[dict[str, Any]]:
        """What kustomize builds from the root at the remote's head."""
        self.pull()
        done = subprocess.run(
            ["kubectl", "kustomize", str(self.work / root)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]


def new_fleet(home: Path, files: dict[str, str], *, copy: dict[str, Path] | None = None) -> FleetRepo:
    """A fleet repo with ``files`` and whole folders ``copy`` (by target path), committed and pushed to a bare remote."""
    bare, work = home / "fleet.git", home / "work"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    for target, source in (copy or {}).items():
        shutil.copytree(source, work / target, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for folder in (work / target, *(work / target).rglob("*")):
            if folder.is_dir():
                folder.chmod(0o755)
    repo = FleetRepo(home=home, work=work, bare=bare)
    for path, text in files.items():
        repo.write(path, text)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "What people wrote")
    git(work, "remote", "add", "origin", str(bare))
    git(work, "push", "-q", "-u", "origin", "main")
    return repo


def fleet_yaml(*clusters: str, extra: str = "") -> str:
    """A trimtab.yaml; ``clusters`` are YAML flow mappings."""
    listed = "\n".join(f"    - {cluster}" for cluster in clusters)
    return (
        "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n"
        f"  clusters:\n{listed}\n{extra}"
    )


RIGHTSIZE = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: rightsize}
spec:
  scope: global
  action: containerRequestRightSizing
  config:
    enabled: true
    filter: ''
    cpu: true
    memory: true
    profile: Production
    rightSizingWindow: 14d
"""


def policy(name: str, target: str, **spec: object) -> str:
    """A declared, live kubernetes policy."""
    fields = {"runtime": "kubernetes", "targetRef": target, "dryRun": False, "cpuTargetPercent": 70, **spec}
    body = yaml.safe_dump(
        {"apiVersion": "trimtab.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}, "spec": fields},
        sort_keys=False,
    )
    return str(body)


def boutique(home: Path, *, files: dict[str, str] | None = None, root: str = "clusters/boutique-prod") -> FleetRepo:
    """Online Boutique as the cluster's own files, one level below a root, plus an action that right-sizes all of it."""
    base = {
        "trimtab.yaml": fleet_yaml(f"{{name: {CLUSTER}, path: {root}}}"),
        f"{root}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{root}/trimtab/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n",
        "actions/rightsize.yaml": RIGHTSIZE,
    }
    return new_fleet(home, base | (files or {}), copy={f"{root}/apps": REAL / "online-boutique"})
