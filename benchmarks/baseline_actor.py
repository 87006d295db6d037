"""The baseline of Beckon's benchmarks: the same work with dramatiq and PostgreSQL, and without an engine.

Three actors of one program. `nothing` does nothing (the cost of the queue). `plain` runs the whole workflow in one
function, with a row and a commit for each step. `bare` does the same without a database: the ceiling. All of them use
Beckon's dramatiq settings; they would be slower without.

`plain` does not prevent duplicates: a worker that is killed after the provider's response sends again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

import dramatiq
import psycopg2
import redis
import urllib3
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker

PREFETCH, IDLE_POLL_MS = 200, 20
QUEUE = "plain"

TABLES = """
drop schema if exists plain cascade;
create schema plain;
create table plain.people (id integer primary key, first_name text not null, email text not null);
create table plain.runs (
    id bigserial primary key, person integer not null, status text not null default 'queued',
    created_at timestamptz not null default now(), finished_at timestamptz);
create table plain.steps (
    id bigserial primary key, run bigint not null references plain.runs, name text not null, output jsonb,
    at timestamptz not null default now());
create index on plain.steps (run);
create index on plain.runs (status);
"""

DATABASE_URL = os.environ["PLAIN_DATABASE_URL"]
broker = RedisBroker(client=redis.Redis.from_url(os.environ["PLAIN_REDIS_URL"]), middleware=[], namespace="plain")  # type: ignore[no-untyped-call]
http = urllib3.PoolManager(maxsize=64, retries=False)
thread_local = threading.local()
SANDBOX = os.environ["PLAIN_SANDBOX_URL"]


@dramatiq.actor(broker=broker, queue_name=QUEUE)
def nothing(number: int) -> None:
    """Do nothing: the cost of the queue."""


@dramatiq.actor(broker=broker, queue_name=QUEUE)
def plain(run: int) -> None:
    """Check, generate, send: each step is committed before the next."""
    connection = _get_connection()
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select p.first_name, p.email from plain.runs r join plain.people p on p.id = r.person where r.id = %s",
            (run,),
        )
        first_name, email = cursor.fetchone()
        cursor.execute("update plain.runs set status = 'running' where id = %s", (run,))
        _record_step(cursor, run, "check", {"eligible": True})
    text = write(first_name)
    with connection, connection.cursor() as cursor:
        _record_step(cursor, run, "write", {"text": text})
    message_id = send(email, text, str(run))
    with connection, connection.cursor() as cursor:
        _record_step(cursor, run, "hello", {"messageId": message_id})
        cursor.execute("update plain.runs set status = 'succeeded', finished_at = now() where id = %s", (run,))


@dramatiq.actor(broker=broker, queue_name=QUEUE)
def bare(number: int) -> None:
    """Generate and send without a database."""
    send(f"bare{number}@example.com", write("Ada"), str(number))


def write(first_name: str) -> str:
    """Return the AI's text."""
    response = http.request(
        "POST", f"{SANDBOX}/v1beta/models/gemini-2.5-flash:generateContent",
        headers={"x-goog-api-key": "key"}, timeout=15.0,
        json={"contents": [{"role": "user", "parts": [{"text": f"Write to {first_name}"}]}]},
    )  # fmt: skip
    return str(response.json()["candidates"][0]["content"]["parts"][0]["text"])


def send(email: str, text: str, key: str) -> str:
    """Send the message. Returns the provider's id of it."""
    response = http.request(
        "POST", f"{SANDBOX}/v3/example.com/messages", headers={"Authorization": "Basic YXBpOmtleQ=="}, timeout=15.0,
        fields={"from": "hello@example.com", "to": email, "subject": "Hello", "text": text, "v:key": key},
    )  # fmt: skip
    return str(response.json()["id"])


def _get_connection() -> Any:
    if not hasattr(thread_local, "connection"):
        thread_local.connection = psycopg2.connect(DATABASE_URL)
    return thread_local.connection


def _record_step(cursor: Any, run: int, name: str, output: dict[str, Any]) -> None:
    cursor.execute("insert into plain.steps (run, name, output) values (%s, %s, %s)", (run, name, json.dumps(output)))


def work(threads: int) -> None:
    """Process messages until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    worker = Worker(broker, worker_timeout=IDLE_POLL_MS, worker_threads=threads)
    worker.queue_prefetch = PREFETCH
    worker.start()
    stopping.wait()
    worker.stop(timeout=1_000)


if __name__ == "__main__":
    work(int(sys.argv[1]))
