"""A rehearsal of a restore: the documented dump, sends after it, the documented load, and nothing is sent twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sandbox.server import RunningSandbox
from tests.support import servers
from tests.support.factories import HELLO, Alice, bob, execution, messages, wait_until_finished
from tests.support.forks import ROOT
from tests.support.programs import Programs
from tests.support.waiting import eventually

GUIDE = (ROOT / "docs" / "operating.md").read_text()
NOTICE = [{"id": "note", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}]


def read_commands(heading: str) -> list[str]:
    """The shell commands of a section of the guide, a text for each block."""
    section = GUIDE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return blocks


class Copy:
    """A copy of Beckon on one database, by its commands."""

    def __init__(self, url: str, folder: Path) -> None:
        programs = f"{servers.find_programs()}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        self.folder = folder
        self.environ = {
            "DATABASE_URL": url, "DATABASE_APP_URL": url, "DATABASE_SERVICE_URL": url, "BECKON_DEMO": "0",
            "BECKON_HOME": str(folder), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self._run_options: dict[str, Any] = {
            "cwd": folder, "env": {**os.environ, **self.environ, "PATH": programs}, "text": True, "timeout": 120,
        }  # fmt: skip

    def run(self, script: str) -> str:
        """Run shell commands; return their output."""
        result = subprocess.run(["bash", "-ec", script], capture_output=True, check=False, **self._run_options)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def check(self, options: str = "") -> dict[str, Any]:
        """Run `beckon restore-check`."""
        result: dict[str, Any] = json.loads(self.run(f"beckon restore-check --json {options}"))
        return result

    def read_statuses(self) -> list[str]:
        """The statuses of all executions."""
        with closing(psycopg2.connect(self.environ["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            cursor.execute("select status from executions")
            return [row[0] for row in cursor.fetchall()]


def start_executions(alice: Alice, count: int) -> list[str]:
    triggers = [{"contact": bob(external_id=str(n), email=f"b{n}@example.com", phone=None)} for n in range(count)]
    return [execution(accepted)["id"] for accepted in alice.triggers(triggers)]


def run_until_finished(programs: Programs, execution_ids: list[str]) -> None:
    """Run workers until these executions have finished."""
    workers = programs.start_workers().values()
    for execution_id in execution_ids:
        wait_until_finished(execution_id)
    for process in workers:
        process.kill()
        process.wait()


def stop_listing(sandbox: RunningSandbox, key: str) -> None:
    """Have the provider list a message no more."""
    listed = sandbox.sandbox.store.messages
    listed.remove(next(message for message in listed if message.key == key))


@pytest.mark.slow
def test_nothing_is_sent_twice_after_a_restore(
    programs: Programs, sandbox: RunningSandbox, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alice, source = Alice(), Copy(os.environ["DATABASE_URL"], tmp_path_factory.mktemp("source"))
    alice.automation(HELLO)
    run_until_finished(programs, start_executions(alice, 1))
    alice.automation(NOTICE, trigger="order.paid")
    left = [*start_executions(alice, 3), execution(alice.trigger("order.paid"))["id"]]
    dump, load = read_commands("Dump and restore")[:2]
    source.run(dump)
    run_until_finished(programs, left)
    stop_listing(sandbox, messages(left[0])[0]["key"])
    sent = len(sandbox.list_messages())

    restored = Copy(url, tmp_path_factory.mktemp("restored"))
    restored.run(f"cp {source.folder}/beckon.dump .\n{load}\nbeckon prepare --paused >/dev/null")
    programs.start_workers(**restored.environ)
    eventually(lambda: restored.check()["onTheirWay"] == 0, timeout=60)

    assert restored.check()["undecided"] == {"mailgun": 1, "slack": 1}
    assert restored.check("--decide sent") == {"decided": 2}
    restored.check("--resume")
    eventually(lambda: restored.read_statuses() == ["succeeded"] * 5, timeout=60)
    assert len(sandbox.list_messages()) == sent
    restored.run(f"beckon trigger order.paid --workspace {alice.workspace_id} --external-id 0")
    eventually(lambda: len(sandbox.list_messages()) == sent + 1, timeout=60)
