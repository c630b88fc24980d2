"""Every error looks the same, names the field as the client spells it, and says what to do."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from api import errors
from api.errors import Problem
from support.probes import client_of
from support.served import serving


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("shapes")) as running:
        made = client_of(running.server)
        made.headers.update(running.key("scaling:write"))
        yield made


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("conflict", 409, "there is one already"),
        ("input", 400, "trimtab.yaml cannot be read: see line 3"),
        ("nothing", 400, "nothing to roll back"),
        ("later", 503, "the remote is away"),
        ("stalled", 503, "no permission: give the key write access"),
        ("slow", 503, "this took too long just now: try again in a moment"),
        ("defect", 500, "the server could not answer: its log has more under this requestId"),
    ],
)
def test_each_failure_has_its_status_and_its_words(client: TestClient, how: str, status: int, words: str) -> None:
    answer = client.get(f"/probe/fails/{how}")
    assert (answer.status_code, answer.json()["error"]) == (status, words)
    assert set(answer.json()) - {"field"} == {"error", "requestId"}


def test_what_helps_by_waiting_says_for_how_long(client: TestClient) -> None:
    assert client.get("/probe/fails/later").headers["Retry-After"] == "8"
    assert int(client.get("/probe/fails/slow").headers["Retry-After"]) > 0


def test_an_error_about_a_field_names_it(client: TestClient) -> None:
    assert client.get("/probe/fails/conflict").json()["field"] == "targetRef"
    assert "field" not in client.get("/probe/fails/later").json()


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "cpuTargetPercent", "cpuTargetPercent: is needed"),
        ({"cpuTargetPercent": 101}, "cpuTargetPercent", "must be less than or equal to 100"),
        ({"cpuTargetPercent": "x"}, "cpuTargetPercent", "must be a valid integer"),
        ({"cpuTargetPercent": 1, "cpu": 1}, "cpu", "cpu: is not a field of this request"),
        ({"cpuTargetPercent": 1, "parts": [{}]}, "parts.0.cpuTargetPercent", "is needed"),
        ({"cpuTargetPercent": 0, "x": 1}, "cpuTargetPercent", "(and 1 more)"),
        ([], None, "a JSON body is needed"),
    ],
)
def test_validation_is_400_and_names_the_field(client: TestClient, body: object, field: str | None, words: str) -> None:
    answer = client.post("/probe/who", json=body)
    assert answer.status_code == 400
    assert answer.json().get("field") == field
    assert words in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b'{"cpuTargetPercent": }', b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_400(client: TestClient, body: bytes) -> None:
    answer = client.post("/probe/who", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_a_body_of_another_type_is_400_and_says_which_is_needed(client: TestClient) -> None:
    answer = client.post("/probe/who", content=b"cpuTargetPercent: 1", headers={"Content-Type": "text/yaml"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]


def test_a_field_name_that_no_answer_can_carry_is_still_an_answer(client: TestClient) -> None:
    body = b'{"cpuTargetPercent": 1, "\\ud800": 1}'
    answer = client.post("/probe/who", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "Unicode" in answer.json()["error"]
    long = client.post("/probe/who", json={"cpuTargetPercent": 1, "x" * 5000: 1})
    assert len(long.json()["field"]) == 200 and len(long.json()["error"]) < 1000


def test_a_query_parameter_is_named(client: TestClient) -> None:
    answer = client.get("/probe/limited?limit=many")
    assert (answer.status_code, answer.json()["field"]) == (400, "limit")


def test_an_unknown_path_is_404_and_an_unknown_method_405_with_all_that_are_allowed(client: TestClient) -> None:
    assert client.get("/api/v1/nothing").status_code == 404
    answer = client.patch("/probe/who")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert answer.json()["error"] == "PATCH is not possible here: use GET, POST"


def test_a_path_with_a_slash_too_many_is_not_redirected(client: TestClient) -> None:
    assert client.get("/probe/who/", follow_redirects=False).status_code == 404


@pytest.mark.parametrize("url", ["/probe/fails/a%00b", "/probe/limited?limit=%00", "/probe/limited?other=a%00"])
def test_a_nul_in_the_url_is_400(client: TestClient, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 400 and "NUL" in answer.json()["error"]


def test_a_family_with_another_shape_has_it_for_every_kind_of_error(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def theirs(problem: Problem, request_id: str, _at: datetime) -> dict[str, object]:
        return {"error": {"code": problem.status, "message": problem.message}, "id": request_id}

    monkeypatch.setattr(errors, "SHAPES", (("/probe/", theirs),))
    for path in ("/probe/nothing", "/probe/fails/defect", "/probe/fails/conflict", "/probe/limited?limit=x"):
        answer = client.get(path)
        assert answer.json()["error"]["code"] == answer.status_code
    assert client.post("/probe/raw", content=b"x" * 3_000_000).json()["error"]["code"] == 413
    assert isinstance(client.get("/elsewhere").json()["error"], str)
