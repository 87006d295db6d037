"""What the editors of automations share: the line ends of the text, and the page after a publication."""

from __future__ import annotations

from typing import Any

import metrics
from dashboard.access import Caller, current_settings
from dashboard.overlaps import list_overlap_warnings
from dashboard.pages import layout
from ephemeral import workflow_cache
from models.automation import Publication


def restore_line_ends(text: str, original: str) -> str:
    """The text with the line ends of the original: a form has `\\n` alone."""
    return text.replace("\n", "\r\n") if "\r\n" in original else text


def render_published(call: Caller, publication: Publication, name: str, definition: Any) -> Any:
    """The page after a publication: the automation's own, or the secret URL of a webhook, which is readable once."""
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    if publication.hook_token:
        # The URL is readable only now: the database has the hash of its secret.
        url = f"{current_settings().url}/api/hooks/{publication.hook_token}"
        return layout.render("published_hook.html", call, name=name, publication=publication, url=url)
    note = " Active executions stay on their version." if publication.version > 1 else ""
    overlaps = list_overlap_warnings(call.workspace_id, definition, publication.automation_id)
    sentences = [f'Version {publication.version} of "{name}" published.{note}', *(item.message for item in overlaps)]
    return layout.redirect(f"/automations/{publication.automation_id}", " ".join(sentences))
