"""The guarantees of the shared test fixtures."""

from __future__ import annotations

import psycopg2
import pytest
import redis

import settings


def test_the_settings_name_the_worker_process_s_own_servers(database_urls, redis_url):
    config = settings.load()
    assert (config.database_url, config.redis_url) == (database_urls.owner, redis_url)
    assert (config.embedded_database, config.embedded_redis) == (False, False)


@pytest.mark.parametrize("role", ["app", "service"])
def test_each_program_s_url_connects_as_its_role(database_urls, role):
    connection = psycopg2.connect(getattr(database_urls, role))
    with connection.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchone() == (f"beckon_{role}",)
    connection.close()


def test_clean_leaves_neither_rows_nor_keys(database_urls, redis_url, request):
    connection = psycopg2.connect(database_urls.owner)
    with connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists left_behind (id int); insert into left_behind values (1)")
    client = redis.Redis.from_url(redis_url)
    client.set("left", "behind")

    request.getfixturevalue("clean")

    with connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from left_behind")
        assert cursor.fetchone() == (0,)
        cursor.execute("drop table left_behind")
    # A dramatiq worker of an earlier test may still record its heartbeat.
    assert client.get("left") is None
    connection.close()
    client.close()
