"""Fixtures that start processes on an empty database, for every test in this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings as settings_module
from ephemeral.connection import open_ephemeral
from models import database
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.runtime import broker
from tests.support.engine_fixtures import sandbox, shared_sandbox, stop_engine
from tests.support.programs import Programs

__all__ = ["sandbox", "shared_sandbox"]


@pytest.fixture
def settings(database_urls: object, redis_url: str, shared_sandbox: RunningSandbox) -> Settings:
    """The settings of the processes."""
    return settings_module.load()


@pytest.fixture
def programs(
    settings: Settings, clean: None, sandbox: RunningSandbox, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Programs]:
    """A starter of processes on an empty database."""
    stop_engine()
    database.open_pool(settings.database_service_url, "beckon_service", 10)
    open_ephemeral(settings)
    broker.set_up(settings)
    started = Programs(tmp_path)
    with database.connection():
        yield started
    started.end()
    if getattr(request.node, "failed_here", False):
        sys.stderr.write(started.read_logs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Record a failure, so that the processes' logs are shown with it."""
    report = yield
    if report.when == "call" and report.failed:
        item.failed_here = True  # type: ignore[attr-defined]
    return report
