"""The outside calls of the steps, for threads and for asyncio, and the table in which a plain queue stores its steps.

The person's name and address are in the arguments of a job: a peer has nothing to look up.
"""

from __future__ import annotations

import os
from typing import Any

SANDBOX = os.environ["PEERS_SANDBOX_URL"]
DATABASE_URL = os.environ["PEERS_DATABASE_URL"]
WRITE_URL = f"{SANDBOX}/v1beta/models/gemini-2.5-flash:generateContent"
SEND_URL = f"{SANDBOX}/v3/example.com/messages"
WRITE_HEADERS = {"x-goog-api-key": "key"}
SEND_HEADERS = {"Authorization": "Basic YXBpOmtleQ=="}
TIMEOUT_SECONDS = 15.0


def build_prompt(first_name: str) -> dict[str, Any]:
    """Build the body of the request for a text."""
    return {"contents": [{"role": "user", "parts": [{"text": f"Write to {first_name}"}]}]}


def build_message(email: str, text: str, key: str) -> dict[str, str]:
    """Build the form of the message."""
    return {"from": "hello@example.com", "to": email, "subject": "Hello", "text": text, "v:key": key}


def read_text(body: dict[str, Any]) -> str:
    """Read the text from the model's answer."""
    return str(body["candidates"][0]["content"]["parts"][0]["text"])


class BlockingCalls:
    """The two calls for workers with threads."""

    def __init__(self) -> None:
        import urllib3

        self._http = urllib3.PoolManager(maxsize=64, retries=False)

    def write(self, first_name: str) -> str:
        """Return the AI's text."""
        response = self._http.request(
            "POST", WRITE_URL, headers=WRITE_HEADERS, timeout=TIMEOUT_SECONDS, json=build_prompt(first_name)
        )
        return read_text(response.json())

    def send(self, email: str, text: str, key: str) -> str:
        """Send the message; return the provider's id of it."""
        form = build_message(email, text, key)
        response = self._http.request("POST", SEND_URL, headers=SEND_HEADERS, timeout=TIMEOUT_SECONDS, fields=form)
        return str(response.json()["id"])


class AsyncCalls:
    """The two calls for workers with an event loop, in which it must be created."""

    def __init__(self) -> None:
        import aiohttp

        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))

    async def write(self, first_name: str) -> str:
        """Return the AI's text."""
        async with self._http.post(WRITE_URL, headers=WRITE_HEADERS, json=build_prompt(first_name)) as response:
            return read_text(await response.json())

    async def send(self, email: str, text: str, key: str) -> str:
        """Send the message; return the provider's id of it."""
        form = build_message(email, text, key)
        async with self._http.post(SEND_URL, headers=SEND_HEADERS, data=form) as response:
            return str((await response.json())["id"])


#: One row and one commit for each step, as in the hand-written actor.
STEPS_TABLE = """
create table if not exists {} (
    id bigserial primary key, run bigint not null, name text not null, output jsonb,
    at timestamptz not null default now())
"""
