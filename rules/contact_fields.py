"""The shape of a contact's fields in a body; `rules.contacts` validates and normalises their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from rules.bodies import Body

_Field = Annotated[str, Field(max_length=1000)] | None
_Tag = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64})]


class ContactFields(Body):
    """The fields of a contact; null clears a field, and an absent one stays."""

    external_id: _Field = Field(None, alias="externalId")
    first_name: _Field = Field(None, alias="firstName")
    last_name: _Field = Field(None, alias="lastName")
    username: _Field = None
    email: _Field = None
    phone: _Field = None
    facebook_id: _Field = Field(None, alias="facebookId")
    instagram_id: _Field = Field(None, alias="instagramId")
    timezone: _Field = None
    tags: list[_Tag] | None = None
    attributes: dict[str, Any] | None = None
