"""The editor of a playbook: conditions and actions as forms over its draft, saved while one edits, and published.

Every button of the form sends the whole form: its operation is applied, and the draft saved. A script saves in the
background and replaces only parts of the page; without it each button loads the page again. Another person's draft, or
a version published in the meantime, is never overwritten without asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import flask

import metrics
from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.bodies import BODY_LIMIT
from dashboard.definitions import find_problems, rewrite_text
from dashboard.errors import ProblemError
from dashboard.pages import layout, playbook_fields, playbook_form
from dashboard.pages.playbook_form import Document
from dashboard.pages.playbook_preview import allow_preview, find_home, list_origins, suggest_url
from ephemeral import workflow_cache
from models import automation
from models.database import acting_as
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.problems import Problem, is_within

playbook_pages = flask.Blueprint("playbook-pages", __name__)

#: Operations of the whole form; any other changes one of its parts.
PUBLISH, OVERWRITE, DISCARD = "publish", "overwrite", "discard"


@playbook_pages.post("/automations/playbooks")
def create() -> Any:
    """Save the first draft of a new playbook, or publish it at once."""
    call = _require_editor()
    name, document = _read_name(), _read_document(playbook_form.EMPTY)
    if _find_name_problems(name):
        return _render(call, None, document, name=name), 422
    automation_id = automation.create_draft(
        call.workspace_id, name=name, type="playbook", draft=document, actor=call.actor
    )
    row = require_automation(call.workspace_id, automation_id)
    return _publish(call, row, document, name) if _read_operation() == PUBLISH else _show_saved(call, row)


@playbook_pages.post("/automations/<automation_id>/playbook")
def change(automation_id: str) -> Any:
    """Save the draft with the change of the button that was pressed, or publish it."""
    call = _require_editor()
    row = require_automation(call.workspace_id, automation_id)
    if row["type"] != "playbook":
        raise ProblemError(422, "This automation is not a playbook.")
    if _read_operation() == DISCARD:
        return _discard(call, row)
    name, document = _read_name(), _read_document(find_draft(row))
    try:
        if _find_name_problems(name):
            return _render(call, row, document, name=name, **_read_base()), 422
        if _read_operation() == PUBLISH:
            return _publish(call, row, document, name)
        _save(call, row, document, name)
    except Conflict as conflict:
        newest = require_automation(call.workspace_id, automation_id)
        return _render(call, newest, document, name=name, conflict=conflict, **_read_base()), 409
    return _show_saved(call, require_automation(call.workspace_id, automation_id))


def show_new(call: Caller, name: str, definition: Mapping[str, Any]) -> flask.Response:
    """The editor of a playbook that is not saved yet."""
    return _render(call, None, playbook_form.normalize(definition), name=name)


def show_form(call: Caller, row: AutomationDetail) -> flask.Response:
    """The editor of a playbook."""
    return _render(call, row, playbook_form.normalize(find_draft(row)), name=row["name"])


def find_draft(row: AutomationDetail) -> Document:
    """The draft, else the published definition."""
    draft: Document = row["draft"] if row["draft"] is not None else row["definition"] or {}
    return draft


def _require_editor() -> Caller:
    # Forms encode line ends and quotes in three characters each.
    flask.request.max_form_memory_size = BODY_LIMIT
    flask.request.max_form_parts = 5000
    return layout.require_page_permission("write")


def _read_document(base: Document) -> Document:
    document = playbook_form.read_definition(flask.request.form, base)
    return playbook_form.apply_operation(document, _read_operation())


def _read_operation() -> str:
    return flask.request.form.get("do", "")


def _save(call: Caller, row: AutomationDetail, document: Document, name: str) -> None:
    """Save name and draft. Raises `Conflict` where the form is older than what it would overwrite."""
    base_version, seen_draft = _parse_version(), parse_draft_time()
    if _read_operation() == OVERWRITE:
        base_version, seen_draft = row["version"], row["draft_saved_at"]
    with acting_as(call.workspace_id):
        automation.rename(call.workspace_id, row["id"], name, call.actor)
        is_saved = document == playbook_form.normalize(find_draft(row))
        if not is_saved or base_version != row["version"]:
            automation.save_draft(
                call.workspace_id,
                row["id"],
                document,
                call.actor,
                base_version=base_version,
                seen_draft=seen_draft,
                source=_edit_source(row, document),
            )
    workflow_cache.invalidate(call.workspace_id)


def _publish(call: Caller, row: AutomationDetail, document: Document, name: str) -> Any:
    """Publish the form as the next version; where it has problems, save it as the draft and show them."""
    problems = _find_problems(document)
    with acting_as(call.workspace_id):
        _save(call, row, document, name)
        version = None if problems or document == row["definition"] else _publish_version(call, row, document)
    if problems:
        return _render(call, require_automation(call.workspace_id, row["id"]), document, name=name, refused=True), 422
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    notice = (
        f'Version {version} of "{name}" published.' if version else "Nothing has changed. No version was published."
    )
    return layout.redirect(f"/automations/{row['id']}/edit", notice)


def _edit_source(row: AutomationDetail, document: Document) -> str | None:
    """The text of the draft, else of the published version, with what the form changes; None without a text."""
    return rewrite_text(row["draft_source"] if row["has_draft"] else row["source"], document)


def _publish_version(call: Caller, row: AutomationDetail, document: Document) -> int:
    form = flask.request.form
    publication = automation.publish(
        call.workspace_id, row["id"], document, call.actor, expected_version=_parse_version(),
        is_valid=True, note=form.get("note", "").strip()[:200] or None, source=_edit_source(row, document),
    )  # fmt: skip
    if form.get("turn_on") == "true":
        automation.toggle(call.workspace_id, row["id"], True, call.actor)
    return publication.version


def _discard(call: Caller, row: AutomationDetail) -> Any:
    automation.save_draft(
        call.workspace_id, row["id"], None, call.actor,
        base_version=row["version"], seen_draft=row["draft_saved_at"],
    )  # fmt: skip
    return layout.redirect(f"/automations/{row['id']}/edit", "Draft discarded.")


def _show_saved(call: Caller, row: AutomationDetail) -> Any:
    if not layout.is_fragment():
        return layout.redirect(f"/automations/{row['id']}/edit")
    return show_form(call, row)


def _read_name() -> str:
    return flask.request.form.get("name", "").strip()


def _find_name_problems(name: str) -> list[Problem]:
    if not name:
        return [Problem("name", "is required")]
    return (
        []
        if len(name) <= 200 and name.isprintable()
        else [Problem("name", "must be one line of at most 200 characters")]
    )


def _find_problems(document: Document) -> Sequence[Problem]:
    # Showing a draft is bounded by nobody's other tabs.
    return find_problems(document, "playbook", is_bounded=flask.request.method == "POST")


def _parse_version() -> int:
    """The version that the form edits; -1, which no automation has, for none."""
    text = flask.request.form.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def parse_draft_time() -> datetime | None:
    """The time of the draft that the form edits; None where it began from a version."""
    try:
        return datetime.fromisoformat(flask.request.form.get("draft", ""))
    except ValueError:
        return None


def _read_base() -> dict[str, Any]:
    """What the form says that it edits."""
    return {"version": _parse_version(), "draft_time": flask.request.form.get("draft", "")}


def _render(call: Caller, row: AutomationDetail | None, document: Document, **context: Any) -> flask.Response:
    problems = [*_find_name_problems(context["name"]), *_find_problems(document)]
    origins = list_origins(call.workspace_id)
    operation, _, opened = _read_operation().partition(":")
    response = layout.render(
        "playbook_form.html" if layout.is_fragment() else "playbook_editor.html",
        call,
        **{
            "automation": row,
            "document": document,
            "conditions": document["trigger"]["with"],
            "problems": problems,
            "unplaced": _find_unplaced(problems, document),
            "version": row["version"] if row else 0,
            "draft_time": row["draft_saved_at"].isoformat() if row and row["draft_saved_at"] else "",
            "opened": document["steps"][-1]["id"] if operation == "add_action" and document["steps"] else opened,
            "conflict": None,
            "refused": False,
            "fields": playbook_fields,
            "form": playbook_form,
            "is_at": is_within,
            "count_at": count_at,
            "may_own": "admin" in call.permissions,
            "origins": origins,
            "home": find_home(),
            "preview_url": suggest_url(origins, document),
            **context,
        },
    )
    allow_preview(response, origins)
    return response


def _find_unplaced(problems: Sequence[Problem], document: Document) -> list[Problem]:
    """The problems that no field of the form shows."""
    conditions = [*playbook_fields.CONDITION_NAMES, "frequency"]
    # A list without actions says so itself.
    places = [
        "name",
        *(() if document["steps"] else ("steps",)),
        *(f"trigger.with.{name}" for name in conditions if name in document["trigger"]["with"]),
    ]
    for index, step in enumerate(document["steps"]):
        places += [
            f"steps[{index}].with.{field.name}" for field in playbook_fields.list_fields(str(step.get("action")))
        ]
    return [problem for problem in problems if not any(is_within(problem.path, place) for place in places)]


def count_at(problems: Sequence[Problem], place: str) -> int:
    """How many problems are at this place or within it."""
    return sum(is_within(problem.path, place) for problem in problems)
