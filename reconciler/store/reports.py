"""What agents report of the objects that they were given: the newest report of each."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Engine, RowMapping, select, update

from reconciler.model.agent import StatusReport
from reconciler.store.instants import to_micros
from reconciler.store.tables import status_reports
from reconciler.store.transactions import execute_many, reading, upsert_into, writing


class ReportStore:
    """Reports by agent."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, report: StatusReport) -> None:
        """In place of the agent's last one. What that one had proved stands until :meth:`prove` says what this one does:
        revisions go forward, and nothing is to look unproved in between.
        """
        mine = (status_reports.c.agent_id == report.agent_id, status_reports.c.cluster == report.cluster)
        with writing(self._engine) as connection:
            last = connection.execute(select(status_reports.c.body).where(*mine)).scalar()
            before = StatusReport.model_validate_json(last) if last is not None else None
            proves = before.proves if before is not None and not report.proves else report.proves
            report = report.model_copy(update={"proves": proves, "since": _since(report, before)})
            row = {
                "agent_id": report.agent_id,
                "cluster": report.cluster,
                "revision": report.revision,
                "at": to_micros(report.at),
                "body": report.model_dump_json(by_alias=True),
            }
            execute_many(connection, upsert_into(connection, status_reports), [row])

    def prove(self, report: StatusReport, commits: Iterable[str]) -> None:
        """Note which commits ``report`` has shown to be in force, unless the agent has reported another revision since."""
        mine = (status_reports.c.agent_id == report.agent_id, status_reports.c.revision == report.revision)
        proves = tuple(sorted(commits))
        with writing(self._engine) as connection:
            row = connection.execute(select(status_reports).where(*mine)).mappings().one_or_none()
            if row is not None and (last := _report(row)).proves != proves:
                body = last.model_copy(update={"proves": proves}).model_dump_json(by_alias=True)
                connection.execute(update(status_reports).where(*mine).values(body=body))

    def newest(self, cluster: str) -> StatusReport | None:
        """The newest report about a cluster, by the key that it is observed as."""
        query = select(status_reports).where(status_reports.c.cluster == cluster)
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(status_reports.c.at.desc()).limit(1)).mappings().one_or_none()
        return _report(row) if row is not None else None


def _since(report: StatusReport, before: StatusReport | None) -> dict[str, datetime]:
    """Since when each revision that a report tells is the one that is told."""
    told = report.revisions
    kept = before.revisions if before is not None else {}
    return {
        key: before.since.get(key, report.at) if before is not None and kept.get(key) == revision else report.at
        for key, revision in told.items()
    }


def _report(row: RowMapping) -> StatusReport:
    return StatusReport.model_validate_json(row["body"])
