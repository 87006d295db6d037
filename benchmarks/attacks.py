"""What other clients notice while two clients repeat a request that is expensive to read.

A complete copy of Beckon runs. For each attack two clients send it over and over, each on connections of its own, and a
client in a separate process sends `GET /healthz` and `POST /api/triggers` at fixed times, each on a new connection, so
that any web process may answer. Response times count from the time at which the request was due. Fails if `/healthz`
takes 250 ms or more at p99, or a trigger 100 ms or more at p95, or any of them is refused.
Run: `python benchmarks/attacks.py [attack …]`.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

from measurements import describe_machine, percentile, show, show_table
from running_copy import Copy, run_copy

SECONDS, WARM_UP_SECONDS = 6.0, 1.0
CLIENTS = 2
#: Requests a second, and the connections that send them.
RATES = {"GET /healthz": 40, "POST /api/triggers": 20}
LANES = 4
LIMITS_MS = {"GET /healthz": (0.99, 250.0), "POST /api/triggers": (0.95, 100.0)}
FORM = "application/x-www-form-urlencoded"
YAML_LINE = "- [[[[[[[[], []], []], []], []], []], []], []]\n"


@dataclass(frozen=True)
class Request:
    """A request of an attack; `headers` are further lines."""

    path: str
    content_type: str
    body: bytes
    headers: str = ""
    method: str = "POST"

    def serialize(self, netloc: str) -> bytes:
        """Serialize it for a connection of its own."""
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {netloc}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n{self.headers}\r\n"
        )
        return head.encode() + self.body


def build_attacks(copy: Copy) -> dict[str, Callable[[], Request | None]]:
    """The attacks by name; each is built when it is needed."""
    key = f"Authorization: Bearer {copy.access['apiKey']}\r\n"
    automations = f"/api/workspaces/{copy.access['workspaceId']}/automations"
    return {
        "nothing": lambda: None,
        "unsigned form of 600,000 fields": lambda: Request(
            "/api/webhooks/mailgun/inbound", FORM, b"field=1&" * 600_000
        ),
        "part header of 4.2 MB": _build_part_header,
        "240 KB of YAML lists, checked": lambda: _build_check(copy),
        "trigger payload of 1 MiB": lambda: _build_json("/api/triggers", _build_trigger(1_020_000), key),
        "batch of 4.4 MB": lambda: _build_json(
            "/api/triggers/batch", {"triggers": [_build_trigger(4_200) for _ in range(1_000)]}, key
        ),
        "20,000 rows of CSV": lambda: _build_json("/api/contacts/import", {"csv": _build_csv(20_000)}, key),
        "validation with a read key": lambda: _build_json(
            f"{automations}/validate", {"definition": _build_definition()}, _issue_read_key(copy)
        ),
        "500 tracked executions of 20 actions": lambda: _build_json(
            "/api/track-executions", {"executions": _build_tracked(_publish_playbook(copy), 50)}, key
        ),
        "500 tracked executions, each invalid": lambda: _build_json(
            "/api/track-executions", {"executions": _build_tracked("no automation", -1)}, key
        ),
        "form of 1 MB to /sign-in": lambda: Request("/sign-in", FORM, b"email=" + b"%41" * 333_000),
        "body without an end": lambda: Request("/api/triggers", "application/json", b" " * 16 * 1024 * 1024),
    }


def _build_part_header() -> Request:
    part = b'--b\r\nContent-Disposition: form-data; name="' + b"a; b=" * 840_000 + b'"\r\n\r\n1\r\n--b--\r\n'
    return Request("/api/webhooks/mailgun/inbound", "multipart/form-data; boundary=b", part)


def _build_json(path: str, body: Any, headers: str) -> Request:
    return Request(path, "application/json", json.dumps(body).encode(), headers)


def _build_trigger(length: int) -> dict[str, Any]:
    """A trigger of about `length` bytes, with as many values as a body of its size may have."""
    count = min(length // 52, 20_000)
    payload = {f"key{number}": "x" * (length // count - 16) for number in range(count)}
    return {"type": "nobody.listens", "contact": {"externalId": "attacker"}, "payload": payload}


def _publish_playbook(copy: Copy) -> str:
    definition = {
        "trigger": {"type": "page", "with": {"url": "/pricing*"}},
        "steps": [{"id": "title", "action": "replace_text", "with": {"selector": "h1", "text": "Hello"}}],
    }
    body = {"name": "Tracked", "type": "playbook", "enabled": True, "definition": definition}
    return str(copy.call("POST", f"/api/workspaces/{copy.access['workspaceId']}/automations", body)["automation"]["id"])


def _build_tracked(automation_id: str, action_ms: int) -> list[dict[str, Any]]:
    """A full batch of executions, each with 20 actions of this duration; they have no ids, so none is a duplicate."""
    config = {"text": "Hello", "color": "red"}
    action = {"name": "replace_text", "selector": "#hero > h1", "executionTimeMs": action_ms, "config": config}
    fields = {
        "userId": "attacker",
        "status": "success",
        "executionTimeMs": 100,
        "pageUrl": "https://example.com/pricing",
    }
    return [{"workflowId": automation_id, **fields, "actions": [action] * 20} for _ in range(500)]


def _build_csv(rows: int) -> str:
    lines = [f"c-{row},Ada {row},ada{row}@example.com,+1555{row:07},pro" for row in range(rows)]
    return "\n".join(["externalId,firstName,email,phone,plan", *lines])


def _build_definition() -> dict[str, Any]:
    body = "{{ contact.first_name }} {% if payload.plan %}{{ payload.plan | upcase }}{% endif %} " * 25
    step = {"action": "send_email", "with": {"subject": "{{ contact.first_name }}", "body": body}}
    return {
        "trigger": {"type": "a.b", "where": " and ".join(["payload.plan == 'pro'"] * 40)},
        "steps": [{"id": f"step{number}", **step} for number in range(100)],
    }


def _issue_read_key(copy: Copy) -> str:
    issued = copy.call("POST", "/api/keys", {"name": "reader", "scopes": ["read"]})
    return f"Authorization: Bearer {issued['key']['secret']}\r\n"


def _build_check(copy: Copy) -> Request:
    """The check of a definition by the owner's browser."""
    cookies = http.cookiejar.CookieJar()
    browser = build_opener(HTTPCookieProcessor(cookies))
    url = copy.access["url"]
    form = {"email": copy.access["email"], "password": copy.access["password"]}
    form["csrf_token"] = _read_token(browser.open(f"{url}/sign-in").read())
    browser.open(f"{url}/sign-in", urlencode(form).encode())
    token = _read_token(browser.open(f"{url}/automations/new").read())
    text = YAML_LINE * (240_000 // len(YAML_LINE))
    body = f"csrf_token={token}&name=a&type=workflow&text={quote(text)}"
    sent = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
    return Request("/automations/check", FORM, body.encode(), f"Cookie: {sent}\r\nOrigin: {url}\r\n")


def _read_token(page: bytes) -> str:
    match = re.search(rb'name="csrf_token" value="([0-9a-f]+)"', page)
    if match is None:
        raise RuntimeError("the page has no form")
    return match[1].decode()


def main(names: list[str]) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    with run_copy(BECKON_TRIGGER_RATE="1000000", BECKON_TRIGGER_BURST="1000000") as copy:
        attacks = build_attacks(copy)
        results = {name: _measure(copy, attacks[name]()) for name in names or attacks}
    show(f"two clients repeat each request for {SECONDS:g} s, {describe_machine()}")
    show_table(
        ("attack", "answers", "/healthz p50, ms", "p99", "trigger p50, ms", "p95", "refused"),
        [
            [name, answers, *(f"{number:.0f}" for number in _summarise(measured)), measured["refused"]]
            for name, (answers, measured) in results.items()
        ],
    )
    missed = [name for name, (_, measured) in results.items() if _misses(measured)]
    show(f"missed: {missed}" if missed else "each limit is kept")
    return int(bool(missed))


def _summarise(measured: dict[str, Any]) -> list[float]:
    return [percentile(measured[name], fraction) for name, (last, _) in LIMITS_MS.items() for fraction in (0.5, last)]


def _misses(measured: dict[str, Any]) -> bool:
    slow = any(percentile(measured[name], fraction) >= limit for name, (fraction, limit) in LIMITS_MS.items())
    return slow or bool(measured["refused"])


def _measure(copy: Copy, attack: Request | None) -> tuple[str, dict[str, Any]]:
    """Run the attacking and the measuring client; what the first was answered, and what the second measured."""
    url = copy.access["url"]
    with tempfile.NamedTemporaryFile() as file, contextlib.ExitStack() as stack:
        attackers = None
        if attack is not None:
            Path(file.name).write_bytes(attack.serialize(urlsplit(url).netloc))
            attackers = stack.enter_context(_start("attack", url, file.name))
        completed = _start("measure", url, copy.access["apiKey"]).communicate()[0]
        answers = {} if attackers is None else json.loads(attackers.communicate(b"stop\n")[0])
    text = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
    return text, json.loads(completed)


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def attack(url: str, path: str) -> None:
    """Run the attacking clients until a line arrives; print how often each status was answered."""
    request, address = Path(path).read_bytes(), (urlsplit(url).hostname or "", urlsplit(url).port or 80)
    answers: Counter[str] = Counter()
    stopping = threading.Event()

    def loop() -> None:
        while not stopping.is_set():
            answers[_send(address, request)] += 1

    for _ in range(CLIENTS):
        threading.Thread(target=loop, daemon=True).start()
    sys.stdin.readline()
    stopping.set()
    sys.stdout.write(json.dumps(answers))


def _send(address: tuple[str, int], request: bytes) -> str:
    """Send a request; its status, or how its connection ended."""
    try:
        with socket.create_connection(address, timeout=60) as connection:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(request)
            return connection.recv(65_536).split(b" ")[1].decode()
    except (OSError, IndexError) as error:
        return type(error).__name__


def measure(url: str, key: str) -> None:
    """Run the measuring client; print the response times in ms by request, and how many were refused."""
    results: dict[str, Any] = {name: [] for name in RATES}
    refused: list[int] = []
    began = time.monotonic() + 0.2
    threads = [
        threading.Thread(target=_send_on_time, args=(url, key, name, lane, began, results[name], refused))
        for name in RATES
        for lane in range(LANES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({**results, "refused": len(refused)}))


def _send_on_time(url: str, key: str, name: str, lane: int, began: float, ms: list[float], refused: list[int]) -> None:
    method, path = name.split()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
    for number in range(lane, int(RATES[name] * (WARM_UP_SECONDS + SECONDS)), LANES):
        due = began + number / RATES[name]
        time.sleep(max(0.0, due - time.monotonic()))
        body = json.dumps(_build_small_trigger(number)) if method == "POST" else None
        connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        if due >= began + WARM_UP_SECONDS:
            ms.append((time.monotonic() - due) * 1000)
            refused += [response.status] * (response.status >= 300)


def _build_small_trigger(number: int) -> dict[str, Any]:
    contact = {"externalId": f"b-{number}", "firstName": "Ada", "email": f"b{number}@example.com"}
    return {"type": "nobody.listens", "contact": contact, "idempotencyKey": f"b-{number}-{time.time_ns()}"}


if __name__ == "__main__":
    if sys.argv[1:2] in (["attack"], ["measure"]):
        {"attack": attack, "measure": measure}[sys.argv[1]](*sys.argv[2:4])
    else:
        sys.exit(main(sys.argv[1:]))
