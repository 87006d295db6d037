"""A real Prometheus that scrapes a running copy every second and evaluates the shipped alerts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

import settings
from tests.support.waiting import eventually

ALERTS = settings.ROOT / "deploy" / "prometheus" / "alerts.yml"
IS_INSTALLED = shutil.which("prometheus") is not None and shutil.which("promtool") is not None


class Prometheus:
    """A client of the server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, path: str, **parameters: str) -> Any:
        """The data of a call of Prometheus's HTTP API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as response:
            return json.loads(response.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list(self.call("query", query=expression)["result"])

    def is_scraping(self) -> bool:
        """Whether the copy was scraped."""
        try:
            return [series["value"][1] for series in self.query("up")] == ["1"]
        except OSError:
            return False


@contextmanager
def run_prometheus(directory: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus with its data in `directory`; `target` is the host and port of the copy."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "beckon", "static_configs": [{"targets": [target]}]}],
    }
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    with open(directory / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        client = Prometheus(f"http://127.0.0.1:{port}")
        eventually(client.is_scraping, timeout=30, interval=0.2)
        yield client
    finally:
        process.terminate()
        process.wait(30)
