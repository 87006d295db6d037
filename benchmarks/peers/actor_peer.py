"""The hand-written actor of `baseline_actor.py`: dramatiq, with a row and a commit for each step; four threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import baseline_actor
import program
import psycopg2

THREADS = 4


def _install() -> None:
    with psycopg2.connect(baseline_actor.DATABASE_URL) as connection, connection.cursor() as cursor:
        cursor.execute(baseline_actor.TABLES)
        cursor.execute(
            "insert into plain.people (id, first_name, email) "
            "select n, 'Ada', 'actor' || n || '@example.com' from generate_series(0, 100000) n"
        )


def _open_producer() -> program.Enqueue:
    local = threading.local()

    def enqueue(numbers: Sequence[int]) -> None:
        if not hasattr(local, "connection"):
            local.connection = psycopg2.connect(baseline_actor.DATABASE_URL)
        with local.connection as connection, connection.cursor() as cursor:
            cursor.execute("insert into plain.runs (person) select unnest(%s::int[]) returning id", (list(numbers),))
            runs = [run for (run,) in cursor.fetchall()]
        for run in runs:
            baseline_actor.plain.send(run)

    return enqueue


if __name__ == "__main__":
    program.run(_install, lambda: baseline_actor.work(THREADS), _open_producer)
