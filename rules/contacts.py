"""Normalises a contact's fields from the API: camelCase in, snake_case out, one spelling for each address.

A field with a value replaces, null clears, an absent field stays absent. `tags` and
`attributes` are returned unmerged; the caller adds and merges them. A field with a problem is left out of the result.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from rules.actions import check_attribute_name
from rules.json_text import format_json
from rules.problems import Problem, check_characters, describe_type, format_unknown, join_path
from rules.schedule import find_zone

MAX_NAME_LENGTH = 200
MAX_EMAIL_LENGTH = 320
MAX_PHONE_LENGTH = 40
MAX_ZONE_LENGTH = 64
MAX_TAGS = 100
MAX_TAG_LENGTH = 64
MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_ATTRIBUTES_DEPTH = 4

#: What needs no closer look: the domain is looked at once for all addresses of it.
_PLAIN_LOCAL_PART = re.compile(r"(?=.{1,64}$)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_MAX_EMAIL_LENGTH = 254
#: The categories of characters without a shape: formats such as U+202A, and variation selectors.
_INVISIBLE = ("Cf", "Mn")
_MINUS = "\u2212"
#: A number with an exponent, or a text that looks like one.
_EXPONENT = re.compile(r"[0-9]e[+-]?[0-9]")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class _FieldError(ValueError):
    """An invalid field; `path` is the position within it."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def normalise(fields: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the valid fields by column name, and the problems of the others. Never raises."""
    columns: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in fields.items():
        if name not in _FIELDS:
            problems.append(Problem(str(name), format_unknown("field", str(name), _FIELDS)))
            continue
        column, read = _FIELDS[name]
        try:
            columns[column] = None if value is None else read(value)
        except _FieldError as fault:
            problems.append(Problem(f"{name}{fault.path}", str(fault)))
    return columns, problems


#: What identifies a person, by column.
_IDENTIFIERS = ("external_id", "email", "phone", "instagram_id", "facebook_id")


def count_people(rows: Iterable[Mapping[str, object]]) -> int:
    """Count the people in normalized rows: rows that share an id or an address belong to one person.

    A row that names two people of earlier rows joins them. A row that identifies nobody is a person of its own.
    """
    parents: dict[object, object] = {}
    without_identity = 0
    for row in rows:
        identities = [(name, row[name]) for name in _IDENTIFIERS if row.get(name)]
        without_identity += not identities
        for identity in identities:
            parents[_find_root(parents, identity)] = _find_root(parents, identities[0])
    return without_identity + sum(parent == identity for identity, parent in parents.items())


def _find_root(parents: dict[object, object], identity: object) -> object:
    """Return what stands for the identity's person, and shorten the way to it."""
    parents.setdefault(identity, identity)
    while parents[identity] != identity:
        parents[identity] = parents[parents[identity]]
        identity = parents[identity]
    return identity


def strip_phone(text: str) -> str:
    """Return a phone number's digits in ASCII with its plus sign; other characters of it stay.

    Spaces, dots, slashes, brackets, every dash, invisible marks, which phone books add, and `tel:` are removed.
    """
    visible = "".join(_fold_phone_character(character) for character in unicodedata.normalize("NFKC", text))
    return re.sub(r"^tel:|[\s().\-/]", "", visible.strip(), flags=re.IGNORECASE)


