"""The search over everything: what is found, in which groups, and that no other workspace's objects are."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import sign_in_as


def find(producer: Producer, q: str, **query: Any) -> dict[str, Any]:
    """The groups by kind."""
    response = producer.get("/api/search", query_string={"q": q, **query})
    assert response.status_code == 200, response.json
    return {group["kind"]: group for group in response.json["groups"]}


def list_titles(producer: Producer, q: str) -> list[tuple[str, str]]:
    return [(kind, result["title"]) for kind, group in find(producer, q).items() for result in group["results"]]


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create(name="Café welcome")


@pytest.fixture
def ada(alice: Producer) -> str:
    return example_executions.create_contact(
        alice, "Ada", last_name="Byron", email="ada@example.com", phone="+15550100", external_id="c-1",
        instagram_id="17841400000000001", facebook_id="6500000001",
    )  # fmt: skip


@pytest.mark.parametrize(
    "q",
    ["ada", "byr AD", "ada@example.com", "+1 555 0100", "tel:+1‑5550100", "c-1", " ada ", "17841400000000001",
     "6500000001"],
)  # fmt: skip
def test_a_contact_is_found_by_name_address_and_external_id(alice: Producer, ada: str, q: str) -> None:
    group = find(alice, q)["contact"]
    assert [(result["id"], result["title"], result["detail"], result["path"]) for result in group["results"]] == [
        (ada, "Ada Byron", "ada@example.com", f"/contacts/{ada}")
    ]
    assert group["total"] == 1


def test_an_automation_is_found_by_the_words_of_its_name_and_its_id(
    alice: Producer, automation: dict[str, Any]
) -> None:
    for q in ("cafe", "WEL caf", automation["id"]):
        assert list_titles(alice, q) == [("automation", "Café welcome")]
    assert list_titles(alice, "elcome") == []


def test_an_execution_is_found_by_its_whole_id_and_by_its_contacts(
    alice: Producer, automation: dict[str, Any], ada: str
) -> None:
    execution_id = example_executions.create_execution(alice, automation, contact_id=ada)
    (result,) = find(alice, execution_id)["execution"]["results"]
    assert (result["title"], result["detail"]) == ("Ada Byron", "Succeeded · Café welcome")
    assert result["path"] == f"/executions/{execution_id}"
    assert find(alice, execution_id[:-1]) == {}
    assert list(find(alice, ada)) == ["execution", "contact"]


def test_a_message_is_found_by_the_id_that_its_provider_gave_it(alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = example_executions.create_execution(alice, automation)
    example_executions.create_message(alice, automation, execution_id, provider_message_id="<1.2@mg.example>")
    (result,) = find(alice, "<1.2@mg.example>")["message"]["results"]
    assert (result["title"], result["path"]) == ("ada@example.com", f"/executions/{execution_id}")
    assert "message" not in find(alice, "1.2@mg")


@pytest.mark.parametrize("q", ["rate_limit", "rate", "LIM rat"])
def test_an_error_leads_to_the_failures_of_its_class(alice: Producer, q: str) -> None:
    (result,) = find(alice, q)["error"]["results"]
    assert (result["title"], result["path"]) == ("Rate limit", "/failures?errorClass=rate_limit")


def test_nothing_of_another_workspace_is_found(
    alice: Producer, charlie: Producer, automation: dict[str, Any], ada: str
) -> None:
    execution_id = example_executions.create_execution(alice, automation, contact_id=ada)
    example_executions.create_message(alice, automation, execution_id, provider_message_id="mg-1")
    for q in ("ada", "ada@example.com", "c-1", "cafe", automation["id"], execution_id, ada, "mg-1"):
        assert find(alice, q), q
        assert find(charlie, q) == {}, q


def test_each_kind_is_limited_and_its_list_has_all(alice: Producer) -> None:
    for number in range(7):
        example_executions.create_contact(alice, f"Ada {number}")
    group = find(alice, "ada")["contact"]
    assert (len(group["results"]), group["total"], group["path"]) == (5, 7, "/contacts?q=ada")
    assert len(find(alice, "ada", limit=6)["contact"]["results"]) == 6


@pytest.mark.parametrize("q", ["  ", "%", "!!", "' or 1=1 --", "nobody"])
def test_a_query_without_matches_finds_nothing(alice: Producer, ada: str, q: str) -> None:
    assert find(alice, q) == {}


def test_the_page_lists_the_results_and_links_to_their_lists(
    alice: Producer, client: FlaskClient, automation: dict[str, Any]
) -> None:
    for number in range(21):
        example_executions.create_contact(alice, f"Café {number}")
    bob = sign_in_as(client, alice)
    page = bob.get("/search?q=cafe").text
    assert f'href="/automations/{automation["id"]}"' in page
    assert '<a class="small" href="/contacts?q=cafe">All 21</a>' in page
    assert "/automations?q=cafe" not in page
    fragment = bob.get("/search?q=cafe", headers={"HX-Request": "true"}).text
    assert "Café 20" in fragment
    assert "<html" not in fragment
    assert "No results" in bob.get("/search?q=nobody").text
    assert "Find anything" in bob.get("/search").text
