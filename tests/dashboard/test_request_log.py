"""The request log names the path that was asked for, and no secret, probe or static file."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs


@pytest.fixture
def lines():
    """The lines that are logged meanwhile."""
    with capture_logs() as captured:
        yield captured


def list_requests(lines):
    return [(line["path"], line["log_level"]) for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("path", ["/sign-in", "/automations/none-with-this-id", "/no/such/page"])
def test_a_request_is_logged_with_its_path(app, lines, path):
    app.test_client().get(path)
    assert list_requests(lines) == [(path, "info")]


def test_a_long_path_is_cut_off(app, lines):
    app.test_client().get("/" + "a" * 5_000)
    ((path, _),) = list_requests(lines)
    assert len(path) == 300


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/api/hooks/hk_secret", "/api/hooks/***"),
        ("/api/hooks/hk_secret/more", "/api/hooks/***"),
        ("/api//hooks/hk_secret", "/api/hooks/***"),
        ("/API/hooks/hk_secret", "/api/hooks/***"),
        ("/invitations/hk_secret/account", "/invitations/***"),
        ("/password-resets/hk_secret", "/password-resets/***"),
        ("/l/hk_secret", "/l/***"),
    ],
)
def test_the_secret_part_of_a_path_is_hidden(app, lines, path, logged):
    app.test_client().post(path)
    assert "hk_secret" not in str(lines)
    assert list_requests(lines) == [(logged, "info")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_is_not_logged(app, lines, path):
    app.test_client().get(path)
    assert list_requests(lines) == []


def test_a_static_file_is_logged_at_debug_and_a_missing_one_at_info(app, lines):
    app.test_client().get("/static/tokens.css").close()
    app.test_client().get("/static/none.css")
    assert list_requests(lines) == [("/static/tokens.css", "debug"), ("/static/none.css", "info")]
