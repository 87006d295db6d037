"""The form of an automation: a new one from a start, or the next version of one, judged while it is written.

Whoever edits sees which version they edit; a version that somebody else published meanwhile is never overwritten
unknowingly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flask

import clock
import metrics
from dashboard.access import Caller, current_settings
from dashboard.api.automations import Type, require_automation
from dashboard.bodies import BODY_LIMIT, Body, ShortText, check
from dashboard.errors import not_found
from dashboard.pages import labels, layout
from dashboard.pages.gallery import TEMPLATES, find_template
from ephemeral import workflow_cache
from models import automation
from models.automation import Publication
from models.database import Row, acting_as
from models.errors import Conflict
from rules.parsing import DefinitionError, find_line, map_lines, read
from rules.problems import Problem
from rules.serialization import write
from rules.validation import validate

automation_form_pages = flask.Blueprint("automation-form-pages", __name__)


class Heading(Body):
    """What an automation is besides its definition."""

    name: ShortText
    type: Type = "workflow"


@dataclass(frozen=True)
class Fault:
    """A problem with the line on which it stands."""

    path: str
    message: str
    line: int | None = None


@automation_form_pages.get("/automations/new")
def show_new() -> Any:
    """The starts to choose from; with `?start=` the form, filled in with one."""
    call = layout.require_page_permission("write")
    slug = flask.request.args.get("start")
    if slug is None:
        return layout.render("automation_starts.html", call, starts=TEMPLATES)
    template = find_template(slug)
    if template is None:
        raise not_found("There is no such start.")
    name = "" if template.slug == "empty" else template.name
    return _render_form(
        call, None, name=name, type=template.type, enabled=True, text=write(template.definition), faults=[]
    )


@automation_form_pages.post("/automations/check")
def check_definition() -> Any:
    """What is wrong with the definition as it stands in the form now."""
    _extend_form_limit()
    call = layout.require_page_permission("write")
    form = flask.request.form
    _, faults = _parse_definition(_read_text(), form.get("type", "workflow"))
    return layout.render("definition_problems.html", call, faults=faults)


@automation_form_pages.post("/automations/new")
def create() -> Any:
    """Make the automation and publish its version 1."""
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
        enabled=enabled, networks=current_settings().webhook_allowed_networks,
    )  # fmt: skip
    return _render_published(call, publication, form["name"].strip())


@automation_form_pages.get("/automations/<automation_id>/edit")
def edit(automation_id: str) -> Any:
    """The form with the published version."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    document = row["definition"] or row["draft"] or {}
    return _render_form(call, row, name=row["name"], type=row["type"], text=write(document), faults=[])


@automation_form_pages.post("/automations/<automation_id>/edit")
def change(automation_id: str) -> Any:
    """Publish the next version, unless there is a newer one than the form began with."""
    _extend_form_limit()
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    form, text = flask.request.form, _read_text()
    fields = {"name": form.get("name", ""), "type": row["type"], "text": text}
    definition, faults = _check_form(fields["name"], row["type"], text)
    if faults:
        return _render_form(call, row, faults=faults, version=form.get("version", ""), **fields), 422
    try:
        publication = _write(call, row, fields["name"].strip(), definition, form.get("version", ""))
    except Conflict:
        newer, stale = require_automation(call.workspace_id, automation_id), _parse_version(form.get("version", ""))
        return _render_form(call, newer, faults=[], stale=stale, **fields), 409
    if publication is None:
        return layout.redirect(
            f"/automations/{row['id']}", "The definition is as it was; no new version was published."
        )
    return _render_published(call, publication, fields["name"].strip())


def _write(call: Caller, row: Row, name: str, definition: Any, version: str) -> Publication | None:
    """Rename and publish together; None where the definition is the published one."""
    base_version = int(_parse_version(version) or -1)
    with acting_as(call.workspace_id):
        publication = None
        if definition != row["definition"] or base_version != row["version"]:
            publication = automation.publish(
                call.workspace_id,
                row["id"],
                definition,
                call.actor,
                expected_version=base_version,
                networks=current_settings().webhook_allowed_networks,
            )
        automation.rename(call.workspace_id, row["id"], name, call.actor)
    # A name is kept beside the workflow, so it goes stale with it.
    workflow_cache.invalidate(call.workspace_id)
    return publication


def _parse_version(version: str) -> str:
    return version if version.isascii() and version.isdigit() and len(version) < 9 else ""


def _render_published(call: Caller, publication: Publication, name: str) -> Any:
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    if publication.hook_token:
        # Readable this once: only the secret's hash is kept.
        address = f"{current_settings().url}/api/hooks/{publication.hook_token}"
        return layout.render("published_hook.html", call, name=name, made=publication, address=address)
    note = " What is in flight stays on its version." if publication.version > 1 else ""
    return layout.redirect(
        f"/automations/{publication.automation_id}", f'Version {publication.version} of "{name}" is published.{note}'
    )


def _extend_form_limit() -> None:
    # A form writes line ends and quotes with three letters each; what is too large is said by the reader, in words.
    flask.request.max_form_memory_size = BODY_LIMIT


def _read_text() -> str:
    return flask.request.form.get("text", "").replace("\r\n", "\n")


def _check_form(name: str, type_: str, text: str) -> tuple[Any, list[Fault]]:
    _, problems = check(Heading, {"name": name.strip(), "type": type_})
    definition, faults = _parse_definition(text, type_)
    return definition, [Fault(problem.path, problem.message) for problem in problems if problem.path == "name"] + faults


def _parse_definition(text: str, type_: str) -> tuple[Any, list[Fault]]:
    """The document and what is wrong with it, each fault with its line where it has one."""
    try:
        document = read(text)
    except DefinitionError as error:
        return None, [Fault("", str(error))]
    problems: list[Problem] = validate(
        document, automation_type=type_, networks=current_settings().webhook_allowed_networks
    )
    line_index = map_lines(text) if problems else {}
    return document, [Fault(problem.path, problem.message, find_line(problem.path, line_index)) for problem in problems]


def _render_form(call: Caller, row: Row | None, **fields: Any) -> flask.Response:
    newest = row["versions"][0] if row and row["versions"] else None
    context = {"version": row["version"] if row else 0, "stale": None, "enabled": True, **fields}
    return layout.render(
        "automation_form.html", call, automation=row, newest=newest, types=labels.TYPES, moment=clock.now(), **context
    )
