"""Fixtures of the models' tests: Alice owns one workspace, Charlie another and must see nothing of hers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import settings
from models import database, workspace


@pytest.fixture
def as_service(database_urls: Any, clean: None) -> Iterator[None]:
    """Connect the process as the workers do."""
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)
    yield
    database.db.close_all()


@pytest.fixture
def alices(as_service: None) -> str:
    """Alice's workspace."""
    return workspace.create("alice", "Alice's shop")


@pytest.fixture
def charlies(as_service: None) -> str:
    """Charlie's workspace."""
    return workspace.create("charlie", "Charlie's shop")


@pytest.fixture
def as_dashboard(alices: str, charlies: str) -> None:
    """Connect the process under row security, after both workspaces were created."""
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)
