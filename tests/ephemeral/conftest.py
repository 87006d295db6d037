"""Fixtures of a process with and without Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

import settings
from ephemeral import connection


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """The process's client, on an empty database."""
    opened = connection.open_ephemeral(settings.load())
    opened.flushdb()
    yield opened
    opened.close()


@pytest.fixture
def no_redis(tmp_path: object) -> Iterator[None]:
    """Make Redis unavailable."""
    connection.open_ephemeral(settings.load({"BECKON_HOME": str(tmp_path), "REDIS_URL": f"unix://{tmp_path}/gone"}))
    yield
    connection.get_ephemeral().close()
