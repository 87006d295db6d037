"""The end of a process and its forks: what is buffered is delivered once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import Service, respond

Start = Callable[[str], "subprocess.Popen[str]"]
Count = Callable[[], int]

#: Buffers ten triggers that only the end of the process sends.
BUFFER_TEN = """
from beckon_client import Client
client = Client(linger_seconds=3600)
for number in range(10):
    client.trigger("visit", payload={"number": number})
"""
WAIT = """
import signal
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_a_process_that_ends_delivers_its_buffer(start_producer: Start, count_triggers: Count) -> None:
    process = start_producer(BUFFER_TEN)
    assert process.communicate(timeout=20)[1] == ""
    assert (process.returncode, count_triggers()) == (0, 10)


def test_an_exception_ends_the_process_after_the_delivery(start_producer: Start, count_triggers: Count) -> None:
    process = start_producer(BUFFER_TEN + "raise SystemExit(3)")
    process.communicate(timeout=20)
    assert (process.returncode, count_triggers()) == (3, 10)


def test_sigterm_ends_the_process_after_the_delivery(start_producer: Start, count_triggers: Count) -> None:
    process = start_producer(BUFFER_TEN + WAIT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=20)
    assert (process.returncode, count_triggers()) == (-signal.SIGTERM, 10)


def test_a_handler_of_the_application_stays(start_producer: Start, count_triggers: Count) -> None:
    own = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    process = start_producer(own + BUFFER_TEN + WAIT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=20)
    assert (process.returncode, count_triggers()) == (7, 10)


def test_a_client_that_nobody_refers_to_delivers_at_the_end(start_producer: Start, count_triggers: Count) -> None:
    process = start_producer(
        f"def work():\n{BUFFER_TEN.replace(chr(10), chr(10) + '    ')}\nwork()\nimport gc; gc.collect()"
    )
    assert process.communicate(timeout=20)[1] == ""
    assert count_triggers() == 10


def test_the_end_of_a_process_has_a_deadline(start_producer: Start, service: Service) -> None:
    service.faults += [respond("503 Unavailable", Retry_After="3600")] * 100
    program = BUFFER_TEN.replace("linger_seconds=3600", "exit_seconds=0.1, on_error=lambda e: print(type(e).__name__)")
    output, _ = start_producer(program).communicate(timeout=20)
    assert output.splitlines() == ["UnavailableError"] * 10


def test_a_fork_delivers_its_own_and_not_its_parents(
    start_producer: Start, service: Service, count_triggers: Count
) -> None:
    fork = """
import os
if os.fork() == 0:
    assert client.statistics.buffered == 0
    client.trigger("visit", payload={"from": "child"})
    assert client.flush() and client.trigger_now("visit")["success"]
    raise SystemExit(0)
assert os.wait()[1] == 0
client.trigger("visit", payload={"from": "parent"})
"""
    output, errors = start_producer(BUFFER_TEN + fork).communicate(timeout=30)
    assert (output, errors) == ("", "")
    # Ten and one of the parent, two of the child; the child sent nothing twice.
    assert count_triggers() == 13
    assert len(service.paths) == 3


@pytest.mark.parametrize("ending", ["", WAIT])
def test_nothing_is_printed_and_no_thread_fails_without_triggers(start_producer: Start, ending: str) -> None:
    process = start_producer("from beckon_client import Client\nclient = Client()\n" + ending)
    if ending:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
    assert process.communicate(timeout=20) == ("", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_delivers_its_buffer(
    start_producer: Start, count_triggers: Count, tmp_path: Path, method: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import multiprocessing
from beckon_client import Client

def work():
    client = Client(linger_seconds=3600)
    for number in range(10):
        client.trigger("visit")

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
""")
    output, errors = start_producer(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')").communicate(
        timeout=30
    )
    assert (output, errors, count_triggers()) == ("", "", 10)
