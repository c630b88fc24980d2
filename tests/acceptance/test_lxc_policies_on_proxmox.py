"""LXC policies over HTTPS: a Proxmox VE that refuses, locks and goes offline; the small cases are in test_lxc_policies.py."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model.policy import ScalingPolicySpec
from reconciler.steps.auditing import audit
from reconciler.steps.house import House
from support.fleets import FleetRepo, git, new_fleet
from support.proxmox import Pve, proxmox
from support.served import Served, serving

FLEET = "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {lxcNodes: [{name: pve1}]}\n"
FILE = "lxc/pve1/104.yaml"


@pytest.fixture(scope="module")
def running() -> Iterator[Pve]:
    with proxmox() as pve:
        yield pve


@dataclass
class Site:
    """A live policy about container 104, which has 2 cores and uses most of them."""

    pve: Pve
    served: Served
    repo: FleetRepo
    policy_id: str

    def passes(self, count: int, every: float = 30) -> None:
        for _ in range(count):
            self.served.clock.forward(seconds=every)
            self.served.reconcile()

    def uses(self, cpu: float) -> None:
        """From now on, this share of its cores."""
        self.pve.fake.ct(104).stats = {"cpu": cpu, "uptime": 86400}

    @property
    def cores(self) -> tuple[int, int]:
        """What the file says, and what the container has."""
        file = yaml.safe_load(self.repo.show(FILE))
        return int(file["spec"]["cores"]), int(self.pve.fake.ct(104).config["cores"])

    def shown(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.served.client.get(f"/api/v1/scaling/policies/{self.policy_id}").json()
        return answer

    def actions(self) -> list[str]:
        """Of the policy's rows in the log, the oldest first."""
        found = self.served.server.stores.log.recent(self.served.steward.watch.url, self.policy_id)
        return [row.action for row in reversed(found)]


@pytest.fixture
def site(tmp_path: Path, running: Pve) -> Iterator[Site]:
    running.clear()
    running.add(104)
    repo = new_fleet(tmp_path / "home", {"trimtab.yaml": FLEET})
    with serving(tmp_path, repo, **running.settings) as served:
        given = {"name": "db", "runtime": "lxc", "target_ref": "pve1/104", "cpu_target_percent": 50, "dry_run": False}
        made = served.server.stores.policies.create("acme", ScalingPolicySpec.model_validate(given), served.clock())
        site = Site(running, served, repo, made.id)
        site.uses(0.9)
        yield site


def test_load_becomes_a_commit_and_the_commit_cores(site: Site) -> None:
    site.passes(2)
    assert site.cores == (3, 3)
    assert site.shown()["applyHealth"] == "applied"
    assert site.repo.log("%s", "-2") == [
        "Give pve1/104 3 cores",
        "Take on pve1/104 with 2 cores and 1024 MB of memory and 8 GB of disk",
    ]
    site.uses(0.5)
    asked = site.pve.asked("PUT", "/104/config")
    site.passes(2)
    assert (site.cores, site.pve.asked("PUT", "/104/config")) == ((3, 3), asked)

    def look(house: House) -> None:
        audited = audit(house)
        assert not audited.findings, audited.findings

    site.served.steward.ask(look).result(timeout=60)


def test_a_refusal_is_reverted_with_its_words_and_not_tried_again(site: Site) -> None:
    site.passes(1)
    site.pve.fake.fail("PUT", "/nodes/pve1/lxc/104/config", 500, "unable to write the config")
    site.passes(1)
    assert site.cores == (2, 2)
    assert "unable to write the config" in git(site.repo.bare, "log", "-1", "--format=%b", "main")
    assert site.actions() == ["apply", "apply", "apply_failed", "rollback"]
    site.passes(4)
    assert site.pve.asked("PUT", "/104/config") == 1


def test_a_lock_and_an_offline_node_are_waited_for(site: Site) -> None:
    site.passes(1)
    site.pve.fake.ct(104).config["lock"] = "backup"
    site.passes(2)
    assert site.cores == (2, 2)
    del site.pve.fake.ct(104).config["lock"]
    site.pve.fake.nodes["pve1"]["online"] = False
    site.passes(2)
    assert "offline" in site.shown()["conflict"]
    assert site.actions() == ["apply"]
    site.pve.fake.nodes["pve1"]["online"] = True
    site.passes(3)
    assert site.cores[0] == site.cores[1] > 2


def test_a_container_that_is_gone_or_has_moved_is_said(site: Site) -> None:
    site.passes(1)
    site.pve.fake.cts.clear()
    site.passes(1)
    assert "there is no container 104 on pve1" in site.shown()["conflict"]
    site.pve.fake.nodes["pve2"] = {"online": True}
    site.pve.add(104, node="pve2")
    site.passes(1)
    assert "container 104 is on pve2 now: write targetRef pve2/104" in site.shown()["conflict"]


def test_a_token_that_is_revoked_is_said_with_the_next_step(site: Site) -> None:
    site.passes(1)
    site.pve.fake.apitokens.pop("trimtab@pve!fleet")
    try:
        site.passes(2)
        assert "TRIMTAB_PROXMOX_TOKEN" in site.shown()["conflict"]
        assert site.actions() == ["apply"]
    finally:
        site.pve.fake.apitokens["trimtab@pve!fleet"] = "12345678-secret-of-the-token"
    site.uses(0.9)
    site.passes(3, every=60)
    assert site.cores[1] >= 3
