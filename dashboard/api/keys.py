"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import ProblemError, not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import api_key, audit
from models.api_key import SCOPES, IssuedKey, Scope
from models.database import acting_as

keys = Resource("keys")

_KEY = {
    "id": schemas.ID, "name": schemas.TEXT, "prefix": schemas.TEXT, "scopes": schemas.array_of(schemas.TEXT),
    "createdAt": schemas.TIME, "lastUsedAt": schemas.nullable(schemas.TIME),
    "revokedAt": schemas.nullable(schemas.TIME), "deploymentOwner": schemas.BOOL,
}  # fmt: skip


class NewKey(Body):
    """A new key."""

    name: ShortText
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]


@keys.api("GET", "/api/keys", permission="admin", response={"keys": schemas.array_of(schemas.record(**_KEY))})
def list_keys(call: Caller) -> Any:
    """List the keys of the workspace without their secrets."""
    return success(keys=[to_api_fields(row) for row in api_key.list_all(call.workspace_id)])


@keys.api(
    "POST", "/api/keys", permission="admin", body=NewKey, response={"key": schemas.record(**_KEY, secret=schemas.TEXT)},
    status=201,
)  # fmt: skip
def issue_key(call: Caller, body: NewKey) -> Any:
    """Create a key. Its secret is only in this response."""
    issued = issue(call, body)
    (row,) = [key for key in api_key.list_all(call.workspace_id) if key["id"] == issued.id]
    return success(201, key={**to_api_fields(row), "secret": issued.secret})


@keys.api("DELETE", "/api/keys/{key_id}", permission="admin", response={})
def revoke_key(call: Caller, key_id: str) -> Any:
    """Revoke a key."""
    revoke(call, key_id)
    return success()


def issue(call: Caller, body: NewKey) -> IssuedKey:
    """Issue a key, with its entry in the audit log. Raises `ProblemError` 403 for a scope that the caller lacks."""
    missing = sorted(set(body.scopes) - call.permissions)
    if missing:
        raise ProblemError(403, f"You cannot grant scopes that you do not have: {', '.join(missing)}.")
    with acting_as(call.workspace_id):
        issued = api_key.issue(call.workspace_id, body.name, body.scopes)
        detail = {"name": body.name, "scopes": body.scopes}
        audit.record(call.workspace_id, call.actor, "key.issued", "key", issued.id, detail)
    return issued


def revoke(call: Caller, key_id: str) -> None:
    """Revoke a key, with its entry in the audit log. Raises `ProblemError` 403 or 404."""
    with acting_as(call.workspace_id):
        _protect_deployment_owner(call, key_id)
        if not api_key.revoke(call.workspace_id, key_id):
            raise not_found("There is no live key with that id.")
        detail = audit.compare({"state": "active"}, {"state": "revoked"})
        audit.record(call.workspace_id, call.actor, "key.revoked", "key", key_id, detail)


def _protect_deployment_owner(call: Caller, key_id: str) -> None:
    """Keep workspace owners from locking out a deployment owner. Raises `ProblemError` 403."""
    protected = {key["id"] for key in api_key.list_all(call.workspace_id) if key["deployment_owner"]}
    if key_id in protected and not call.deployment_owner:
        raise ProblemError(403, "Only the deployment owner can revoke this key.")
