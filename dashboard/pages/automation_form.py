"""The form of an automation: a new one from a template, or the next version, validated while it is edited.

The form names the version that it edits. A version that another person published in the meantime is never overwritten.
"""

from __future__ import annotations

from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.automation_templates import Template, find_template
from dashboard.bodies import BODY_LIMIT, Body, ShortText, check
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import check_text, get_text
from dashboard.errors import not_found
from dashboard.pages import labels, layout, playbook_editor, template_gallery, workflow_editor
from dashboard.pages.publication import render_published, restore_line_ends
from ephemeral import workflow_cache
from models import automation
from models.automation import Publication
from models.database import acting_as
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.definition_text import TextProblem, get_source
from rules.language import PLAYBOOK, AutomationType
from rules.serialization import write

automation_form_pages = flask.Blueprint("automation-form-pages", __name__)


class Heading(Body):
    """The fields of an automation beside its definition."""

    name: ShortText
    type: AutomationType = "workflow"


@automation_form_pages.get("/automations/new")
def show_new() -> Any:
    """The gallery of templates; with `?start=` the form, filled in from one."""
    call = layout.require_page_permission("write")
    template = _find_start()
    if template is None:
        return template_gallery.show(call)
    name = "" if template.slug == "empty" else template.name
    if template.type == PLAYBOOK and not _is_yaml_view():
        return playbook_editor.show_new(call, name, template.definition)
    if not _is_yaml_view():
        return workflow_editor.show_new(call, name, template.type, write(template.definition))
    return _render_form(
        call, None, name=name, type=template.type, enabled=True, text=write(template.definition), faults=[]
    )


def _find_start() -> Template | None:
    """The template that the query names, the empty one of its type, or None for the gallery."""
    slug = flask.request.args.get("start")
    if slug is None:
        return template_gallery.NEW_PLAYBOOK if flask.request.args.get("type") == PLAYBOOK else None
    template = find_template(slug)
    if template is None:
        raise not_found("No template has this name.")
    return template


@automation_form_pages.post("/automations/check")
def check_definition() -> Any:
    """The problems of the definition in the form."""
    _extend_form_limit()
    call = layout.require_page_permission("write")
    form = flask.request.form
    checked = check_text(_read_text(), form.get("type", "workflow"))
    warnings = [] if checked.problems else list_warnings(call.workspace_id, checked.document, form.get("automation"))
    return layout.render("definition_problems.html", call, faults=checked.problems, warnings=warnings)


@automation_form_pages.post("/automations/new")
def create() -> Any:
    """Create the automation and publish its version 1."""
    _extend_form_limit()
    call = layout.require_page_permission("write")
    form = flask.request.form
    type_, enabled, text = form.get("type", "workflow"), form.get("enabled") == "true", _read_text()
    definition, faults = _check_form(form.get("name", ""), type_, text)
    if faults:
        fields = {"name": form.get("name", ""), "type": type_, "enabled": enabled, "text": text}
        return _render_form(call, None, faults=faults, **fields), 422
    publication = automation.create(
        call.workspace_id, name=form["name"].strip(), type=type_, definition=definition, actor=call.actor,
        enabled=enabled, is_valid=True, source=text,
    )  # fmt: skip
    return render_published(call, publication, form["name"].strip(), definition)


