"""Beckon runs on PostgreSQL 16 as on the embedded version.

The tests of the schema, of row security and of the engine run again on a server of that version.
`TEST_POSTGRES_MAJOR=16 make test` runs all tests on it.
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

#: The tests with the most SQL, and the claims and records that every execution uses. One test with every query of the
#: verification shows that this version parses them all; their results do not depend on the version.
JOURNEYS = (
    "tests/house/test_migrations.py::test_a_migrated_schema_equals_a_fresh_one",
    "tests/house/test_migrations.py::test_every_migration_reverts_to_the_schema_before_it",
    "tests/house/test_oldest_postgres.py::test_the_server_has_the_requested_version",
    "tests/models/test_row_security.py",
    "tests/models/test_verification.py::test_a_completed_execution_has_no_violation",
    "tests/tasks/test_executions.py",
)
#: Variables of this run that the other run must set for itself.
RUN_VARIABLE_PREFIXES = ("TEST", "PYTEST_", "BECKON_", "DATABASE_", "REDIS_")


def test_the_server_has_the_requested_version(database_urls):
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        major = connection.server_version // 10_000
    if os.environ.get("TEST_DATABASE_URL"):
        assert major >= int(real.OLDEST_MAJOR)
    else:
        assert major == int(os.environ.get(real.MAJOR, embedded.POSTGRES_MAJOR))


@pytest.mark.servers
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
