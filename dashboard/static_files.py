"""Static files with their version in the URL, so that browsers keep them until they change."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import flask

#: The files here have their version in their name.
VENDOR = "vendor/"
_FOREVER = "public, max-age=31536000, immutable"


def register(app: flask.Flask) -> None:
    """Add the version to the URLs that templates build, and cache what is requested with it."""
    folder = Path(app.static_folder or "")

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and "v" not in values:
            values["v"] = _compute_version(folder / values["filename"])

    @app.after_request
    def cache_versions(response: flask.Response) -> flask.Response:
        filename = (flask.request.view_args or {}).get("filename", "")
        if flask.request.endpoint == "static" and response.status_code in (200, 304) and _is_version(folder, filename):
            response.headers["Cache-Control"] = _FOREVER
        return response


def _is_version(folder: Path, filename: str) -> bool:
    """Whether the request names a version that never changes. A file of another version is served, and not cached."""
    return filename.startswith(VENDOR) or flask.request.args.get("v") == _compute_version(folder / filename)


@cache
def _compute_version(path: Path) -> str:
    """The beginning of the hash of a file, which does not change while the process runs; empty without the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