def _fold_phone_character(character: str) -> str:
    """Return a digit of any script in ASCII, any dash as a hyphen, and nothing for an invisible mark."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    return "-" if category == "Pd" or character == _MINUS else "" if category in _INVISIBLE else character


def normalise_phone(text: str) -> str:
    """Return a phone number in E.164, `+15550100`; see `strip_phone` for the spellings that are read.

    Raises `ValueError`. Only the format is checked, not the numbering plan: new ranges come into use before any list
    has them.
    """
    digits = strip_phone(text)
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if not _E164.fullmatch(digits):
        raise ValueError('must be a phone number with its country code, such as "+15550100"')
    try:
        number = phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException:
        return digits
    if not phonenumbers.is_valid_number(number):
        return digits
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_email(text: str) -> str:
    """Return an e-mail address in lower case with an ASCII domain; it may not exist. Raises `ValueError`."""
    address = text.strip()
    local, _, domain = address.rpartition("@")
    if address.isascii() and len(address) <= _MAX_EMAIL_LENGTH and _PLAIN_LOCAL_PART.fullmatch(local):
        return f"{local}@{_normalise_domain(domain)}".lower()
    return _validate_email(address)


@lru_cache(maxsize=4096)
def _normalise_domain(domain: str) -> str:
    """Return the domain of an e-mail address in ASCII. Raises `ValueError`, which is not cached."""
    return _validate_email(f"a@{domain}").partition("@")[2]


def _validate_email(address: str) -> str:
    try:
        valid = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError('must be an e-mail address such as "ada@example.com"') from None
    return f"{valid.local_part}@{valid.ascii_domain}".lower()


def _text_reader(max_length: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise _FieldError(f"must be a string, not {describe_type(value)}")
        fault = check_characters(value)
        if fault:
            raise _FieldError(fault)
        text = value.strip()
        if not text:
            raise _FieldError("must not be empty; null clears it")
        if len(text) > max_length:
            raise _FieldError(f"must have at most {max_length} characters")
        return text

    return read


def _converted_text_reader(convert: Callable[[str], object], max_length: int) -> Callable[[object], str]:
    """Read a string and pass it through `convert`, which may raise `ValueError`."""
    read_text = _text_reader(max_length)

    def read(value: object) -> str:
        text = read_text(value)
        try:
            return str(convert(text))
        except ValueError as error:
            raise _FieldError(str(error)) from None

    return read


def _read_tags(value: object) -> list[str]:
    if not isinstance(value, list):
        raise _FieldError(f"must be a list, not {describe_type(value)}")
    if len(value) > MAX_TAGS:
        raise _FieldError(f"must have at most {MAX_TAGS} tags, not {len(value)}")
    read = _text_reader(MAX_TAG_LENGTH)
    tags = []
    for index, tag in enumerate(value):
        try:
            tags.append(read(tag))
        except _FieldError as fault:
            raise _FieldError(str(fault), f"[{index}]") from None
    return list(dict.fromkeys(tags))


def measure_attributes(attributes: Mapping[str, Any]) -> int:
    """Return the bytes of a contact's attributes as PostgreSQL writes them, which their limit counts.

    PostgreSQL writes numbers without an exponent: 1e+300 has 301 digits.
    """
    text = format_json(attributes)
    exponents = sum(map(_measure_expansion, _iter_numbers(attributes))) if _EXPONENT.search(text) else 0
    return len(text.encode()) + exponents


def _iter_numbers(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _iter_numbers(item)


def _measure_expansion(number: float) -> int:
    """Return how many characters a number has more without an exponent."""
    return len(format(Decimal(repr(number)), "f")) - len(repr(number))


def _read_attributes(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _FieldError(f"must be an object, not {describe_type(value)}")
    _check_json(value, "", 1)
    for name in value:
        fault = check_attribute_name(name)
        if fault:
            raise _FieldError(fault, f".{name}")
    if measure_attributes(value) > MAX_ATTRIBUTES_BYTES:
        raise _FieldError(f"must have at most {MAX_ATTRIBUTES_BYTES // 1024} KiB")
    return value


def _check_json(value: object, path: str, level: int) -> None:
    if isinstance(value, (dict, list)) and level > MAX_ATTRIBUTES_DEPTH:
        raise _FieldError(f"must not be nested deeper than {MAX_ATTRIBUTES_DEPTH} levels", path)
    if isinstance(value, str) and check_characters(value):
        raise _FieldError(str(check_characters(value)), path)
    if isinstance(value, float) and not math.isfinite(value):
        raise _FieldError("must be a finite number", path)
    if isinstance(value, int) and value.bit_length() > 63:
        raise _FieldError("is too large a number", path)
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or check_characters(name):
                raise _FieldError("has a field name that is not plain text", path)
            _check_json(item, join_path(path, name) if path else f".{name}", level + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, f"{path}[{index}]", level + 1)
    elif value is not None and not isinstance(value, (str, int, float)):
        raise _FieldError(f"must be JSON, not {describe_type(value)}", path)


def _read_zone(text: str) -> str:
    return find_zone(text).key


#: Each API field: its column and its reader.
_FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "externalId": ("external_id", _text_reader(MAX_NAME_LENGTH)),
    "firstName": ("first_name", _text_reader(MAX_NAME_LENGTH)),
    "lastName": ("last_name", _text_reader(MAX_NAME_LENGTH)),
    "username": ("username", _text_reader(MAX_NAME_LENGTH)),
    "email": ("email", _converted_text_reader(normalise_email, MAX_EMAIL_LENGTH)),
    "phone": ("phone", _converted_text_reader(normalise_phone, MAX_PHONE_LENGTH)),
    "facebookId": ("facebook_id", _text_reader(MAX_NAME_LENGTH)),
    "instagramId": ("instagram_id", _text_reader(MAX_NAME_LENGTH)),
    "timezone": ("timezone", _converted_text_reader(_read_zone, MAX_ZONE_LENGTH)),
    "tags": ("tags", _read_tags),
    "attributes": ("attributes", _read_attributes),
}
