"""Schemathesis calls every operation of the OpenAPI document with valid and invalid requests and finds no mismatch.

Every check is on, and no operation is left out. `SEMANTIC` names the operations whose fields contradict each other, or
whose texts have a syntax of their own: there 422 also answers what fits the schema.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

import settings
from dashboard.live import counts
from dashboard.live.feeds import FeedTiming
from models import api_key, site_key
from tests.dashboard.producers import Producer, definition
from tests.support.serving import serve

#: The first seed runs every phase. The cases of the coverage phase are the same with each seed.
SEEDS = {1: "examples,coverage,fuzzing,stateful", 8723: "fuzzing,stateful", 20261201: "fuzzing,stateful"}
#: Streams end after one event, because Schemathesis reads a response to its end.
SHORT = FeedTiming(frame_seconds=0.05, stream_seconds=0.1, ping_seconds=1.0)

_ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429"]
_REFUSED = ["400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429"]
#: By the pattern of a path: the check, the statuses that it expects, and why.
SEMANTIC: list[tuple[str, str, list[str], str]] = [
    ("^/api/analytics/", "positive_data_acceptance", [*_ACCEPTED, "422"], "a period has at most 90 days"),
    ("/runs/series$", "positive_data_acceptance", [*_ACCEPTED, "422"], "a period has at most 400 days"),
    ("/monitor$", "positive_data_acceptance", [*_ACCEPTED, "422"], "a snapshot is of the last six hours"),
    ("/automations(/{automation_id})?$", "positive_data_acceptance", [*_ACCEPTED, "422"], "templates, conditions"),
    ("/automations/validate$", "positive_data_acceptance", [*_ACCEPTED, "422"], "a definition or a source"),
    ("/import$", "positive_data_acceptance", [*_ACCEPTED, "422"], "CSV has a first line with names of columns"),
    ("^/api/contacts$", "positive_data_acceptance", [*_ACCEPTED, "422"], "a contact has at least one field"),
    ("^/api/settings/channels/", "positive_data_acceptance", [*_ACCEPTED, "422"], "each provider has its settings"),
    ("^/api/settings/model$", "positive_data_acceptance", [*_ACCEPTED, "422"], "a model belongs to a provider"),
    ("^/api/triggers$", "positive_data_acceptance", [*_ACCEPTED, "422"], "two different idempotency keys"),
    ("/trigger$", "positive_data_acceptance", [*_ACCEPTED, "422"], "one way to name the contacts"),
    ("^/api/hooks/", "positive_data_acceptance", [*_ACCEPTED, "422"], "a payload may have any contact"),
    ("^/api/(triggers/batch|track-executions)$", "negative_data_rejection", [*_REFUSED, "202"],
     "each entry is accepted or refused by itself"),
]  # fmt: skip


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def config() -> settings.Settings:
    """The dashboard's settings, without rate limits that stand in the way."""
    return settings.load().replace(site_key_rate=100_000, trigger_rate=1_000_000, trigger_burst=1_000_000)


@pytest.fixture
def base_url(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dashboard on a port."""
    monkeypatch.setattr(app.extensions["feeds"], "_timing", SHORT)
    monkeypatch.setattr(counts, "TIMING", SHORT)
    with serve(make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler)) as url:
        yield url


def write_config(path: Path, producer: Producer, public_key: str) -> None:
    """Write the configuration: the keys, the workspace, and the statuses of `SEMANTIC`."""
    operations = [
        f'[[operations]]\ninclude-path-regex = "{pattern}"\nchecks.{check}.expected-statuses = {statuses}\n'
        for pattern, check, statuses, _ in SEMANTIC
    ]
    path.write_text(
        f'hooks = "{Path(__file__).with_name("schemathesis_hooks.py")}"\n'
        f'headers = {{ Authorization = "Bearer {producer.secret}" }}\n\n'
        f'[parameters]\n"path.workspace_id" = "{producer.workspace_id}"\n\n'
        f'[[operations]]\ninclude-path-regex = "^/api/playbooks"\nheaders = {{ X-Site-Key = "{public_key}" }}\n\n'
        + "\n".join(operations),
        encoding="utf-8",
    )


def list_own_ids(producer: Producer, public_key: str) -> str:
    """The ids of the keys with which Schemathesis calls."""
    return ",".join([public_key, *(row["id"] for row in api_key.list_all(producer.workspace_id))])


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_operation_answers_as_the_document_says(
    seed: int, base_url: str, alice: Producer, tmp_path: Path
) -> None:
    alice.create()
    alice.create(definition=definition(type="hook"))
    alice.post("/api/contacts", {"email": "ada@example.com"})
    key = site_key.issue(alice.workspace_id, "site", [base_url])
    write_config(tmp_path / "schemathesis.toml", alice, key.key)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run",
        f"{base_url}/api/openapi.json", "--seed", str(seed), "--phases", SEEDS[seed], "--max-examples", "5",
        "--workers", "2", "--request-timeout", "30", "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    environ = {**os.environ, "OWN_KEY_IDS": list_own_ids(alice, key.id)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environ)
    assert result.returncode == 0, result.stdout[-30_000:] + result.stderr
    assert alice.get("/api/contacts").status_code == 200, "the run went on with a revoked key"
