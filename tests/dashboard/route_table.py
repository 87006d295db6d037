"""The table of routes in docs/security.md, and the routes of the application in the same form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import flask
from werkzeug.routing import Rule

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"

#: Roles from the lowest to the highest.
ROLES = ("viewer", "operator", "owner")
#: Access of routes that require no role.
OPEN = ("anyone", "secret address", "signature", "site key", "allowed network")

_ROW = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_PART = re.compile(r"<(?:(?P<kind>\w+)(?:\((?P<options>[^)]*)\))?:)?(?P<name>\w+)>")
_PARAMETER = re.compile(r"{([^}]+)}")


@dataclass(frozen=True)
class Route:
    """A row of the table: who may call a route, and what another tenant gets."""

    method: str
    path: str
    #: The required scope of an API key; `–` where keys are not accepted.
    scope: str
    #: The lowest role of a session, or one of `OPEN`.
    role: str
    #: `404` for another tenant's object in the path, `own` for a response about the caller's workspace, or `–`.
    other_tenant: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_api(self) -> bool:
        """Whether it belongs to the API, which also accepts keys."""
        return self.path.startswith("/api/")

    @property
    def is_guarded(self) -> bool:
        """Whether a key or a session is required."""
        return self.role in ROLES

    @property
    def parameters(self) -> list[str]:
        """The names of the path parameters."""
        return _PARAMETER.findall(self.path)

    def build_address(self, values: dict[str, str]) -> str:
        """The path with its parameters filled; the first of alternative values."""
        return _PARAMETER.sub(lambda match: match[1].split(",")[0] if "," in match[1] else values[match[1]], self.path)

    def build_addresses(self, values: dict[str, str]) -> list[str]:
        """The path with its parameters filled, once for each alternative value."""
        choices = [parameter.split(",") if "," in parameter else [values[parameter]] for parameter in self.parameters]
        template = _PARAMETER.sub("{}", self.path)
        return [template.format(*parts) for parts in product(*choices)]


def read_table() -> list[Route]:
    """The rows of the documented table."""
    return [Route(*(cell.strip() for cell in cells)) for cells in _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))]


def read_openapi_routes(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of an OpenAPI document by method and path."""
    return {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def list_application_routes(app: flask.Flask) -> Iterator[tuple[str, str]]:
    """Method and path of all routes of the application, without HEAD and OPTIONS."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, _format_path(rule)


def _format_path(rule: Rule) -> str:
    return _PART.sub(lambda match: f"{{{_format_options(match) or match['name']}}}", rule.rule)


def _format_options(match: re.Match[str]) -> str:
    return ",".join(word.strip(" '\"") for word in (match["options"] or "").split(","))
