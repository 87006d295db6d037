"""A contact's fields as the API takes them, made regular: camelCase in, snake_case out, addresses in one spelling.

Given fields replace, null clears, absent ones stay absent (semantics, section 14); `tags` and `attributes` come back
as given, whoever writes them adds and merges. A field with a problem is left out of the answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from rules.actions import attribute_fault
from rules.problems import Problem, below, character_fault, kind_of, unknown
from rules.schedule import zone_named

LONGEST_NAME = 200
MOST_TAGS = 100
LONGEST_TAG = 64
LARGEST_ATTRIBUTES_BYTES = 16 * 1024
DEEPEST_ATTRIBUTES = 4

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class _Fault(ValueError):
    """What is wrong with one field; `below` is where within it."""

    def __init__(self, message: str, below: str = "") -> None:
        super().__init__(message)
        self.below = below


def normalise(fields: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """The contact's fields in the words of the database, and what is wrong with the others. Never raises."""
    regular: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in fields.items():
        if name not in _FIELDS:
            problems.append(Problem(str(name), unknown("field", str(name), _FIELDS)))
            continue
        column, read = _FIELDS[name]
        try:
            regular[column] = None if value is None else read(value)
        except _Fault as fault:
            problems.append(Problem(f"{name}{fault.below}", str(fault)))
    return regular, problems


def normalise_phone(text: str) -> str:
    """A phone number in E.164, `+15550100`. Spaces, dots, hyphens and brackets are passed over.

    Raises `ValueError`. The shape decides, not the numbering plan: new ranges come into use before any list has them.
    """
    digits = re.sub(r"[\s().\-/]", "", text)
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if not _E164.fullmatch(digits):
        raise ValueError('must be a phone number with its country, such as "+15550100"')
    try:
        number = phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException:
        return digits
    if not phonenumbers.is_valid_number(number):
        return digits
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_email(text: str) -> str:
    """An e-mail address in lower case, its domain in ASCII; nobody is asked whether it exists. Raises `ValueError`."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError('must be an e-mail address such as "ada@example.com"') from None
    return f"{found.local_part}@{found.ascii_domain}".lower()


def _text(longest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise _Fault(f"must be a text, not {kind_of(value)}")
        fault = character_fault(value)
        if fault:
            raise _Fault(fault)
        text = value.strip()
        if not text:
            raise _Fault("must not be empty; null clears it")
        if len(text) > longest:
            raise _Fault(f"must have at most {longest} characters")
        return text

    return read


def _by(function: Callable[[str], object], longest: int) -> Callable[[object], str]:
    """A text that `function` accepts and may rewrite."""
    read_text = _text(longest)

    def read(value: object) -> str:
        text = read_text(value)
        try:
            return str(function(text))
        except ValueError as error:
            raise _Fault(str(error)) from None

    return read


def _tags(value: object) -> list[str]:
    if not isinstance(value, list):
        raise _Fault(f"must be a list, not {kind_of(value)}")
    if len(value) > MOST_TAGS:
        raise _Fault(f"must have at most {MOST_TAGS} tags, not {len(value)}")
    read = _text(LONGEST_TAG)
    tags = []
    for index, tag in enumerate(value):
        try:
            tags.append(read(tag))
        except _Fault as fault:
            raise _Fault(str(fault), f"[{index}]") from None
    return list(dict.fromkeys(tags))


def _attributes(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Fault(f"must be an object, not {kind_of(value)}")
    _check_json(value, "", 1)
    for name in value:
        fault = attribute_fault(name)
        if fault:
            raise _Fault(fault, f".{name}")
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > LARGEST_ATTRIBUTES_BYTES:
        raise _Fault(f"must have at most {LARGEST_ATTRIBUTES_BYTES // 1024} KiB")
    return value


def _check_json(value: object, at: str, level: int) -> None:
    if isinstance(value, (dict, list)) and level > DEEPEST_ATTRIBUTES:
        raise _Fault(f"must not be nested deeper than {DEEPEST_ATTRIBUTES} levels", at)
    if isinstance(value, str) and character_fault(value):
        raise _Fault(str(character_fault(value)), at)
    if isinstance(value, float) and not math.isfinite(value):
        raise _Fault("must be a finite number", at)
    if isinstance(value, int) and value.bit_length() > 63:
        raise _Fault("is too large a number", at)
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str) or character_fault(name):
                raise _Fault("has a field whose name is no plain text", at)
            _check_json(one, below(at, name) if at else f".{name}", level + 1)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _check_json(one, f"{at}[{index}]", level + 1)
    elif value is not None and not isinstance(value, (str, int, float)):
        raise _Fault(f"must be JSON, not {kind_of(value)}", at)


def _zone(text: str) -> str:
    return zone_named(text).key


#: Each field of the API: the database's name for it, and how it is read.
_FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "externalId": ("external_id", _text(200)),
    "firstName": ("first_name", _text(LONGEST_NAME)),
    "lastName": ("last_name", _text(LONGEST_NAME)),
    "username": ("username", _text(LONGEST_NAME)),
    "email": ("email", _by(normalise_email, 320)),
    "phone": ("phone", _by(normalise_phone, 40)),
    "facebookId": ("facebook_id", _text(LONGEST_NAME)),
    "instagramId": ("instagram_id", _text(LONGEST_NAME)),
    "timezone": ("timezone", _by(_zone, 64)),
    "tags": ("tags", _tags),
    "attributes": ("attributes", _attributes),
}

#: The fields of a contact in the API's words.
FIELDS = tuple(_FIELDS)
