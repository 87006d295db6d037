"""Reads what the sandbox accepted and adds faults, through its endpoints for scripts."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from rules.json_text import dump_json, load_json

#: Seconds to wait for an answer.
TIMEOUT_SECONDS = 5


class SandboxUnavailable(Exception):
    """The sandbox does not respond; the message says why."""


def ping(sandbox_url: str) -> None:
    """Check that the sandbox responds. Raises `SandboxUnavailable`."""
    _call(f"{sandbox_url}/_sandbox/health")


def list_messages(sandbox_url: str, provider: str, to: str) -> list[dict[str, Any]]:
    """Return the accepted messages of a provider to a recipient, oldest first. Raises `SandboxUnavailable`."""
    query = urllib.parse.urlencode({"provider": provider, "to": to})
    messages: list[dict[str, Any]] = _call(f"{sandbox_url}/_sandbox/messages?{query}")["messages"]
    return messages


def add_fault(sandbox_url: str, provider: str, fault: str, *, to: str, times: int) -> None:
    """Let the next `times` sends to this recipient fail. Raises `SandboxUnavailable`."""
    body = {"provider": provider, "fault": fault, "times": times, "seconds": 0, "match": {"to": to}}
    _call(f"{sandbox_url}/_sandbox/faults", body)


def _call(url: str, body: Any = None) -> Any:
    request = urllib.request.Request(url, None if body is None else dump_json(body).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return load_json(response.read())
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise SandboxUnavailable(f"the sandbox does not respond: {error}") from None
