"""Contacts: searching, changing, suppressing and deleting them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest

import settings
from models import contact, contact_matching, suppression
from models.audit import SYSTEM
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.queries import execute, fetch_value
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from rules.contacts import measure_attributes
from rules.json_text import dump_json
from tests.support.rows import fetch_row


def create_contact(workspace_id: str, **fields: Any) -> str:
    with acting_as(workspace_id):
        (row,) = contact_matching.match_or_create(workspace_id, [(None, fields)])
    assert isinstance(row, dict)
    return str(row["id"])


def list_first_names(workspace_id: str, before: str | None = None, **filters: Any) -> list[str]:
    page = report.fetch_page(workspace_id, ContactFilters(**filters), limit=10, before=before)
    return [str(row["first_name"]) for row in page]


def cancel_nothing() -> int:
    return 0


@pytest.fixture
def ada(as_dashboard: None, alices: str) -> str:
    return create_contact(
        alices, external_id="c-1", first_name="Ada", last_name="Byron", email="ada@example.com", tags=["lead"],
        attributes={"plan": "pro", "seats": 3},
    )  # fmt: skip


@pytest.mark.parametrize("q", ["ada", "BYR", "ada@example.com", "ADA@example.com", "c-1", "ada byr"])
def test_a_contact_is_found_by_address_and_by_word_prefixes(alices: str, ada: str, q: str) -> None:
    assert list_first_names(alices, q=q) == ["Ada"]


@pytest.mark.parametrize(
    "q",
    [
        "rene", "RENÉ", "rene\u0301", "dell'ac", "acqua", "strauss", "strauß", "example", "com ren", "15550100",
        "+15550100", "+1 (555) 01-00", "a.b", "ｒｅｎｅ", "4711", "17841400",
    ],
)  # fmt: skip
def test_a_contact_is_found_by_any_word_folded_by_accent_and_case(as_dashboard: None, alices: str, q: str) -> None:
    create_contact(
        alices, first_name="René", last_name="Dell’Acqua-Strauß", username="a_b", email="rene.b@example.com",
        phone="+15550100", facebook_id="4711", instagram_id="17841400",
    )  # fmt: skip
    create_contact(alices, first_name="Irene", external_id="other")
    assert list_first_names(alices, q=q) == ["René"]


def test_a_very_long_word_is_stored_and_found(as_dashboard: None, alices: str) -> None:
    name = "ﷺ" * 300
    create_contact(alices, first_name=name, external_id="long")
    assert list_first_names(alices, q=name[:100]) == [name]


@pytest.mark.parametrize("q", ["yron", "%", "'; drop table contacts", "& | !", "bob"])
def test_text_inside_a_word_is_not_found(alices: str, ada: str, q: str) -> None:
    assert list_first_names(alices, q=q) == []


def test_pages_follow_each_other_without_gaps(as_dashboard: None, alices: str) -> None:
    for name in ("Ada", "Bob", "Cleo"):
        create_contact(alices, external_id=name, first_name=name)
    first = report.fetch_page(alices, ContactFilters(), limit=2)
    assert [row["first_name"] for row in first] == ["Cleo", "Bob"]
    assert list_first_names(alices, before=str(first[-1]["id"])) == ["Ada"]


def test_contacts_are_listed_by_id_without_deleted_ones_and_those_of_other_workspaces(
    alices: str, charlies: str, ada: str
) -> None:
    bob, cleo, theirs = (
        create_contact(workspace_id, first_name=name, external_id=name)
        for workspace_id, name in ((alices, "Bob"), (alices, "Cleo"), (charlies, "Dan"))
    )
    contact.delete(alices, cleo, SYSTEM, cancel_nothing)
    assert [row["id"] for row in report.list_by_ids(alices, [ada, bob, cleo, theirs])] == [bob, ada]
    assert report.list_by_ids(alices, []) == []


def test_every_filter_must_match(alices: str, ada: str) -> None:
    bob = create_contact(alices, external_id="c-2", first_name="Bob", tags=["lead", "vip"])
    suppression.add(alices, bob, "sms", SYSTEM)
    assert list_first_names(alices, tag="lead") == ["Bob", "Ada"]
    assert list_first_names(alices, tag="lead", q="ada") == ["Ada"]
    assert (
        list_first_names(alices, suppressed="any") == list_first_names(alices, suppressed="sms", tag="vip") == ["Bob"]
    )
    assert list_first_names(alices, suppressed="email") == list_first_names(alices, suppressed="any", q="ada") == []
    assert list_first_names(alices, q=bob) == ["Bob"]
    assert list_first_names(alices, q=bob, tag="nobody") == []


def insert_newer_contacts(workspace_id: str, count: int) -> None:
    with acting_as(workspace_id):
        execute(
            "insert into contacts (id, workspace_id, external_id, email) select "
            "('ffffffff-ffff-7fff-8fff-' || lpad(to_hex(g), 12, '0'))::uuid, %s, 'n-' || g, 'n' || g || '@example.com' "
            "from generate_series(1, %s) g",
            (workspace_id, count),
        )


def test_a_rare_match_is_found_behind_any_number_of_newer_contacts(alices: str, ada: str) -> None:
    insert_newer_contacts(alices, 10_050)
    assert list_first_names(alices, q="ada") == list_first_names(alices, tag="lead") == ["Ada"]


def test_matching_a_contact_uses_the_index_of_each_identifier(alices: str, ada: str) -> None:
    insert_newer_contacts(alices, 3_000)
    with closing(psycopg2.connect(settings.load().database_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("analyze contacts")
    with acting_as(alices):
        contact_matching.match_or_create(alices, [(None, {"external_id": "c-1"}), (None, {"email": "ada@example.com"})])
        statistics = fetch_row(
            "select seq_tup_read + coalesce(idx_tup_fetch, 0) rows from pg_stat_xact_user_tables "
            "where relname = 'contacts'"
        )
    assert statistics is not None
    assert statistics["rows"] < 10


def test_a_suppression_is_lifted_once(alices: str, charlies: str, ada: str) -> None:
    suppression.add(alices, ada, "email", SYSTEM)
    (entry,) = suppression.list_for_contact(alices, ada)
    assert (entry["channel"], entry["address"], entry["reason"]) == ("email", "ada@example.com", "operator")
    with pytest.raises(Conflict):
        suppression.add(alices, ada, "email", SYSTEM)
    with pytest.raises(NotFound):
        suppression.add(charlies, ada, "email", SYSTEM)
    with pytest.raises(NotFound):
        suppression.lift(charlies, ada, "email", SYSTEM, "asked")
    suppression.lift(alices, ada, "email", SYSTEM, "asked")
    assert suppression.list_for_contact(alices, ada) == []
    with pytest.raises(Conflict):
        suppression.lift(alices, ada, "email", SYSTEM, "asked")


def test_fields_replace_attributes_merge_and_null_clears(alices: str, ada: str) -> None:
    contact.change(
        alices, ada, {"last_name": None, "tags": ["customer"], "attributes": {"seats": None, "x": 1}}, SYSTEM
    )
    updated = contact.get(alices, ada)
    assert updated is not None
    assert (updated["first_name"], updated["last_name"]) == ("Ada", None)
    assert (updated["tags"], updated["attributes"]) == (["customer"], {"plan": "pro", "x": 1})


def test_a_conflict_names_the_address_of_the_other_contact(alices: str, ada: str) -> None:
    bob = create_contact(alices, external_id="c-2", first_name="Bob")
    with pytest.raises(Conflict) as error:
        contact.change(alices, bob, {"external_id": "c-1"}, SYSTEM)
    assert error.value.path == "externalId"


def test_a_deleted_contact_is_gone_and_its_address_is_free(alices: str, ada: str) -> None:
    contact.delete(alices, ada, SYSTEM, cancel_nothing)
    assert contact.get(alices, ada) is None
    assert create_contact(alices, external_id="c-1", first_name="New") != ada
    with pytest.raises(NotFound):
        contact.delete(alices, ada, SYSTEM, cancel_nothing)


def test_another_workspace_sees_and_changes_nothing(alices: str, charlies: str, ada: str) -> None:
    assert contact.get(charlies, ada) is None
    assert (
        list_first_names(charlies)
        == list_first_names(charlies, q="ada")
        == list_first_names(charlies, tag="lead")
        == list_first_names(charlies, q=ada)
        == []
    )
    with pytest.raises(NotFound):
        contact.change(charlies, ada, {"first_name": "Mine"}, SYSTEM)


@pytest.mark.parametrize(
    "attributes",
    [
        {"million": 1e6, "all": [1.0, 1e16, 1e17, -1e-7, 1e300, -1e-300, 0.1], "none": None, "yes": [True, {}]},
        {"text": 'é "quoted" \\ 1e300\n\t', "whole": 2**62},
    ],
)
def test_attributes_are_measured_as_the_database_writes_them(
    as_dashboard: None, alices: str, attributes: dict[str, Any]
) -> None:
    with acting_as(alices):
        size = fetch_value("select octet_length(%s::jsonb::text)", (dump_json(attributes),))
    assert measure_attributes(attributes) == size
