"""Action configs made through the API, by organization."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, insert, select, update

from reconciler.model.action import StoredAction
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import action_configs
from reconciler.store.transactions import reading, writing

_STANDING = action_configs.c.deleted_at.is_(None)


class ActionConfigStore:
    """The store echoes what was sent; what it means for a fleet is worked out where it is used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, stored: StoredAction) -> None:
        """A new config under its own id."""
        row = {
            "id": stored.id,
            "organization": stored.organization,
            "body": _body(stored),
            "created_at": to_micros(stored.created_at),
            "updated_at": to_micros(stored.updated_at),
        }
        with writing(self._engine) as connection:
            connection.execute(insert(action_configs).values(row))

    def replace(self, stored: StoredAction) -> bool:
        """Give a config other fields; ``created_at`` stays. False when the organization has none of that id."""
        mine = (action_configs.c.id == stored.id, action_configs.c.organization == stored.organization, _STANDING)
        new = {"body": _body(stored), "updated_at": to_micros(stored.updated_at)}
        with writing(self._engine) as connection:
            return connection.execute(update(action_configs).where(*mine).values(new)).rowcount == 1

    def delete(self, config_id: str, organization: str, at: datetime) -> bool:
        """End a config. False when the organization has none of that id."""
        mine = (action_configs.c.id == config_id, action_configs.c.organization == organization, _STANDING)
        with writing(self._engine) as connection:
            ended = update(action_configs).where(*mine).values(deleted_at=to_micros(at))
            return connection.execute(ended).rowcount == 1

    def find(self, config_id: str, organization: str) -> StoredAction | None:
        """A config that was not deleted."""
        mine = (action_configs.c.id == config_id, action_configs.c.organization == organization, _STANDING)
        with reading(self._engine) as connection:
            row = connection.execute(select(action_configs).where(*mine)).mappings().one_or_none()
        return _stored(row) if row is not None else None

    def of(self, organization: str) -> tuple[StoredAction, ...]:
        """The configs of an organization, the oldest first."""
        query = select(action_configs).where(action_configs.c.organization == organization, _STANDING)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(action_configs.c.created_at, action_configs.c.id)).mappings()
            return tuple(_stored(row) for row in rows)

    def ended(self, organization: str) -> frozenset[str]:
        """The ids of the configs that were deleted."""
        deleted = (action_configs.c.organization == organization, action_configs.c.deleted_at.is_not(None))
        with reading(self._engine) as connection:
            return frozenset(connection.execute(select(action_configs.c.id).where(*deleted)).scalars())


def _body(stored: StoredAction) -> str:
    return stored.model_dump_json(by_alias=True, exclude={"id", "organization", "created_at", "updated_at"})


def _stored(row: RowMapping) -> StoredAction:
    values: dict[str, Any] = {
        **json.loads(row["body"]),
        "id": row["id"],
        "organization": row["organization"],
        "created_at": from_micros(row["created_at"]),
        "updated_at": from_micros(row["updated_at"]),
    }
    return StoredAction.model_validate(values)
