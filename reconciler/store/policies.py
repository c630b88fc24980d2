"""Policies made through the API, and what the newest pass made of every policy."""

import itertools
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, select, update
from sqlalchemy.exc import IntegrityError

from reconciler.errors import TrimtabError
from reconciler.model.policy import PolicyState, ScalingPolicySpec, StoredPolicy
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import policies, policy_states
from reconciler.store.transactions import execute_many, insert_into, reading, upsert_into, writing


class TargetTaken(TrimtabError):
    """Another policy of the organization has that target. ``by`` is that one, unless it was deleted meanwhile."""

    def __init__(self, target_ref: str, by: StoredPolicy | None) -> None:
        self.by = by
        other = f"the policy {by.spec.name} ({by.id})" if by else "a policy"
        super().__init__(f"{target_ref} already has {other}", hint="one workload has one policy: update that one")


class PolicyStore:
    """Policies of all organizations, by id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, organization: str, spec: ScalingPolicySpec, at: datetime) -> StoredPolicy:
        """A new policy; its id is the instant in nanoseconds, or the next that is free.

        :raises TargetTaken: when a policy of the organization has its target.
        """
        for number in itertools.count(to_micros(at) * 1000):
            stored = StoredPolicy(
                id=f"scp_{number}", organization=organization, spec=spec, created_at=at, updated_at=at
            )
            if self._insert(stored):
                return stored
        raise AssertionError("unreachable: numbers do not end")

    def _insert(self, stored: StoredPolicy) -> bool:
        """False when the id is taken."""
        row = {
            "id": stored.id,
            "organization": stored.organization,
            "target": _target(stored.spec),
            "spec": stored.spec.model_dump_json(by_alias=True),
            "created_at": to_micros(stored.created_at),
            "updated_at": to_micros(stored.updated_at),
        }
        try:
            with writing(self._engine) as connection:
                insert = insert_into(connection, policies).values(row).on_conflict_do_nothing(index_elements=["id"])
                return connection.execute(insert.returning(policies.c.id)).first() is not None
        except IntegrityError:
            raise self._taken(stored.organization, stored.spec) from None

    def update(self, policy_id: str, spec: ScalingPolicySpec, at: datetime) -> None:
        """Give a policy other fields. :raises TargetTaken: as :meth:`create` does."""
        found = self.find(policy_id)
        if found is not None:
            self.change(policy_id, found.organization, lambda _spec: spec, at)

    def change(
        self, policy_id: str, organization: str, apply: Callable[[ScalingPolicySpec], ScalingPolicySpec], at: datetime
    ) -> StoredPolicy | None:
        """Give a policy the fields that ``apply`` makes of those it has; nobody changes them in between.

        ``apply`` runs in the transaction, and what it raises ends it without a change. None when the organization has no
        such policy. :raises TargetTaken: as :meth:`create` does.
        """
        mine = (policies.c.id == policy_id, policies.c.organization == organization, policies.c.deleted_at.is_(None))
        asked: list[ScalingPolicySpec] = []
        try:
            with writing(self._engine) as connection:
                row = connection.execute(select(policies).where(*mine).with_for_update()).mappings().one_or_none()
                if row is None:
                    return None
                stored = _policy(row)
                asked.append(apply(stored.spec))
                changed = stored.model_copy(update={"spec": asked[0], "updated_at": at})
                _write(connection, changed)
                return changed
        except IntegrityError:
            raise self._taken(organization, asked[0]) from None

    def holder(self, organization: str, spec: ScalingPolicySpec) -> StoredPolicy | None:
        """The policy that has the target of ``spec``: its runtime, cluster and targetRef."""
        query = select(policies).where(policies.c.organization == organization, policies.c.target == _target(spec))
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _policy(row) if row is not None else None

    def _taken(self, organization: str, spec: ScalingPolicySpec) -> TargetTaken:
        return TargetTaken(spec.target_ref, self.holder(organization, spec))

    def delete(self, policy_id: str, at: datetime) -> bool:
        """End a policy; its decisions stay. False when there is none."""
        standing = (policies.c.id == policy_id, policies.c.deleted_at.is_(None))
        with writing(self._engine) as connection:
            connection.execute(delete(policy_states).where(policy_states.c.policy_id == policy_id))
            ended = update(policies).where(*standing).values(target=None, deleted_at=to_micros(at))
            return connection.execute(ended).rowcount == 1

    def find(self, policy_id: str) -> StoredPolicy | None:
        """A policy that was not deleted."""
        query = select(policies).where(policies.c.id == policy_id, policies.c.deleted_at.is_(None))
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _policy(row) if row is not None else None

    def of(self, organization: str) -> tuple[StoredPolicy, ...]:
        """The policies of an organization, the oldest first."""
        query = select(policies).where(policies.c.organization == organization, policies.c.deleted_at.is_(None))
        with reading(self._engine) as connection:
            return tuple(_policy(row) for row in connection.execute(query.order_by(policies.c.id)).mappings())

    def ever(self, organization: str) -> tuple[StoredPolicy, ...]:
        """The policies that an organization has or had, deleted ones too, the oldest first."""
        query = select(policies).where(policies.c.organization == organization)
        with reading(self._engine) as connection:
            return tuple(_policy(row) for row in connection.execute(query.order_by(policies.c.id)).mappings())

    def ended(self, organization: str) -> frozenset[str]:
        """The ids of the policies that were deleted."""
        query = select(policies.c.id).where(policies.c.organization == organization, policies.c.deleted_at.is_not(None))
        with reading(self._engine) as connection:
            return frozenset(connection.execute(query).scalars())

    def keep_states(self, fleet: str, states: Iterable[PolicyState], at: datetime) -> None:
        """What a pass over ``fleet`` made of its policies; the fleet's other states go."""
        rows = [
            {
                "fleet": fleet,
                "policy_id": state.policy_id,
                "evaluated_at": to_micros(at),
                "body": state.model_dump_json(by_alias=True),
            }
            for state in states
        ]
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, policy_states), rows)
            old = (policy_states.c.fleet == fleet, policy_states.c.evaluated_at < to_micros(at))
            connection.execute(delete(policy_states).where(*old))

    def still(self, fleet: str, at: datetime) -> None:
        """A pass found everything as the one before: the states of its policies are as of now."""
        mine = update(policy_states).where(policy_states.c.fleet == fleet)
        with writing(self._engine) as connection:
            connection.execute(mine.values(evaluated_at=to_micros(at)))

    def states(self, fleets: Iterable[str]) -> dict[str, PolicyState]:
        """By policy id."""
        query = select(policy_states).where(policy_states.c.fleet.in_(list(fleets)))
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return {
            row["policy_id"]: PolicyState.model_validate(
                {**json.loads(row["body"]), "evaluatedAt": from_micros(row["evaluated_at"])}
            )
            for row in rows
        }


def _target(spec: ScalingPolicySpec) -> str:
    return f"{spec.runtime} {spec.cluster or ''} {spec.target_ref}"


def _write(connection: Connection, changed: StoredPolicy) -> None:
    new = {
        "target": _target(changed.spec),
        "spec": changed.spec.model_dump_json(by_alias=True),
        "updated_at": to_micros(changed.updated_at),
    }
    connection.execute(update(policies).where(policies.c.id == changed.id).values(new))


def _policy(row: RowMapping) -> StoredPolicy:
    values: dict[str, Any] = {
        "id": row["id"],
        "organization": row["organization"],
        "spec": ScalingPolicySpec.model_validate_json(row["spec"]),
        "created_at": from_micros(row["created_at"]),
        "updated_at": from_micros(row["updated_at"]),
    }
    return StoredPolicy.model_validate(values)
