"""The shape of a contact's fields in a body; `rules.contacts` validates and normalises their values.

The JSON Schemas say what is accepted in every spelling; a phone number or an e-mail address may also be written as
people write it.
"""

from __future__ import annotations

from functools import reduce
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from rules.bodies import Body
from rules.contacts import MAX_ATTRIBUTES_DEPTH, MAX_NAME_LENGTH, MAX_TAG_LENGTH, MAX_TAGS

EMAIL_SCHEMA: dict[str, Any] = {"type": "string", "format": "email", "maxLength": 254}
PHONE_SCHEMA: dict[str, Any] = {"type": "string", "pattern": r"^\+[1-9][0-9]{6,14}$"}

#: Any character but those that no field may contain: control characters other than tab and line breaks.
_CHARACTER = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_PLAIN = f"^{_CHARACTER}*$"
_SCALARS: list[dict[str, Any]] = [
    {"type": "string", "pattern": _PLAIN},
    {"type": "number", "minimum": 1 - 2**63, "maximum": 2**63 - 1},
    {"type": ["boolean", "null"]},
]


def _nest(value: dict[str, Any], _level: int) -> dict[str, Any]:
    """Return the schema of a scalar, or of a list or an object of values."""
    named = {"type": "object", "propertyNames": {"pattern": _PLAIN}, "additionalProperties": value}
    return {"anyOf": [*_SCALARS, {"type": "array", "items": value}, named]}


def _describe_text(max_length: int) -> dict[str, Any]:
    """Return the schema of a text that is not blank."""
    pattern = rf"^{_CHARACTER}*[^\s\x00-\x1f\x7f]{_CHARACTER}*$"
    return {"type": "string", "minLength": 1, "maxLength": max_length, "pattern": pattern}


_TAGS = {"type": "array", "items": _describe_text(MAX_TAG_LENGTH), "maxItems": MAX_TAGS}
_ATTRIBUTES = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    "additionalProperties": reduce(_nest, range(MAX_ATTRIBUTES_DEPTH - 1), {"anyOf": _SCALARS}),
}

_Text = Annotated[str, Field(max_length=1000)]
_Name = Annotated[_Text, WithJsonSchema(_describe_text(MAX_NAME_LENGTH))]
_Zone = Annotated[_Text, WithJsonSchema({"x-component": "TimeZone"})]
_Tags = Annotated[list[Any], WithJsonSchema(_TAGS)]
_Attributes = Annotated[dict[str, Any], WithJsonSchema(_ATTRIBUTES)]


class ContactFields(Body):
    """The fields of a contact; null clears a field, and an absent one stays."""

    external_id: _Name | None = Field(None, alias="externalId")
    first_name: _Name | None = Field(None, alias="firstName")
    last_name: _Name | None = Field(None, alias="lastName")
    username: _Name | None = None
    email: Annotated[_Text, WithJsonSchema(EMAIL_SCHEMA)] | None = None
    phone: Annotated[_Text, WithJsonSchema(PHONE_SCHEMA)] | None = None
    facebook_id: _Name | None = Field(None, alias="facebookId")
    instagram_id: _Name | None = Field(None, alias="instagramId")
    timezone: _Zone | None = None
    tags: _Tags | None = None
    attributes: _Attributes | None = None
