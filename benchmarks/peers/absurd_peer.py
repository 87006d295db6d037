"""Absurd: a task of three steps, whose results it stores as checkpoints; eight processes with one task each.

Its guide recommends processes over threads, which share a connection: two processes of four threads were slower.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import program
import steps
from absurd_sdk import Absurd

#: Its interval of a quarter of a second applies only while there is nothing to do.
POLLING_SECONDS = 0.05
QUEUE = "executions"


def _install() -> None:
    command = str(Path(sysconfig.get_path("scripts")) / "absurdctl")
    environ = {**os.environ, "ABSURD_DATABASE_URL": steps.DATABASE_URL}
    for arguments in (["init"], ["create-queue", QUEUE]):
        subprocess.run([command, *arguments], env=environ, check=True)


def _work() -> None:
    app, calls = Absurd(steps.DATABASE_URL, queue_name=QUEUE), steps.BlockingCalls()

    @app.register_task("execute")
    def execute(params: dict[str, Any], ctx: Any) -> None:
        ctx.step("check", lambda: {"eligible": True})
        text = ctx.step("write", lambda: calls.write(params["first_name"]))
        ctx.step("hello", lambda: calls.send(params["email"], text, str(params["number"])))

    app.start_worker(poll_interval=POLLING_SECONDS)


def _open_producer() -> program.Enqueue:
    app = Absurd(steps.DATABASE_URL, queue_name=QUEUE)

    def enqueue(numbers: Sequence[int]) -> None:
        for number in numbers:
            params = {"number": number, "first_name": "Ada", "email": f"absurd{number}@example.com"}
            app.spawn("execute", params, queue=QUEUE)

    return enqueue


if __name__ == "__main__":
    program.run(_install, _work, _open_producer)
