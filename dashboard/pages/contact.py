"""One contact: who it is, where it may be written to, the conversation, and what automations did and left to do."""

from __future__ import annotations

import json
from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.errors import not_there
from dashboard.pages import contact_fields, frame, words
from models import contact, contact_task, suppression
from models.database import Row
from models.ids import is_id
from models.refusals import Conflict
from models.reports import contacts as report
from models.reports import executions
from models.reports.filters import ExecutionFilters
from rules.contacts import normalise
from rules.problems import Problem
from rules.schedule import zone_named
from tasks import operators

contact_pages = flask.Blueprint("contact-pages", __name__)

#: So much of each is on the page.
SHOWN_MESSAGES, SHOWN_EXECUTIONS, SHOWN_TASKS = 50, 10, 20
_ADDRESSES = {"email": "email", "sms": "phone", "facebook": "facebook_id", "instagram": "instagram_id"}


@contact_pages.get("/contacts/<contact_id>")
def show(contact_id: str) -> Any:
    """The page; with `?edit` its fields are a form. htmx asks for the panel with the fields alone."""
    call = frame.visitor()
    found = _found(call, contact_id)
    editing = "edit" in flask.request.args and "write" in call.permissions
    if frame.is_fragment():
        return frame.render("contact_who.html", call, **_who(found, editing))
    return _page(call, found, editing)


def _found(call: Caller, contact_id: str) -> Row:
    found = contact.get(call.workspace_id, contact_id) if is_id(contact_id) else None
    if found is None:
        raise not_there("There is no contact by that id.")
    return {**found, "name": words.contact(found)}


def _who(found: Row, editing: bool, texts: dict[str, str] | None = None, problems: list[Problem] | None = None,
         was: dict[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    shown = contact_fields.texts(found) if texts is None else texts
    return {
        "contact": found,
        "editing": editing,
        "fields": contact_fields.FIELDS,
        "texts": shown,
        "was": json.dumps(contact_fields.texts(found) if was is None else was, ensure_ascii=False),
        "lines": contact_fields.lines(shown),
        "problems": problems or [],
        "attribute_text": contact_fields.attribute_text,
    }


def _page(call: Caller, found: Row, editing: bool, **who: Any) -> flask.Response:
    own = found["id"]
    held = {one["channel"]: one for one in suppression.of_contact(call.workspace_id, own)}
    started = executions.page(call.workspace_id, ExecutionFilters(contact_id=own), SHOWN_EXECUTIONS + 1)
    return frame.render(
        "contact.html",
        call,
        **_who(found, editing, **who),
        channels=[(one, found[column], held.get(one)) for one, column in _ADDRESSES.items()],
        local=clock.now().astimezone(zone_named(found["timezone"])) if found["timezone"] else None,
        messages=report.conversation(call.workspace_id, own, SHOWN_MESSAGES),
        shown_messages=SHOWN_MESSAGES,
        executions=[{**one, "next": words.next_for(one, clock.now())} for one in started[:SHOWN_EXECUTIONS]],
        more_executions=len(started) > SHOWN_EXECUTIONS,
        tasks=contact_task.of_contact(call.workspace_id, own, SHOWN_TASKS),
    )


@contact_pages.post("/contacts/<contact_id>")
def change(contact_id: str) -> Any:
    """Write what the person changed; what is wrong is said beside its field, and nothing is written."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    texts, problems = contact_fields.given(flask.request.form)
    was = contact_fields.read_was(flask.request.form.get("was", ""))
    fields, wrong = normalise(contact_fields.changes(texts, was, found["tags"]))
    problems += wrong
    if problems:
        return _page(call, found, True, texts=texts, problems=problems, was=was), 422
    try:
        if fields:
            contact.change(call.workspace_id, found["id"], fields, call.actor)
    except Conflict as conflict:
        problems = [Problem(conflict.path or "", conflict.message)]
        return _page(call, found, True, texts=texts, problems=problems, was=was), 409
    return frame.go(f"/contacts/{found['id']}", "The changes are kept." if fields else "Nothing was changed.")


@contact_pages.get("/contacts/<contact_id>/channels/<any(email, sms, facebook, instagram):channel>")
def ask_about_channel(contact_id: str, channel: str) -> Any:
    """Ask before a channel is suppressed, or a suppression lifted."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    held = {one["channel"]: one for one in suppression.of_contact(call.workspace_id, found["id"])}
    return frame.render("contact_channel.html", call, contact=found, channel=channel, held=held.get(channel))


@contact_pages.post("/contacts/<contact_id>/channels/<any(email, sms, facebook, instagram):channel>")
def decide_about_channel(contact_id: str, channel: str) -> Any:
    """Suppress a channel, or lift its suppression."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    here, name = f"/contacts/{found['id']}", words.CHANNELS[channel]
    lifts = flask.request.form.get("suppress") == "false"
    try:
        (suppression.lift if lifts else suppression.add)(call.workspace_id, found["id"], channel, call.actor)
    except Conflict as conflict:
        return frame.go(here, conflict.message, bad=True)
    done = f"{name} may be used again." if lifts else f"Nothing is sent by {name} any more."
    return frame.go(here, done)


@contact_pages.post("/contacts/<contact_id>/tasks/<task_id>")
def mark_task(contact_id: str, task_id: str) -> Any:
    """Mark a contact task as done, or as open again."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    if not is_id(task_id):
        raise not_there("There is no task by that id.")
    done = flask.request.form.get("done") != "false"
    contact_task.mark(call.workspace_id, found["id"], task_id, done=done, actor=call.actor)
    return frame.go(f"/contacts/{found['id']}", "The task is done." if done else "The task is open again.")


@contact_pages.get("/contacts/<contact_id>/delete")
def ask_to_delete(contact_id: str) -> Any:
    """Ask, with the number in flight."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    return frame.render(
        "delete_contact.html", call, contact=found, in_flight=report.in_flight(call.workspace_id, found["id"])
    )


@contact_pages.post("/contacts/<contact_id>/delete")
def delete(contact_id: str) -> Any:
    """Delete it and cancel what is in flight for it; say so."""
    call = frame.visitor("write")
    found = _found(call, contact_id)
    cancelled = operators.delete_contact(call.workspace_id, found["id"], call.actor)
    flight = f"{cancelled} executions in flight were cancelled" if cancelled != 1 else "1 execution was cancelled"
    words_of_it = flight if cancelled else "nothing was in flight"
    return frame.go("/contacts", f'"{found["name"]}" was deleted; {words_of_it}. The history of executions stays.')
