"""Tokens: those that agents are given, and those that users bring."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from jwt.types import Options

from api.errors import Unauthorized

LIFETIME = timedelta(seconds=3600)
_ISSUER = "trimtab"
_AUDIENCE = "trimtab-agent"


@dataclass(frozen=True)
class UserClaims:
    """What a user's token says: whose it is, of which organization, and what it may do."""

    subject: str
    organization: str
    scopes: frozenset[str]


class Tokens:
    """Signs and reads tokens. ``jwks`` is asked for keys by id, and keeps them for a while."""

    def __init__(self, secret: str, *, user_secret: str = "", jwks: jwt.PyJWKClient | None = None) -> None:
        self._secret, self._user_secret, self._jwks = secret, user_secret, jwks

    def for_agent(self, agent_id: str, organization: str, now: datetime) -> str:
        """A token that only this agent's routes take, for an hour."""
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": agent_id,
            "org_id": organization,
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def agent(self, token: str, now: datetime) -> tuple[str, str]:
        """The agent's id and its organization.

        :raises Unauthorized: when the token is none of ours, or has expired.
        """
        options: Options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "org_id"]}
        try:
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"], audience=_AUDIENCE, issuer=_ISSUER, options=options
            )
        except jwt.InvalidTokenError:
            raise Unauthorized("the agent token is not valid: register again to get one") from None
        if claims["exp"] <= now.timestamp():
            raise Unauthorized("the agent token has expired: register again to get a new one")
        return str(claims["sub"]), str(claims["org_id"])
