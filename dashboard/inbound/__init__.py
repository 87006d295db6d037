"""Providers' webhooks: verify the signature of the raw body, store the event once, enqueue it, and answer."""

from __future__ import annotations

from dashboard.inbound.mailgun import mailgun_webhooks
from dashboard.inbound.meta import meta_webhooks
from dashboard.inbound.telnyx import telnyx_webhooks

BLUEPRINTS = (mailgun_webhooks, meta_webhooks, telnyx_webhooks)
