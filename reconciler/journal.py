"""The server's log: structlog on standard error, as key=value or JSON, with what other packages log in the same form.

No secret is ever written: values under names such as ``password`` are masked, and API keys, tokens and passwords in URLs
wherever they occur, also in tracebacks.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"passw|secret|token|authorization|credential|cookie|private|api[-_ ]?key|^key$|signature", re.IGNORECASE
)
_SECRETS = (
    (re.compile(r"\btt_live_[0-9A-Za-z]+"), f"tt_live_{HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]+(\.[\w-]*)?"), HIDDEN),
    (re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s'\"]*@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\b((?:api_?key|\w*token|password|secret)=)[^&\s'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_ORDER = ("timestamp", "level", "event", "request_id")

Format = Literal["text", "json"]


def configure(form: Format, level: str) -> None:
    """Write the log of this process to standard error from now on; ``level``: debug, info, warning or error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared], processors=_written(form)
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    # What uvicorn says at "info" is said by the server itself, in its own words; Alembic's plugins are nobody's news,
    # nor is each question that Prometheus or a forge is asked.
    for name in ("uvicorn.error", "alembic.runtime.plugins", "httpx"):
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else max(root.level, logging.WARNING))
    logging.captureWarnings(True)


def _written(form: Format) -> list[Processor]:
    finish: list[Processor] = (
        [structlog.processors.JSONRenderer(default=str)]
        if form == "json"
        else [one_line, structlog.processors.LogfmtRenderer(key_order=_ORDER, drop_missing=True, bool_as_flag=False)]
    )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        masked,
        *finish,
    ]


def masked(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The event without any secret."""
    return {name: HIDDEN if _SECRET_NAME.search(name) and value else _mask(value) for name, value in event.items()}


def _mask(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _SECRET_NAME.search(str(name)) and inner else _mask(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(inner) for inner in value]
    return mask(str(value))


def mask(text: str) -> str:
    """``text`` without API keys, tokens, and passwords in URLs."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


def one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Control characters spelled out, so that nobody's input can forge a line of the log or steer a terminal."""
    return {re.sub(r"[\s=\"]", "_", name): _spelled(value) for name, value in event.items()}


def _spelled(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
