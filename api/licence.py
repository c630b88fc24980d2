"""Whether an organization may use what needs a licence: 402 when it has expired, is exceeded, or cannot be read.

The file is looked at anew whenever it was replaced, so that a longer licence needs no restart. What is in use is read
from the newest observations once a minute for each organization.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

import structlog

from api.errors import PaymentRequired
from api.server import Server
from reconciler.errors import InputError
from reconciler.licence import licence_key, read_licence
from reconciler.model.licence import InUse, Licence

REMEMBERED = timedelta(minutes=1)
"""What is in use is counted again after this."""

_Stamp = tuple[int, int, int]
"""Inode, size and time of the last change: differs when a file was replaced or written."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Read:
    """What the file said when it looked like ``stamp``: a licence, or why there is none."""

    stamp: _Stamp | None
    licence: Licence | None
    reason: str = ""


class Licensing:
    """One for each application; for use from any thread. Without ``TRIMTAB_LICENCE`` everything is allowed."""

    def __init__(self, server: Server) -> None:
        """:raises InputError: when the settings name a licence that cannot be used; one that has expired can."""
        self._server, self._file = server, server.settings.licence
        self._lock = Lock()
        self._counted: dict[str, tuple[InUse, datetime]] = {}
        self._told = ""
        if self._file is not None:
            self._key = licence_key(server.settings)
            found = read_licence(self._file, self._key)
            self._read = _Read(_stamp(self._file), found)
            if found.expires_at <= server.clock():
                log.warning("the licence has expired", file=str(self._file), expired=found.expires_at.isoformat())

    @property
    def limited(self) -> bool:
        """Whether there is anything to check."""
        return self._file is not None

    def check(self, organization: str) -> None:
        """Reads the file and the database now and then, so not for the event loop.

        :raises PaymentRequired: when the licence does not cover what the organization has.
        """
        if self._file is None:
            return
        found = self._current(self._file)
        if found.licence is None:
            reason = found.reason
        else:
            reason = found.licence.refusal(organization, self.in_use(organization), self._server.clock())
        self._tell(organization, reason)
        if reason:
            raise PaymentRequired(reason)

    def in_use(self, organization: str) -> InUse:
        """What the organization's clusters have, at most :data:`REMEMBERED` old."""
        now = self._server.clock()
        known = self._counted.get(organization)
        if known is None or not known[1] <= now < known[1] + REMEMBERED:
            names = [cluster.name for cluster in self._server.clusters(organization)]
            known = InUse.of(node for name in names for node in self._server.stores.observations.nodes(name)), now
            self._counted[organization] = known
        return known[0]

    def _current(self, file: Path) -> _Read:
        stamp = _stamp(file)
        with self._lock:
            if stamp != self._read.stamp:
                self._read = self._again(file, stamp)
            return self._read

    def _again(self, file: Path, stamp: _Stamp | None) -> _Read:
        try:
            found = read_licence(file, self._key)
        except InputError as error:
            log.error("the licence cannot be used", reason=error.message, hint=error.hint)
            # Where the file lies on the server is nobody else's business.
            reason = error.message.replace(str(file), "file")
            return _Read(stamp, None, f"{reason}: whoever runs this server must put a good one in its place")
        log.info("licence read", organization=found.organization, expires=found.expires_at.isoformat())
        return _Read(stamp, found)

    def _tell(self, organization: str, reason: str) -> None:
        """One line of log when it becomes another reason, not one for each request."""
        if reason and reason != self._told:
            log.warning("payment required", organization=organization, reason=reason)
        self._told = reason


def _stamp(file: Path) -> _Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
