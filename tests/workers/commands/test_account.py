"""`beckon account`: the Pages and Instagram accounts of a workspace."""

from __future__ import annotations

import settings
from models import account, audit
from models.encryption import decrypt


def test_an_account_is_connected_listed_and_disconnected(alice, alice_beckon, alice_json):
    alice_beckon("account", "add", "instagram", "17841400000000077", "--name", "Shop")
    (account_row,) = alice_json("account", "list")["accounts"]
    assert (account_row["channel"], account_row["externalId"], account_row["name"], account_row["hasToken"]) == (
        "instagram", "17841400000000077", "Shop", False,
    )  # fmt: skip
    assert account.find_by_external_id("instagram", "17841400000000077")["workspace_id"] == alice.workspace_id

    alice_beckon("account", "remove", account_row["id"])

    assert alice_json("account", "list")["accounts"] == []
    assert [entry["action"] for entry in audit.fetch_page(alice.workspace_id, 2)] == [
        "account.disconnected",
        "account.connected",
    ]
    assert "no account with that id" in alice_beckon("account", "remove", account_row["id"], code=1).stderr


def test_an_account_s_token_is_encrypted_and_never_shown(alice, alice_beckon):
    alice_beckon("account", "add", "facebook", "77", "--token-stdin", stdin="EAAG-secret\n")
    row = account.find_first(alice.workspace_id, "facebook")
    assert decrypt(settings.load().secret_key, row["access_token"]) == "EAAG-secret"
    assert "EAAG" not in alice_beckon("account", "list").stdout
    assert "no access token" in alice_beckon("account", "add", "facebook", "78", "--token-stdin", code=1).stderr


def test_an_expired_token_is_replaced_while_the_account_stays_connected(alice, alice_beckon, alice_json):
    alice_beckon("account", "add", "facebook", "77", "--token-stdin", stdin="EAAG-old\n")
    (account_row,) = alice_json("account", "list")["accounts"]

    alice_beckon("account", "token", account_row["id"], stdin="EAAG-new\n")
    row = account.find_first(alice.workspace_id, "facebook")
    assert (row["id"], decrypt(settings.load().secret_key, row["access_token"])) == (account_row["id"], "EAAG-new")
    (newest, *_) = audit.fetch_page(alice.workspace_id, 1)
    assert (newest["action"], newest["detail"]) == ("account.renewed", {"hasToken": True})

    alice_beckon("account", "token", account_row["id"], "--forget")
    assert account.find_first(alice.workspace_id, "facebook")["access_token"] is None
    assert "no access token" in alice_beckon("account", "token", account_row["id"], code=1).stderr
    assert "no account with that id" in alice_beckon("account", "token", alice.workspace_id, "--forget", code=1).stderr


def test_a_connected_account_or_an_invalid_meta_id_is_refused(alice, alice_beckon):
    alice_beckon("account", "add", "facebook", "77")
    assert "already connected" in alice_beckon("account", "add", "facebook", "77", code=1).stderr
    assert "must be Meta's numeric id" in alice_beckon("account", "add", "facebook", "my page", code=2).stderr
