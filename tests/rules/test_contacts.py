"""A contact's fields: one spelling for each address, and a problem for each invalid field."""

from __future__ import annotations

from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import contacts
from rules.contacts import count_people, normalise


def test_the_contracts_example_is_normalised() -> None:
    fields = {
        "externalId": "c-1",
        "firstName": "Ada",
        "lastName": "Byron",
        "username": "ada",
        "email": "ada@example.com",
        "phone": "+15550100",
        "facebookId": "1",
        "instagramId": "2",
        "timezone": "Europe/Rome",
        "tags": ["lead"],
        "attributes": {"plan": "pro"},
    }
    regular, problems = normalise(fields)
    assert problems == []
    assert regular == {
        "external_id": "c-1",
        "first_name": "Ada",
        "last_name": "Byron",
        "username": "ada",
        "email": "ada@example.com",
        "phone": "+15550100",
        "facebook_id": "1",
        "instagram_id": "2",
        "timezone": "Europe/Rome",
        "tags": ["lead"],
        "attributes": {"plan": "pro"},
    }


def test_null_clears_and_absent_stays_absent() -> None:
    assert normalise({"email": None, "tags": None}) == ({"email": None, "tags": None}, [])
    assert normalise({}) == ({}, [])


@pytest.mark.parametrize(
    ("field", "value", "regular"),
    [
        ("email", " Ada.Byron@EXAMPLE.com ", "ada.byron@example.com"),
        ("email", "ada@münchen.de", "ada@xn--mnchen-3ya.de"),
        ("email", "ada@shop.test", "ada@shop.test"),
        ("phone", "+39 (06) 698-12345", "+390669812345"),
        ("phone", "0039 06 69812345", "+390669812345"),
        ("phone", "+44 (0)20 7946 0958", "+442079460958"),
        ("phone", "\u202a+39\u00a006\u20116981\u20132345\u202c\ufe0f", "+390669812345"),
        ("phone", "tel:+39-06-6981-2345", "+390669812345"),
        ("phone", "TEL: \uff0b\uff13\uff19 06 6981\u22122345", "+390669812345"),
        ("phone", "\u0660\u0660\u0663\u0669 06 69812345", "+390669812345"),
        ("firstName", "  Ada ", "Ada"),
        ("tags", ["a", " a ", "b"], ["a", "b"]),
    ],
)
def test_each_value_has_one_spelling(field: str, value: object, regular: object) -> None:
    result, problems = normalise({field: value})
    assert problems == []
    assert list(result.values()) == [regular]


def _build_nested(levels: int) -> Any:
    return {"a": _build_nested(levels - 1)} if levels else 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"email": "ada"}, "email"),
        ({"email": "ada@"}, "email"),
        ({"email": 3}, "email"),
        ({"phone": "5550100"}, "phone"),
        ({"phone": "+1"}, "phone"),
        ({"phone": "+1234567890123456"}, "phone"),
        ({"phone": "+1555010x"}, "phone"),
        ({"phone": "tel:+15550100;ext=12"}, "phone"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"firstName": "x" * 201}, "firstName"),
        ({"firstName": ""}, "firstName"),
        ({"firstName": "a\0"}, "firstName"),
        ({"lastName": "\ud800"}, "lastName"),
        ({"tags": "lead"}, "tags"),
        ({"tags": ["a", 1]}, "tags[1]"),
        ({"tags": ["x" * 65]}, "tags[0]"),
        ({"tags": [str(n) for n in range(101)]}, "tags"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {"a b": 1}}, "attributes.a b"),
        ({"attributes": {"a": "\0"}}, "attributes.a"),
        ({"attributes": {"a": float("nan")}}, "attributes.a"),
        ({"attributes": {"a": "x" * 17_000}}, "attributes"),
        ({"attributes": _build_nested(5)}, "attributes.a.a.a.a"),
        ({"frist_name": "Ada"}, "frist_name"),
    ],
)
def test_an_invalid_field_is_reported_and_left_out(fields: dict[str, object], path: str) -> None:
    regular, problems = normalise(fields)
    assert regular == {}
    assert [problem.path for problem in problems] == [path]


def test_attributes_may_be_four_levels_deep() -> None:
    assert normalise({"attributes": _build_nested(4)})[1] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"first_name": "x" * 200}, {"tags": ["x" * 64]}, {"tags": [str(n) for n in range(100)]},
        {"attributes": {"a": 2**63 - 1, "b": -(2**63) + 1}},
    ],
)  # fmt: skip
def test_a_value_at_its_limit_is_accepted(fields: dict[str, object]) -> None:
    body = {"firstName" if name == "first_name" else name: value for name, value in fields.items()}
    assert normalise(body) == (fields, [])


def test_a_number_of_more_than_64_bits_is_reported_at_its_place() -> None:
    assert [problem.path for problem in normalise({"attributes": {"a": [1, 2**63]}})[1]] == ["attributes.a[1]"]


def test_a_misspelt_field_suggests_the_nearest_name() -> None:
    assert normalise({"fristName": "Ada"})[1][0].message == 'unknown field "fristName"; did you mean "firstName"?'


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*contacts._FIELDS, "other"]), _ANYTHING, max_size=5))
def test_any_fields_normalise_without_an_exception_and_idempotently(fields: dict[str, Any]) -> None:
    regular, problems = normalise(fields)
    assert len(regular) + len({problem.path.split("[")[0].split(".")[0] for problem in problems}) == len(fields)


@pytest.mark.parametrize(
    ("rows", "people"),
    [
        ([], 0),
        ([{"first_name": "Ada"}, {"first_name": "Ada"}], 2),
        ([{"email": "a"}, {"email": "a"}, {"phone": "a"}], 2),
        ([{"email": "a"}, {"phone": "1"}, {"email": "a", "phone": "1"}], 1),
        ([{"external_id": "x", "email": "a"}, {"email": "b", "phone": "1"}, {"phone": "1", "external_id": "x"}], 1),
    ],
)
def test_rows_with_a_common_address_are_one_person(rows: list[dict[str, object]], people: int) -> None:
    assert count_people(rows) == people


_LOCAL_PARTS = st.text("aA0._+-'\"@ é", max_size=70)
_DOMAINS = st.one_of(
    st.text("aA0.-_ü@[] ", max_size=70),
    st.sampled_from(
        ["example.com", "Example.COM.", "münchen.de", "xn--mnchen-3ya.de", "localhost", "a.test", "x.invalid"]
    ),
    st.integers(1, 250).map(lambda length: "a." * (length // 2) + "com"),
)


@given(_LOCAL_PARTS, _DOMAINS)
@settings(max_examples=500, deadline=None)
def test_a_plain_address_is_judged_as_the_validator_judges_it(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    try:
        validated = validate_email(address.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        assert normalise({"email": address})[1] != []
        return
    assert normalise({"email": address}) == (
        {"email": f"{validated.local_part}@{validated.ascii_domain}".lower()}, []
    )  # fmt: skip
