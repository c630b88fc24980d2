"""The way to an API server: where it is, who we are, and one request at a time as bytes in and JSON out.

The ``kubernetes`` package loads the configuration and keeps the credentials fresh (exec plugins, service account tokens);
its pool of connections is used as it is. Its models are not: they cost several times the memory of plain JSON.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from reconciler.agent.kubernetes.answers import Throttled, Unreachable, refusal
from reconciler.errors import Stalled

TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=30.0)
"""Seconds. An API server ends a request by itself after 60; a pass comes every 15."""

TRIES: Final = 4
"""The first one, and three more after a 429."""

LONGEST_WAIT: Final = 10.0
"""Seconds. A Retry-After beyond that is for the next pass."""

_CERTIFICATE: Final = "check certificate-authority and server in the kubeconfig"
_NO_ANSWER: Final = "the agent tries again; check that it runs, and server in the kubeconfig"

Load = Callable[[], Configuration]


def in_cluster() -> bool:
    """Whether this process runs in a pod with a service account."""
    return bool(os.environ.get(SERVICE_HOST_ENV_NAME)) and Path(SERVICE_TOKEN_FILENAME).exists()


def load(kubeconfig: str, context: str) -> Configuration:
    """A kubeconfig file's configuration (that of KUBECONFIG, or of the home directory, when neither is given), else
    the service account's where there is one.

    :raises Stalled: when there is none, or it cannot be read
    """
    if kubeconfig and not Path(kubeconfig).expanduser().is_file():
        raise Stalled(f"no way to a cluster: there is no file {kubeconfig}", hint="check --kubeconfig")
    configuration = Configuration()
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    try:
        if in_cluster() and not (named or context):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(named or None, context or None, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        raise Stalled(
            f"no way to a cluster: {str(error).strip() or type(error).__name__}",
            hint="name a kubeconfig file and one of its contexts, or run the agent in the cluster with a service account",
        ) from None
    return configuration


@dataclass(frozen=True)
class Answer:
    """One answer below 300, 404 or 410; others are raised."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object.

        :raises Unreachable: when it is something else, such as a proxy's page
        """
        try:
            said = json.loads(self.body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Unreachable(
                "what answered is no API server: it sent no JSON object",
                after_seconds=1,
                hint="check the server's address in the kubeconfig, and any proxy on the way",
            )
        return said


class Connection:
    """Requests over a pool of connections that are kept alive. Safe for several threads."""

    def __init__(self, load: Load, *, sleep: Callable[[float], None]) -> None:
        self._load = load
        self._sleep = sleep
        self._client = ApiClient(load())

    def close(self) -> None:
        """Give the connections back."""
        self._client.rest_client.pool_manager.clear()

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Answer:
        """One request; a 429 is asked again up to three times, a 401 once with fresh credentials.

        :raises TrimtabError: the errors of :mod:`reconciler.agent.kubernetes.answers`, but for 404 and 410
        """
        full = f"{path}?{urlencode(query)}" if query else path
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        fresh = False
        tries = 0
        while True:
            response = self._send(method, full, data, content_type)
            answer = Answer(response.status, response.data)
            if answer.status < 300 or answer.status in (404, 410):
                return answer
            error = refusal(answer.status, answer.body, retry_after=_seconds(response.headers.get("Retry-After")))
            tries += 1
            if answer.status == 401 and not fresh:
                self._renew()
                fresh = True
            elif isinstance(error, Throttled) and tries < TRIES and error.after_seconds <= LONGEST_WAIT:
                self._sleep(error.after_seconds)
            else:
                raise error

    def _renew(self) -> None:
        """Read the configuration again: a token or certificate in it may have been replaced since."""
        self.close()
        self._client = ApiClient(self._load())

    def _send(self, method: str, path: str, data: bytes | None, content_type: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._once(method, path, data, content_type)
        except urllib3.exceptions.ProtocolError:
            pass  # a kept connection that the other side has closed meanwhile
        except urllib3.exceptions.HTTPError as error:
            raise _away(error, self._client.configuration.host) from None
        try:
            return self._once(method, path, data, content_type)
        except urllib3.exceptions.HTTPError as error:
            raise _away(error, self._client.configuration.host) from None

    def _once(self, method: str, path: str, data: bytes | None, content_type: str) -> urllib3.BaseHTTPResponse:
        configuration = self._client.configuration
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "trimtab-agent"}
        if data is not None:
            headers["Content-Type"] = content_type
        for setting in configuration.auth_settings().values():  # asks for a new token where the old one has expired
            headers[str(setting["key"])] = str(setting["value"])
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            method, configuration.host + path, body=data, headers=headers, timeout=TIMEOUT, retries=False
        )
        return response


def _away(error: Exception, host: str) -> Unreachable:
    certificate = isinstance(error, urllib3.exceptions.SSLError)
    return Unreachable(
        f"the API server at {host} does not answer: {str(error).rsplit(': ', 1)[-1] or type(error).__name__}",
        after_seconds=1,
        hint=_CERTIFICATE if certificate else _NO_ANSWER,
    )


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
