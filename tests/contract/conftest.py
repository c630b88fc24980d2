"""The contract's other side: the double, and also a real server where the environment names one."""

from collections.abc import Iterator

import pytest

from support.kube_suite import SERVERS, Api, api_server


@pytest.fixture(scope="session", params=SERVERS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A Kubernetes API server, with a namespace of the suite's own."""
    with api_server(request.param) as running:
        yield running
