"""Accounts on Meta's channels: each belongs to one workspace, and its token is encrypted."""

from __future__ import annotations

import pytest

from models import account
from models.database import transaction
from models.encryption import decrypt, encrypt
from models.errors import Conflict
from tests.support.rows import fetch_row

KEY = "a secret key of the tests, long enough"


def test_an_account_belongs_to_one_workspace_of_the_whole_deployment(alices: str, charlies: str) -> None:
    account.add(alices, "instagram", "178", "Alice's shop")
    with pytest.raises(Conflict, match="already connected"):
        account.add(charlies, "instagram", "178", "Charlie's claim")
    account.add(charlies, "facebook", "178", "Another channel's id is another account")

    assert account.find_by_external_id("instagram", "178")["workspace_id"] == alices
    assert [row["name"] for row in account.list_all(alices)] == ["Alice's shop"]


def test_a_token_is_encrypted_in_the_database_and_never_shown(alices: str) -> None:
    account.add(alices, "facebook", "101", "Page", access_token="EAAG-secret", secret_key=KEY)
    with transaction():
        stored = fetch_row("select access_token from accounts")["access_token"]
    assert "EAAG" not in stored
    assert decrypt(KEY, stored) == "EAAG-secret"
    formatted = account.format_account(account.find_first(alices, "facebook"))
    assert formatted["hasToken"] is True
    assert stored not in formatted.values()


def test_a_secret_encrypted_with_another_key_reads_as_missing() -> None:
    ciphertext = encrypt(KEY, "token")
    assert decrypt("another key, which is long enough too", ciphertext) is None
    assert decrypt(KEY, ciphertext[:-4] + "AAAA") is None
    assert encrypt(KEY, "token") != ciphertext


def test_a_disconnected_account_belongs_to_no_workspace(alices: str, charlies: str) -> None:
    account_id = account.add(alices, "instagram", "178", "Alice's shop")
    assert not account.remove(charlies, account_id)
    assert account.remove(alices, account_id)
    assert account.find_by_external_id("instagram", "178") is None


def test_the_dashboard_only_sees_its_workspace_s_accounts(as_dashboard: None, alices: str, charlies: str) -> None:
    account.add(alices, "instagram", "178", "Alice's shop")
    assert account.find_by_external_id("instagram", "178") is None
    assert account.list_all(charlies) == []
    assert account.find_first(alices, "instagram")["external_id"] == "178"
