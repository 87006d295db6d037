"""The demo workspace: there after the first start, runnable as it is, and never overwritten by a later start."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import settings
from models import account, api_key, automation, database, demo, site_key, user, workspace
from models.audit import SYSTEM
from models.demo_examples import CONTACTS, EXAMPLES
from models.reports import automations, contacts
from models.reports.contacts import ContactFilters
from rules.contacts import normalise_email, normalise_phone
from rules.schedule import zone_named
from rules.validation import validate


@pytest.fixture
def told(as_service: None, tmp_path: Path) -> settings.Settings:
    """Settings with a home of their own, in which access.json may stand."""
    return dataclasses.replace(settings.load(), home=tmp_path)


@pytest.fixture
def start(told: settings.Settings) -> Any:
    """A start of Beckon as far as the demo goes: what access.json says after it."""
    access = told.home / "access.json"

    def started() -> dict[str, str]:
        before = json.loads(access.read_text()) if access.exists() else {}
        says = {**before, **demo.ensure_demo(told)}
        access.write_text(json.dumps(says))
        database.open_pool(told.database_service_url, "beckon_service", 4)
        return says

    return started


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_can_be_published(example):
    assert validate(example.definition, automation_type=example.type) == []


@pytest.mark.parametrize("person", CONTACTS, ids=lambda person: person["external_id"])
def test_every_person_is_as_the_api_would_have_stored_them(person):
    assert normalise_email(person["email"]) == person["email"]
    assert normalise_phone(person["phone"]) == person["phone"]
    assert zone_named(person["timezone"])


def test_the_first_start_makes_a_workspace_with_people_and_automations(start):
    says = start()
    assert workspace.get(says["workspaceId"])["demo"] is True
    assert len(contacts.page(says["workspaceId"], ContactFilters(), limit=100)) == len(CONTACTS) == 12
    made = automations.page(says["workspaceId"], limit=100)
    assert {one["name"]: one["enabled"] for one in made} == {one.name: one.enabled for one in EXAMPLES}


def test_access_json_says_what_opens_the_doors(start, told):
    says = start()
    assert api_key.find(says["apiKey"]).scopes == {"trigger", "track", "read", "write", "admin"}
    member, password_hash = user.find_sign_in(says["email"])
    assert (member.role, member.workspace_id) == ("owner", says["workspaceId"])
    assert user.password_matches(password_hash, says["password"])
    key = site_key.find(says["siteKey"])
    assert key.allows(told.url)
    assert key.allows("http://localhost:3000")
    assert not key.allows("https://evil.example")


def test_a_second_start_changes_nothing(start):
    first = start()
    assert start() == first
    assert len(api_key.every(first["workspaceId"])) == len(site_key.every(first["workspaceId"])) == 1


def test_what_was_deleted_does_not_come_back(start):
    workspace_id = start()["workspaceId"]
    gone = automations.page(workspace_id, limit=1)[0]["id"]
    automation.delete(workspace_id, gone, SYSTEM, lambda: 0)
    start()
    assert gone not in {one["id"] for one in automations.page(workspace_id, limit=100)}
    assert len(automations.page(workspace_id, limit=100)) == len(EXAMPLES) - 1


def test_a_password_that_its_owner_changed_stays(start):
    says = start()
    user.set_password(user.id_of(says["email"]), "chosen by the owner")
    assert start() == says
    assert user.password_matches(user.find_sign_in(says["email"])[1], "chosen by the owner")


def test_a_lost_access_json_gets_secrets_that_work(start, told):
    first = start()
    (told.home / "access.json").unlink()
    again = start()
    assert again["workspaceId"] == first["workspaceId"]
    assert again["siteKey"] == first["siteKey"]
    assert api_key.find(again["apiKey"])
    assert api_key.find(first["apiKey"])
    assert user.password_matches(user.find_sign_in(again["email"])[1], again["password"])


def test_a_revoked_key_is_replaced(start):
    first = start()
    api_key.revoke(first["workspaceId"], api_key.find(first["apiKey"]).id)
    assert api_key.find(start()["apiKey"])


def test_another_url_gets_a_site_key_of_its_own(start, told):
    start()
    moved = dataclasses.replace(told, port=9191)
    says = demo.ensure_demo(moved)
    database.open_pool(told.database_service_url, "beckon_service", 4)
    assert site_key.find(says["siteKey"]).allows(moved.url)


def test_meta_s_webhooks_find_the_demo_by_the_accounts_that_access_json_names(start):
    says = start()
    for channel, field in (("instagram", "instagramId"), ("facebook", "facebookPageId")):
        assert account.by_external_id(channel, says[field])["workspace_id"] == says["workspaceId"]
    assert start()["instagramId"] == says["instagramId"]
    assert len(account.every(says["workspaceId"])) == 2
