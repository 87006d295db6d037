"""Site keys over HTTP: the public keys of the browser script, each bound to the origins of its pages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import audit, site_key
from models.database import acting_as
from models.site_key import SiteKey
from rules.origins import normalise_origin

site_keys = Resource("site-keys")

#: Origins of one key.
MAX_ORIGINS = 20

_KEY = {
    "id": schemas.ID, "name": schemas.TEXT, "key": schemas.TEXT, "origins": schemas.array_of(schemas.TEXT),
    "createdAt": schemas.TIME, "revokedAt": schemas.nullable(schemas.TIME),
}  # fmt: skip

Origin = Annotated[
    ShortText,
    AfterValidator(normalise_origin),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 200,
            "pattern": r"^https?://[a-z0-9]([a-z0-9.-]{0,100}[a-z0-9])?(:[1-9][0-9]{0,3})?$",
        }
    ),
]


class NewSiteKey(Body):
    """A new site key and the origins of the pages that may use it."""

    name: ShortText
    origins: Annotated[list[Origin], Field(min_length=1, max_length=MAX_ORIGINS)]


@site_keys.api(
    "GET", "/api/site-keys", permission="admin", response={"siteKeys": schemas.array_of(schemas.record(**_KEY))}
)
def list_site_keys(call: Caller) -> Any:
    """List the site keys, newest first."""
    return success(siteKeys=[to_api_fields(row) for row in site_key.list_all(call.workspace_id)])


@site_keys.api(
    "POST",
    "/api/site-keys",
    permission="admin",
    body=NewSiteKey,
    response={"siteKey": schemas.record(**_KEY)},
    status=201,
)
def issue_site_key(call: Caller, body: NewSiteKey) -> Any:
    """Create a site key."""
    issued = issue(call, body)
    (row,) = [key for key in site_key.list_all(call.workspace_id) if key["id"] == issued.id]
    return success(201, siteKey=to_api_fields(row))


@site_keys.api("DELETE", "/api/site-keys/{site_key_id}", permission="admin", response={})
def revoke_site_key(call: Caller, site_key_id: str) -> Any:
    """Revoke a site key."""
    revoke(call, site_key_id)
    return success()


def issue(call: Caller, body: NewSiteKey) -> SiteKey:
    """Issue a site key, with its entry in the audit log."""
    origins = list(dict.fromkeys(body.origins))
    with acting_as(call.workspace_id):
        issued = site_key.issue(call.workspace_id, body.name, origins)
        detail = {"name": body.name, "after": {"origins": origins}}
        audit.record(call.workspace_id, call.actor, "site_key.issued", "site_key", issued.id, detail)
    return issued


def revoke(call: Caller, site_key_id: str) -> None:
    """Revoke a site key, with its entry in the audit log. Raises `ProblemError` 404."""
    with acting_as(call.workspace_id):
        names = {row["id"]: row["name"] for row in site_key.list_all(call.workspace_id)}
        if not site_key.revoke(call.workspace_id, site_key_id):
            raise not_found("There is no active site key with that id.")
        detail = {"name": names[site_key_id], **audit.compare({"state": "active"}, {"state": "revoked"})}
        audit.record(call.workspace_id, call.actor, "site_key.revoked", "site_key", site_key_id, detail)
