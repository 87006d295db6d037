"""The process that parses for a web process: it reads requests from standard input and answers on standard output.

`dashboard/parsing` starts it and ends it. It has a low priority, a bound on its memory and no environment, so that what
it is sent can slow, fill and learn as little as possible. The kernel ends it where one request takes too long, whatever
library is at work. It ends when the web process does: then there is nothing left to read.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from typing import BinaryIO

from rules import parsers
from rules.parser_messages import frame, read_request

#: Added to the priority of the web process: others come first.
NICENESS = 10
#: Address space, of which the program itself needs a tenth.
MAX_MEMORY_BYTES = 512 * 1024 * 1024
#: The exit status after a request that needs more memory.
OUT_OF_MEMORY = 3


def main() -> int:
    """Answer requests until standard input ends; return the exit status."""
    os.nice(NICENESS)
    _limit_memory()
    # A terminal's Ctrl-C is for the web process, which first answers the requests that are open.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever prints must not be taken for an answer.
    sys.stdout = sys.stderr
    try:
        _answer_all(requests, answers)
    except MemoryError:
        return OUT_OF_MEMORY
    except ConnectionError:
        # The web process has ended.
        pass
    return 0


def _answer_all(requests: BinaryIO, answers: BinaryIO) -> None:
    while (request := read_request(requests.read)) is not None:
        # Ends the process with SIGPROF.
        signal.setitimer(signal.ITIMER_PROF, request.cpu_seconds)
        answer = parsers.answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(frame(answer))
        answers.flush()


def _limit_memory() -> None:
    # Not every system has this limit.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    sys.exit(main())
