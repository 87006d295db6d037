"""Calls of the reference library of Standard Webhooks, as a receiver makes them."""

from __future__ import annotations

from typing import Any

from harness import run
from standardwebhooks import Webhook


def verify(url: str, secret: str, body: str, headers: dict[str, str]) -> Any:
    return Webhook(secret).verify(body, headers)


run({"verify": verify})
