"""The two files of a home that hold secrets: `kept.json`, what the first start generated, and `access.json`.

The webhook secrets in both are the sandbox's own, under the names that `kept.json` has always had.

Both are written whole or not at all, and only their owner reads them.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settings import DATABASE_ROLES, Settings

ACCESS_FILE = "access.json"
SECRETS_FILE = "kept.json"

#: The fields of access.json that the demo workspace gives.
DEMO_FIELDS = ("workspaceId", "apiKey", "siteKey", "email", "password", "instagramId", "facebookPageId")


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file that only its owner may read."""
    temporary_file = path.with_name(path.name + ".new")
    temporary_file.unlink(missing_ok=True)
    descriptor = os.open(temporary_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary_file.replace(path)


def read(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is no file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _generate_telnyx_keys() -> dict[str, str]:
    key = Ed25519PrivateKey.generate()
    return {
        "telnyx_webhook_seed": base64.b64encode(key.private_bytes_raw()).decode(),
        "telnyx_public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    }


def ensure_secrets(home: Path, sandbox_port: int | None = None) -> None:
    """Generate what a home lacks of its own secrets, and remember the sandbox's port if one is given."""
    stored = read(home / SECRETS_FILE)
    generated = {
        "secret_key": secrets.token_urlsafe(48),
        "mailgun_webhook_signing_key": secrets.token_hex(16),
        "meta_app_secret": secrets.token_hex(16),
        "meta_verify_token": secrets.token_urlsafe(24),
        "database_passwords": {role: secrets.token_urlsafe(32) for role in DATABASE_ROLES.values()},
    }
    content = {**generated, **stored}
    if not stored.keys() >= {"telnyx_webhook_seed", "telnyx_public_key"}:
        content |= _generate_telnyx_keys()
    if sandbox_port is not None:
        content["sandbox_port"] = sandbox_port
    if content != stored:
        write_private(home / SECRETS_FILE, content)


def read_database_passwords(home: Path) -> dict[str, str]:
    """With what the roles of the embedded PostgreSQL log in, by role."""
    return dict(read(home / SECRETS_FILE)["database_passwords"])


def build_webhook_secrets(settings: Settings) -> dict[str, Any]:
    """With what the sandbox signs webhooks: Mailgun's key, Telnyx's pair (base64 of 32 bytes each), Meta's app secret.

    No secret that somebody configured is among them: a verify token only while it is the generated one.
    """
    sandbox_secrets = settings.sandbox_secrets
    content: dict[str, Any] = {
        "meta": sandbox_secrets.meta,
        "mailgun": sandbox_secrets.mailgun,
        "telnyx": {"seed": sandbox_secrets.telnyx_seed, "publicKey": sandbox_secrets.telnyx_public_key},
    }
    if settings.meta_verify_token == read(settings.home / SECRETS_FILE).get("meta_verify_token"):
        content["metaVerifyToken"] = settings.meta_verify_token
    return content


def write_access(settings: Settings, demo: dict[str, Any]) -> dict[str, Any]:
    """Write access.json: where this copy is and the keys to it. A key made at an earlier start stays in it."""
    path = settings.home / ACCESS_FILE
    previous = read(path)
    fields = {**previous, **{name: value for name, value in demo.items() if value is not None}}
    access = {
        "url": settings.url,
        **{name: fields.get(name) for name in DEMO_FIELDS},
        "sandboxUrl": settings.sandbox_url,
        "databaseUrl": settings.database_url,
        "redisUrl": settings.redis_url,
        "webhookSecrets": build_webhook_secrets(settings),
    }
    write_private(path, access)
    return access
