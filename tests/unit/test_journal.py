"""The server's log: one line an event, in either form, and never a secret."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from reconciler.journal import HIDDEN, configure, mask

KEY = "tt_live_abcdefghijklmnopqrstuvwxyz012345"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZ2VudF8xIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    for name in ("uvicorn.error", "uvicorn.access", "alembic.runtime.plugins", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).propagate = True
    structlog.reset_defaults()


def test_text_is_key_value_with_an_instant_in_utc_and_the_requests_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("request", route="/healthz", status=200, ok=True, text="two words")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("timestamp=20")
    assert (
        'Z level=info event=request request_id=r1 route=/healthz status=200 ok=true text="two words"\n' in printed.err
    )


def test_json_is_one_object_a_line_also_of_other_packages(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    structlog.get_logger().warning("pass failed", hint="a\nb", retry_after=None)
    logging.getLogger("alembic.runtime.migration").info("Running upgrade %s", "0001")
    logging.getLogger("uvicorn.error").error("out of files")
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("httpx").info("HTTP Request: POST http://prometheus:9090/api/v1/query")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "pass failed"),
        ("info", "Running upgrade 0001"),
        ("error", "out of files"),
    ]
    assert lines[0]["hint"] == "a\nb"
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_the_level_holds_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("anybody").info("quiet")
    logging.getLogger("anybody").warning("loud")
    assert capsys.readouterr().err.count("\n") == 1
    configure("text", "debug")
    structlog.get_logger().debug("now it is said")
    assert "now it is said" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_written_wherever_it_stands(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(form, "info")  # type: ignore[arg-type]
    log = structlog.get_logger()
    log.info("seen", password="hunter2!", api_key="hunter2!", Authorization="hunter2!", secret_key=b"hunter2!")
    log.info(f"made {KEY}", nested={"token": "hunter2!", "list": [KEY, ("x", JWT)]}, header=f"Bearer {KEY}")
    log.info("url", url="postgresql://me:hunter2!@db/x", query="/lxc?api_key=hunter2!&x=1", other=ValueError(JWT))
    try:
        raise RuntimeError(f"cannot reach https://me:hunter2!@git.example.com with {KEY}")
    except RuntimeError:
        log.exception("broken")
    logging.getLogger("other").error("sent %s to %s", JWT, "https://me:hunter2!@host/")
    written = capsys.readouterr().err
    assert written.count("\n") == 5
    for secret in ("hunter2", KEY[8:], JWT.split(".")[1], JWT.split(".")[2]):
        assert secret not in written
    assert "git.example.com" in written
    assert HIDDEN in written


def test_what_is_no_secret_stays_readable() -> None:
    for text in ("tt_live_", "https://git.example.com/fleet.git", "scp_1718000000000000000", "ssh-ed25519", "key_0f1e"):
        assert mask(text) == text


def test_nobody_forges_a_line_or_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    structlog.get_logger().info("seen", name="x\r\nlevel=error event=forged \x1b[31m\u2028", **{"odd key=": 1})
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "\r" not in written
    assert "\x1b" not in written
    assert "\u2028" not in written
    assert "odd_key_=1" in written
