"""A customer's site and a stand-in for Beckon, on two origins, for tests of the browser script.

The stand-in serves the built script and the playbooks, and records every report with the response that it gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import settings
from tests.support.serving import serve

BUILT = settings.ROOT / "dashboard" / "static" / "browser"
SITE_KEY = "site-key-of-the-tests"

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Lumo</title>{head}</head><body>{body}</body></html>"""
BODY = """<main><h1 class="hero">Simple prices</h1><p id="late"></p><img class="photo" src="/old.png" alt="">
<a class="buy" href="/buy">Buy</a><p class="offer" hidden>Offer</p><div style="height: 4000px"></div></main>"""
#: No inline script or style, nothing from elsewhere but the script and its calls, and no sink of script.
STRICT_POLICY = (
    "default-src 'none'; script-src {beckon}; connect-src {beckon}; img-src 'self'; style-src 'self'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass
class Report:
    """A request to the tracking endpoint."""

    path: str
    content_type: str
    origin: str
    body: dict[str, Any]
    status: int


@dataclass
class StandIn:
    """What the stand-in answers, and what it has received. `answers` are given first, then 201."""

    playbooks: list[dict[str, Any]] = field(default_factory=list)
    tracking: bool = True
    playbooks_answer: tuple[int, str] | None = None
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    playbook_requests: list[str] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)

    def list_accepted(self) -> list[dict[str, Any]]:
        """The bodies of the accepted reports."""
        return [report.body for report in self.reports if report.status < 300]

    def count_executions(self) -> int:
        """The number of different executions accepted."""
        return len({body["executionId"] for body in self.list_accepted()})


@dataclass
class Site:
    """The pages of the site: bodies by path; every other path has the default body."""

    address: str
    beckon: str
    stand_in: StandIn
    pages: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    policy: str = ""
    head: str | None = None
    site_key: str = SITE_KEY

    def script_tag(self, attributes: str = "defer") -> str:
        """The tag with which a customer installs the script."""
        return f'<script src="{self.beckon}/beckon.js" data-site-key="{self.site_key}" {attributes}></script>'

    def build_page(self, path: str) -> str:
        """The HTML of a page."""
        head = self.script_tag() if self.head is None else self.head
        return PAGE.format(head=head, body=self.pages.get(path, BODY))


def make_playbook(*actions: dict[str, Any], name: str = "Mobile CTA Optimization", **fields: Any) -> dict[str, Any]:
    """A playbook as `GET /api/playbooks` has it; an action is `{"action": …, its fields}`."""
    steps = [
        {
            "id": f"step_{number}",
            "action": action["action"],
            "name": action["action"].replace("_", " ").title(),
            "with": {key: value for key, value in action.items() if key != "action"},
        }
        for number, action in enumerate(actions)
    ]
    trigger = fields.pop("trigger", {})
    return {
        "id": name.lower().replace(" ", "-"),
        "name": name,
        "version": 1,
        "trigger": trigger,
        "actions": steps,
    } | fields


def replace_text(text: str = "Welcome back", selector: str = ".hero") -> dict[str, Any]:
    """The action that most tests use."""
    return {"action": "replace_text", "selector": selector, "text": text}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, content: str | bytes, content_type: str, headers: Mapping[str, str] = {}) -> None:
        """Send one response."""
        data = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _make_beckon(stand_in: StandIn) -> type[_Handler]:
    manifest = json.loads((BUILT / "manifest.json").read_text(encoding="utf-8"))

    class Beckon(_Handler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/api/playbooks":
                stand_in.playbook_requests.append(self.path)
                stand_in.cookies.append(self.headers.get("Cookie"))
                body = {"success": True, "tracking": stand_in.tracking, "playbooks": stand_in.playbooks}
                status, content = stand_in.playbooks_answer or (200, json.dumps(body))
                return self.answer(status, content, "application/json", self.cors())
            if path == "/beckon.js":
                content_of_script = (BUILT / manifest["script"]["file"]).read_bytes()
                return self.answer(200, content_of_script, "text/javascript", {"Access-Control-Allow-Origin": "*"})
            return self.answer(404, "", "text/plain")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = stand_in.answers.pop(0) if stand_in.answers else (201, {})
            report = Report(
                self.path, self.headers.get("Content-Type", ""), self.headers.get("Origin", ""), json.loads(raw), status
            )
            stand_in.cookies.append(self.headers.get("Cookie"))
            stand_in.reports.append(report)
            body = {"success": status < 300, "executionId": report.body.get("executionId")}
            self.answer(status, json.dumps(body), "application/json", self.cors() | headers)

        def cors(self) -> dict[str, str]:
            origin = self.headers.get("Origin")
            exposed = {"Access-Control-Expose-Headers": "Retry-After", "Cache-Control": "no-store"}
            return {"Access-Control-Allow-Origin": origin, **exposed} if origin else exposed

    return Beckon


def _make_pages(site: Site) -> type[_Handler]:
    class Pages(_Handler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.endswith((".png", ".ico")):
                return self.answer(200, b"", "image/png")
            if path in site.scripts:
                return self.answer(200, site.scripts[path], "text/javascript")
            policy = {"Content-Security-Policy": site.policy} if site.policy else {}
            return self.answer(200, site.build_page(path), "text/html; charset=utf-8", policy)

    return Pages


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves a page breaks its connections."""


@contextmanager
def serve_pages(beckon: str, stand_in: StandIn | None = None) -> Iterator[Site]:
    """The site at http://localhost:…, with the script of a copy of Beckon or of the stand-in."""
    site = Site("", beckon, stand_in or StandIn())
    with serve(_Server(("127.0.0.1", 0), _make_pages(site))) as address:
        site.address = address.replace("127.0.0.1", "localhost")
        yield site


@contextmanager
def serve_site() -> Iterator[Site]:
    """The site at http://localhost:…, and the stand-in at http://127.0.0.1:…, which is another origin."""
    stand_in = StandIn()
    with serve(_Server(("127.0.0.1", 0), _make_beckon(stand_in))) as beckon, serve_pages(beckon, stand_in) as site:
        yield site
