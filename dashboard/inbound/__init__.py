"""The doors of providers' webhooks: verify on the raw body, keep once, ring, answer quickly."""

from __future__ import annotations

from dashboard.inbound.mailgun import mailgun_webhooks
from dashboard.inbound.meta import meta_webhooks
from dashboard.inbound.telnyx import telnyx_webhooks

BLUEPRINTS = (mailgun_webhooks, meta_webhooks, telnyx_webhooks)
