"""API keys: only a hash of each is stored."""

import hashlib
import secrets
import string
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, select, update

from reconciler.model.access import ApiKey, Scope
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import api_keys
from reconciler.store.transactions import insert_into, reading, writing

PREFIX = "tt_live_"
_LETTERS = string.digits + string.ascii_letters
_LENGTH = 32
_SHOWN = len(PREFIX) + 4


class KeyStore:
    """Keys of all organizations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, organization: str, name: str, scopes: tuple[Scope, ...], clusters: tuple[str, ...], at: datetime
    ) -> tuple[str, ApiKey]:
        """A new key, which nobody can read again, and what is stored of it."""
        secret = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        key = ApiKey(
            id=f"key_{secrets.token_hex(6)}",
            organization=organization,
            name=name,
            prefix=secret[:_SHOWN],
            scopes=scopes,
            clusters=clusters,
            created_at=at,
        )
        row = {
            **key.model_dump(exclude={"created_at", "revoked_at"}),
            "scopes": " ".join(scopes),
            "clusters": " ".join(clusters),
            "hash": _hash(secret),
            "created_at": to_micros(at),
        }
        with writing(self._engine) as connection:
            connection.execute(insert_into(connection, api_keys).values(row))
        return secret, key

    def find(self, secret: str) -> ApiKey | None:
        """The key that ``secret`` is; None when it is none, or was revoked."""
        query = select(api_keys).where(api_keys.c.hash == _hash(secret), api_keys.c.revoked_at.is_(None))
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _key(row) if row is not None else None

    def stands(self, key_id: str) -> bool:
        """Whether there is a key of that id that was not revoked."""
        query = select(api_keys.c.id).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def list(self, organization: str | None = None) -> tuple[ApiKey, ...]:
        """The keys of one organization, or of all; the oldest first, revoked ones too."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        if organization is not None:
            query = query.where(api_keys.c.organization == organization)
        with reading(self._engine) as connection:
            return tuple(_key(row) for row in connection.execute(query).mappings())

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key, by its id; False when there is none that still works."""
        standing = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        with writing(self._engine) as connection:
            return connection.execute(standing.values(revoked_at=to_micros(at))).rowcount == 1


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: RowMapping) -> ApiKey:
    values: dict[str, Any] = {**row}
    del values["hash"]
    values["scopes"] = tuple(row["scopes"].split())
    values["clusters"] = tuple(row["clusters"].split())
    values["created_at"] = from_micros(row["created_at"])
    values["revoked_at"] = from_micros(row["revoked_at"]) if row["revoked_at"] is not None else None
    return ApiKey.model_validate(values)
