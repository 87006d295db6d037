"""kept.json and access.json: private, complete, and the same from one start to the next."""

from __future__ import annotations

import base64
import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import settings
from workers import generated_secrets


@pytest.fixture
def load(tmp_path):
    return lambda **environ: settings.load({"BECKON_HOME": str(tmp_path), **environ}, dotenv=tmp_path / "none")


def test_the_first_start_generates_secrets_and_later_starts_keep_them(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path, sandbox_port=4000)
    first = load()
    generated_secrets.ensure_secrets(tmp_path, sandbox_port=4001)
    later = load()

    assert len(first.secret_key) >= 32
    assert (later.secret_key, later.sandbox_secrets) == (first.secret_key, first.sandbox_secrets)
    assert "" not in vars(first.sandbox_secrets).values()
    assert (first.sandbox_port, later.sandbox_port) == (4000, 4001)
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600


def test_the_generated_telnyx_key_signs_what_its_public_half_verifies(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    pair = generated_secrets.build_webhook_secrets(load())["telnyx"]
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(pair["seed"]))
    assert base64.b64encode(key.public_key().public_bytes_raw()).decode() == pair["publicKey"]


def test_access_json_has_every_field_of_the_contract_and_is_private(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    generated_secrets.write_access(load(), {"workspaceId": "w", "apiKey": "k"})
    path = tmp_path / "access.json"
    access = json.loads(path.read_text(encoding="utf-8"))
    assert {
        "url", "workspaceId", "apiKey", "siteKey", "email", "password", "instagramId", "facebookPageId", "sandboxUrl",
        "databaseUrl", "redisUrl", "webhookSecrets",
    } <= set(access)  # fmt: skip
    assert {"mailgun", "telnyx", "meta"} <= set(access["webhookSecrets"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_was_shown_once_stays_in_access_json(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    generated_secrets.write_access(load(), {"workspaceId": "w", "apiKey": "k"})
    access = generated_secrets.write_access(load(BECKON_PORT="9009"), {"workspaceId": "w", "apiKey": None})
    assert (access["apiKey"], access["url"]) == ("k", "http://127.0.0.1:9009")


REAL = {
    "MAILGUN_WEBHOOK_SIGNING_KEY": "the real key of mailgun", "META_APP_SECRET": "the real secret of meta",
    "TELNYX_PUBLIC_KEY": "the real key of telnyx", "META_VERIFY_TOKEN": "the real verify token",
}  # fmt: skip


def test_generated_secrets_are_the_sandbox_s_and_never_a_provider_s(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    config = load()
    assert (config.mailgun_webhook_signing_key, config.meta_app_secrets, config.telnyx_public_key) == ("", (), "")
    secrets = generated_secrets.build_webhook_secrets(config)
    assert secrets["mailgun"] == config.sandbox_secrets.mailgun
    assert secrets["meta"] == config.sandbox_secrets.meta


def test_access_json_never_shows_configured_secrets(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    generated_secrets.write_access(load(), {})
    before = (tmp_path / "access.json").read_text(encoding="utf-8")
    generated_secrets.write_access(load(**REAL), {})
    after = (tmp_path / "access.json").read_text(encoding="utf-8")
    assert "the real" not in after
    assert load(**REAL).sandbox_secrets == load().sandbox_secrets
    for name in ("meta", "mailgun", "telnyx"):
        assert json.loads(after)["webhookSecrets"][name] == json.loads(before)["webhookSecrets"][name]


def test_the_secrets_of_an_older_home_become_the_sandbox_s(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    older = {"secret_key": "k" * 40, "mailgun_webhook_signing_key": "m", "meta_app_secret": "a",
             "meta_verify_token": "v", "telnyx_webhook_seed": "s", "telnyx_public_key": "p",
             "sandbox_port": 4000}  # fmt: skip
    generated_secrets.write_private(tmp_path / "kept.json", older)
    generated_secrets.ensure_secrets(tmp_path)
    now = generated_secrets.read(tmp_path / "kept.json")
    # Secrets that only this version needs are added; those of the older home stay the same.
    assert {name: now[name] for name in older} == older
    assert vars(load().sandbox_secrets) == {"mailgun": "m", "meta": "a", "telnyx_seed": "s", "telnyx_public_key": "p"}


def test_half_a_telnyx_key_is_regenerated(load, tmp_path):
    generated_secrets.write_private(tmp_path / "kept.json", {"telnyx_public_key": "of another seed"})
    generated_secrets.ensure_secrets(tmp_path)
    own = load().sandbox_secrets
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(own.telnyx_seed))
    assert base64.b64encode(key.public_key().public_bytes_raw()).decode() == own.telnyx_public_key


def test_the_secrets_of_the_sandbox_are_in_no_repr(load, tmp_path):
    generated_secrets.ensure_secrets(tmp_path)
    config = load()
    assert config.sandbox_secrets.meta not in repr(config)
    assert config.sandbox_secrets.meta not in repr(config.sandbox_secrets)
