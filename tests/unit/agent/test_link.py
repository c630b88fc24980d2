"""The link against a server that fails on demand: what is sent again, what is kept, and what a person is told."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from reconciler.agent.failures import Away, Refused
from reconciler.agent.link import Link, Registration
from reconciler.clock import fixed_clock
from reconciler.errors import InputError
from reconciler.model.agent import ObjectStatus, RootStatus
from support.hand_made import HandMade, Told, hand_made

NOW = datetime(2026, 6, 16, 10, 0, tzinfo=UTC)
KEY = "tt_live_0123456789abcdefghijABCDEFGHIJ01"


@pytest.fixture
def server() -> Iterator[HandMade]:
    with hand_made() as made:
        yield made


def link_to(server: HandMade, url: str = "") -> Link:
    registration = Registration(name="prod", hostname="node-1", platform="kubernetes", cluster="prod")
    return Link(url or server.url, KEY, registration, clock=fixed_clock(NOW))


@pytest.fixture
def link(server: HandMade) -> Iterator[Link]:
    one = link_to(server)
    yield one
    one.close()


def pods(count: int, size: int = 10) -> dict[str, list[dict[str, Any]]]:
    return {"pods": [{"name": f"pod-{number}", "filler": "x" * size} for number in range(count)]}


def problem(status: int, error: str = "no", **headers: str) -> Told:
    return Told(status, {"error": error, "field": None, "requestId": "r"}, headers)


def test_it_registers_before_the_first_thing_it_does_and_uses_the_token_from_then_on(
    server: HandMade, link: Link
) -> None:
    link.push(pods(1), NOW)
    link.push(pods(2), NOW + timedelta(seconds=15))
    routes = [route for route, _, _ in server.requests]
    assert routes == ["POST register", "POST push", "POST push"]
    assert [headers["authorization"] for _, headers, _ in server.requests] == [
        f"Bearer {KEY}",
        "Bearer token-1",
        "Bearer token-1",
    ]
    (registered,) = server.bodies("POST register")
    assert {
        "name": "prod",
        "hostname": "node-1",
        "platform": "kubernetes",
        "cluster": "prod",
    }.items() <= registered.items()
    assert "hostPool" not in registered and registered["version"]
    assert link.pulse.ready


def test_the_server_says_how_often_to_push(server: HandMade, link: Link) -> None:
    server.tell("POST register", Told(200, {"agentId": "a", "token": "t", "pushIntervalSeconds": 30}))
    assert link.push_interval == 15
    link.register()
    assert link.push_interval == 30


def test_a_notice_of_the_servers_is_said_once(server: HandMade, link: Link) -> None:
    known = {"agentId": "a", "token": "t"}
    noticed = Told(200, known, {"Trimtab-Notice": "no fleet repo declares the host pool"})
    server.tell("POST register", noticed, noticed, Told(200, known), noticed)
    with capture_logs() as logs:
        for _ in range(2):
            link.register()
        assert [one["notice"] for one in logs if "notice" in one] == ["no fleet repo declares the host pool"]
        for _ in range(2):
            link.register()
    assert len([one for one in logs if "notice" in one]) == 2, "it was gone, and is back"


def test_an_expired_token_costs_one_registration_and_nothing_is_lost(server: HandMade, link: Link) -> None:
    link.push(pods(1), NOW)
    server.tell("POST push", problem(401, "the token has expired"), Told(200, {"ok": True}))
    link.push(pods(3), NOW + timedelta(seconds=15))
    assert [len(body["pods"]) for body in server.bodies("POST push")] == [1, 3, 3]
    assert server.count("POST register") == 2
    assert server.requests[-1][1]["authorization"] == "Bearer token-2"


def test_twins_share_one_registration(server: HandMade, link: Link) -> None:
    twin = link.twin()
    twin.push(pods(1), NOW)
    link.next_command(wait=0)
    assert server.count("POST register") == 1
    server.tell("POST push", problem(401, "the token has expired"), Told(200, {"ok": True}))
    twin.push(pods(1), NOW)
    link.next_command(wait=0)
    assert server.count("POST register") == 2
    assert server.requests[-1][1]["authorization"] == "Bearer token-2"


def test_a_revoked_key_is_said_with_the_next_step_and_asked_for_once_a_try(server: HandMade, link: Link) -> None:
    link.push(pods(1), NOW)
    server.tell("POST push", problem(401, "the token has expired"))
    server.tell("POST register", problem(401, "the key is not valid, or was revoked"))
    for _ in range(3):
        with pytest.raises(Refused, match="the key is not valid, or was revoked") as told:
            link.push(pods(1), NOW + timedelta(seconds=15))
    assert "trimtab key create" in told.value.hint
    assert KEY not in str(told.value)
    assert server.count("POST register") == 1 + 3
    del server.answers["POST push"], server.answers["POST register"]
    link.push(pods(1), NOW + timedelta(seconds=60))
    assert link.unsent == 0


def test_a_key_is_read_again_for_each_registration(server: HandMade) -> None:
    keys = iter(["first", "second"])
    registration = Registration(name="prod", hostname="node-1", platform="kubernetes")
    link = Link(server.url, lambda: next(keys), registration, clock=fixed_clock(NOW))
    server.tell("POST register", problem(401), Told(200, {"agentId": "a", "token": "t"}))
    with pytest.raises(Refused):
        link.register()
    link.register()
    assert [headers["authorization"] for _, headers, _ in server.requests] == ["Bearer first", "Bearer second"]
    link.close()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (problem(429, "too many requests", **{"Retry-After": "7"}), 7),
        (problem(503, "a root does not build", **{"Retry-After": "5"}), 5),
        (Told(502, "<html>bad gateway</html>", {"Content-Type": "text/html"}), 1),
        (problem(503, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), 1),
        (problem(503, **{"Retry-After": "999999"}), 300),
    ],
)
def test_not_now_says_for_how_long(server: HandMade, link: Link, answer: Told, seconds: float) -> None:
    server.tell("GET desired", answer)
    with pytest.raises(Away) as told:
        link.desired()
    assert told.value.after_seconds == seconds
    if isinstance(answer.body, dict):
        assert answer.body["error"] in str(told.value)


def test_pushes_are_kept_while_the_server_is_away_and_sent_in_order(server: HandMade, link: Link) -> None:
    link.register()
    server.tell("POST push", problem(503))
    for number in range(5):
        with pytest.raises(Away):
            link.push({**pods(1), "workloads": [{"name": "web"}]}, NOW + timedelta(seconds=15 * number))
    assert link.unsent == 5
    server.tell("POST push", Told(200, {"ok": True}))
    server.requests.clear()
    link.push({**pods(1), "workloads": [{"name": "web"}]}, NOW + timedelta(seconds=75))
    bodies = server.bodies("POST push")
    assert [datetime.fromisoformat(body["timestamp"]) for body in bodies] == [
        NOW + timedelta(seconds=15 * number) for number in range(6)
    ]
    assert ["workloads" in body for body in bodies] == [False] * 5 + [True], "old state is nobody's news"
    assert link.unsent == 0


def test_only_the_newest_twenty_pushes_are_kept(server: HandMade, link: Link) -> None:
    link.register()
    server.tell("POST push", problem(503))
    for number in range(60):
        with pytest.raises(Away):
            link.push(pods(1), NOW + timedelta(minutes=number))
    server.tell("POST push", Told(200, {"ok": True}))
    server.requests.clear()
    link.push(pods(1), NOW + timedelta(minutes=60))
    sent = [datetime.fromisoformat(body["timestamp"]) for body in server.bodies("POST push")]
    assert sent == [NOW + timedelta(minutes=number) for number in range(41, 61)]


def test_a_push_that_will_never_be_taken_does_not_hold_up_the_others(server: HandMade, link: Link) -> None:
    server.tell("POST push", problem(400, "pods.0.name: must be a name"), Told(200, {"ok": True}))
    with pytest.raises(Refused, match="must be a name"):
        link.push(pods(1), NOW)
    link.push(pods(1), NOW + timedelta(seconds=15))
    assert server.count("POST push") == 2
    assert link.unsent == 0


def test_large_pushes_go_in_parts_with_nothing_missing(server: HandMade, link: Link) -> None:
    lists = {**pods(5000, 1000), "nodes": [], "workloads": [{"name": f"w{n}"} for n in range(10)]}
    link.push(lists, NOW)
    sent = [body for route, _, body in server.requests if route == "POST push"]
    assert all(len(body) <= 1_900_000 for body in sent) and len(sent) == 3
    parts = [json.loads(body) for body in sent]
    assert [(part["part"], part["parts"]) for part in parts] == [(0, 3), (1, 3), (2, 3)]
    assert len({part["timestamp"] for part in parts}) == 1
    for name, items in lists.items():
        assert [item for part in parts for item in part.get(name, [])] == items
        assert any(name in part for part in parts), "an empty list is said to be empty"


def test_a_proxy_that_takes_less_is_sent_smaller_parts_from_then_on(server: HandMade, link: Link) -> None:
    too_large = Told(413, "<html>Request Entity Too Large</html>", {"Content-Type": "text/html"})
    server.tell("POST push", too_large, Told(200, {"ok": True}))
    link.push(pods(1500, 1000), NOW)
    first, *others = [body for route, _, body in server.requests if route == "POST push"]
    assert len(first) > 1_500_000 and [len(body) <= 950_000 for body in others] == [True, True]
    assert json.loads(first)["timestamp"] != json.loads(others[0])["timestamp"], "parts of another cut"
    server.requests.clear()
    link.push(pods(1500, 1000), NOW + timedelta(seconds=15))
    assert server.count("POST push") == 2


def test_a_proxy_that_takes_nothing_is_not_asked_for_ever(server: HandMade, link: Link) -> None:
    server.tell("POST push", problem(413, "too large"))
    with pytest.raises(Refused, match="too large"):
        link.push(pods(1), NOW)
    assert server.count("POST push") < 10
    assert link.unsent == 0


DESIRED = {
    "revision": "a" * 40,
    "cluster": "prod",
    "manifests": [{"kind": "HorizontalPodAutoscaler"}],
    "repository": "https://git.example.com/fleet.git",
    "roots": [{"path": "clusters/prod", "namespace": "default", "sync": "agent"}],
}


def test_an_unchanged_desired_state_is_not_sent_twice(server: HandMade, link: Link) -> None:
    newer = {"ETag": '"one"', "Trimtab-Revision": "b" * 40}
    server.tell("GET desired", Told(200, DESIRED, {"ETag": '"one"'}), Told(304, None, newer))
    first, second = link.desired(), link.desired()
    asked = [headers.get("if-none-match") for route, headers, _ in server.requests if route == "GET desired"]
    assert asked == [None, '"one"']
    assert (first.changed, first.revision) == (True, "a" * 40)
    assert (second.changed, second.revision) == (False, "b" * 40)
    assert second.manifests == first.manifests == tuple(DESIRED["manifests"])
    assert (second.repository, second.roots[0]["sync"]) == ("https://git.example.com/fleet.git", "agent")


def test_a_server_of_before_names_no_roots(server: HandMade, link: Link) -> None:
    server.tell("GET desired", Told(200, {"revision": "a" * 40, "cluster": "prod", "manifests": []}))
    told = link.desired()
    assert (told.roots, told.repository, told.manifests) == ((), "", ())


def test_the_trees_own_values_are_asked_for_in_bounded_portions(server: HandMade, link: Link) -> None:
    fields = [{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "a", "name": f"w{n}"} for n in range(700)]
    server.tell("POST base", Told(200, {"objects": [{"name": "one"}]}), Told(200, {"objects": [{"name": "two"}]}))
    assert [one["name"] for one in link.base("a" * 40, fields)] == ["one", "two"]
    asked = server.bodies("POST base")
    assert [field for body in asked for field in body["fields"]] == fields
    assert {body["revision"] for body in asked} == {"a" * 40}
    assert link.base("a" * 40, []) == []


def test_a_report_is_sent_as_the_document_spells_it(server: HandMade, link: Link) -> None:
    one = ObjectStatus(api_version="apps/v1", kind="Deployment", namespace="a", name="b", status="applied")
    root = RootStatus(path="clusters/prod", sync="argocd", source="Application argocd/prod", synced=True)
    link.report("a" * 40, [one], [root])
    link.report("a" * 40, [one])
    first, second = server.bodies("POST status")
    assert first["objects"][0]["apiVersion"] == "apps/v1" and first["roots"][0]["source"] == "Application argocd/prod"
    assert "roots" not in second


def test_the_messages_of_a_huge_report_are_cut_rather_than_the_report_lost(server: HandMade, link: Link) -> None:
    many = [
        ObjectStatus(api_version="v1", kind="Pod", name=f"p{n}", status="failed", message="m" * 4096)
        for n in range(2000)
    ]
    link.report("a" * 40, many)
    (body,) = server.bodies("POST status")
    assert len(json.dumps(body)) < 2_000_000
    assert len(body["objects"]) == 2000 and body["objects"][0]["message"].startswith("mmm")


def test_commands_are_waited_for_and_answered(server: HandMade, link: Link) -> None:
    command = {"command_id": "cmd_1", "type": "docker.scale", "payload": {}}
    server.tell("GET commands", Told(204), Told(200, command))
    assert link.next_command(wait=0) is None
    assert link.next_command(wait=0) == command
    link.answer("cmd_1", "failed", "no such image")
    assert server.bodies("POST result") == [{"status": "failed", "message": "no such image"}]


def test_a_wait_for_commands_ends_at_once_when_the_agent_is_to_stop(server: HandMade, link: Link) -> None:
    twin = link.twin()
    twin.register()
    server.tell("GET commands", Told(hang=True))
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(twin.next_command(wait=60)))
    waiting.start()
    while server.arrived.get(timeout=10) != "GET commands":
        pass
    link.hang_up()
    waiting.join(timeout=2)
    assert got == [None], "it would have waited a minute"
    assert twin.next_command(wait=60) is None, "and no new wait is begun"
    twin.answer("cmd_1", "succeeded", "")
    assert server.count("POST result") == 1, "what is done can still be answered"


def test_nobody_there(server: HandMade) -> None:
    link = link_to(server, "http://127.0.0.1:1")
    with pytest.raises(Away, match=r"http://127\.0\.0\.1:1 cannot be reached") as told:
        link.push(pods(1), NOW)
    assert told.value.after_seconds == 1 and "--server" in told.value.hint
    assert link.unsent == 1 and not link.pulse.ready
    link.close()


@pytest.mark.parametrize(
    ("answer", "told", "hint"),
    [
        (
            problem(403, "the scope agents:register is needed"),
            "the scope agents:register is needed",
            "trimtab key create",
        ),
        (Told(404, "<html>", {"Content-Type": "text/html"}), "cannot register", "--server"),
        (
            Told(200, "<html>hello</html>", {"Content-Type": "text/html"}),
            "text/html that is not of Trimtab",
            "--server",
        ),
        (Told(200, {"hello": "world"}), "that is not of Trimtab", "--server"),
        (
            Told(308, None, {"Location": "https://elsewhere.example"}),
            "sends on to https://elsewhere.example",
            "--server",
        ),
        (problem(400, "hostname: must be a name"), "hostname: must be a name", "options"),
    ],
)
def test_what_a_person_must_change_is_said(server: HandMade, link: Link, answer: Told, told: str, hint: str) -> None:
    server.tell("POST register", answer)
    with pytest.raises(Refused) as refused:
        link.register()
    assert told in str(refused.value) and hint in refused.value.hint


@pytest.mark.parametrize(
    "url", ["", "trimtab.example.com", "ftp://x", "http://", "http://x:port", "http://x/?a=b", "https://me:hidden@x"]
)
def test_an_address_that_is_none(server: HandMade, url: str) -> None:
    registration = Registration(name="prod", hostname="node-1", platform="kubernetes")
    with pytest.raises(InputError, match="--server") as told:
        Link(url, KEY, registration, clock=fixed_clock(NOW))
    assert "hidden" not in str(told.value)


def test_a_certificate_that_does_not_verify_and_one_of_ones_own_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a wait that ends over TLS, too."""
    certificate = own_certificate(tmp_path)
    with hand_made(certificate) as server:
        stranger = link_to(server)
        with pytest.raises(Away, match="certificate verify failed") as told:
            stranger.register()
        assert "SSL_CERT_FILE" in told.value.hint
        stranger.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        link = link_to(server)
        link.register()
        server.tell("GET commands", Told(hang=True))
        got: list[object] = []
        waiting = threading.Thread(target=lambda: got.append(link.next_command(wait=60)))
        waiting.start()
        while server.arrived.get(timeout=10) != "GET commands":
            pass
        link.hang_up()
        waiting.join(timeout=2)
        assert got == [None], "it would have waited a minute"
        link.push(pods(1), NOW)
        link.close()


def own_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return file


def test_an_address_may_have_a_path_and_a_slash_at_its_end(server: HandMade) -> None:
    link = link_to(server, f"{server.url}/trimtab/")
    link.register()
    assert server.count("POST register") == 1
    link.close()
