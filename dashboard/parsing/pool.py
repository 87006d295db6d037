"""The parser processes of one web process: started when they are needed, kept, and replaced when they end."""

from __future__ import annotations

import os
import threading
from functools import cache

import structlog

from dashboard.parsing.process import ParserEnded, ParserProcess
from rules.parser_messages import Request

log = structlog.get_logger(__name__)

#: Processes: one more than one key may have at work (`key_turns`), so that others' requests go on.
SIZE = 3
#: Requests that may wait for a process; each holds its body in memory.
MAX_WAITING = 32
#: Seconds within which a request has a process.
TURN_SECONDS = 15.0
#: Seconds of the clock within which a process starts and answers, beside those of its work: for each second of
#: processor time, as others come first.
START_SECONDS = 10.0
PATIENCE = 3.0


class ParsersBusy(Exception):
    """No process was free in time, or none answered."""


class ParserPool:
    """Hands each request to a process of its own while it is parsed."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(SIZE)
        self._idle: list[ParserProcess] = []
        self._waiting = 0

    @property
    def idle_pids(self) -> list[int]:
        """The process ids of the processes that wait for a request."""
        return [process.pid for process in self._idle]

    def ask(self, request: Request) -> bytes:
        """The answer to a request; other requests go on meanwhile.

        Raises `RequestTooCostly`, `ParserEnded` where two processes ended, and `ParsersBusy`.
        """
        if self._waiting >= MAX_WAITING:
            raise ParsersBusy
        self._waiting += 1
        try:
            has_turn = self._free.acquire(timeout=TURN_SECONDS)
        finally:
            self._waiting -= 1
        if not has_turn:
            raise ParsersBusy
        try:
            return self._ask_twice(request)
        finally:
            self._free.release()

    def close(self) -> None:
        """End the processes that wait for a request."""
        while self._idle:
            self._idle.pop().end()

    def _ask_twice(self, request: Request) -> bytes:
        try:
            return self._ask(self._take_idle() or self._start(), request)
        except ParserEnded as error:
            # Killed from outside, perhaps while it was idle: not a reason to refuse the request.
            log.warning("a parser process ended, the request is parsed again", parser=request.parser, error=str(error))
            return self._ask(self._start(), request)

    def _ask(self, process: ParserProcess, request: Request) -> bytes:
        try:
            answer = process.ask(request, START_SECONDS + request.cpu_seconds * PATIENCE)
        except TimeoutError:
            process.end()
            raise ParsersBusy from None
        except BaseException:
            # Also where the request itself is given up: its answer must not be read as the next one's.
            process.end()
            raise
        self._idle.append(process)
        return answer

    def _take_idle(self) -> ParserProcess | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _start(self) -> ParserProcess:
        process = ParserProcess()
        log.info("started a parser process", child_pid=process.pid)
        return process


@cache
def _find_pool(pid: int) -> ParserPool:  # noqa: ARG001
    return ParserPool()


def find_pool() -> ParserPool:
    """This process's pool, made at its first use: a forked process must not share its parent's connections."""
    return _find_pool(os.getpid())
