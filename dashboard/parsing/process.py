"""One parser process (`workers/parser.py`) as its web process sees it: started, asked one thing at a time, ended.

Whoever gives up an answer must end the process: what it writes later would be read as the next request's answer.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import settings
from rules.parser_messages import Request, encode_request, read_frame

#: Seconds within which a process whose connection has ended is gone.
_EXIT_SECONDS = 5
#: The exit statuses after a request that takes too much time or memory.
_OUT_OF_TIME = -signal.SIGPROF
_OUT_OF_MEMORY = 3


class ParserEnded(Exception):
    """The process ended during a request, for no reason that the request gave."""


class RequestTooCostly(Exception):
    """The request takes more time or memory than a parser process has; the message says which."""


class ParserProcess:
    """A process that parses. `pid` is its id."""

    def __init__(self) -> None:
        self._socket, end = socket.socketpair()
        with end:
            # No environment: what parses has no use for secrets. The same group: who kills the program kills it too.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.parser"],
                cwd=settings.ROOT, env={"PATH": os.defpath}, stdin=end.fileno(), stdout=end.fileno(),
            )  # fmt: skip
        self._reader = self._socket.makefile("rb")
        self.pid = self._process.pid

    def ask(self, request: Request, timeout_seconds: float) -> bytes:
        """The answer to a request. Raises `RequestTooCostly`, `ParserEnded`, or TimeoutError."""
        self._socket.settimeout(timeout_seconds)
        try:
            self._socket.sendall(encode_request(request))
            answer = read_frame(self._reader.read)
        except ConnectionError:
            answer = None
        if answer is None:
            raise self._explain_end(request)
        return answer

    def end(self) -> None:
        """End the process, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._reader.close()
        self._socket.close()

    def _explain_end(self, request: Request) -> Exception:
        try:
            status = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return ParserEnded("the parser process closed its connection")
        if status == _OUT_OF_TIME:
            return RequestTooCostly(f"more than {request.cpu_seconds:g} seconds of processor time")
        if status == _OUT_OF_MEMORY:
            return RequestTooCostly("more memory than a request may use")
        return ParserEnded(f"the parser process ended with status {status}")
