"""One push of an agent, taken in whole: state, incidents and usage in one transaction."""

from sqlalchemy import Engine

from reconciler.model.observation import PushBody
from reconciler.model.ownership import samples_of
from reconciler.store.observations import record_in
from reconciler.store.transactions import writing
from reconciler.store.usage import UsageStore


def record_push(
    engine: Engine, body: PushBody, cluster: str, agent: str = "", *, usage: UsageStore | None = None
) -> bool:
    """Record a push, all of it or nothing; False when this agent's timestamp and part was recorded before.

    ``usage``: a store that knows the cluster's series already, which saves reading them for each push.

    :raises ValueError: when the timestamp has no offset from UTC, or a usage is not finite.
    """
    with writing(engine) as connection:
        if not record_in(connection, body, cluster=cluster, agent=agent):
            return False
        (usage or UsageStore(engine)).record_in(connection, samples_of(body, cluster), dedupe=False)
    return True
