"""API keys and the audit log over HTTP: what a program may do, and who did what."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.answers import named, paged, row_id_of, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import Refusal, not_there
from dashboard.resource import Resource
from models import api_key, audit
from models.api_key import SCOPES, Scope
from models.database import acting_as

keys = Resource("keys")

_KEY = {
    "id": shapes.ID, "name": shapes.TEXT, "prefix": shapes.TEXT, "scopes": shapes.listing(shapes.TEXT),
    "createdAt": shapes.TIME, "lastUsedAt": shapes.maybe(shapes.TIME), "revokedAt": shapes.maybe(shapes.TIME),
    "deploymentOwner": shapes.BOOL,
}  # fmt: skip


class NewKey(Body):
    """A key to be made."""

    name: ShortText
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]


@keys.api("GET", "/api/keys", permission="admin", answer={"keys": shapes.listing(shapes.record(**_KEY))})
def list_keys(call: Caller) -> Any:
    """List the keys of the workspace, without their secrets."""
    return success(keys=[named(one) for one in api_key.every(call.workspace_id)])


@keys.api(
    "POST", "/api/keys", permission="admin", body=NewKey, answer={"key": shapes.record(**_KEY, secret=shapes.TEXT)},
    status=201,
)  # fmt: skip
def issue_key(call: Caller, body: NewKey) -> Any:
    """Make a key. Its secret is in this answer and nowhere else."""
    beyond = sorted(set(body.scopes) - call.permissions)
    if beyond:
        raise Refusal(403, f"A key cannot give what it does not have itself: {', '.join(beyond)}.")
    with acting_as(call.workspace_id):
        issued = api_key.issue(call.workspace_id, body.name, body.scopes)
        audit.record(
            call.workspace_id, call.actor, "key.issued", "key", issued.id, {"name": body.name, "scopes": body.scopes}
        )
    (made,) = [one for one in api_key.every(call.workspace_id) if str(one["id"]) == issued.id]
    return success(201, key={**named(made), "secret": issued.secret})


@keys.api("DELETE", "/api/keys/{key_id}", permission="admin", answer={})
def revoke_key(call: Caller, key_id: str) -> Any:
    """End a key at once."""
    with acting_as(call.workspace_id):
        _protect_deployment_owner(call, key_id)
        if not api_key.revoke(call.workspace_id, key_id):
            raise not_there("There is no live key by that id.")
        audit.record(call.workspace_id, call.actor, "key.revoked", "key", key_id)
    return success()


def _protect_deployment_owner(call: Caller, key_id: str) -> None:
    """An owner of one workspace cannot lock out who owns the deployment. Raises `Refusal` 403."""
    protected = {str(key["id"]) for key in api_key.every(call.workspace_id) if key["deployment_owner"]}
    if key_id in protected and not call.deployment_owner:
        raise Refusal(403, "Only the deployment owner can revoke this key.")


@keys.api(
    "GET",
    "/api/audit",
    permission="admin",
    query=shapes.Page,
    answer={
        "entries": shapes.listing(
            shapes.record(
                id=shapes.ID, actorKind=shapes.TEXT, actorName=shapes.TEXT, action=shapes.TEXT,
                objectKind=shapes.TEXT, objectId=shapes.TEXT, detail=shapes.ANY, at=shapes.TIME,
            )
        ),
        "nextCursor": shapes.maybe(shapes.TEXT),
    },
)  # fmt: skip
def list_audit(call: Caller, query: shapes.Page) -> Any:
    """List what was changed by hand, newest first."""
    before = row_id_of(query.cursor)
    found, cursor = paged(lambda limit: audit.page(call.workspace_id, limit, before), query.limit)
    return success(entries=[named(one) for one in found], nextCursor=cursor)
