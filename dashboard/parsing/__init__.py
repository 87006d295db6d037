"""Parses large bodies, CSV, YAML and definitions in processes of low priority, so that no other request waits.

`rules/parsers.py` has the parsers, `workers/parser.py` is the process. A key has two such requests at once; a person's
session, and without either the client's network, counts as a key. What a provider may have signed waits for its turn
instead of being refused. What takes too long ends only the process that parses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask
import structlog

import metrics
from dashboard.errors import ProblemError
from dashboard.held_bytes import MAX_WAIT_SECONDS, HeldBytes
from dashboard.parsing import key_turns
from dashboard.parsing.pool import ParsersBusy, find_pool
from dashboard.parsing.process import ParserEnded, RequestTooCostly
from dashboard.proxies import read_client_network
from rules.body_json import BodyError
from rules.parser_messages import Request
from rules.parsers import read_answer

log = structlog.get_logger(__name__)

#: A larger body is parsed in another process; a batch's limit is larger.
LARGE_BYTES = 64 * 1024
LARGE_BATCH_BYTES = 512 * 1024
#: Seconds of processor time for one request, and for a file of fifty thousand contacts.
CPU_SECONDS = 5.0
CONTACTS_CPU_SECONDS = 20.0
#: Seconds after which a client whose key has too much at once, or who found no free process, may try again.
_RETRY_AFTER_SECONDS = 1

_TOO_MANY = (
    f"This key already has {key_turns.MAX_AT_ONCE} large requests in progress. Send them one after another, or smaller."
)
_BUSY = "Too many large requests are in progress. Nothing was changed."
_ENDED = "The process that parses large requests was stopped. Nothing was changed."

#: Large webhooks of each network that are parsed before their signature is verified, in this process.
_unverified = HeldBytes(key_turns.MAX_AT_ONCE, MAX_WAIT_SECONDS)


def register(app: flask.Flask) -> None:
    """Give back the turn of each request when it ends."""

    @app.teardown_request
    def give_back_turn(_error: BaseException | None) -> None:
        turn = flask.g.pop("parsing_turn", None)
        if turn is not None:
            key_turns.give_back(turn)


def parse_apart(parser: str, raw: bytes, *, is_bounded: bool = True, **options: Any) -> Any:
    """The result of a parser (`rules/parsers.py`), computed in another process.

    With `is_bounded` the request is one of the two that its key may have at once, until it ends. Raises `ProblemError`:
    what the parser refuses, 422 for a body that takes too long, 429, and 503 where no process is free.
    """
    if is_bounded:
        _take_turn(parser)
    with metrics.parsers_busy.track_inprogress():
        cpu_seconds = CONTACTS_CPU_SECONDS if parser == "contacts" else CPU_SECONDS
        result = _parse(Request(parser, raw, options, cpu_seconds))
    metrics.parses_total.labels(parser=parser, result="parsed").inc()
    return result


@contextmanager
def wait_for_turn() -> Iterator[None]:
    """Wait until fewer than two such requests of the client's network are in progress in this process.

    For webhooks whose signature is in the body: they are parsed before it is verified, and what is signed is never
    refused for its rate. Raises `ProblemError` 503 where no turn came in time.
    """
    network = read_client_network()
    if not _unverified.take(network, 1):
        raise ProblemError(503, _BUSY, retry_after=_RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _unverified.give_back(network, 1)


def _parse(request: Request) -> Any:
    try:
        return read_answer(find_pool().ask(request))
    except BodyError as error:
        raise _count(request.parser, "refused", ProblemError(error.status, error.detail, error.problems)) from None
    except RequestTooCostly as error:
        log.warning("a request is too costly to parse", parser=request.parser, bytes=len(request.raw), error=str(error))
        detail = f"Parsing the request takes {error}. Make it smaller or simpler."
        raise _count(request.parser, "too_costly", ProblemError(422, detail)) from None
    except (ParserEnded, ParsersBusy) as error:
        log.error("a request was not parsed", parser=request.parser, bytes=len(request.raw), error=repr(error))
        detail = _BUSY if isinstance(error, ParsersBusy) else _ENDED
        problem_error = ProblemError(503, detail, retry_after=_RETRY_AFTER_SECONDS)
        raise _count(request.parser, "failed", problem_error) from None


def _take_turn(parser: str) -> None:
    """Take one of the turns of the request's key, which it keeps until it ends. Raises `ProblemError` 429."""
    if "parsing_turn" in flask.g:
        return
    run = flask.current_app.extensions["settings"].run
    try:
        run.mkdir(mode=0o700, exist_ok=True)
        turn = key_turns.take(run / "parsing.lock", _find_key())
    except OSError as error:
        # As with other limits, a fault of ours refuses nobody's request.
        log.warning("the large requests of a key are not bounded", error=str(error))
        return
    if turn is None:
        raise _count(parser, "limited", ProblemError(429, _TOO_MANY, retry_after=_RETRY_AFTER_SECONDS))
    flask.g.parsing_turn = turn


def _find_key() -> str:
    """The key or session of the request; without either the client's network."""
    credential: bytes = flask.g.get("credential", b"")
    return credential.hex() or read_client_network()


def _count(parser: str, result: str, error: ProblemError) -> ProblemError:
    metrics.parses_total.labels(parser=parser, result=result).inc()
    return error
