"""Users' tokens: by a shared secret or by the keys that a URL lists; each source with its own algorithms only."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.errors import Lapsed, Unauthorized, Unavailable
from api.tokens import Tokens
from support.replay import NOW

SERVER = "a secret of the server's, long enough to sign"
SHARED = "a secret that the users' issuer has, long enough"


def claims(**more: Any) -> dict[str, Any]:
    given = {
        "sub": "pat",
        "org_id": "acme",
        "exp": NOW.timestamp() + 600,
        "scope": "scaling:read changes:write",
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def shared(**more: Any) -> str:
    return jwt.encode(claims(**more), SHARED, algorithm="HS256")


@dataclass
class Issuer:
    """Lists its keys at a URL, and can be away."""

    rsa_key: rsa.RSAPrivateKey
    ec_key: ec.EllipticCurvePrivateKey
    port: int = 0
    asked: int = 0
    away: bool = False
    broken: bool = False
    extra: list[dict[str, Any]] = field(default_factory=list)

    @property
    def keys(self) -> list[dict[str, Any]]:
        rsa_public = jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa_key.public_key(), as_dict=True)
        ec_public = jwt.algorithms.ECAlgorithm.to_jwk(self.ec_key.public_key(), as_dict=True)
        return [rsa_public | {"kid": "r1", "use": "sig"}, ec_public | {"kid": "e1"}, *self.extra]

    def client(self) -> jwt.PyJWKClient:
        return jwt.PyJWKClient(f"http://127.0.0.1:{self.port}/keys", timeout=2)

    def signed(self, kid: str = "r1", algorithm: str = "RS256", **more: Any) -> str:
        key = self.rsa_key if kid.startswith("r") else self.ec_key
        return jwt.encode(claims(**more), key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def private_keys() -> tuple[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def issuer(private_keys: tuple[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]) -> Iterator[Issuer]:
    made = Issuer(*private_keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(503 if made.away else 200)
            self.end_headers()
            self.wfile.write(b"<html>" if made.broken else json.dumps({"keys": made.keys}).encode())

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_a_token_by_the_shared_secret_says_who_and_what() -> None:
    found = Tokens(SERVER, user_secret=SHARED).user(shared(), NOW)
    assert (found.subject, found.organization) == ("pat", "acme")
    assert found.scopes == {"scaling:read", "changes:write"}


@pytest.mark.parametrize(
    ("scope", "found"), [(["admin"], {"admin"}), ("", set()), (None, set()), (7, set()), ([7, "admin"], {"admin"})]
)
def test_scopes_may_be_a_list_or_words(scope: object, found: set[str]) -> None:
    assert Tokens(SERVER, user_secret=SHARED).user(shared(scope=scope), NOW).scopes == found


@pytest.mark.parametrize(
    "more",
    [
        {"org_id": None},
        {"org_id": ""},
        {"org_id": 7},
        {"sub": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"nbf": NOW.timestamp() + 120},
    ],
)
def test_a_token_that_does_not_say_enough_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        Tokens(SERVER, user_secret=SHARED).user(shared(**more), NOW)


def test_a_token_that_has_expired_says_so() -> None:
    with pytest.raises(Lapsed, match="expired"):
        Tokens(SERVER, user_secret=SHARED).user(shared(exp=NOW.timestamp()), NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\u00e9.\u00e9.\u00e9", "." * 10_000, "eyJhbGciOiJIUzI1NiJ9.e30."])
def test_what_is_no_token_is_refused(token: str) -> None:
    tokens = Tokens(SERVER, user_secret=SHARED)
    for read in (tokens.user, tokens.agent):
        with pytest.raises(Unauthorized):
            read(token, NOW)


def test_without_a_source_no_users_token_is_good(issuer: Issuer) -> None:
    for token in (shared(), issuer.signed(), jwt.encode(claims(), SERVER, algorithm="HS256")):
        with pytest.raises(Unauthorized):
            Tokens(SERVER).user(token, NOW)


@pytest.mark.parametrize(("kid", "algorithm"), [("r1", "RS256"), ("r1", "PS384"), ("e1", "ES256")])
def test_a_token_by_a_listed_key_is_good_and_the_list_is_fetched_once(issuer: Issuer, kid: str, algorithm: str) -> None:
    tokens = Tokens(SERVER, jwks=issuer.client())
    for _ in range(3):
        assert tokens.user(issuer.signed(kid, algorithm), NOW).organization == "acme"
    assert issuer.asked == 1


def test_an_unknown_key_is_refused_without_asking_every_time(issuer: Issuer) -> None:
    tokens = Tokens(SERVER, jwks=issuer.client())
    for number in range(5):
        with pytest.raises(Unauthorized):
            tokens.user(issuer.signed(f"r{number + 2}"), NOW)
    assert issuer.asked == 1


def _forged(header: dict[str, Any], key: bytes) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def test_no_key_is_good_for_another_algorithm_than_its_own(issuer: Issuer) -> None:
    public = issuer.rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    issuer.extra = [{"kty": "oct", "kid": "o1", "k": base64.urlsafe_b64encode(SHARED.encode()).decode()}]
    tokens = Tokens(SERVER, user_secret=SHARED, jwks=issuer.client())
    forged = [
        _forged({"alg": "HS256", "kid": "r1"}, public),
        _forged({"alg": "RS256", "kid": "o1"}, SHARED.encode()),
        _forged({"alg": "ES256", "kid": "r1"}, public),
        _forged({"alg": "none"}, b""),
        _forged({"alg": "None", "kid": "r1"}, b""),
        _forged({"alg": "HS512"}, SHARED.encode()),
        jwt.encode(claims(), None, algorithm="none"),
        _forged({"alg": "RS256", "kid": ["r1"]}, public),
    ]
    for token in forged:
        with pytest.raises(Unauthorized):
            tokens.user(token, NOW)
        with pytest.raises(Unauthorized):
            tokens.agent(token, NOW)


@pytest.mark.parametrize("trouble", ["away", "broken"])
def test_a_host_that_is_away_is_not_the_users_fault_and_is_not_asked_all_the_time(issuer: Issuer, trouble: str) -> None:
    setattr(issuer, trouble, True)
    tokens = Tokens(SERVER, jwks=issuer.client())
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            tokens.user(issuer.signed(), NOW)
        assert int(refused.value.headers["Retry-After"]) > 0
    assert issuer.asked == 1
    setattr(issuer, trouble, False)
    assert tokens.user(issuer.signed(), NOW + timedelta(seconds=11)).subject == "pat"


def test_a_users_token_is_no_agents_and_the_other_way_round() -> None:
    tokens = Tokens(SERVER, user_secret=SHARED)
    with pytest.raises(Unauthorized):
        tokens.agent(shared(aud="trimtab-agent", iss="trimtab"), NOW)
    with pytest.raises(Unauthorized):
        tokens.user(tokens.for_agent("agent_1", "acme", NOW), NOW)


def test_an_agents_token_is_good_for_an_hour_also_when_it_was_read_before() -> None:
    tokens = Tokens(SERVER)
    token = tokens.for_agent("agent_1", "acme", NOW)
    for _ in range(2):
        assert tokens.agent(token, NOW + timedelta(seconds=3599)) == ("agent_1", "acme")
    with pytest.raises(Lapsed, match="register again"):
        tokens.agent(token, NOW + timedelta(seconds=3600))
    with pytest.raises(Unauthorized, match="register again"):
        Tokens("another secret, as long as the first one was").agent(token, NOW)
