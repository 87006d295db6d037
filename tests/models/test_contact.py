"""Contacts: how they are found, changed and let go."""

from __future__ import annotations

from typing import Any

import pytest

from models import contact, contact_matching
from models.audit import SYSTEM
from models.database import acting_as
from models.refusals import Conflict, NotThere


def make(workspace_id: str, **fields: Any) -> str:
    with acting_as(workspace_id):
        (made,) = contact_matching.match(workspace_id, [(None, fields)])
    assert isinstance(made, dict)
    return str(made["id"])


def found(workspace_id: str, **query: Any) -> list[str]:
    return [str(one["first_name"]) for one in contact.page(workspace_id, **{"limit": 10, **query})]


@pytest.fixture
def ada(as_dashboard: None, alices: str) -> str:
    return make(
        alices, external_id="c-1", first_name="Ada", last_name="Byron", email="ada@example.com", tags=["lead"],
        attributes={"plan": "pro", "seats": 3},
    )  # fmt: skip


@pytest.mark.parametrize("q", ["ada", "BYR", "ada@example.com", "c-1", "ada byr"])
def test_a_contact_is_found_by_address_and_by_the_beginnings_of_words(alices: str, ada: str, q: str) -> None:
    assert found(alices, q=q) == ["Ada"]


@pytest.mark.parametrize("q", ["yron", "%", "'; drop table contacts", "& | !", "bob"])
def test_what_does_not_begin_a_word_is_not_found(alices: str, ada: str, q: str) -> None:
    assert found(alices, q=q) == []


def test_pages_follow_each_other_without_gaps(as_dashboard: None, alices: str) -> None:
    for name in ("Ada", "Bob", "Cleo"):
        make(alices, external_id=name, first_name=name)
    first = contact.page(alices, limit=2)
    assert [one["first_name"] for one in first] == ["Cleo", "Bob"]
    assert found(alices, before=str(first[-1]["id"])) == ["Ada"]


def test_given_fields_replace_attributes_merge_and_null_clears(alices: str, ada: str) -> None:
    contact.change(
        alices, ada, {"last_name": None, "tags": ["customer"], "attributes": {"seats": None, "x": 1}}, SYSTEM
    )
    changed = contact.get(alices, ada)
    assert changed is not None
    assert (changed["first_name"], changed["last_name"]) == ("Ada", None)
    assert (changed["tags"], changed["attributes"]) == (["customer"], {"plan": "pro", "x": 1})


def test_an_address_of_another_contact_is_refused_by_its_name(alices: str, ada: str) -> None:
    bob = make(alices, external_id="c-2", first_name="Bob")
    with pytest.raises(Conflict) as refused:
        contact.change(alices, bob, {"external_id": "c-1"}, SYSTEM)
    assert refused.value.path == "externalId"


def test_a_deleted_contact_is_gone_and_its_address_is_free(alices: str, ada: str) -> None:
    contact.delete(alices, ada, SYSTEM)
    assert contact.get(alices, ada) is None
    assert make(alices, external_id="c-1", first_name="New") != ada
    with pytest.raises(NotThere):
        contact.delete(alices, ada, SYSTEM)


def test_another_workspace_sees_and_changes_nothing(alices: str, charlies: str, ada: str) -> None:
    assert contact.get(charlies, ada) is None
    assert found(charlies) == []
    with pytest.raises(NotThere):
        contact.change(charlies, ada, {"first_name": "Mine"}, SYSTEM)
