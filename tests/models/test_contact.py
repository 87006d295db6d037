"""Contacts: how they are found, changed and let go."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest

import settings
from models import contact, contact_matching, suppression
from models.audit import SYSTEM
from models.database import acting_as, changed, row
from models.refusals import Conflict, NotThere
from models.reports import contacts as report
from models.reports.contacts import ContactFilters


def make(workspace_id: str, **fields: Any) -> str:
    with acting_as(workspace_id):
        (made,) = contact_matching.match(workspace_id, [(None, fields)])
    assert isinstance(made, dict)
    return str(made["id"])


def found(workspace_id: str, before: str | None = None, **filters: Any) -> list[str]:
    page = report.page(workspace_id, ContactFilters(**filters), limit=10, before=before)
    return [str(one["first_name"]) for one in page]


def nothing_in_flight() -> int:
    return 0


@pytest.fixture
def ada(as_dashboard: None, alices: str) -> str:
    return make(
        alices, external_id="c-1", first_name="Ada", last_name="Byron", email="ada@example.com", tags=["lead"],
        attributes={"plan": "pro", "seats": 3},
    )  # fmt: skip


@pytest.mark.parametrize("q", ["ada", "BYR", "ada@example.com", "ADA@example.com", "c-1", "ada byr"])
def test_a_contact_is_found_by_address_and_by_the_beginnings_of_words(alices: str, ada: str, q: str) -> None:
    assert found(alices, q=q) == ["Ada"]


@pytest.mark.parametrize("q", ["yron", "%", "'; drop table contacts", "& | !", "bob"])
def test_what_does_not_begin_a_word_is_not_found(alices: str, ada: str, q: str) -> None:
    assert found(alices, q=q) == []


def test_pages_follow_each_other_without_gaps(as_dashboard: None, alices: str) -> None:
    for name in ("Ada", "Bob", "Cleo"):
        make(alices, external_id=name, first_name=name)
    first = report.page(alices, ContactFilters(), limit=2)
    assert [one["first_name"] for one in first] == ["Cleo", "Bob"]
    assert found(alices, before=str(first[-1]["id"])) == ["Ada"]


def test_every_filter_that_is_given_must_hold(alices: str, ada: str) -> None:
    bob = make(alices, external_id="c-2", first_name="Bob", tags=["lead", "vip"])
    suppression.add(alices, bob, "sms", SYSTEM)
    assert found(alices, tag="lead") == ["Bob", "Ada"]
    assert found(alices, tag="lead", q="ada") == ["Ada"]
    assert found(alices, suppressed="any") == found(alices, suppressed="sms", tag="vip") == ["Bob"]
    assert found(alices, suppressed="email") == found(alices, suppressed="any", q="ada") == []
    assert found(alices, q=bob) == ["Bob"]
    assert found(alices, q=bob, tag="nobody") == []


def newer_contacts(workspace_id: str, count: int) -> None:
    with acting_as(workspace_id):
        changed(
            "insert into contacts (id, workspace_id, external_id, email) select "
            "('ffffffff-ffff-7fff-8fff-' || lpad(to_hex(g), 12, '0'))::uuid, %s, 'n-' || g, 'n' || g || '@example.com' "
            "from generate_series(1, %s) g",
            (workspace_id, count),
        )


def test_what_is_rare_is_found_behind_any_number_of_newer_contacts(alices: str, ada: str) -> None:
    newer_contacts(alices, 10_050)
    assert found(alices, q="ada") == found(alices, tag="lead") == ["Ada"]


def test_a_trigger_finds_its_contact_by_the_index_of_each_address(alices: str, ada: str) -> None:
    newer_contacts(alices, 3_000)
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("analyze contacts")
    with acting_as(alices):
        contact_matching.match(alices, [(None, {"external_id": "c-1"}), (None, {"email": "ada@example.com"})])
        read = row(
            "select seq_tup_read + coalesce(idx_tup_fetch, 0) rows from pg_stat_xact_user_tables "
            "where relname = 'contacts'"
        )
    assert read is not None
    assert read["rows"] < 10


def test_a_suppressed_channel_is_lifted_again_once(alices: str, charlies: str, ada: str) -> None:
    suppression.add(alices, ada, "email", SYSTEM)
    (held,) = suppression.of_contact(alices, ada)
    assert (held["channel"], held["address"], held["reason"]) == ("email", "ada@example.com", "operator")
    with pytest.raises(Conflict):
        suppression.add(alices, ada, "email", SYSTEM)
    for somebody_else in (suppression.add, suppression.lift):
        with pytest.raises(NotThere):
            somebody_else(charlies, ada, "email", SYSTEM)
    suppression.lift(alices, ada, "email", SYSTEM)
    assert suppression.of_contact(alices, ada) == []
    with pytest.raises(Conflict):
        suppression.lift(alices, ada, "email", SYSTEM)


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
    contact.delete(alices, ada, SYSTEM, nothing_in_flight)
    assert contact.get(alices, ada) is None
    assert make(alices, external_id="c-1", first_name="New") != ada
    with pytest.raises(NotThere):
        contact.delete(alices, ada, SYSTEM, nothing_in_flight)


def test_another_workspace_sees_and_changes_nothing(alices: str, charlies: str, ada: str) -> None:
    assert contact.get(charlies, ada) is None
    assert found(charlies) == found(charlies, q="ada") == found(charlies, tag="lead") == found(charlies, q=ada) == []
    with pytest.raises(NotThere):
        contact.change(charlies, ada, {"first_name": "Mine"}, SYSTEM)
