"""What agents report of the objects that they were given: the newest report of each."""

from sqlalchemy import Engine, RowMapping, select

from reconciler.model.agent import StatusReport
from reconciler.store.instants import to_micros
from reconciler.store.tables import status_reports
from reconciler.store.transactions import execute_many, reading, upsert_into, writing


class ReportStore:
    """Reports by agent."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, report: StatusReport) -> None:
        """In place of the agent's last one."""
        row = {
            "agent_id": report.agent_id,
            "cluster": report.cluster,
            "revision": report.revision,
            "at": to_micros(report.at),
            "body": report.model_dump_json(by_alias=True),
        }
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, status_reports), [row])

    def newest(self, cluster: str) -> StatusReport | None:
        """The newest report about a cluster, by the key that it is observed as."""
        query = select(status_reports).where(status_reports.c.cluster == cluster)
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(status_reports.c.at.desc()).limit(1)).mappings().one_or_none()
        return _report(row) if row is not None else None


def _report(row: RowMapping) -> StatusReport:
    return StatusReport.model_validate_json(row["body"])
