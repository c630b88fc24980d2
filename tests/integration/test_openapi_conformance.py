"""Schemathesis over the whole OpenAPI document: no 5xx, and no answer that the document does not describe."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.config import SchemathesisConfig

from support.fleets import fleet_yaml, new_fleet
from support.proxmox import Pve, proxmox
from support.recommended import recommendation
from support.served import Served, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
EXAMPLES = 15
BOUNDARIES = 40
POLICY = {"runtime": "kubernetes", "cpuTargetPercent": 70, "dryRun": False}
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: main, resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}}}]}}
"""
RECOMMENDED = recommendation()
HARD_TO_REACH = {"POST /api/v1/agents/{agent_id}/commands/{command_id}/result"}
"""Operations whose success is another test's; here they are refused in every documented way."""


@pytest.fixture(scope="module")
def pve() -> Iterator[Pve]:
    with proxmox() as running:
        yield running


@pytest.fixture
def served(tmp_path: Path, database_url: str, pve: Pve) -> Iterator[Served]:
    """acme, with an agent, a policy that has landed, a change that waits for approval, and the containers of pve1."""
    pve.clear()
    pve.add(104)
    root = "clusters/prod"
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {root}}}", extra="  hostPools: [{name: web-pool}]\n"),
        f"{root}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{root}/apps/kustomization.yaml": "resources: [one.yaml, two.yaml]\n",
        f"{root}/apps/one.yaml": DEPLOYMENT.format(name="one"),
        f"{root}/apps/two.yaml": DEPLOYMENT.format(name="two"),
        f"{root}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
    }
    with serving(tmp_path, new_fleet(tmp_path, files), database_url=database_url, **pve.settings) as running:
        for name in ("one", "two"):
            policy = POLICY | {"name": name, "targetRef": f"shop/{name}", "approvalRequired": name == "two"}
            assert running.client.post("/api/v1/scaling/policies", json=policy).status_code == 201
        running.reconcile()
        running.server.stores.recommendations.save([RECOMMENDED])
        assert {item["state"] for item in running.client.get("/api/v1/changes").json()["items"]} == {
            "held",
            "committed",
        }
        yield running


@pytest.fixture
def api(served: Served) -> BaseSchema:
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    return schemathesis.openapi.from_asgi("/openapi.json", served.client.app, config=config)


def test_every_answer_is_as_the_document_says(api: BaseSchema, served: Served, subtests: pytest.Subtests) -> None:
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 20
    for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
        with subtests.test(msg=operation.label):
            seen = _drawn(operation, served) | _boundaries(api, operation, served)
            succeeded = {status for status in seen if status < 400}
            assert succeeded or operation.label in HARD_TO_REACH, f"nothing ever succeeded, only {sorted(seen)}"


def _drawn(operation: APIOperation[Any, Any, Any, Any], served: Served) -> set[int]:
    """Requests that fit the operation's schema and requests that do not, the same ones every time; what was answered."""
    cases = st.one_of([operation.as_strategy(mode) for mode in GenerationMode])
    seen = set[int]()

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=HealthCheck)
    @given(cases)
    def answered(case: Case) -> None:
        seen.add(_ask(case, served))

    answered()
    return seen


def _boundaries(api: BaseSchema, operation: APIOperation[Any, Any, Any, Any], served: Served) -> set[int]:
    """Values at the edges of what the schema allows, other methods, examples; what was answered."""
    cases = api.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=api.config.generation
    )
    return {_ask(case, served) for case in islice(cases, BOUNDARIES)}


def _ask(case: Case, served: Served) -> int:
    """Three requests of four are about things that are there; agents come with their own token; nobody waits for commands."""
    served.clock.forward(seconds=1)
    there = int(served.clock().timestamp()) % 4 > 0
    agent_id, token = served.agent("prod", cluster="prod")
    known = {"agent_id": agent_id, "policy_id": _policy(served), "change_id": _change(served), "rec_id": RECOMMENDED.id}
    for name in known.keys() & case.path_parameters.keys() if there else ():
        case.path_parameters[name] = known[name]
    if case.path == "/action/config" and there:
        case.query["id"] = _action_config(served)
    for name, value in ({"vm_id": 104, "node_name": "pve1"} if there else {}).items():
        if name in case.query:
            case.query[name] = value
    if case.path.endswith("/commands") and _would_wait(case.query.get("wait", 25)):
        case.query["wait"] = 0
    if isinstance(case.body, dict) and "timestamp" in case.body and len(str(case.body["timestamp"])) > 20:
        case.body["timestamp"] = served.clock().isoformat()
    if case.path.endswith("/scaling/base") and there and isinstance(case.body, dict) and "revision" in case.body:
        case.body["revision"] = served.steward.watch.head
    security = case.operation.definition.raw.get("security", [])
    headers = token if {"agent": []} in security else {"Authorization": served.client.headers["Authorization"]}
    return case.call_and_validate(headers=headers, checks=CHECKS).status_code


def _policy(served: Served) -> str:
    """A policy that is there, also after the last request has deleted it; the one that has landed before all others."""
    stored = served.server.stores.policies.of("acme")
    if stored:
        return stored[0].id
    policy = POLICY | {"name": "again", "targetRef": "shop/one"}
    return str(served.client.post("/api/v1/scaling/policies", json=policy).json()["id"])


def _action_config(served: Served) -> str:
    """An action config that is there and may be deleted."""
    made = [stored.id for stored in served.server.stores.action_configs.of("acme") if stored.scope == "global"]
    body = {"scope": "global", "action": "rightsizing", "config": {"profile": "Production"}}
    return made[0] if made else str(served.client.post("/action/config", json=body).json()["data"]["id"])


def _change(served: Served) -> str:
    """A change, one that waits where there is one."""
    items = served.client.get("/api/v1/changes").json()["items"]
    return str(min(items, key=lambda item: item["state"] != "held")["id"])


def _would_wait(given: object) -> bool:
    """Whether this is a time to wait for that the server takes."""
    text = given[-1] if isinstance(given, list) and given else given
    return str(text).strip().lstrip("+").isdecimal()
