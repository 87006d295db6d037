"""The watchdog ends a process in which something hangs, and not one that progresses or was stopped and woken."""

from __future__ import annotations

import subprocess
import sys
import threading

from tests.support.waiting import eventually
from workers.watchdog import Activity, Watchdog

HANGS = """
import threading
from workers import watchdog
watchdog.TICK_SECONDS = 0.01
with watchdog.Watchdog(watchdog.end_process).start().watch("a call", 0.05):
    threading.Event().wait()
"""


def test_a_process_that_hangs_ends_itself_and_says_where() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "the process hangs and ends itself" in ended.stdout + ended.stderr
    assert "a call" in ended.stdout + ended.stderr


def test_progress_counts_from_the_beginning() -> None:
    activity = Activity("a call", 2.0)
    assert [activity.tick(), activity.tick()] == [False, False]
    activity.note_progress()
    assert [activity.tick(), activity.tick(), activity.tick()] == [False, False, True]


def test_what_has_ended_is_watched_no_more(monkeypatch) -> None:
    monkeypatch.setattr("workers.watchdog.TICK_SECONDS", 0.01)
    hung: list[str] = []
    watchdog = Watchdog(hung.append)
    with watchdog.watch("ended", 0.0):
        pass
    watchdog.start()
    with watchdog.watch("hung", 0.0):
        eventually(lambda: hung == ["hung"])
    eventually(lambda: not any(thread.name == "watchdog" for thread in threading.enumerate()))
