"""A dashboard whose login may not act as its role answers 503 wherever PostgreSQL is needed, and reads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from models import database
from tests.support import servers as real


@pytest.fixture
def config(database_urls: Any) -> Iterator[settings.Settings]:
    """The dashboard's settings, with the URL of somebody whom no role was granted."""
    name = f"nobody_{os.getpid()}"
    real.run_sql(database_urls.owner, f"create role {name} login")
    yield replace(settings.load(), database_app_url=real.with_user(database_urls.owner, name))
    database.db.close_all()
    real.run_sql(database_urls.owner, f"drop role {name}")


@pytest.mark.parametrize("path", ["/api/executions", "/api/health", "/api/contacts"])
def test_the_api_answers_503_with_a_time_to_come_back(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"Authorization": "Bearer bk_whatever"})
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert response.headers["Retry-After"]


def test_pages_and_probes_answer_503(client: FlaskClient) -> None:
    client.set_cookie("beckon_session", "whoever")
    assert client.get("/readyz").status_code == 503
    assert client.post("/api/triggers", json={}, headers={"Authorization": "Bearer bk_x"}).status_code == 503
