"""The dashboard with real servers. Alice owns a workspace; Charlie owns another and must see nothing of hers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

import settings
from dashboard import connect, create_app, disconnect
from models import api_key, database, workspace
from tasks.health import readiness
from tests.dashboard.producers import Producer
from tests.support.engine_fixtures import stop_engine
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Workspaces:
    """The workspace ids of Alice and Charlie."""

    alice: str
    charlie: str


@pytest.fixture
def workspaces(database_urls: Any, clean: None) -> Workspaces:
    """Two workspaces, created with the service role, because the dashboard role cannot."""
    stop_engine()
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)
    workspaces = Workspaces(workspace.create("alice", "Alice's shop"), workspace.create("charlie", "Charlie's shop"))
    database.db.close_all()
    return workspaces


@pytest.fixture
def config() -> settings.Settings:
    """The dashboard's settings; override the fixture to change them."""
    return settings.load()


#: Tests with the same settings share an app: loading routes and templates takes longer than most tests.
_apps: dict[settings.Settings, flask.Flask] = {}


@pytest.fixture
def app(workspaces: Workspaces, config: settings.Settings, redis_url: str) -> Iterator[flask.Flask]:
    """The dashboard, connected as the role that RLS restricts."""
    config = config.replace(url="http://localhost")
    if config in _apps:
        _apps[config].extensions["settings"] = config
        connect(_apps[config])
    else:
        _apps[config] = create_app(config)
    app = _apps[config]
    app.testing = False
    yield app
    disconnect(app)
    readiness.forget()
    # A feed that still reads would leak its connection into the next test.
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name in ("feed", "health")])
    database.db.close_all()


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    """A browser without a session."""
    return app.test_client()


@pytest.fixture
def alice(client: FlaskClient, workspaces: Workspaces) -> Producer:
    """A program with a key of Alice's workspace with all scopes."""
    return Producer(client, workspaces.alice, api_key.issue(workspaces.alice, "alice's shop").secret)


@pytest.fixture
def charlie(client: FlaskClient, workspaces: Workspaces) -> Producer:
    """A program with a key of Charlie's workspace."""
    return Producer(client, workspaces.charlie, api_key.issue(workspaces.charlie, "charlie's shop").secret)
