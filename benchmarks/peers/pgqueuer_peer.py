"""PgQueuer: one job for each execution, with a row and a commit for each step; asyncio on uvloop with asyncpg.

As its guide recommends for throughput: a connection of its own for the queue, batches of 25, its settings for
autovacuum. The tables stay durable.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import asyncpg
import program
import steps
import uvloop
from event_loop import LoopThread
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

BATCH_SIZE, TASKS, POOL_SIZE = 25, 50, 20


def _install() -> None:
    for command in (["install"], ["autovac"]):
        subprocess.run([sys.executable, "-m", "pgqueuer", "--pg-dsn", steps.DATABASE_URL, *command], check=True)
    asyncio.run(_create_table())


async def _create_table() -> None:
    connection = await asyncpg.connect(steps.DATABASE_URL)
    await connection.execute(steps.STEPS_TABLE.format("pgqueuer_steps"))


async def _work() -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(steps.DATABASE_URL)))
    pool, calls = await asyncpg.create_pool(steps.DATABASE_URL, min_size=5, max_size=POOL_SIZE), steps.AsyncCalls()

    async def record(run: int, name: str, output: dict[str, Any]) -> None:
        await pool.execute(
            "insert into pgqueuer_steps (run, name, output) values ($1, $2, $3)", run, name, json.dumps(output)
        )

    @queue.entrypoint("execute")
    async def execute(job: Job) -> None:
        args = json.loads(job.payload or b"")
        await record(args["number"], "check", {"eligible": True})
        text = await calls.write(args["first_name"])
        await record(args["number"], "write", {"text": text})
        message_id = await calls.send(args["email"], text, str(args["number"]))
        await record(args["number"], "hello", {"messageId": message_id})

    await queue.run(batch_size=BATCH_SIZE, max_concurrent_tasks=TASKS)


def _open_producer() -> program.Enqueue:
    loop = LoopThread()

    async def open_queries() -> Queries:
        return Queries(AsyncpgPoolDriver(await asyncpg.create_pool(steps.DATABASE_URL)))

    queries = loop.run(open_queries())

    def enqueue(numbers: Sequence[int]) -> None:
        payloads = [
            json.dumps({"number": number, "first_name": "Ada", "email": f"pgqueuer{number}@example.com"}).encode()
            for number in numbers
        ]
        loop.run(queries.enqueue(["execute"] * len(payloads), payloads, [0] * len(payloads)))

    return enqueue


if __name__ == "__main__":
    program.run(_install, lambda: uvloop.run(_work()), _open_producer)
