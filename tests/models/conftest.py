"""The cast of the models' tests, each in a workspace: Alice owns one, Charlie another and must see nothing of hers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import settings
from models import database, workspace


@pytest.fixture
def as_service(database_urls: Any, clean: None) -> Iterator[None]:
    """The process is connected as the workers are."""
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
    """From here on the process is bound by row security; the workspaces were made before."""
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)
