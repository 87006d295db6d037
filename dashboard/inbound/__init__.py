"""The doors of providers' webhooks: verify on the raw body, keep once, ring, answer quickly."""

from __future__ import annotations

from dashboard.inbound.mailgun import mailgun_door
from dashboard.inbound.meta import meta_door
from dashboard.inbound.telnyx import telnyx_door

BLUEPRINTS = (mailgun_door, meta_door, telnyx_door)
