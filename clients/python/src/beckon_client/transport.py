"""One request to Beckon and its answer. Retries are decided elsewhere; redirects are never followed, because the key
would go with them."""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import urllib3

from beckon_client.configuration import Configuration

#: Maximum bytes of an answer: that of 1,000 triggers has less than a tenth.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
CONNECT_SECONDS = 5.0


class ConnectionFailedError(Exception):
    """No answer came; whether the request was processed is not known."""


@dataclass(frozen=True)
class Answer:
    """An answer's status, its JSON object (empty where it has none), and its Retry-After in seconds."""

    status: int
    body: dict[str, Any]
    retry_after: float | None = None


class Transport:
    """Connections to one Beckon. Threads share it; processes do not."""

    def __init__(self, configuration: Configuration) -> None:
        self._url = configuration.url
        self._headers = {
            "Authorization": f"Bearer {configuration.api_key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"beckon-client-python/{_read_version()}",
        }
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=8, retries=False)

    def post(self, path: str, body: bytes, seconds: float) -> Answer:
        """Send a JSON body, for at most `seconds`. Raises `ConnectionFailedError`."""
        deadline = time.monotonic() + seconds
        timeout = urllib3.Timeout(total=seconds, connect=min(CONNECT_SECONDS, seconds))
        try:
            response = self._pool.request(
                "POST", self._url + path, body=body, headers=self._headers, timeout=timeout, redirect=False,
                preload_content=False,
            )  # fmt: skip
            try:
                content = _read_content(response, deadline)
            except ConnectionFailedError:
                response.close()
                raise
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionFailedError(type(error).__name__) from error
        answer = Answer(response.status, _parse_object(content), parse_retry_after(response.headers.get("Retry-After")))
        if 200 <= answer.status < 300 and answer.body.get("success") is not True:
            # A page of a proxy, or an answer that was cut: nothing says that the entries are accepted.
            raise ConnectionFailedError("NotAnAnswerOfBeckon")
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()


def _read_content(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    content = b""
    for chunk in response.stream(64 * 1024):
        content += chunk
        if time.monotonic() > deadline or len(content) > MAX_ANSWER_BYTES:
            raise ConnectionFailedError("The answer took too long or was too large")
    return content


def _parse_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def parse_retry_after(text: str | None) -> float | None:
    """Seconds from now, of a number or an HTTP date; None where there is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _read_version() -> str:
    try:
        return version("beckon-client")
    except PackageNotFoundError:
        return "unpackaged"
