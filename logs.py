"""One log format for every process: JSON lines with a time, a level, an event and the related ids.

Ids are bound with `structlog.contextvars` where work begins (a request, an actor), so every line written during that
work carries them. Secrets are redacted here, whatever the caller passed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json  # for what orjson refuses
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson  # structlog decides how objects are written
import structlog

_SECRET_NAME = re.compile(r"(?i)(password|secret|token|api_?key|authorization|cookie|signing_key)")
#: Seconds that a line of `GatheringLogger` waits for others.
GATHER_SECONDS = 0.05
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")


# The cache stays small: field names come from the code.
@functools.lru_cache(maxsize=1_000)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _redact_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in line.items():
        if _is_secret(name):
            line[name] = "***"
        elif isinstance(value, str) and "://" in value:
            line[name] = _URL_PASSWORD.sub(r"\1:***@", value)
    return line


def _serialize(line: MutableMapping[str, Any], default: Callable[[Any], Any]) -> str:
    try:
        return orjson.dumps(line, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate, or a number of more than 64 bits.
        return json.dumps(line, default=default)


class StderrLogger:
    """Write each line to standard error in one call; structlog's own logger costs several times as much."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write(self, line: str) -> None:
        """Write one line, unless the process that keeps the log has ended: what is being done must not fail by it."""
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = exception = write


#: The loggers whose lines may wait.
_gathering: list[GatheringLogger] = []


def flush() -> None:
    """Write every line that waits, for a program that ends without its exit handlers."""
    for logger in _gathering:
        logger.flush()


class GatheringLogger(StderrLogger):
    """Write the lines of a moment in one call, at most `GATHER_SECONDS` after the first: each call wakes the program
    that keeps the log. For lines that come with every request. Those that wait are lost if the process is killed."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self._lines: list[str] = []
        self._is_due = False
        _gathering.append(self)
        atexit.register(self.flush)
        os.register_at_fork(after_in_child=self._forget)

    def gather(self, line: str) -> None:
        """Write one line soon."""
        self._lines.append(line)
        if not self._is_due:
            self._is_due = True
            timer = threading.Timer(GATHER_SECONDS, self.flush)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        """Write the lines that wait."""
        self._is_due = False
        lines = self._lines[:]
        del self._lines[: len(lines)]
        if lines:
            self.write("\n".join(lines))

    def _forget(self) -> None:
        """Leave the lines, and the timer, to the parent process."""
        self._lines.clear()
        self._is_due = False

    debug = info = warning = error = critical = exception = gather


def _build_logger(name: str = "", gathers: bool = False) -> StderrLogger:
    """Build the logger of `structlog.get_logger(name, gathers)`."""
    return GatheringLogger(name) if gathers else StderrLogger(name)


def set_up(program: str, level: str = "INFO") -> None:
    """Send every log line of this process, including those of libraries, to standard error as one JSON object each."""

    def add_program(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # Not a context variable: a thread begins without those of the thread that starts it.
        line["program"] = program
        return line

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_program,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.add_logger_name,
        structlog.processors.format_exc_info,
        _redact_secrets,
    ]
    renderer = structlog.processors.JSONRenderer(serializer=_serialize)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("dramatiq", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=_build_logger,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )


def log_uncaught_exceptions() -> None:
    """Write what Python would print to standard error, tracebacks of threads and warnings, as lines of the log too."""
    log = structlog.get_logger(__name__)

    def report(error_type: Any, error: Any, traceback: Any) -> None:
        log.critical("uncaught exception", exc_info=(error_type, error, traceback))

    def report_thread(args: threading.ExceptHookArgs) -> None:
        thread = args.thread.name if args.thread else ""
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        log.critical("uncaught exception in a thread", thread=thread, exc_info=info)

    sys.excepthook = report
    threading.excepthook = report_thread
    logging.captureWarnings(True)
