"""A licence: 402 when it has expired or is exceeded, and nothing at all without one."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import APIRouter, Depends
from fastapi.testclient import TestClient

from api.actions.licensed import needs_licence
from api.app import create_app
from api.auth import Principal, needs
from api.server import Server
from reconciler.errors import InputError
from reconciler.licence import read_licence, sign
from reconciler.model.licence import Licence
from reconciler.model.observation import PushBody
from support.replay import NOW
from support.served import Served, serving
from support.small import small_fleet

router = APIRouter(dependencies=[needs_licence])


@router.get("/action/probe")
def probe(principal: Annotated[Principal, Depends(needs("actions:read"))]) -> dict[str, str]:
    return {"organization": principal.organization}


@dataclass
class Issuer:
    """Whoever makes licences: a folder with a private key, and the file that the server is told about."""

    home: Path
    key: Ed25519PrivateKey

    @property
    def private(self) -> Path:
        return self.home / "private.pem"

    @property
    def file(self) -> Path:
        return self.home / "licence.jwt"

    @property
    def public(self) -> Path:
        return self.home / "public.pem"

    def issue(self, organization: str = "acme", *, days: float = 30, **limits: int) -> None:
        """Put a licence into the file, as a person does: beside it first, then in its place."""
        licence = Licence(organization=organization, expires_at=NOW + timedelta(days=days), **limits)
        self.put(sign(licence, self.private, NOW) + "\n")

    def put(self, text: str) -> None:
        beside = self.home / "new"
        beside.write_text(text)
        beside.replace(self.file)

    def forged(self, key: Any = None, algorithm: str = "EdDSA", **claims: object) -> str:
        """A file of somebody who knows how, with the right key unless another is given."""
        good = {"aud": "trimtab-licence", "sub": "acme", "exp": int(NOW.timestamp()) + 3600}
        kept = {name: value for name, value in (good | claims).items() if value is not None}
        return jwt.encode(kept, self.key if key is None else key, algorithm=algorithm)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    key = Ed25519PrivateKey.generate()
    made = Issuer(tmp_path, key)
    made.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("licence")
    with serving(home, small_fleet(home)) as served:
        yield served


@pytest.fixture
def served(running: Served) -> Served:
    running.clock.now = NOW
    return running


def limited(server: Server, file: Path, key: str) -> Server:
    settings = server.settings.model_copy(update={"licence": file, "licence_key": key})
    return replace(server, settings=settings)


def client_of(served: Served, issuer: Issuer, organization: str = "acme") -> TestClient:
    app = create_app(limited(served.server, issuer.file, str(issuer.public)))
    app.include_router(router)
    return TestClient(app, headers=served.key("actions:read", organization=organization))


def observe(served: Served, *cores: float, at: datetime) -> None:
    """The agent of the cluster pushes nodes of so many cores."""
    nodes = [
        {"name": f"n{number}", "ready": number > 0, "cpuCapacityMillicores": 1000 * size, "memoryCapacityMB": 4096}
        for number, size in enumerate(cores)
    ]
    body = PushBody.model_validate({"timestamp": at, "nodes": nodes})
    served.server.stores.record_push(body, "prod", "agt")


def refused(client: TestClient) -> str:
    """The words of the 402 that the client is answered."""
    answer = client.get("/action/probe")
    assert answer.status_code == 402, answer.text
    body = answer.json()
    assert set(body) == {"code", "status", "message"}
    assert (body["code"], body["status"]) == (402, "error")
    return str(body["message"])


def test_without_a_licence_nothing_is_limited(served: Served) -> None:
    observe(served, 4096, at=NOW)
    app = create_app(served.server)
    app.include_router(router)
    client = TestClient(app, headers=served.key("actions:read"))
    served.clock.forward(days=10_000)
    assert client.get("/action/probe").json() == {"organization": "acme"}


def test_it_is_good_until_it_expires_by_the_servers_clock(served: Served, issuer: Issuer) -> None:
    issuer.issue(days=30)
    client = client_of(served, issuer)
    served.clock.forward(days=29, hours=23, minutes=59)
    assert client.get("/action/probe").status_code == 200
    served.clock.forward(minutes=1)
    assert refused(client).startswith(f"the licence expired on {NOW + timedelta(days=30):%Y-%m-%d %H:%M} UTC: ask ")


def test_all_nodes_count_ready_or_not_and_a_growing_cluster_is_seen_within_a_minute(
    served: Served, issuer: Issuer
) -> None:
    issuer.issue(cores=100, nodes=3)
    observe(served, 64, 36, at=NOW + timedelta(seconds=1))
    client = client_of(served, issuer)
    assert client.get("/action/probe").status_code == 200
    observe(served, 64, 64, at=NOW + timedelta(seconds=2))
    served.clock.forward(seconds=59)
    assert client.get("/action/probe").status_code == 200, "it is counted once a minute, not at each request"
    served.clock.forward(seconds=1)
    assert refused(client).startswith("the licence allows 100 cores, 128 are in use: ")
    observe(served, 20, 20, 20, 20, at=NOW + timedelta(seconds=3))
    served.clock.forward(seconds=60)
    assert refused(client).startswith("the licence allows 3 nodes, 4 are in use: ")
    observe(served, 33.5, 66.5, at=NOW + timedelta(seconds=4))
    served.clock.forward(seconds=60)
    assert client.get("/action/probe").status_code == 200


def test_a_part_of_a_core_too_many_is_too_many(served: Served, issuer: Issuer) -> None:
    issuer.issue(cores=1)
    observe(served, 1.001, at=NOW + timedelta(seconds=5))
    assert refused(client_of(served, issuer)).startswith("the licence allows 1 core, 1.001 are in use: ")


def test_it_is_for_one_organization_or_for_each(served: Served, issuer: Issuer) -> None:
    observe(served, 8, at=NOW + timedelta(seconds=6))
    issuer.issue("acme", cores=8)
    assert client_of(served, issuer).get("/action/probe").status_code == 200
    other = client_of(served, issuer, organization="other")
    assert refused(other).startswith("the licence is for acme, not for other: ")
    issuer.issue("*", cores=7)
    assert other.get("/action/probe").status_code == 200, "it has no clusters, so nothing is in use"
    assert "7 cores, 8 are in use" in refused(client_of(served, issuer))


def test_a_file_that_is_replaced_counts_from_the_next_request(served: Served, issuer: Issuer) -> None:
    issuer.issue(days=-1)
    client = client_of(served, issuer)
    refused(client)
    issuer.issue(days=1)
    assert client.get("/action/probe").status_code == 200
    issuer.put("not a licence")
    message = refused(client)
    assert message.startswith("file is no licence: ") and str(issuer.home) not in message
    issuer.file.unlink()
    assert refused(client).startswith("the licence file cannot be read: no such file")
    issuer.issue(days=1)
    assert client.get("/action/probe").status_code == 200


def test_every_route_of_the_actions_api_needs_it_but_the_sync_of_configs(served: Served, issuer: Issuer) -> None:
    issuer.issue(days=-1)
    app = create_app(limited(served.server, issuer.file, str(issuer.public)))
    client = TestClient(app, headers=served.key("admin"))
    answered = {}
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if path.startswith(("/action/", "/actions/")):
                answered[f"{method} {path}"] = client.request(method, path).status_code
                assert (answered[f"{method} {path}"] == 402) == ("402" in operation["responses"]), path
    assert len(answered) == 13, "as many as the document of the Actions API has"
    assert {name for name, status in answered.items() if status != 402} == {"post /action/config/sync"}
    assert answered["post /action/config/sync"] == 200
    for path in ("/v1/recommendations", "/api/v1/scaling/policies", "/api/v1/status"):
        assert client.get(path).status_code == 200


def test_who_has_no_key_is_asked_for_one_first(served: Served, issuer: Issuer) -> None:
    issuer.issue(days=-1)
    client = client_of(served, issuer)
    client.headers.pop("Authorization")
    assert client.get("/action/probe").status_code == 401


def test_a_request_is_counted_once_against_the_rate_limit(served: Served, issuer: Issuer) -> None:
    issuer.issue()
    server = limited(served.server, issuer.file, str(issuer.public))
    app = create_app(replace(server, settings=server.settings.model_copy(update={"rate_limit": "3/minute"})))
    app.include_router(router)
    client = TestClient(app, headers=served.key("actions:read"))
    assert [client.get("/action/probe").status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("form", ["pem text", "base64 of pem", "base64 of der", "base64 of 32 bytes"])
def test_the_public_key_may_come_in_any_usual_form(served: Served, issuer: Issuer, form: str) -> None:
    public = issuer.key.public_key()
    pem = issuer.public.read_bytes()
    given = {
        "pem text": pem.decode(),
        "base64 of pem": base64.b64encode(pem).decode(),
        "base64 of der": base64.b64encode(
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).decode(),
        "base64 of 32 bytes": base64.b64encode(public.public_bytes_raw()).decode(),
    }[form]
    issuer.issue()
    create_app(limited(served.server, issuer.file, given))
    with pytest.raises(InputError, match="was not signed with the key"):
        create_app(limited(served.server, issuer.file, _others_key()))


def _others_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "TRIMTAB_LICENCE_KEY is not"),
        ("bm90IGEga2V5", "is no Ed25519 public key"),
        ("nowhere.pem", "nowhere.pem cannot be read"),
        ("elliptic", "is no Ed25519 public key"),
        ("private", "is no Ed25519 public key"),
    ],
)
def test_a_server_without_a_usable_key_does_not_start(served: Served, issuer: Issuer, given: str, words: str) -> None:
    issuer.issue()
    public = generate_private_key(SECP256R1()).public_key()
    elliptic = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    key = {"elliptic": elliptic, "private": str(issuer.private)}.get(given, given)
    with pytest.raises(InputError, match=words) as error:
        create_app(limited(served.server, issuer.file, key))
    assert "TRIMTAB_LICENCE_KEY" in str(error.value)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "trimtab-agent"}, "audience"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": 10**30}, "exp"),
        ({"cores": -1}, "cores"),
        ({"cores": "many"}, "cores"),
        ({"nodes": 1.5}, "nodes"),
        ({"nodes": True}, "nodes"),
    ],
)
def test_claims_that_make_no_sense_are_refused_by_name(issuer: Issuer, claims: dict[str, object], words: str) -> None:
    issuer.put(issuer.forged(**claims))
    with pytest.raises(InputError, match=f"licence.jwt is no licence: .*{words}"):
        read_licence(issuer.file, issuer.key.public_key())


def test_no_other_algorithm_passes(issuer: Issuer) -> None:
    shared = issuer.key.public_key().public_bytes_raw()
    issuer.put(issuer.forged(shared, "HS256"))
    with pytest.raises(InputError, match="is no licence"):
        read_licence(issuer.file, issuer.key.public_key())
    issuer.put(issuer.forged("", "none"))
    with pytest.raises(InputError, match="is no licence"):
        read_licence(issuer.file, issuer.key.public_key())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a.b.c", b"x" * 70_000])
def test_a_damaged_file_is_an_error_that_names_it(issuer: Issuer, content: bytes) -> None:
    issuer.file.write_bytes(content)
    with pytest.raises(InputError, match="licence.jwt"):
        read_licence(issuer.file, issuer.key.public_key())
