"""Maps the columns of a file of contacts: each becomes a field of the contact, an attribute, or is ignored."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from rules.actions import MAX_ATTRIBUTE_NAME_LENGTH, check_attribute_name
from rules.problems import check_characters, shorten

MAX_COLUMNS = 200
MAX_NAME_LENGTH = 100

#: What a column becomes: a field of the contact by the API's name, an attribute, or nothing.
Target = Literal[
    "externalId", "firstName", "lastName", "username", "email", "phone", "facebookId", "instagramId", "timezone",
    "tags", "attribute", "ignore",
]  # fmt: skip
TARGETS: tuple[Target, ...] = get_args(Target)
ATTRIBUTE, IGNORE = TARGETS[-2:]
FIELDS = TARGETS[:-2]

_EXAMPLES = ("email", "externalId", "firstName", "lastName")
#: The usual names of columns in other products' files, without case, spaces and punctuation.
_USUAL_NAMES = {
    "externalId": "customerid userid externalidentifier",
    "firstName": "firstname givenname forename",
    "lastName": "surname familyname",
    "username": "handle instagramusername instagramhandle",
    "email": "mail emailaddress mailaddress primaryemail workemail",
    "phone": "phonenumber mobile mobilephone mobilenumber cell cellphone telephone tel",
    "facebookId": "messengerid facebookuserid",
    "instagramId": "instagramuserid",
    "timezone": "tz",
    "tags": "tag labels",
}
_FIELD_BY_KEY = {key: name for name, keys in _USUAL_NAMES.items() for key in (name.casefold(), *keys.split())}


class Column(NamedTuple):
    """A column of a file: its name in the first line, one of `TARGETS`, and the name of its attribute or ""."""

    name: str
    target: str
    attribute: str = ""


def count_known(header: Iterable[str]) -> int:
    """Count the names of a header that are fields."""
    return sum(_find_field(name) is not None for name in header)


def map_columns(header: Sequence[str], choices: Mapping[str, str]) -> list[Column]:
    """Return the columns of a file. `choices` has targets by name; a name it lacks takes the field that it names.

    The exact name of a field comes before a usual one; a field takes one column, further ones become attributes.
    """
    targets = {name: choices[name] for name in header if choices.get(name) in TARGETS}
    exact = {name: name for name in header if name in FIELDS}
    usual = {name: field for name in header if (field := _find_field(name))}
    for name, field in [*exact.items(), *usual.items()]:
        if name not in targets and field not in targets.values():
            targets[name] = field
    return [_build_column(name, targets.get(name, ATTRIBUTE)) for name in header]


def _build_column(name: str, target: str) -> Column:
    if not name:
        return Column(name, IGNORE)
    return Column(name, target, _name_attribute(name) if target == ATTRIBUTE else "")


def list_header_problems(columns: Sequence[Column]) -> list[str]:
    """Return what is wrong with the columns of a file, once for each of them."""
    names = [column.name for column in columns if column.name]
    if len(names) > MAX_COLUMNS:
        return [f"must have at most {MAX_COLUMNS} columns, not {len(names):,}"]
    problems = list(_list_name_problems(names))
    return problems or list(_list_target_problems(columns))


def _list_name_problems(names: Sequence[str]) -> Iterator[str]:
    for name in _repeated(names):
        yield f'every column needs a unique name in the first line, "{shorten(name)}" is repeated'
    for name in names:
        if len(name) > MAX_NAME_LENGTH:
            yield f'the name of the column "{shorten(name)}" must have at most {MAX_NAME_LENGTH} characters'
        elif fault := check_characters(name):
            yield f"the first line {fault}"


def _list_target_problems(columns: Sequence[Column]) -> Iterator[str]:
    if not any(column.target in FIELDS for column in columns):
        yield f"the first line must have field names such as {', '.join(_EXAMPLES)}"
    for target in _repeated(column.target for column in columns if column.target in FIELDS):
        yield f"{_join(columns, target=target)} are both mapped to {target}"
    for attribute in _repeated(column.attribute for column in columns if column.attribute):
        yield f"{_join(columns, attribute=attribute)} both become the attribute {attribute}"
    for column in columns:
        if column.target == ATTRIBUTE and not column.attribute:
            yield f'the name of the column "{column.name}" cannot name an attribute; rename it, or ignore it'


def _join(columns: Iterable[Column], **same: str) -> str:
    ((part, value),) = same.items()
    return " and ".join(f'"{column.name}"' for column in columns if getattr(column, part) == value)


def _repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _find_field(name: str) -> str | None:
    return _FIELD_BY_KEY.get("".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold())))


def _name_attribute(name: str) -> str:
    """Return the name of the column as an attribute's: "Company name" is company_name; "" where nothing remains."""
    if not check_attribute_name(name):
        return name
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    attribute = re.sub(r"[^a-z0-9.-]+", "_", letters).strip("_.-")[:MAX_ATTRIBUTE_NAME_LENGTH]
    return "" if check_attribute_name(attribute) else attribute
