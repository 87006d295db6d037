"""Tries what the programs ask of Redis before they start: commands, keys, the channel, in each database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from ephemeral.connection import get_breaker
from ephemeral.redis_breaker import ANSWERS, build_pool, describe_answer
from ephemeral.workflow_cache import CHANNEL
from settings import Settings

#: The beginnings of the keys of ephemeral data.
PREFIXES = (
    "health", "last-heartbeats", "limit:", "problem-times", "process:", "processes", "rates:", "sign-in-failures:",
    "sign-in-turn:", "slots:", "stopped:", "tracking:",
)  # fmt: skip
#: A namespace of dramatiq's, with the keys of its queues.
QUEUE_KEY = "dramatiq:check"
#: Lifetime of the keys that a check writes.
KEY_SECONDS = "60"
TIMEOUT_SECONDS = 5.0

#: Beginnings of errors that last until somebody gives rights or another server; any other may pass by itself.
LASTING = ("NOPERM", "NOAUTH", "WRONGPASS", "ERR unknown command")

Command = tuple[str | float, ...]


def find_refusal(settings: Settings) -> str:
    """Return what Redis refuses, and its words; empty where it accepts everything.

    Raises an error of a connection where it does not answer.
    """
    commands = ((settings.broker_url, _list_queue_commands), (settings.ephemeral_url, _list_ephemeral_commands))
    for url, list_commands in commands:
        pool = build_pool(
            url, get_breaker(settings), socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS
        )
        try:
            refusal = _try(redis.Redis(connection_pool=pool), list_commands())
        finally:
            pool.disconnect()
        if refusal:
            return refusal
    return ""


def is_lasting(refusal: str) -> bool:
    """Whether a refusal ends only when somebody changes the server or its user."""
    return refusal.partition(": ")[2].startswith(LASTING)


def _try(client: redis.Redis, commands: Iterator[Command]) -> str:
    for command in commands:
        try:
            _execute(client, command)
        except ANSWERS as error:
            return f"{command[0]} of {_find_name(command)}: {describe_answer(error)}"
    return ""


def _execute(client: redis.Redis, command: Command) -> None:
    call: Any = client.execute_command
    call(*command)


def _find_name(command: Command) -> str:
    return str(command[3] if command[0] == "EVAL" else command[1])


def _list_queue_commands() -> Iterator[Command]:
    yield "SET", QUEUE_KEY, "1", "EX", KEY_SECONDS
    yield "EVAL", "return redis.call('rpush', KEYS[1], '1')", 1, f"{QUEUE_KEY}.list"
    yield "BLMOVE", f"{QUEUE_KEY}.list", f"{QUEUE_KEY}.list", "LEFT", "LEFT", "0.1"
    yield "DEL", f"{QUEUE_KEY}.list"


def _list_ephemeral_commands() -> Iterator[Command]:
    for prefix in PREFIXES:
        yield "SET", f"{prefix}check", "1", "EX", KEY_SECONDS
    yield "EVAL", "return redis.call('time')", 1, "limit:check"
    yield "PUBLISH", CHANNEL, ""
