"""One Docker engine, in its own words: raw JSON in and out, and errors that say what happens next."""

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env

from reconciler.errors import RetryLater, Stalled, TrimtabError

Json = dict[str, Any]

UNIX: Final = "unix://"
SOCKET: Final = f"{UNIX}/var/run/docker.sock"
AWAY_SECONDS: Final = 1.0
TIMEOUT_SECONDS: Final = 30
CONNECTIONS: Final = 136
"""For as many as statistics ask for at once, and those that a command asks beside."""


class EngineAway(RetryLater):
    """Nobody answers at the engine's address, or it broke off in the middle."""


class EngineRefused(TrimtabError):
    """The engine understood and said no; the message is its own."""


class NameTaken(EngineRefused):
    """A container of that name is there already."""


class NoContainer(TrimtabError):
    """The container went away in between."""


class Engine:
    """An engine by its address. Connects when it is first asked something, and again after it was away.

    Safe to use from several threads. Every method raises :class:`EngineAway`, :class:`EngineRefused`, or
    :class:`reconciler.errors.Stalled` where a person must act: no permission on the socket, an address that is none.
    """

    def __init__(self, host: str = "", *, environment: Mapping[str, str] | None = None) -> None:
        """``host`` empty: DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH) of ``environment``, else the usual socket."""
        given = dict(environment or {})
        self.host = host or given.get("DOCKER_HOST", "") or SOCKET
        self._environment = given | {"DOCKER_HOST": self.host}
        self._client: APIClient | None = None
        self._lock = threading.Lock()

    def containers(self, labels: Sequence[str] = ()) -> list[Json]:
        """All containers, running or not, as the list endpoint gives them; with every one of ``labels`` (``key=value``)."""
        with self._asked() as client:
            filters = {"label": list(labels)} if labels else {}
            return list(client.containers(all=True, filters=filters))

    def inspect(self, container: str) -> Json:
        """:raises NoContainer:"""
        with self._asked() as client:
            return dict(client.inspect_container(container))

    def statistics(self, container: str) -> Json:
        """One reading of its counters, at once; :raises NoContainer:"""
        with self._asked() as client:
            try:
                return dict(client.stats(container, stream=False, one_shot=True))
            except requests.JSONDecodeError:
                raise NoContainer(f"{container} ended while its counters were read") from None

    def image_id(self, reference: str) -> str:
        """The image that a name stands for now; empty when there is none."""
        with self._asked() as client:
            try:
                return str(client.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]
            except NotFound:
                return ""

    def create(self, name: str, config: Json) -> str:
        """Create a container from a raw body; its id. :raises NameTaken:"""
        with self._asked(name_taken=True) as client:
            return str(client.create_container_from_config(config, name)["Id"])  # type: ignore[no-untyped-call]

    def join(self, container: str, network: str, endpoint: Json) -> None:
        """Put a container into one more network."""
        with self._asked() as client:
            client.connect_container_to_network(
                container,
                network,
                aliases=endpoint.get("Aliases"),
                links=endpoint.get("Links"),
                driver_opt=endpoint.get("DriverOpts"),
            )

    def start(self, container: str) -> None:
        """Nothing happens when it runs already (the engine's 304)."""
        with self._asked() as client:
            client.start(container)

    def stop(self, container: str, seconds: int) -> None:
        """Ask it to end, and kill it when it has not after so many seconds. Nothing happens when it has ended or is gone."""
        with self._asked(gone=True) as client:
            client.stop(container, timeout=seconds)

    def remove(self, container: str) -> None:
        """Remove it with its anonymous volumes, running or not. Nothing happens when it is gone."""
        with self._asked(gone=True) as client:
            try:
                client.remove_container(container, v=True, force=True)
            except APIError as error:
                if error.status_code != requests.codes.conflict or "already in progress" not in _said(error):
                    raise

    def last_line(self, container: str) -> str:
        """The last line that it wrote, on either stream; empty when there is none, or its log driver keeps nothing to read."""
        with contextlib.suppress(EngineRefused, NoContainer), self._asked() as client:
            lines = client.logs(container, tail=5).decode(errors="replace").splitlines()
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def begin_inside(self, container: str, command: str) -> str:
        """Begin a command in the container, by its shell; an id for :meth:`ended_inside`."""
        with self._asked() as client:
            begun = str(client.exec_create(container, ["/bin/sh", "-c", command])["Id"])
            client.exec_start(begun, detach=True)
            return begun

    def ended_inside(self, begun: str) -> int | None:
        """The exit code of a command that was begun; None while it goes on."""
        with self._asked() as client:
            seen = client.exec_inspect(begun)
            return None if seen["Running"] else int(seen["ExitCode"] or 0)

    def close(self) -> None:
        """End its connections; it opens new ones when it is asked again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> APIClient:
        if self.host.startswith(UNIX):
            # The client leaves a socket behind whenever it cannot connect; where nobody answers, it does not get to try.
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(TIMEOUT_SECONDS)
                probe.connect(self.host.removeprefix(UNIX))
        with self._lock:
            if self._client is None:
                known = kwargs_from_env(environment=self._environment)
                self._client = APIClient(version="auto", timeout=TIMEOUT_SECONDS, max_pool_size=CONNECTIONS, **known)
            return self._client

    @contextlib.contextmanager
    def _asked(self, *, gone: bool = False, name_taken: bool = False) -> Iterator[APIClient]:
        """Turn what the client raises into what happens next. ``gone``: a container that is not there is as wished."""
        try:
            yield self._connected()
        except NotFound as error:
            if not gone:
                raise _not_found(error) from error
        except APIError as error:
            kind = NameTaken if name_taken and error.status_code == requests.codes.conflict else EngineRefused
            raise kind(_said(error)) from error
        except (requests.RequestException, DockerException, OSError) as error:
            raise self._away(error) from error

    def _away(self, error: BaseException) -> TrimtabError:
        path = self.host.removeprefix(UNIX)
        number = _errno(error)
        if number in (errno.EACCES, errno.EPERM):
            return Stalled(
                f"no permission to use the Docker engine's socket {path}",
                hint="add the agent's user to the socket's group (usermod -aG docker USER, then log in again), or run the agent as root",
            )
        if isinstance(error, DockerException) and number is None and not _no_answer(error):
            return Stalled(
                f"{self.host!r} cannot be used as the address of a Docker engine: {error}",
                hint="write it as unix:///var/run/docker.sock, or tcp://HOST:2376 with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH",
            )
        why = "there is no such socket" if number == errno.ENOENT else _short(error)
        return EngineAway(
            f"no Docker engine answers at {self.host}: {why}",
            after_seconds=AWAY_SECONDS,
            hint="is it running (systemctl status docker)? the agent goes on as soon as it answers",
        )


def _not_found(error: APIError) -> TrimtabError:
    said = _said(error)
    return NoContainer(said) if "no such container" in said.lower() else EngineRefused(said)


def _said(error: APIError) -> str:
    return str(error.explanation or error).strip()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was made of: requests and urllib3 wrap the one of the socket several times."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [inner for inner in (*one.args, one.__cause__, one.__context__) if isinstance(inner, BaseException)]


def _errno(error: BaseException) -> int | None:
    return next((one.errno for one in _chain(error) if isinstance(one, OSError) and one.errno is not None), None)


def _no_answer(error: BaseException) -> bool:
    return any(isinstance(one, requests.RequestException) for one in _chain(error))


def _short(error: BaseException) -> str:
    innermost = next((one for one in _chain(error) if isinstance(one, OSError) and one.strerror), error)
    text = innermost.strerror if isinstance(innermost, OSError) and innermost.strerror else str(error)
    return text.splitlines()[0][:200] if text else type(error).__name__
