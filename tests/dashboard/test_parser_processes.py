"""Parser processes: killed, too costly, given up, or left behind, none spoils the next request or stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dashboard.parsing import pool as pool_module
from dashboard.parsing.pool import MAX_WAITING, ParserPool, ParsersBusy
from dashboard.parsing.process import ParserEnded, ParserProcess, RequestTooCostly
from rules.parser_messages import Request, encode_request, frame
from rules.parsers import ParserFailure, read_answer
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
NUMBER = Request("json", b"[1]", {"max_values": 9}, 5.0)
#: Takes a second.
LONG = Request("contacts", b"email\n" + b"".join(b"a%d@example.com\n" % number for number in range(19_000)),
               {"choices": {}}, 60.0)  # fmt: skip


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    pool = ParserPool()
    yield pool
    pool.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the processes that were started, in order."""
    pids: list[int] = []
    record_starts(monkeypatch, pids.append)
    return pids


def record_starts(monkeypatch: pytest.MonkeyPatch, record: Callable[[int], None]) -> None:
    class Recorded(ParserProcess):
        def __init__(self) -> None:
            super().__init__()
            record(self.pid)

    monkeypatch.setattr(pool_module, "ParserProcess", Recorded)


def is_gone(pid: int) -> bool:
    """Whether there is neither a process with this id nor a zombie."""
    return not Path(f"/proc/{pid}").exists()


def test_one_process_answers_one_request_after_another(pool: ParserPool, started: list[int]) -> None:
    assert [read_answer(pool.ask(NUMBER)) for _ in range(3)] == [[1]] * 3
    assert pool.idle_pids == started
    assert len(started) == 1


def test_a_process_has_low_priority_a_bounded_memory_and_no_secrets(pool: ParserPool) -> None:
    pool.ask(NUMBER)
    (pid,) = pool.idle_pids
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    assert Path(f"/proc/{pid}/environ").read_bytes() == b"PATH=" + os.defpath.encode() + b"\0"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert str(512 * 1024 * 1024) in next(line for line in limits.splitlines() if "address space" in line)


def test_a_killed_process_is_replaced_and_the_request_parsed_again(pool: ParserPool, started: list[int]) -> None:
    pool.ask(NUMBER)
    os.kill(started[0], signal.SIGKILL)
    assert read_answer(pool.ask(NUMBER)) == [1]
    assert (len(started), is_gone(started[0])) == (2, True)


def test_a_request_whose_processes_are_killed_fails_alone(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        pids.append(pid)

    record_starts(monkeypatch, stop)
    with ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(pool.ask, NUMBER)
        for count in (1, 2):
            eventually(lambda count=count: len(pids) == count)
            os.kill(pids[-1], signal.SIGKILL)
        with pytest.raises(ParserEnded, match="-9"):
            stuck.result(30)
    monkeypatch.undo()
    assert read_answer(pool.ask(NUMBER)) == [1]
    assert [is_gone(pid) for pid in pids] == [True, True]


def test_others_are_parsed_while_a_request_is_stuck(pool: ParserPool, started: list[int]) -> None:
    pool.ask(NUMBER)
    os.kill(started[0], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(pool.ask, NUMBER)
        eventually(lambda: not pool.idle_pids)
        assert read_answer(pool.ask(NUMBER)) == [1]
        os.kill(started[0], signal.SIGCONT)
        assert read_answer(stuck.result(30)) == [1]
    assert sorted(pool.idle_pids) == sorted(started)


def test_a_request_over_its_time_ends_its_process(pool: ParserPool, started: list[int]) -> None:
    with pytest.raises(RequestTooCostly, match=r"0\.05 seconds"):
        pool.ask(LONG._replace(cpu_seconds=0.05))
    assert (is_gone(started[0]), pool.idle_pids) == (True, [])
    assert read_answer(pool.ask(NUMBER)) == [1]


def test_a_process_that_does_not_answer_is_ended(
    pool: ParserPool, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.ask(NUMBER)
    monkeypatch.setattr(pool_module, "START_SECONDS", 0.1)
    os.kill(started[0], signal.SIGSTOP)
    with pytest.raises(ParsersBusy):
        pool.ask(NUMBER._replace(cpu_seconds=0.01))
    assert is_gone(started[0])
    monkeypatch.undo()
    assert read_answer(pool.ask(NUMBER)) == [1]


def test_the_answer_to_a_request_that_was_given_up_is_never_read(
    pool: ParserPool, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.ask(NUMBER)

    def give_up(_read: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("dashboard.parsing.process.read_frame", give_up)
    with pytest.raises(KeyboardInterrupt):
        pool.ask(NUMBER._replace(raw=b'"another tenant"'))
    monkeypatch.undo()
    assert is_gone(started[0])
    assert read_answer(pool.ask(NUMBER)) == [1]


def test_a_request_beyond_those_that_may_wait_is_refused_at_once(pool: ParserPool) -> None:
    pool._waiting = MAX_WAITING
    with pytest.raises(ParsersBusy):
        pool.ask(NUMBER)


def test_a_fault_of_ours_comes_back_with_its_traceback(pool: ParserPool, started: list[int]) -> None:
    answer = pool.ask(NUMBER._replace(parser="unknown"))
    with pytest.raises(ParserFailure, match="KeyError: 'unknown'"):
        read_answer(answer)
    assert pool.idle_pids == started


def test_a_request_that_needs_too_much_memory_ends_its_process() -> None:
    program = "import sys; from workers import parser; parser.MAX_MEMORY_BYTES = 96 * 2**20; sys.exit(parser.main())"
    request = encode_request(NUMBER._replace(raw=b'"' + b"x" * 40 * 2**20 + b'"'))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, input=request, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"")


def test_half_a_request_is_the_end() -> None:
    command = [sys.executable, "-m", "workers.parser"]
    done = subprocess.run(command, cwd=ROOT, input=frame(b"{}")[:5], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


_GEVENT_PROGRAM = """
from gevent import monkey
monkey.patch_all()
import json, os, signal, sys
import gevent
from dashboard.parsing.pool import find_pool
from rules.parser_messages import Request
from rules.parsers import read_answer

number = Request("json", b"[1]", {"max_values": 9}, 5.0)
pool = find_pool()
pool.ask(number)
(pid,) = pool.idle_pids
os.kill(pid, signal.SIGSTOP)
waiting = gevent.spawn(pool.ask, number)
gevent.joinall([gevent.spawn(len, "") for _ in range(20)])
pending = not waiting.ready()
os.kill(pid, signal.SIGCONT)
answer = read_answer(waiting.get())
os.kill(pid, signal.SIGKILL)
again = read_answer(pool.ask(number))
print(json.dumps({"pending": pending, "answer": answer, "again": again, "gone": not os.path.exists(f"/proc/{pid}"),
    "pid": pool.idle_pids[0]}), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_web_process_answers_others_meanwhile_and_leaves_no_parser_behind(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _GEVENT_PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        report = json.loads(next(line for line in program.stdout if line.startswith("{")))
        pid = report.pop("pid")
        assert report == {"pending": True, "answer": [1], "again": [1], "gone": True}
        assert not is_gone(pid)
        program.send_signal(number)
        program.wait(30)
    eventually(lambda: is_gone(pid))
