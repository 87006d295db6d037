"""Oban for Python: one job for each execution, with a row and a commit for each step; asyncio, twenty jobs at once.

Its open-source part has no workflows of several steps. `enqueue_many` inserts a batch, as its guide recommends, and
twenty is the limit of the queue in its own benchmark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import program
import steps
from event_loop import LoopThread
from oban import Oban, worker
from oban.schema import install as install_schema

LIMIT, POOL_SIZE = 20, 20


@worker(queue="default")
class Execution:
    """Check, generate, send: each step is committed before the next."""

    calls: steps.AsyncCalls
    pool: Any

    async def process(self, job: Any) -> None:
        """Perform the three steps."""
        args = job.args
        await self._record(args["number"], "check", {"eligible": True})
        text = await self.calls.write(args["first_name"])
        await self._record(args["number"], "write", {"text": text})
        message_id = await self.calls.send(args["email"], text, str(args["number"]))
        await self._record(args["number"], "hello", {"messageId": message_id})

    async def _record(self, run: int, name: str, output: dict[str, Any]) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(
                "insert into oban_steps (run, name, output) values (%s, %s, %s)", (run, name, json.dumps(output))
            )


async def _install() -> None:
    pool = await Oban.create_pool(steps.DATABASE_URL)
    await install_schema(pool)
    async with pool.connection() as connection:
        await connection.execute(steps.STEPS_TABLE.format("oban_steps"))
    await pool.close()


async def _work() -> None:
    pool = await Oban.create_pool(steps.DATABASE_URL, max_size=POOL_SIZE)
    Execution.calls, Execution.pool = steps.AsyncCalls(), pool
    async with Oban(pool=pool, queues={"default": LIMIT}):
        await asyncio.Event().wait()


def _open_producer() -> program.Enqueue:
    loop = LoopThread()

    async def open_client() -> Oban:
        return await Oban(pool=await Oban.create_pool(steps.DATABASE_URL)).start()

    client = loop.run(open_client())

    def enqueue(numbers: Sequence[int]) -> None:
        jobs = [
            Execution.new({"number": number, "first_name": "Ada", "email": f"oban{number}@example.com"})
            for number in numbers
        ]
        loop.run(client.enqueue_many(*jobs))

    return enqueue


if __name__ == "__main__":
    program.run(lambda: asyncio.run(_install()), lambda: asyncio.run(_work()), _open_producer)
