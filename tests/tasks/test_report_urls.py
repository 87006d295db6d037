"""The URL at which Telnyx reports on one message, with the message's key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.base import Account
from settings import Settings
from tasks.steps.report_urls import build_report_url

TELNYX = Account("telnyx", "https://api.telnyx.com/v2", {})


@pytest.mark.parametrize(
    ("url", "is_sandbox", "expected"),
    [
        ("https://beckon.example.com", False, "https://beckon.example.com/api/webhooks/telnyx?key=a%3Ab%3A0"),
        # Telnyx reaches neither; the sandbox reaches both.
        ("http://127.0.0.1:8080", False, None),
        ("http://beckon.internal", False, None),
        ("http://127.0.0.1:8080", True, "http://127.0.0.1:8080/api/webhooks/telnyx?key=a%3Ab%3A0"),
    ],
)
def test_an_sms_names_the_url_of_its_reports_where_telnyx_reaches_it(
    settings: Settings, url: str, is_sandbox: bool, expected: str | None
) -> None:
    deployment = settings.model_copy(update={"url": url})
    account = replace(TELNYX, sandbox=is_sandbox)
    assert build_report_url(deployment, deployment, account, "w", "a:b:0") == expected


def test_a_workspace_with_its_own_webhook_secret_has_its_own_url(settings: Settings) -> None:
    deployment = settings.model_copy(update={"url": "https://beckon.example.com"})
    own = deployment.model_copy(update={"telnyx_public_key": "own"})
    assert (
        build_report_url(deployment, own, TELNYX, "w", "k") == "https://beckon.example.com/api/webhooks/telnyx/w?key=k"
    )


def test_other_providers_get_no_url(settings: Settings) -> None:
    assert build_report_url(settings, settings, replace(TELNYX, provider="mailgun", sandbox=True), "w", "k") is None
