"""A body over 2 MB is answered 413 after it was read to its end, without being held."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.exceptions import ExceptionMiddleware

from api.middleware import BODY_LIMIT, BodyLimit, EveryRequest
from support.probes import probed
from support.served import serving

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    with serving(tmp_path_factory.mktemp("limit")) as running:
        yield probed(running.server)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[tuple[str, int]]:
    """Where a real server listens, because draining is about a real connection."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # so that nobody is refused before the server gets to it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(client: TestClient) -> None:
    assert client.post("/probe/raw", content=b"x" * BODY_LIMIT).json() == {"bytes": BODY_LIMIT}
    answer = client.post("/probe/raw", content=b"x" * (BODY_LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["error"] == "the body is over 2 MB: send less at once"
    assert answer.json()["requestId"] == answer.headers["X-Request-Id"]


def test_chunks_are_added_up(client: TestClient) -> None:
    assert client.post("/probe/raw", content=iter([b"x" * MEGABYTE] * 2)).json() == {"bytes": 2 * MEGABYTE}
    assert client.post("/probe/raw", content=iter([b"x" * MEGABYTE] * 3)).status_code == 413


def test_a_route_that_reads_json_answers_413_too(client: TestClient) -> None:
    chunks = iter([b'{"cpuTargetPercent": "', *[b"x" * MEGABYTE] * 3, b'"}'])
    answer = client.post("/probe/who", content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (413, "the body is over 2 MB: send less at once")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_it_all_first_hears_the_answer(address: tuple[str, int], chunked: bool) -> None:
    content = iter([b"x" * MEGABYTE] * 10) if chunked else b"x" * 10 * MEGABYTE
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as client:
        assert client.post("/probe/raw", content=content).status_code == 413
        assert client.post("/probe/raw", content=b"ok").json() == {"bytes": 2}, "the connection can be used again"


def test_a_client_that_waits_to_be_asked_for_it_is_told_at_once(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(
            b"POST /probe/raw HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\nExpect: 100-continue\r\n\r\n"
        )
        heard = b""
        while more := connection.recv(65536):
            heard += more
    assert heard.startswith(b"HTTP/1.1 413 ") and b"connection: close" in heard.lower()


class Endless:
    """A client that never stops sending, a megabyte at a time."""

    def __init__(self) -> None:
        self.sent = 0
        self.answered: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.sent += 1
        return {"type": "http.request", "body": b"x" * MEGABYTE, "more_body": True}

    async def send(self, message: dict[str, Any]) -> None:
        self.answered.append(message)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"70000000000")], [(b"content-length", b"9" * 60)]])
def test_one_that_never_ends_is_not_read_for_ever(headers: list[tuple[bytes, bytes]]) -> None:
    client = Endless()
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": headers, "query_string": b""}

    async def reads_all(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    asyncio.run(EveryRequest(BodyLimit(ExceptionMiddleware(reads_all)))(scope, client.receive, client.send))
    assert client.sent <= 66
    start = client.answered[0]
    assert start["status"] == 413 and (b"connection", b"close") in start["headers"]
    assert client.answered[1]["body"]


def test_the_answer_to_a_long_body_is_json(client: TestClient) -> None:
    answer = client.post("/nowhere", content=b"x" * (BODY_LIMIT + 1))
    assert answer.headers["content-type"] == "application/json"
    assert set(json.loads(answer.content)) == {"error", "requestId"}
