"""The dashboard with real servers, and the cast: Alice owns a workspace, Charlie another and must see nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

import settings
from dashboard import connect, create_app, disconnect
from models import api_key, database, workspace
from tests.dashboard.cast import Producer
from waiting import eventually


@dataclass(frozen=True)
class Cast:
    """Who is in the tests."""

    alice: str
    charlie: str


@pytest.fixture
def cast(database_urls: Any, clean: None) -> Cast:
    """Two workspaces; made as the service, because the dashboard may not."""
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)
    made = Cast(workspace.create("alice", "Alice's shop"), workspace.create("charlie", "Charlie's shop"))
    database.db.close_all()
    return made


@pytest.fixture
def told() -> settings.Settings:
    """The dashboard's settings; override to change them."""
    return settings.load()


#: Tests with the same settings share an app: to read its routes and templates takes longer than most of them.
_apps: dict[settings.Settings, flask.Flask] = {}


@pytest.fixture
def app(cast: Cast, told: settings.Settings, redis_url: str) -> Iterator[flask.Flask]:
    """The dashboard, connected as its bound role."""
    told = replace(told, url="http://localhost")
    if told in _apps:
        _apps[told].extensions["settings"] = told
        connect(_apps[told])
    else:
        _apps[told] = create_app(told)
    made = _apps[told]
    made.testing = False
    yield made
    disconnect(made)
    # A feed that still reads would hand its connection to the next test.
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "feed"])
    database.db.close_all()


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    """A browser that is not signed in."""
    return app.test_client()


@pytest.fixture
def alice(client: FlaskClient, cast: Cast) -> Producer:
    """Alice's program, with every scope."""
    return Producer(client, cast.alice, api_key.issue(cast.alice, "alice's shop").secret)


@pytest.fixture
def charlie(client: FlaskClient, cast: Cast) -> Producer:
    """Charlie's program."""
    return Producer(client, cast.charlie, api_key.issue(cast.charlie, "charlie's shop").secret)