@automation_form_pages.get("/automations/<automation_id>/edit")
def edit(automation_id: str) -> Any:
    """The form with the published version."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    if not _is_yaml_view():
        return (playbook_editor if row["type"] == PLAYBOOK else workflow_editor).show_form(call, row)
    return _render_form(call, row, name=row["name"], type=row["type"], text=get_text(row), faults=[])


@automation_form_pages.post("/automations/<automation_id>/edit")
def change(automation_id: str) -> Any:
    """Publish the next version. Nothing is published where a newer version exists than the form edits."""
    _extend_form_limit()
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    form, text = flask.request.form, restore_line_ends(_read_text(), get_text(row))
    fields = {"name": form.get("name", ""), "type": row["type"], "text": text}
    if row["type"] == PLAYBOOK and form.get("do") == "draft":
        return _save_draft(call, row, fields)
    definition, faults = _check_form(fields["name"], row["type"], text)
    if faults:
        return _render_form(call, row, faults=faults, version=form.get("version", ""), **fields), 422
    try:
        publication = _write(call, row, fields, definition, form.get("version", ""))
    except Conflict:
        newer, stale = require_automation(call.workspace_id, automation_id), _parse_version(form.get("version", ""))
        return _render_form(call, newer, faults=[], stale=stale, **fields), 409
    if publication is None:
        return layout.redirect(
            f"/automations/{row['id']}", "The definition has not changed. No new version was published."
        )
    return render_published(call, publication, fields["name"].strip(), definition)


def _save_draft(call: Caller, row: AutomationDetail, fields: dict[str, str]) -> Any:
    """Save the text as the draft, valid or not, and open it in the editor. It must be a document."""
    definition, faults = _check_form(fields["name"], row["type"], fields["text"])
    faults = [fault for fault in faults if not isinstance(definition, dict) or fault.path == "name"]
    version = flask.request.form.get("version", "")
    if faults:
        return _render_form(call, row, faults=faults, version=version, **fields), 422
    with acting_as(call.workspace_id):
        automation.rename(call.workspace_id, row["id"], fields["name"].strip(), call.actor)
        automation.save_draft(
            call.workspace_id, row["id"], definition, call.actor,
            base_version=int(_parse_version(version) or -1), seen_draft=playbook_editor.parse_draft_time(),
            source=fields["text"],
        )  # fmt: skip
    workflow_cache.invalidate(call.workspace_id)
    return layout.redirect(f"/automations/{row['id']}/edit", "Draft saved.")


def _is_yaml_view() -> bool:
    return flask.request.args.get("view") == "yaml"


def _write(
    call: Caller, row: AutomationDetail, fields: dict[str, str], definition: Any, version: str
) -> Publication | None:
    """Rename and publish in one transaction; None where the text is the published one."""
    base_version = int(_parse_version(version) or -1)
    with acting_as(call.workspace_id):
        publication = None
        is_changed = fields["text"] != get_source(row["source"], row["definition"])
        if is_changed or base_version != row["version"]:
            publication = automation.publish(
                call.workspace_id,
                row["id"],
                definition,
                call.actor,
                expected_version=base_version,
                is_valid=True,
                source=fields["text"],
            )
        automation.rename(call.workspace_id, row["id"], fields["name"].strip(), call.actor)
    # The cache holds the name beside the workflow.
    workflow_cache.invalidate(call.workspace_id)
    return publication


def _parse_version(version: str) -> str:
    return version if version.isascii() and version.isdigit() and len(version) < 9 else ""


def _extend_form_limit() -> None:
    # Forms encode line ends and quotes in three characters each. The parser reports a text that is too large.
    flask.request.max_form_memory_size = BODY_LIMIT


def _read_text() -> str:
    return flask.request.form.get("text", "").replace("\r\n", "\n")


def _check_form(name: str, type_: str, text: str) -> tuple[Any, list[TextProblem]]:
    _, problems = check(Heading, {"name": name.strip(), "type": type_})
    checked = check_text(text, type_)
    return checked.document, [
        TextProblem(problem.path, problem.message) for problem in problems if problem.path == "name"
    ] + checked.problems


def _render_form(call: Caller, row: AutomationDetail | None, **fields: Any) -> flask.Response:
    newest = row["versions"][0] if row and row["versions"] else None
    draft_time = row["draft_saved_at"].isoformat() if row and row["draft_saved_at"] else ""
    context = {
        "version": row["version"] if row else 0, "stale": None, "enabled": True, "draft_time": draft_time, **fields
    }  # fmt: skip
    return layout.render(
        "automation_form.html", call, automation=row, newest=newest, types=labels.TYPES, moment=clock.now(), **context
    )
