"""The demo workspace: created at the first start, runnable without changes, and never overwritten by a later start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import settings
from models import account, api_key, automation, database, site_key, user, workspace
from models.audit import SYSTEM
from models.demo import workspace as demo_workspace
from models.demo.examples import CONTACTS, EXAMPLES
from models.reports import automations, contacts
from models.reports.contacts import ContactFilters
from rules.contacts import normalise_email, normalise_phone
from rules.schedule import find_zone
from rules.validation import validate


@pytest.fixture
def config(as_service: None, tmp_path: Path) -> settings.Settings:
    """Settings with a separate home for access.json."""
    return settings.load().replace(home=tmp_path)


@pytest.fixture
def start(config: settings.Settings) -> Any:
    """Run the demo part of a start; return the data of access.json."""
    access = config.home / "access.json"

    def run_start() -> dict[str, str]:
        before = json.loads(access.read_text()) if access.exists() else {}
        access_data = {**before, **demo_workspace.ensure_demo(config)}
        access.write_text(json.dumps(access_data))
        database.open_pool(config.database_service_url, "beckon_service", 4)
        return access_data

    return run_start


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_can_be_published(example):
    assert validate(example.definition, automation_type=example.type) == []


@pytest.mark.parametrize("person", CONTACTS, ids=lambda person: person["external_id"])
def test_every_demo_contact_is_stored_as_the_api_would_store_it(person):
    assert normalise_email(person["email"]) == person["email"]
    assert normalise_phone(person["phone"]) == person["phone"]
    assert find_zone(person["timezone"])


def test_the_first_start_creates_a_workspace_with_contacts_and_automations(start):
    access_data = start()
    assert workspace.get(access_data["workspaceId"])["demo"] is True
    assert len(contacts.fetch_page(access_data["workspaceId"], ContactFilters(), limit=100)) == len(CONTACTS) == 12
    rows = automations.fetch_page(access_data["workspaceId"], limit=100)
    assert {row["name"]: row["enabled"] for row in rows} == {example.name: example.enabled for example in EXAMPLES}


def test_access_json_has_working_credentials(start, config):
    access_data = start()
    assert api_key.find(access_data["apiKey"]).scopes == {"trigger", "track", "read", "write", "admin"}
    member, password_hash = user.find_sign_in(access_data["email"])
    assert (member.role, member.workspace_id) == ("owner", access_data["workspaceId"])
    assert user.password_matches(password_hash, access_data["password"])
    key = site_key.find(access_data["siteKey"])
    assert key.allows(config.url)
    assert key.allows("http://localhost:3000")
    assert not key.allows("https://evil.example")


def test_a_second_start_changes_nothing(start):
    first = start()
    assert start() == first
    assert len(api_key.list_all(first["workspaceId"])) == len(site_key.list_all(first["workspaceId"])) == 1


def test_deleted_demo_data_is_not_created_again(start):
    workspace_id = start()["workspaceId"]
    automation_id = automations.fetch_page(workspace_id, limit=1)[0]["id"]
    automation.delete(workspace_id, automation_id, SYSTEM, lambda: 0)
    start()
    assert automation_id not in {row["id"] for row in automations.fetch_page(workspace_id, limit=100)}
    assert len(automations.fetch_page(workspace_id, limit=100)) == len(EXAMPLES) - 1


def test_a_password_changed_by_its_owner_stays(start):
    access_data = start()
    user.set_password(user.find_id(access_data["email"]), "chosen by the owner")
    assert start() == access_data
    assert user.password_matches(user.find_sign_in(access_data["email"])[1], "chosen by the owner")


def test_a_lost_access_json_gets_new_working_secrets(start, config):
    first = start()
    (config.home / "access.json").unlink()
    second = start()
    assert second["workspaceId"] == first["workspaceId"]
    assert second["siteKey"] == first["siteKey"]
    assert api_key.find(second["apiKey"])
    assert api_key.find(first["apiKey"])
    assert user.password_matches(user.find_sign_in(second["email"])[1], second["password"])


def test_a_revoked_key_is_replaced(start):
    first = start()
    api_key.revoke(first["workspaceId"], api_key.find(first["apiKey"]).id)
    assert api_key.find(start()["apiKey"])


def test_another_url_gets_a_site_key_of_its_own(start, config):
    start()
    moved = config.replace(port=9191)
    access_data = demo_workspace.ensure_demo(moved)
    database.open_pool(config.database_service_url, "beckon_service", 4)
    assert site_key.find(access_data["siteKey"]).allows(moved.url)


def test_meta_webhooks_find_the_demo_by_the_accounts_in_access_json(start):
    access_data = start()
    for channel, field in (("instagram", "instagramId"), ("facebook", "facebookPageId")):
        assert account.find_by_external_id(channel, access_data[field])["workspace_id"] == access_data["workspaceId"]
    assert start()["instagramId"] == access_data["instagramId"]
    assert len(account.list_all(access_data["workspaceId"])) == 2
