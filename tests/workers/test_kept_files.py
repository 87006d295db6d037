"""kept.json and access.json: private, whole, and the same from one start to the next."""

from __future__ import annotations

import base64
import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import settings
from workers import kept_files


@pytest.fixture
def load(tmp_path):
    return lambda **environ: settings.load({"BECKON_HOME": str(tmp_path), **environ}, dotenv=tmp_path / "none")


def test_the_first_start_generates_what_is_secret_and_later_ones_keep_it(load, tmp_path):
    kept_files.ensure_kept(tmp_path, sandbox_port=4000)
    first = load()
    kept_files.ensure_kept(tmp_path, sandbox_port=4001)
    later = load()

    assert len(first.secret_key) >= 32
    assert (later.secret_key, later.meta_app_secret) == (first.secret_key, first.meta_app_secret)
    assert (first.sandbox_port, later.sandbox_port) == (4000, 4001)
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600


def test_the_generated_telnyx_key_signs_what_its_public_half_verifies(load, tmp_path):
    kept_files.ensure_kept(tmp_path)
    pair = kept_files.webhook_secrets(load())["telnyx"]
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(pair["seed"]))
    assert base64.b64encode(key.public_key().public_bytes_raw()).decode() == pair["publicKey"]


def test_access_json_has_every_field_of_the_contract_and_is_private(load, tmp_path):
    kept_files.ensure_kept(tmp_path)
    kept_files.write_access(load(), {"workspaceId": "w", "apiKey": "k"})
    path = tmp_path / "access.json"
    access = json.loads(path.read_text(encoding="utf-8"))
    assert {
        "url", "workspaceId", "apiKey", "siteKey", "email", "password", "instagramId", "facebookPageId", "sandboxUrl",
        "databaseUrl", "redisUrl", "webhookSecrets",
    } <= set(access)  # fmt: skip
    assert {"mailgun", "telnyx", "meta"} <= set(access["webhookSecrets"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_was_shown_once_stays_in_access_json(load, tmp_path):
    kept_files.ensure_kept(tmp_path)
    kept_files.write_access(load(), {"workspaceId": "w", "apiKey": "k"})
    access = kept_files.write_access(load(BECKON_PORT="9009"), {"workspaceId": "w", "apiKey": None})
    assert (access["apiKey"], access["url"]) == ("k", "http://127.0.0.1:9009")
