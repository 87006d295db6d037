"""`beckon account`: which Pages and Instagram accounts are the workspace's."""

from __future__ import annotations

import settings
from models import account, audit
from models.sealed import unseal


def test_an_account_is_connected_listed_and_disconnected(alice, hers, told):
    hers("account", "add", "instagram", "17841400000000077", "--name", "Shop")
    (listed,) = told("account", "list")["accounts"]
    assert (listed["channel"], listed["externalId"], listed["name"], listed["hasToken"]) == (
        "instagram", "17841400000000077", "Shop", False,
    )  # fmt: skip
    assert account.by_external_id("instagram", "17841400000000077")["workspace_id"] == alice.workspace_id

    hers("account", "remove", listed["id"])

    assert told("account", "list")["accounts"] == []
    assert [one["action"] for one in audit.page(alice.workspace_id, 2)] == ["account.disconnected", "account.connected"]
    assert "no account by that id" in hers("account", "remove", listed["id"], code=1).stderr


def test_an_own_token_is_sealed_and_never_shown(alice, hers):
    hers("account", "add", "facebook", "77", "--token-stdin", stdin="EAAG-secret\n")
    kept = account.first(alice.workspace_id, "facebook")
    assert unseal(settings.load().secret_key, kept["access_token"]) == "EAAG-secret"
    assert "EAAG" not in hers("account", "list").stdout
    assert "no access token" in hers("account", "add", "facebook", "78", "--token-stdin", code=1).stderr


def test_an_expired_token_is_replaced_while_the_account_stays_connected(alice, hers, told):
    hers("account", "add", "facebook", "77", "--token-stdin", stdin="EAAG-old\n")
    (listed,) = told("account", "list")["accounts"]

    hers("account", "token", listed["id"], stdin="EAAG-new\n")
    kept = account.first(alice.workspace_id, "facebook")
    assert (kept["id"], unseal(settings.load().secret_key, kept["access_token"])) == (listed["id"], "EAAG-new")
    (newest, *_) = audit.page(alice.workspace_id, 1)
    assert (newest["action"], newest["detail"]) == ("account.renewed", {"hasToken": True})

    hers("account", "token", listed["id"], "--forget")
    assert account.first(alice.workspace_id, "facebook")["access_token"] is None
    assert "no access token" in hers("account", "token", listed["id"], code=1).stderr
    assert "no account by that id" in hers("account", "token", alice.workspace_id, "--forget", code=1).stderr


def test_what_is_connected_already_or_no_id_of_metas_is_refused(alice, hers):
    hers("account", "add", "facebook", "77")
    assert "connected already" in hers("account", "add", "facebook", "77", code=1).stderr
    assert "the number that Meta gave" in hers("account", "add", "facebook", "my page", code=2).stderr
