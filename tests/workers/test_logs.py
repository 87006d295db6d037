"""Logs: every line is JSON with a time, a level and its program, whatever wrote it, and no secret is in any."""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import subprocess
import sys

import pytest

import logs
import settings
from workers.old_logs import KEEP_DAYS, remove_old_logs
from workers.supervision import CONFIGURATION


@pytest.fixture
def run_lines():
    """Run lines of Python in a program that logs; return the parsed lines of its standard error."""

    def run(*lines: str) -> list[dict[str, object]]:
        program = [
            "import logs, structlog, logging",
            'logs.set_up("sending", "INFO")',
            "logs.log_uncaught_exceptions()",
        ]
        result = subprocess.run(
            [sys.executable, "-c", "\n".join([*program, *lines])],
            cwd=settings.ROOT, env=dict(os.environ), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [json.loads(line) for line in result.stderr.splitlines()]

    return run


@pytest.mark.parametrize(
    ("lines", "event", "level"),
    [
        (["structlog.get_logger().info('a line')"], "a line", "info"),
        (["logging.getLogger('redis').warning('from a %s', 'library')"], "from a library", "warning"),
        (["raise ValueError('broken')"], "uncaught exception", "critical"),
        (
            ["import threading", "thread = threading.Thread(target=lambda: 1 / 0)", "thread.start(); thread.join()"],
            "uncaught exception in a thread",
            "critical",
        ),
    ],
)
def test_a_line_is_json_with_time_level_and_program(run_lines, lines, event, level):
    (line,) = run_lines(*lines)
    assert (line["event"], line["level"], line["program"]) == (event, level, "sending")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(line["timestamp"]))


def test_gathered_lines_are_written_together_and_none_is_lost_at_the_end(run_lines):
    lines = run_lines(
        "import os, sys, threading",
        "write, counts, written = sys.stderr.write, [], threading.Event()",
        "sys.stderr.write = lambda text: (counts.append(text.count(chr(10))), write(text), written.set())",
        "log = structlog.get_logger('requests', True)",
        "for number in range(3): log.info('request', number=number)",
        "assert counts == []",
        "assert written.wait(20) and counts == [3], counts",
        "for number in range(3, 5): log.info('request', number=number)",
        "if os.fork() == 0: sys.exit()",
        "os.wait()",
    )
    assert [line["number"] for line in lines] == [0, 1, 2, 3, 4]


def test_a_warning_of_python_is_one_line(run_lines):
    (line,) = run_lines("import warnings", "warnings.warn('this is old', DeprecationWarning, stacklevel=1)")
    assert "this is old" in str(line["event"])
    assert line["level"] == "warning"


def test_a_traceback_stays_within_its_line(run_lines):
    (line,) = run_lines("raise ValueError('broken')")
    assert "Traceback" in str(line["exception"])
    assert "ValueError: broken" in str(line["exception"])


@pytest.mark.parametrize("name", ["password", "api_key", "Authorization", "token", "session_cookie", "SECRET_KEY"])
def test_a_secret_is_hidden_by_its_name(run_lines, name):
    (line,) = run_lines(f"structlog.get_logger().info('a line', **{{{name!r}: 'hunter2'}})")
    assert line[name] == "***"


def test_a_password_in_a_url_is_hidden(run_lines):
    (line,) = run_lines("structlog.get_logger().info('a line', url='redis://:hunter2@host:1/0')")
    assert "hunter2" not in str(line)


def read_maximum_megabytes(worker_processes: int) -> int:
    """The size of all log files that supervisord keeps, at most."""
    parser = configparser.RawConfigParser()
    parser.read(CONFIGURATION, encoding="utf-8")
    total = 0
    for name in parser.sections():
        section = parser[name]
        prefix = "" if name == "supervisord" else "stdout_"
        if f"{prefix}logfile_maxbytes" not in section:
            continue
        megabytes = int(section[f"{prefix}logfile_maxbytes"].removesuffix("MB"))
        processes = worker_processes if "numprocs" in section else 1
        total += megabytes * (int(section[f"{prefix}logfile_backups"]) + 1) * processes
    return total


def test_every_program_s_log_is_rotated():
    parser = configparser.RawConfigParser()
    parser.read(CONFIGURATION, encoding="utf-8")
    programs = [parser[name] for name in parser.sections() if name.startswith("program:")]
    assert programs
    for program in programs:
        assert program["stdout_logfile_maxbytes"].endswith("MB"), program.name
        assert int(program["stdout_logfile_backups"]) >= 1, program.name
        assert program["redirect_stderr"] == "true", program.name


def test_the_documented_size_of_all_logs_is_that_of_the_configuration():
    text = (settings.ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    base = read_maximum_megabytes(1)
    assert f"{base} MB at most" in text
    assert f"{read_maximum_megabytes(2) - base} MB more" in text


def test_rotated_logs_are_removed_by_age_and_current_ones_kept(tmp_path):
    now = 1_800_000_000.0
    for name, days in {"engine-0.log": 20, "engine-0.log.1": 13, "engine-0.log.2": 15, "notes.txt": 90}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - days * 86_400,) * 2)
    assert remove_old_logs(tmp_path, now) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"engine-0.log", "engine-0.log.1", "notes.txt"}
    text = (settings.ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert f"over {KEEP_DAYS} days ago" in text


def test_a_program_that_ends_at_once_writes_its_gathered_lines_first(run_lines):
    lines = run_lines(
        "structlog.get_logger('x', True).info('the last line')", "logs.flush()", "import os", "os._exit(0)"
    )
    assert [line["event"] for line in lines] == ["the last line"]


@pytest.mark.parametrize("gathers", [False, True])
def test_work_goes_on_where_nobody_reads_the_log(monkeypatch, gathers):
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(open(writer, "wb", buffering=0), write_through=True) as log:
        monkeypatch.setattr(sys, "stderr", log)
        logger = logs.GatheringLogger() if gathers else logs.StderrLogger()
        logger.info("a line")
        logs.flush()
        assert not log.closed
