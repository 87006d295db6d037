"""Serves the script of customers' pages: under a versioned name that never changes, and as the current version.

Any page may load it, and check it by its integrity hash. The built files are in `static/browser`; a process reads each
once.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import flask

from dashboard.errors import not_found
from rules.json_text import load_json

script_routes = flask.Blueprint("browser-script", __name__)

#: The file of the build that names the current version.
MANIFEST = "manifest.json"
FOLDER = Path(__file__).parent / "static" / "browser"
_NAME = re.compile(r"beckon-(?:preview-)?[0-9A-Za-z.-]{1,60}\.js")
_FOREVER = "public, max-age=31536000, immutable"
_FIVE_MINUTES = "public, max-age=300"


@dataclass(frozen=True)
class Script:
    """One built file."""

    name: str
    body: bytes
    #: The same, compressed once for all requests: it has no secret that a length could tell.
    compressed: bytes

    @property
    def integrity(self) -> str:
        """The value of the attribute `integrity`."""
        return "sha384-" + base64.b64encode(hashlib.sha384(self.body).digest()).decode()


@script_routes.get("/beckon.js")
def show_current() -> Any:
    """The current version, for pages that follow it."""
    script = find_current()
    if script is None:
        raise not_found("The browser script is not built here: run make web.")
    return _answer(script, _FIVE_MINUTES)


@script_routes.get("/browser/<script>")
def show_version(script: str) -> Any:
    """One version, which never changes."""
    # Only files that exist reach the cache, which would otherwise grow with every name asked for.
    if not _NAME.fullmatch(script) or not (FOLDER / script).is_file():
        raise not_found("There is no such version of the browser script.")
    return _answer(_read(FOLDER / script), _FOREVER)


def find_current() -> Script | None:
    """The version that the build's manifest names, or None where the script is not built."""
    name = find_current_name()
    return _read(FOLDER / name) if name else None


def find_current_name() -> str:
    """The file name of the current version; empty where the script is not built."""
    manifest = FOLDER / MANIFEST
    return _read_current_name(manifest) if manifest.is_file() else ""


@cache
def _read_current_name(manifest: Path) -> str:
    return str(load_json(manifest.read_bytes())["script"]["file"])


@cache
def _read(path: Path) -> Script:
    body = path.read_bytes()
    return Script(path.name, body, gzip.compress(body, 9, mtime=0))


def _answer(script: Script, cache_control: str) -> flask.Response:
    is_compressed = flask.request.accept_encodings["gzip"] > 0
    response = flask.Response(script.compressed if is_compressed else script.body, mimetype="text/javascript")
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Cache-Control"] = cache_control
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.vary.add("Accept-Encoding")
    response.set_etag(hashlib.sha256(script.body).hexdigest()[:16], weak=True)
    response.make_conditional(flask.request)
    return response
