"""The pages that alerts and runbooks link to open, and are filtered as the link says."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import sign_in_as
from tests.deploy.test_alerts import ALERTS

PATHS = sorted({rule["annotations"]["dashboard"].split("}}", 1)[1] for rule in ALERTS.values()})


@pytest.fixture
def operator(client: FlaskClient, alice: Producer) -> FlaskClient:
    """A signed-in operator of Alice's workspace."""
    return sign_in_as(client, alice)


@pytest.mark.parametrize("path", PATHS)
def test_the_page_of_an_alert_opens(operator: FlaskClient, path: str) -> None:
    assert operator.get(path).status_code == 200


@pytest.mark.parametrize("error_class", ["quarantined", "unknown_outcome"])
def test_the_failures_of_an_alert_are_only_those_of_its_class(
    operator: FlaskClient, alice: Producer, error_class: str
) -> None:
    automation = alice.create()
    ended = "It ended three workers."
    example_executions.create_failed(alice, automation, error_class="quarantined", error_message=ended)
    example_executions.create_failed(alice, automation, error_class="network", error_message="No route to it.")
    # A group shows its error, and each message of unknown outcome its execution.
    marks = {
        "quarantined": ended,
        "network": "No route to it.",
        "unknown_outcome": example_executions.create_unknown(alice, automation),
    }
    text = operator.get(f"/failures?errorClass={error_class}").text
    assert [name for name, mark in marks.items() if mark in text] == [error_class]


def test_the_executions_of_an_alert_are_only_those_of_its_status(operator: FlaskClient, alice: Producer) -> None:
    automation = alice.create()
    pending = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    failed = example_executions.create_failed(alice, automation)
    text = operator.get("/executions?status=pending").text
    assert str(pending) in text
    assert str(failed) not in text
