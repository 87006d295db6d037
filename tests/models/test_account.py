"""Accounts on Meta's channels: each of one workspace, their tokens sealed."""

from __future__ import annotations

import pytest

from models import account
from models.database import row, transaction
from models.refusals import Conflict
from models.sealed import seal, unseal

KEY = "a secret key of the tests, long enough"


def test_an_account_belongs_to_one_workspace_of_the_whole_deployment(alices: str, charlies: str) -> None:
    account.add(alices, "instagram", "178", "Alice's shop")
    with pytest.raises(Conflict, match="connected already"):
        account.add(charlies, "instagram", "178", "Charlie's claim")
    account.add(charlies, "facebook", "178", "Another channel's id is another account")

    assert account.by_external_id("instagram", "178")["workspace_id"] == alices
    assert [one["name"] for one in account.every(alices)] == ["Alice's shop"]


def test_a_token_is_sealed_in_the_database_and_never_shown(alices: str) -> None:
    account.add(alices, "facebook", "101", "Page", access_token="EAAG-secret", secret_key=KEY)
    with transaction():
        stored = row("select access_token from accounts")["access_token"]
    assert "EAAG" not in stored
    assert unseal(KEY, stored) == "EAAG-secret"
    shown = account.shown(account.first(alices, "facebook"))
    assert shown["hasToken"] is True
    assert stored not in shown.values()


def test_what_another_key_sealed_reads_as_missing() -> None:
    sealed = seal(KEY, "token")
    assert unseal("another key, which is long enough too", sealed) is None
    assert unseal(KEY, sealed[:-4] + "AAAA") is None
    assert seal(KEY, "token") != sealed


def test_a_disconnected_account_is_nobodys(alices: str, charlies: str) -> None:
    mine = account.add(alices, "instagram", "178", "Alice's shop")
    assert not account.remove(charlies, mine)
    assert account.remove(alices, mine)
    assert account.by_external_id("instagram", "178") is None


def test_the_dashboard_sees_its_own_accounts_alone(as_dashboard: None, alices: str, charlies: str) -> None:
    account.add(alices, "instagram", "178", "Alice's shop")
    assert account.by_external_id("instagram", "178") is None
    assert account.every(charlies) == []
    assert account.first(alices, "instagram")["external_id"] == "178"
