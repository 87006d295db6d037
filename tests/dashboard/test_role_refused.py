"""A dashboard whose login cannot use its role answers 503 wherever it needs PostgreSQL, and reads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from models import database
from tests.support import servers as real


@pytest.fixture
def config(database_urls: Any) -> Iterator[settings.Settings]:
    """The dashboard's settings, with the URL of a login without a granted role."""
    name = f"nobody_{os.getpid()}"
    real.run_sql(database_urls.owner, f"create role {name} login")
    yield settings.load().replace(database_app_url=real.with_user(database_urls.owner, name))
    database.db.close_all()
    real.run_sql(database_urls.owner, f"drop role {name}")


@pytest.mark.parametrize("path", ["/api/executions", "/api/health", "/api/contacts"])
def test_the_api_answers_503_with_retry_after(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"Authorization": "Bearer bk_whatever"})
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert response.headers["Retry-After"]


def test_pages_and_probes_answer_503(client: FlaskClient) -> None:
    client.set_cookie("beckon_session", "any-token")
    assert client.get("/readyz").status_code == 503
    assert client.post("/api/triggers", json={}, headers={"Authorization": "Bearer bk_x"}).status_code == 503
