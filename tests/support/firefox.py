"""Firefox, driven by WebDriver BiDi over a WebSocket of the standard library: no driver and no Node."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import eventually

NAMES = ("firefox", "firefox-esr")
#: Nothing of Firefox itself goes to the network.
PREFERENCES = {
    "app.update.enabled": False, "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "browser.safebrowsing.malware.enabled": False, "browser.safebrowsing.phishing.enabled": False,
    "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
    "extensions.update.enabled": False, "services.settings.server": "data:,", "browser.startup.page": 0,
}  # fmt: skip


def find_firefox() -> str | None:
    """The path of an installed Firefox; TEST_FIREFOX names one elsewhere."""
    configured = os.environ.get("TEST_FIREFOX")
    return configured or next((path for name in NAMES if (path := shutil.which(name))), None)


class WebSocket:
    """A client of one WebSocket (RFC 6455) that sends and receives texts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60)
        self.reader = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        request = [
            f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(request).encode())
        if b" 101 " not in self.reader.readline():
            raise ConnectionError("Firefox refused the WebSocket")
        while self.reader.readline().strip():
            pass

    def send(self, text: str) -> None:
        """Send one text, masked as a client must."""
        data = text.encode()
        if len(data) < 126:
            head = struct.pack("!BB", 0x81, 0x80 | len(data))
        else:
            head = struct.pack("!BBH", 0x81, 0x80 | 126, len(data))
        mask = os.urandom(4)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self) -> str:
        """The next text; control frames are skipped."""
        data = b""
        while True:
            first, length = struct.unpack("!BB", self.reader.read(2))
            if length == 126:
                (length,) = struct.unpack("!H", self.reader.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self.reader.read(8))
            payload = self.reader.read(length)
            if first & 0x0F > 2:
                continue
            data += payload
            if first & 0x80:
                return data.decode()

    def close(self) -> None:
        """Close the connection."""
        self.reader.close()
        self.socket.close()


class FirefoxPage:
    """One window of Firefox; `lines` are the console lines and errors of its pages."""

    def __init__(self, web_socket: WebSocket) -> None:
        self.web_socket = web_socket
        self.numbers = itertools.count(1)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.call("session.new", capabilities={})
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]
        self.call("session.subscribe", events=["log.entryAdded"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a command; events that arrive meanwhile are recorded."""
        number = next(self.numbers)
        self.web_socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.web_socket.receive())
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return dict(message["result"])
            self._record(message)

    def _record(self, message: Mapping[str, Any]) -> None:
        if message.get("method") != "log.entryAdded":
            return
        entry = message["params"]
        (self.lines if entry["type"] == "console" else self.errors).append(entry["text"] or "")

    def go(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        self.call("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def prepare(self, script: str) -> None:
        """Run a script at the begin of every page."""
        self.call("script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, by way of JSON."""
        answer = self.call(
            "script.evaluate", expression=f"JSON.stringify({expression})", target={"context": self.context},
            awaitPromise=True,
        )  # fmt: skip
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value") or "null")

    def expect(self, expression: str, value: Any = True) -> None:
        """Wait until an expression has a value."""
        eventually(lambda: self.evaluate(expression) == value, timeout=20)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self.call("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})


@contextmanager
def run_firefox(path: str, directory: Path, preferences: Mapping[str, Any]) -> Iterator[FirefoxPage]:
    """Run a headless Firefox with a profile of its own."""
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in {**PREFERENCES, **preferences}.items()
    ]
    (directory / "user.js").write_text("\n".join(lines), encoding="utf-8")
    command = [path, "--headless", "--no-remote", "--profile", str(directory), "--remote-debugging-port", "0"]
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, "HOME": str(directory)})
    try:
        listening = eventually(
            lambda: re.search(r"WebDriver BiDi listening on (ws://\S+)", output.read_text(errors="replace")), timeout=60
        )
        web_socket = WebSocket(listening[1] + "/session")
        try:
            yield FirefoxPage(web_socket)
        finally:
            web_socket.close()
    finally:
        process.terminate()
        process.wait(30)
