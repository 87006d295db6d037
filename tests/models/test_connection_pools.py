"""The pools of all programs together fit the embedded server, however many cores a machine has."""

from __future__ import annotations

import pytest

import settings as settings_module
from models.connection_pools import (
    EMBEDDED_CONNECTIONS,
    MIN_THREAD_CONNECTIONS,
    RESERVE,
    WORKER_EXTRA,
    compute_embedded_limit,
    compute_engine_pool,
    compute_total,
)
from workers import supervision

ENGINE_THREADS = 72


def load(cores: int, **variables: str) -> settings_module.Settings:
    """The settings of a machine with this many cores, whose default is at most four processes."""
    environ = {"BECKON_WORKERS": str(min(4, cores)), **variables}
    return settings_module.load(environ, dotenv="/nonexistent")


@pytest.mark.parametrize("cores", range(1, 17))
def test_the_pools_fit_the_embedded_server_with_a_reserve(cores: int) -> None:
    assert compute_total(load(cores)) + RESERVE <= EMBEDDED_CONNECTIONS


@pytest.mark.parametrize("cores", range(1, 17))
def test_a_process_for_each_core_fits_the_server_that_up_starts(cores: int) -> None:
    config = load(cores, BECKON_WORKERS=str(cores), BECKON_WEB_WORKERS=str(cores))
    limit = int(supervision.build_servers(config).postgres_options["max_connections"])
    assert limit == compute_embedded_limit(config) >= compute_total(config) + RESERVE


def test_processes_share_the_engine_s_connections_and_each_keeps_a_few() -> None:
    pools = [compute_engine_pool(load(4, BECKON_WORKERS=str(count)), ENGINE_THREADS) for count in (1, 2, 4, 64)]
    assert pools == sorted(pools, reverse=True)
    assert pools[-1] == MIN_THREAD_CONNECTIONS + WORKER_EXTRA
    assert compute_engine_pool(load(1, BECKON_WORKERS="1"), 3) == 3 + WORKER_EXTRA
