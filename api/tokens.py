"""Tokens: those that agents are given, and those that users bring.

Each source has its own key and its own list of algorithms; a token's header chooses among sources, never the algorithm
that a key is used with, so that a public key can never pass for a shared secret, and ``none`` is nobody's.
"""

import hmac
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

import jwt
from jwt.types import Options

from api.errors import Lapsed, Unauthorized, Unavailable

LIFETIME = timedelta(seconds=3600)
_ISSUER = "trimtab"
_AUDIENCE = "trimtab-agent"
_AGENT_CLAIMS: Options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "org_id"]}

_SHARED = "HS256"
_BY_KEY_TYPE = {
    "RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "EC": ["ES256", "ES384", "ES512", "ES256K"],
    "OKP": ["EdDSA"],
}
_ASYMMETRIC = frozenset(name for names in _BY_KEY_TYPE.values() for name in names)
_LEEWAY_SECONDS = 30.0
_KEPT_TOKENS = 10_000
_JWKS_PAUSE_SECONDS = 10.0
# The issuer's audience is its own affair, and times are checked against the server's clock, not the machine's.
_USER_CLAIMS: Options = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "require": ["exp", "sub", "org_id"],
}

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was used most recently, at most ``size`` entries. May be used from any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        with self._lock:
            self._entries.pop(key, None)


@dataclass(frozen=True)
class UserClaims:
    """What a user's token says: whose it is, of which organization, and what it may do."""

    subject: str
    organization: str
    scopes: frozenset[str]


class Tokens:
    """Signs and reads tokens. ``jwks`` is asked for keys by id, and keeps them for a while. For use from any thread."""

    def __init__(self, secret: str, *, user_secret: str = "", jwks: jwt.PyJWKClient | None = None) -> None:
        self._secret, self._user_secret, self._jwks = secret, user_secret, jwks
        self._read: Recent[str, tuple[str, str, float, str]] = Recent(_KEPT_TOKENS)
        self._jwks_away_at: float | None = None

    def for_agent(self, agent_id: str, organization: str, now: datetime, *, key: str = "") -> str:
        """A token that only this agent's routes take, for an hour; ``key``: id of the key that it registered with."""
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": agent_id,
            "org_id": organization,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
            **({"key": key} if key else {}),
        }
        return jwt.encode(claims, self._secret, algorithm=_SHARED)

    def signature(self, purpose: str, message: str) -> bytes:
        """HMAC-SHA256 (RFC 2104) of ``message`` under the server's secret, good for ``purpose`` and nothing else."""
        return hmac.digest(self._secret.encode(), f"{purpose}\0{message}".encode(), "sha256")

    def agent(self, token: str, now: datetime) -> tuple[str, str]:
        """The agent's id and its organization. A token is verified once and remembered until it expires.

        :raises Unauthorized: when the token is none of ours; :class:`~api.errors.Lapsed` when it has expired.
        """
        agent_id, organization, expires, _ = self._known(token)
        if expires <= now.timestamp():
            self._read.drop(token)
            raise Lapsed("the agent token has expired: register again to get a new one")
        return agent_id, organization

    def key_of(self, token: str) -> str:
        """Id of the key that the agent of a valid token registered with; empty where it was a user's token.

        :raises Unauthorized: when the token is none of ours.
        """
        return self._known(token)[3]

    def _known(self, token: str) -> tuple[str, str, float, str]:
        known = self._read.get(token)
        if known is None:
            known = self._agent(token)
            self._read.put(token, known)
        return known

    def _agent(self, token: str) -> tuple[str, str, float, str]:
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=[_SHARED], audience=_AUDIENCE, issuer=_ISSUER, options=_AGENT_CLAIMS
            )
            return str(claims["sub"]), str(claims["org_id"]), float(claims["exp"]), str(claims.get("key", ""))
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise Unauthorized("the agent token is not valid: register again to get one") from None

    def user(self, token: str, now: datetime) -> UserClaims:
        """What a user's token says. May ask the JWKS host, so not for the event loop.

        :raises Unauthorized: when the token is not valid; :class:`~api.errors.Lapsed` when it has expired.
        :raises Unavailable: when the host that lists the keys cannot be asked now.
        """
        try:
            key, algorithms = self._user_key(token, now)
            claims = jwt.decode(token, key, algorithms=algorithms, options=_USER_CLAIMS)
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise Unauthorized("the key or token is not valid") from None
        return _user(claims, now)

    def _user_key(self, token: str, now: datetime) -> tuple[Any, list[str]]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm == _SHARED and self._user_secret:
            return self._user_secret, [_SHARED]
        if algorithm in _ASYMMETRIC and self._jwks is not None and isinstance(header.get("kid"), str):
            key = self._signing_key(self._jwks, header["kid"], now.timestamp())
            return key.key, _BY_KEY_TYPE.get(key.key_type or "", [])
        raise jwt.InvalidTokenError

    def _signing_key(self, jwks: jwt.PyJWKClient, key_id: str, now: float) -> jwt.PyJWK:
        """:raises Unavailable: when the host is away; for a few seconds after that, nobody waits for it again."""
        away = self._jwks_away_at
        if away is not None and 0 <= now - away < _JWKS_PAUSE_SECONDS:
            raise _keys_away()
        try:
            key = jwks.get_signing_key(key_id)
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, ValueError):
            self._jwks_away_at = now
            raise _keys_away() from None
        except jwt.PyJWKClientError:
            raise jwt.InvalidTokenError from None
        self._jwks_away_at = None
        return key


def _keys_away() -> Unavailable:
    return Unavailable(
        "the keys that users' tokens are signed with cannot be fetched now: try again in a moment",
        headers={"Retry-After": str(int(_JWKS_PAUSE_SECONDS))},
    )


def _user(claims: Mapping[str, Any], now: datetime) -> UserClaims:
    expires, begins = claims["exp"], claims.get("nbf", 0)
    if not all(isinstance(at, int | float) and math.isfinite(at) for at in (expires, begins)):
        raise Unauthorized("the token is not valid: its times must be numbers")
    if expires <= now.timestamp():
        raise Lapsed("the token has expired: sign in again to get a new one")
    if begins > now.timestamp() + _LEEWAY_SECONDS:
        raise Unauthorized("the token is not valid yet")
    subject, organization = claims["sub"], claims["org_id"]
    if not (isinstance(subject, str) and subject and isinstance(organization, str) and organization):
        raise Unauthorized("the token is not valid: it must say whose it is (sub) and of which organization (org_id)")
    return UserClaims(subject, organization, _scopes(claims.get("scope", "")))


def _scopes(given: object) -> frozenset[str]:
    words = given.split() if isinstance(given, str) else given
    return frozenset(word for word in words if isinstance(word, str)) if isinstance(words, list) else frozenset()
