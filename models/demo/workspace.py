"""Creates the demo workspace at the first start, completely and once.

Later starts only repair what `access.json` needs: a working API key and password (they cannot be restored from their
hashes, so a file that has them keeps them), and a site key for the current URL.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from models import account, api_key, automation, contact_matching, site_key, user, workspace
from models.audit import SYSTEM
from models.database import acting_as, db, open_pool, transaction
from models.demo.examples import CONTACTS, EXAMPLES
from rules.json_text import load_json
from settings import Settings

SLUG = "demo"
OWNER_EMAIL = "owner@demo.example"
#: The name of the keys in access.json.
KEY_NAME = "access.json"
#: An origin of the browser script besides the dashboard's own URL, with any port.
LOCALHOST = "http://localhost"
#: The demo's accounts on Meta's channels, with made-up ids: channel, id, name and the field of access.json.
ACCOUNTS = (
    ("instagram", "17841405726653026", "Demo shop on Instagram", "instagramId"),
    ("facebook", "101457812431751", "Demo shop on Facebook", "facebookPageId"),
)


def ensure_demo(settings: Settings) -> dict[str, str]:
    """Create the demo workspace if it is missing; return its fields of `access.json`.

    `apiKey` and `password` are included only if they are new. Opens the process's pool as the service and closes it:
    a program calls this before it opens its own.
    """
    open_pool(settings.database_service_url, "beckon_service", 2)
    try:
        with transaction():
            row = workspace.find_by_slug(SLUG)
            workspace_id = row["id"] if row else create_demo()
            return {
                "workspaceId": workspace_id,
                "email": OWNER_EMAIL,
                "siteKey": _ensure_site_key(workspace_id, settings.url),
                **connect(workspace_id),
                **_issue_missing_secrets(workspace_id, _read_access_file(settings.home / "access.json", workspace_id)),
            }
    finally:
        db.close_all()


def create_demo() -> str:
    """Create the workspace with its contacts and automations; return its id."""
    workspace_id = workspace.create(SLUG, "Demo", demo=True)
    with acting_as(workspace_id):
        contact_matching.match_or_create(workspace_id, [(None, person) for person in CONTACTS])
    for example in EXAMPLES:
        automation.create(
            workspace_id, name=example.name, type=example.type, definition=example.definition, actor=SYSTEM,
            enabled=example.enabled,
        )  # fmt: skip
    return workspace_id


def _read_access_file(access_file: Path, workspace_id: str) -> dict[str, Any]:
    """Return what an earlier start wrote about this workspace; empty if nothing."""
    try:
        access = load_json(access_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(access) if access.get("workspaceId") == workspace_id else {}


def _issue_missing_secrets(workspace_id: str, access: dict[str, Any]) -> dict[str, str]:
    new_secrets = {}
    key = api_key.find(access["apiKey"]) if access.get("apiKey") else None
    is_usable = key is not None and key.workspace_id == workspace_id and key.scopes == set(api_key.SCOPES)
    if key is None or not is_usable or not key.deployment_owner:
        new_secrets["apiKey"] = api_key.issue(workspace_id, KEY_NAME, deployment_owner=True).secret
    user_id = user.find_id(OWNER_EMAIL)
    # A password that was changed since stays, although the file has the old one.
    if user_id is None or not access.get("password"):
        new_secrets["password"] = secrets.token_urlsafe(12)
        if user_id is None:
            user_id = user.create(OWNER_EMAIL, "Demo owner", new_secrets["password"], deployment_owner=True)
        else:
            user.set_password(user_id, new_secrets["password"])
        user.join(workspace_id, user_id, "owner")
    return new_secrets


def connect(workspace_id: str) -> dict[str, str]:
    """Return the ids of the demo's accounts by field of access.json; create those of channels without an account."""
    ids_by_field = {}
    for channel, external_id, name, field in ACCOUNTS:
        row = account.find_first(workspace_id, channel)
        if row is None and account.find_by_external_id(channel, external_id) is None:
            account.add(workspace_id, channel, external_id, name)
            ids_by_field[field] = external_id
        elif row is not None:
            ids_by_field[field] = row["external_id"]
    return ids_by_field


def _ensure_site_key(workspace_id: str, url: str) -> str:
    """Return an active site key that allows this installation's URL; issue one if there is none."""
    for key in site_key.list_all(workspace_id):
        if key["revoked_at"] is None and {url, LOCALHOST} <= set(key["origins"]):
            return key["key"]
    return site_key.issue(workspace_id, KEY_NAME, [url, LOCALHOST]).key
