"""The document says what the API does: who may ask, and every answer there can be."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from api.actions.licensed import needs_licence
from api.document import document as document_of
from api.errors import BODIES, documented, shape_of
from support.probes import client_of
from support.served import serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("document")) as running:
        yield client_of(running.server)


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{m} {path}", entry) for path, methods in document["paths"].items() for m, entry in methods.items()]


def test_it_is_served_with_a_page_to_read_it(client: TestClient, document: dict[str, Any]) -> None:
    assert document["info"]["title"] == "Trimtab" and document["info"]["description"]
    tags = {tag["name"] for tag in document["tags"]}
    ours = [entry for name, entry in operations(document) if "/probe/" not in name]
    assert tags == {tag for entry in ours for tag in entry["tags"]}, (
        "each operation under one heading, none of them empty"
    )
    assert all(len(entry["tags"]) == 1 and entry["summary"] for entry in ours)
    page = client.get("/docs")
    assert page.status_code == 200 and "/openapi.json" in page.text


def test_credentials_are_documented_as_they_are_asked_for(document: dict[str, Any]) -> None:
    who, me = document["paths"]["/probe/who"], document["paths"]["/probe/agents/{agent_id}"]
    assert who["post"]["security"] == [{"bearer": ["scaling:write"]}, {"apiKey": ["scaling:write"]}]
    assert "scaling:read" in who["get"]["description"]
    assert me["get"]["security"] == [{"agent": []}]
    assert "security" not in document["paths"]["/probe/limited"]["get"]
    named = {name for _, entry in operations(document) for scheme in entry.get("security", []) for name in scheme}
    assert named <= set(document["components"]["securitySchemes"])


def test_every_answer_that_any_route_may_give_is_documented(document: dict[str, Any]) -> None:
    for name, entry in operations(document):
        responses = entry["responses"]
        assert "422" not in responses or name.split()[1].startswith("/v1/"), name
        assert "500" in responses, name
        if entry.get("security"):
            assert {"401", "403", "429"} <= set(responses), name
        if "requestBody" in entry:
            assert {"400", "413"} <= set(responses), name
        if entry.get("parameters"):
            assert "400" in responses, name
    assert "404" in document["paths"]["/probe/who"]["get"]["responses"]
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_errors_have_a_schema_and_an_example_that_fits_it(document: dict[str, Any]) -> None:
    for name, entry in operations(document):
        for status, response in entry["responses"].items():
            assert "X-Request-Id" in response["headers"], name
            if name == "get /readyz" and status == "503":
                continue  # says what is not ready, as it does when all is
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"], name
            if status >= "400":
                body = BODIES[shape_of(name.split()[1])]
                media = response["content"]["application/json"]
                assert media["schema"] == {"$ref": f"#/components/schemas/{body.__name__}"}, f"{name} {status}"
                body.model_validate(media["example"])


def routes_of_each_family() -> dict[str, Any]:
    """The document of one route each, all written the same way."""
    app, paid = FastAPI(), APIRouter(tags=["actions"], dependencies=[needs_licence])

    def answer(limit: int = 1) -> int:
        return limit

    paid.get("/action/thing", responses=documented(404))(answer)
    app.include_router(paid)
    app.post("/action/config/sync", tags=["actions"], responses=documented(404))(answer)
    app.get("/v1/thing", tags=["recommendations"], responses=documented(404, 410, 422))(answer)
    app.get("/api/v1/thing", tags=["scaling"], responses=documented(404))(answer)
    app.get("/scale/thing", tags=["LXC"], responses=documented(404, 429))(answer)
    return document_of(app)


def test_each_family_documents_its_errors_as_its_own_document_shows_them() -> None:
    made = routes_of_each_family()
    actions = made["paths"]["/action/thing"]["get"]["responses"]
    assert actions["404"]["content"]["application/json"]["example"]["code"] == 404
    assert set(actions["404"]["content"]["application/json"]["example"]) == {"code", "status", "message"}
    theirs = made["paths"]["/v1/thing"]["get"]["responses"]
    expired = theirs["410"]["content"]["application/json"]["example"]
    assert set(expired) == {"data", "meta", "error"} and expired["error"]["code"] == "CURSOR_EXPIRED"
    assert theirs["422"]["content"]["application/json"]["example"]["error"]["code"] == "VALIDATION_ERROR"
    plain = made["paths"]["/api/v1/thing"]["get"]["responses"]
    assert set(plain["404"]["content"]["application/json"]["example"]) == {"error", "requestId"}
    assert "422" not in plain and "400" in plain
    lxc = made["paths"]["/scale/thing"]["get"]["responses"]
    assert set(lxc["404"]["content"]["application/json"]["example"]) == {"status", "error"}
    assert lxc["500"]["content"]["application/json"]["example"]["error"] == "Internal server error"
    wait = lxc["429"]["content"]["application/json"]["example"]
    assert (wait["limit"], wait["window_seconds"], wait["retry_after_seconds"]) == (120, 60, 45)
    named = {body.__name__ for body in BODIES.values()}
    assert named <= set(made["components"]["schemas"])
    assert str(made).count("#/$defs/") == 0


def test_only_what_needs_a_licence_may_ask_for_one() -> None:
    made = routes_of_each_family()["paths"]
    assert "402" in made["/action/thing"]["get"]["responses"]
    assert "402" not in made["/action/config/sync"]["post"]["responses"]
    assert "402" not in made["/v1/thing"]["get"]["responses"]


def test_a_status_that_nobody_has_described_cannot_be_documented() -> None:
    assert set(documented(400, 409)) == {400, 409}
    with pytest.raises(KeyError):
        documented(418)
