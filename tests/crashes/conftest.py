"""The means to start processes on an empty database, for every test in this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings as settings_module
from engine_ground import end_engine, sandbox, shared_sandbox
from ephemeral.connection import open_ephemeral
from models import database
from programs import Programs
from sandbox.server import Running
from settings import Settings
from tasks import broker

__all__ = ["sandbox", "shared_sandbox"]


@pytest.fixture
def settings(database_urls: object, redis_url: str, shared_sandbox: Running) -> Settings:
    """What the processes are told."""
    return settings_module.load()


@pytest.fixture
def programs(
    settings: Settings, clean: None, sandbox: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Programs]:
    """An empty database, and the means to start processes on it."""
    end_engine()
    database.open_pool(settings.database_service_url, "beckon_service", 10)
    open_ephemeral(settings)
    broker.set_up(settings)
    started = Programs(tmp_path)
    with database.connection():
        yield started
    started.end()
    if getattr(request.node, "failed_here", False):
        sys.stderr.write(started.logs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Remember a failure, so that the processes' logs are shown with it."""
    report = yield
    if report.when == "call" and report.failed:
        item.failed_here = True  # type: ignore[attr-defined]
    return report
