"""Fixtures of a process with Redis, with an imitation of it, and without it.

The imitation needs no server; the same tests on the real Redis show that it behaves alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest
import redis

import settings
from ephemeral import connection


@pytest.fixture
def real_redis(redis_url: str) -> Iterator[redis.Redis]:
    """The process's client of a real Redis, on an empty database."""
    opened = connection.open_ephemeral(settings.load())
    opened.flushdb()
    yield opened
    opened.close()


@pytest.fixture
def fake_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The process's client of an imitated Redis, empty."""
    opened = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    monkeypatch.setitem(connection._clients, "ephemeral", opened)
    yield opened
    opened.close()


@pytest.fixture(params=["fake_redis", pytest.param("real_redis", marks=pytest.mark.servers)])
def client(request: pytest.FixtureRequest) -> redis.Redis:
    """The process's client, on an empty database, imitated and real."""
    opened: redis.Redis = request.getfixturevalue(request.param)
    return opened


@pytest.fixture
def no_redis(tmp_path: object) -> Iterator[None]:
    """Make Redis unavailable."""
    connection.open_ephemeral(settings.load({"BECKON_HOME": str(tmp_path), "REDIS_URL": f"unix://{tmp_path}/gone"}))
    yield
    connection.get_ephemeral().close()
