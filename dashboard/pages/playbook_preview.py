"""The preview of a playbook on the operator's own page: who may be previewed, and the signed address of one preview.

Only pages whose origin a site key of the workspace allows can be previewed. The editor keeps a reference to the tab
that it opens, so its page has its own `Cross-Origin-Opener-Policy`; every other page keeps the strict one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import flask

import clock
from dashboard import preview_tokens
from dashboard.access import Caller, current_settings
from dashboard.api.automations import require_automation
from dashboard.errors import ProblemError
from dashboard.headers import DEFAULT_HEADERS
from dashboard.pages import layout
from dashboard.pages.playbook_form import Document
from dashboard.responses import success
from models import site_key
from models.site_key import SiteKey
from rules.origins import normalise_origin

preview_pages = flask.Blueprint("playbook-preview-pages", __name__)

#: The parameter of the operator's page, which the browser script looks for.
PARAMETER = "beckon_preview"
MAX_URL_LENGTH = 2000


@preview_pages.post("/automations/<automation_id>/preview")
def start(automation_id: str) -> Any:
    """The address of the operator's page with a new token, or, with `nonce`, a token that continues a preview."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    if row["type"] != "playbook":
        raise ProblemError(422, "This automation is not a playbook.")
    url = flask.request.form.get("url", "").strip()
    origin = _parse_origin(url)
    key = _find_key(call.workspace_id, origin)
    preview = _build_preview(call, automation_id, key)
    token = preview_tokens.sign(current_settings().secret_key, preview)
    return success(
        url=_add_token(url, token), origin=origin, token=token, nonce=preview.nonce, expiresAt=preview.expires_at
    )


def _build_preview(call: Caller, automation_id: str, key: SiteKey) -> preview_tokens.Preview:
    nonce = flask.request.form.get("nonce", "")
    return preview_tokens.Preview(
        workspace_id=call.workspace_id,
        automation_id=automation_id,
        user_id=str(call.actor.id),
        site_key=key.key,
        nonce=nonce if nonce and len(nonce) <= 40 else preview_tokens.choose_nonce(),
        expires_at=int(clock.now().timestamp()) + preview_tokens.LIFETIME_SECONDS,
    )


def _parse_origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        if len(url) > MAX_URL_LENGTH or not url.isprintable():
            raise ValueError
        return normalise_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        raise ProblemError(422, "Enter the full address of your page, such as https://shop.example/pricing.") from None


def _find_key(workspace_id: str, origin: str) -> SiteKey:
    for key in list_keys(workspace_id):
        if key.allows(origin):
            return key
    raise ProblemError(422, f"No site key allows {origin}. Add it to a site key in Settings, Keys.")


def list_keys(workspace_id: str) -> list[SiteKey]:
    """The active site keys of the workspace."""
    rows = [row for row in site_key.list_all(workspace_id) if row["revoked_at"] is None]
    return [SiteKey(row["id"], workspace_id, row["key"], tuple(row["origins"])) for row in rows]


def find_home() -> str:
    """Beckon's own origin, from which pages load the script, and to which the script answers."""
    return _parse_origin(current_settings().url)


def list_origins(workspace_id: str) -> list[str]:
    """The origins of the pages that can be previewed: those of the newest site key first, Beckon's own last."""
    origins = dict.fromkeys(origin for key in list_keys(workspace_id) for origin in key.origins)
    home = find_home()
    return sorted(origins, key=lambda origin: origin == home)


def _add_token(url: str, token: str) -> str:
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != PARAMETER]
    return urlunsplit(parts._replace(path=parts.path or "/", query=urlencode([*query, (PARAMETER, token)])))


def suggest_url(origins: list[str], document: Document) -> str:
    """An address where the playbook would run: an allowed origin, the condition's path, the UTM parameters."""
    conditions = document["trigger"]["with"]
    path = str(conditions.get("url", "/")).split("*")[0].split("?")[0] or "/"
    start = path if path.startswith(("http://", "https://")) else f"{origins[0]}{path}" if origins else ""
    utm = conditions.get("utm")
    query = urlencode({f"utm_{name}": value for name, value in utm.items()}) if isinstance(utm, dict) else ""
    return f"{start}?{query}" if start and query else start


def allow_preview(response: flask.Response, origins: list[str]) -> None:
    """Let the editor keep the tab that it opens, and frame the pages that can be previewed."""
    frames = [f"{origin}:*" if origin == "http://localhost" else origin for origin in origins]
    policy = DEFAULT_HEADERS["Content-Security-Policy"]
    if frames:
        response.headers["Content-Security-Policy"] = f"{policy}; frame-src {' '.join(frames)}"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
