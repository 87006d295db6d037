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
from dashboard.access import Caller, settings
from dashboard.api.automations import Type, automation_of
from dashboard.bodies import BODY_LIMIT, Body, ShortText, check
from dashboard.errors import not_there
from dashboard.pages import frame, words
from dashboard.pages.starts import STARTS, by_slug
from ephemeral import workflow_cache
from models import automation
from models.automation import Publication
from models.database import Row, acting_as
from models.refusals import Conflict
from rules.problems import Problem
from rules.reading import DefinitionError, line_of, lines, read
from rules.validation import validate
from rules.writing import write

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
def ask() -> Any:
    """The starts to choose from; with `?start=` the form, filled in with one."""
    call = frame.visitor("write")
    slug = flask.request.args.get("start")
    if slug is None:
        return frame.render("automation_starts.html", call, starts=STARTS)
    start = by_slug(slug)
    if start is None:
        raise not_there("There is no such start.")
    name = "" if start.slug == "empty" else start.name
    return _form(call, None, name=name, type=start.type, enabled=True, text=write(start.definition), faults=[])


@automation_form_pages.post("/automations/check")
def judge() -> Any:
    """What is wrong with the definition as it stands in the form now."""
    _admit_a_definition()
    call = frame.visitor("write")
    form = flask.request.form
    _, faults = _definition(_text(), form.get("type", "workflow"))
    return frame.render("definition_problems.html", call, faults=faults)


@automation_form_pages.post("/automations/new")
def make() -> Any:
    """Make the automation and publish its version 1."""
    _admit_a_definition()
    call = frame.visitor("write")
    form = flask.request.form
    type_, enabled, text = form.get("type", "workflow"), form.get("enabled") == "true", _text()
    definition, faults = _judged(form.get("name", ""), type_, text)
    if faults:
        shown = {"name": form.get("name", ""), "type": type_, "enabled": enabled, "text": text}
        return _form(call, None, faults=faults, **shown), 422
    made = automation.create(
        call.workspace_id, name=form["name"].strip(), type=type_, definition=definition, actor=call.actor,
        enabled=enabled, networks=settings().webhook_allowed_networks,
    )  # fmt: skip
    return _published(call, made, form["name"].strip())


@automation_form_pages.get("/automations/<automation_id>/edit")
def edit(automation_id: str) -> Any:
    """The form with the published version."""
    call = frame.visitor("write")
    found = automation_of(call.workspace_id, automation_id)
    document = found["definition"] or found["draft"] or {}
    return _form(call, found, name=found["name"], type=found["type"], text=write(document), faults=[])


@automation_form_pages.post("/automations/<automation_id>/edit")
def change(automation_id: str) -> Any:
    """Publish the next version, unless there is a newer one than the form began with."""
    _admit_a_definition()
    call = frame.visitor("write")
    found = automation_of(call.workspace_id, automation_id)
    form, text = flask.request.form, _text()
    shown = {"name": form.get("name", ""), "type": found["type"], "text": text}
    definition, faults = _judged(shown["name"], found["type"], text)
    if faults:
        return _form(call, found, faults=faults, version=form.get("version", ""), **shown), 422
    try:
        made = _write(call, found, shown["name"].strip(), definition, form.get("version", ""))
    except Conflict:
        newer, stale = automation_of(call.workspace_id, automation_id), _shown_version(form.get("version", ""))
        return _form(call, newer, faults=[], stale=stale, **shown), 409
    if made is None:
        return frame.go(f"/automations/{found['id']}", "The definition is as it was; no new version was published.")
    return _published(call, made, shown["name"].strip())


def _write(call: Caller, found: Row, name: str, definition: Any, version: str) -> Publication | None:
    """Rename and publish together; None where the definition is the published one."""
    began_with = int(_shown_version(version) or -1)
    with acting_as(call.workspace_id):
        made = None
        if definition != found["definition"] or began_with != found["version"]:
            made = automation.publish(
                call.workspace_id,
                found["id"],
                definition,
                call.actor,
                expected=began_with,
                networks=settings().webhook_allowed_networks,
            )
        automation.rename(call.workspace_id, found["id"], name, call.actor)
    # A name is kept beside the workflow, so it goes stale with it.
    workflow_cache.invalidate(call.workspace_id)
    return made


def _shown_version(version: str) -> str:
    return version if version.isascii() and version.isdigit() and len(version) < 9 else ""


def _published(call: Caller, made: Publication, name: str) -> Any:
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    if made.hook_token:
        # Readable this once: only the secret's hash is kept.
        address = f"{settings().url}/api/hooks/{made.hook_token}"
        return frame.render("published_hook.html", call, name=name, made=made, address=address)
    rest = " What is in flight stays on its version." if made.version > 1 else ""
    return frame.go(f"/automations/{made.automation_id}", f'Version {made.version} of "{name}" is published.{rest}')


def _admit_a_definition() -> None:
    # A form writes line ends and quotes with three letters each; what is too large is said by the reader, in words.
    flask.request.max_form_memory_size = BODY_LIMIT


def _text() -> str:
    return flask.request.form.get("text", "").replace("\r\n", "\n")


def _judged(name: str, type_: str, text: str) -> tuple[Any, list[Fault]]:
    _, problems = check(Heading, {"name": name.strip(), "type": type_})
    definition, faults = _definition(text, type_)
    return definition, [Fault(one.path, one.message) for one in problems if one.path == "name"] + faults


def _definition(text: str, type_: str) -> tuple[Any, list[Fault]]:
    """The document and what is wrong with it, each fault with its line where it has one."""
    try:
        document = read(text)
    except DefinitionError as error:
        return None, [Fault("", str(error))]
    problems: list[Problem] = validate(document, automation_type=type_, networks=settings().webhook_allowed_networks)
    known = lines(text) if problems else {}
    return document, [Fault(one.path, one.message, line_of(one.path, known)) for one in problems]


def _form(call: Caller, found: Row | None, **shown: Any) -> flask.Response:
    newest = found["versions"][0] if found and found["versions"] else None
    told = {"version": found["version"] if found else 0, "stale": None, "enabled": True, **shown}
    return frame.render(
        "automation_form.html", call, automation=found, newest=newest, types=words.TYPES, moment=clock.now(), **told
    )
