"""The draft of a playbook for its preview on the operator's own page.

Two things are needed: a site key that allows the page's origin, and a token that the editor has had signed for this key
and this automation within the last ten minutes. Only those parts of the draft are served that could be published.
"""

from __future__ import annotations

from typing import Any

import flask

import clock
from dashboard import preview_tokens
from dashboard.access import current_settings
from dashboard.api import schemas
from dashboard.errors import ProblemError
from dashboard.producers import PageCaller
from dashboard.resource import Resource
from dashboard.responses import success
from models.reports import automations as report
from rules.language import PLAYBOOK
from rules.playbook_drafts import build_preview

playbook_previews = Resource("playbook-previews")

_TOKEN = {
    "name": "token", "in": "query", "required": True, "schema": schemas.TEXT,
    "description": "What the editor has had signed for this site key.",
}  # fmt: skip
_PLAYBOOK = schemas.record(
    id=schemas.ID,
    name=schemas.TEXT,
    version=schemas.COUNT,
    trigger=schemas.record(),
    actions=schemas.array_of(schemas.record()),
)


@playbook_previews.api(
    "GET",
    "/api/playbooks/preview",
    permission=None,
    site_key=True,
    parameters=[_TOKEN],
    response={"tracking": schemas.BOOL, "playbooks": schemas.array_of(_PLAYBOOK), "expiresAt": schemas.COUNT},
)
def show_preview(call: PageCaller) -> Any:
    """Show the draft of one playbook to its preview. The parameter `token` is what the editor has had signed."""
    preview = preview_tokens.read(
        current_settings().secret_key, flask.request.args.get("token", ""), clock.now().timestamp()
    )
    row = None
    if preview and _is_for(preview, call):
        row = report.find(call.workspace_id, preview.automation_id)
    if preview is None or row is None or row["type"] != PLAYBOOK:
        raise ProblemError(403, "This preview has expired. Open it again from the editor.")
    draft = row["draft"] if row["draft"] is not None else row["definition"]
    playbook = {"id": row["id"], "name": row["name"], "version": row["version"], **build_preview(draft)}
    return success(tracking=False, playbooks=[playbook], expiresAt=preview.expires_at)


def _is_for(preview: preview_tokens.Preview, call: PageCaller) -> bool:
    return (
        call.site_key is not None
        and preview.workspace_id == call.workspace_id
        and preview.site_key == call.site_key.key
    )
