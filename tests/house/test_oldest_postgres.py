"""Beckon runs on PostgreSQL 16 as on the one that it brings (semantics, section 18).

The schema, row security and the engine's own journeys are tested once more, in a run of their own on a server of that
version. `TEST_POSTGRES_MAJOR=16 make test` does the same with everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest

import settings
from tests.support import servers as real
from workers import embedded

#: What speaks the most SQL, and the claims and records that everything goes through. One look with every query of the
#: verification shows that this version takes them all; what they find is the same question on any version.
JOURNEYS = (
    "tests/house/test_migrations.py::test_a_migrated_schema_is_the_fresh_one",
    "tests/house/test_migrations.py::test_every_migration_reverts_to_what_was_there_before_it",
    "tests/house/test_oldest_postgres.py::test_the_server_is_of_the_version_that_was_asked_for",
    "tests/models/test_row_security.py",
    "tests/models/test_verification.py::test_what_was_sent_and_completed_breaks_nothing",
    "tests/tasks/test_executions.py",
)
#: What this run has told its own processes, and the other run must find out for itself.
RUN_VARIABLE_PREFIXES = ("TEST", "PYTEST_", "BECKON_", "DATABASE_", "REDIS_")


def test_the_server_is_of_the_version_that_was_asked_for(database_urls):
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        major = connection.server_version // 10_000
    if os.environ.get("TEST_DATABASE_URL"):
        assert major >= int(real.OLDEST_MAJOR)
    else:
        assert major == int(os.environ.get(real.MAJOR, embedded.POSTGRES_MAJOR))


@pytest.mark.timeout(300)
def test_the_schema_and_the_engine_work_on_the_oldest_version():
    environment = {name: text for name, text in os.environ.items() if not name.startswith(RUN_VARIABLE_PREFIXES)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *JOURNEYS],
        cwd=settings.ROOT,
        env={**environment, real.MAJOR: real.OLDEST_MAJOR},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
