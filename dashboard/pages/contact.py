"""One contact: details, channels, the conversation, its tasks and its executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api.contacts import LiftReason
from dashboard.bodies import check
from dashboard.errors import not_found
from dashboard.pages import contact_fields, labels, layout
from dashboard.pages.forms import read_field
from models import contact, contact_merge, contact_task, suppression, workspace_preferences
from models.checks.text_retention import KEEP_TEXT_DAYS
from models.contact import ContactDetailRow
from models.errors import Conflict
from models.execution_filters import ExecutionFilters
from models.ids import is_id
from models.reports import contacts as report
from models.reports import executions
from models.suppression import SuppressionRow
from rules.channels import ADDRESS_FIELDS
from rules.contacts import normalise
from rules.json_text import format_json
from rules.problems import Problem
from rules.schedule import find_zone
from tasks.operators import actions as operator_actions

contact_pages = flask.Blueprint("contact-pages", __name__)

#: Rows of each list on the page.
MAX_MESSAGES, MAX_EXECUTIONS, MAX_TASKS = 50, 10, 20


@contact_pages.get("/contacts/<contact_id>")
def show(contact_id: str) -> Any:
    """The page; with `?edit` its fields are a form. An htmx request gets only the panel with the fields."""
    call = layout.require_page_permission()
    row = _require_contact(call, contact_id)
    editing = "edit" in flask.request.args and "write" in call.permissions
    if layout.is_fragment():
        return layout.render("contact_who.html", call, **_build_panel(row, editing))
    return _render_page(call, row, editing)


def _require_contact(call: Caller, contact_id: str) -> ContactDetailRow:
    row = contact.get(call.workspace_id, contact_id) if is_id(contact_id) else None
    if row is None:
        target_id = contact_merge.find_target(call.workspace_id, contact_id) if is_id(contact_id) else None
        if target_id is not None:
            flask.abort(layout.redirect(f"/contacts/{target_id}", "This contact was merged into the one shown here."))
        raise not_found("There is no contact with that id.")
    return row


def _build_panel(
    row: ContactDetailRow,
    editing: bool,
    texts: dict[str, str] | None = None,
    problems: list[Problem] | None = None,
    originals: dict[str, str] | None = None,
) -> dict[str, Any]:
    form_texts = contact_fields.build_texts(row) if texts is None else texts
    return {
        "contact": row,
        "editing": editing,
        "fields": contact_fields.FIELDS,
        "texts": form_texts,
        "originals": format_json(contact_fields.build_texts(row) if originals is None else originals),
        "lines": contact_fields.build_attribute_lines(form_texts),
        "problems": problems or [],
        "attribute_text": contact_fields.format_attribute,
    }


def _render_page(call: Caller, row: ContactDetailRow, editing: bool, **panel: Any) -> flask.Response:
    contact_id = row["id"]
    execution_rows = executions.fetch_page(
        call.workspace_id, ExecutionFilters(contact_id=contact_id), MAX_EXECUTIONS + 1
    )
    return layout.render(
        "contact.html",
        call,
        **_build_panel(row, editing, **panel),
        channels=_list_channels(row, _fetch_suppressions(call, contact_id)),
        local=clock.now().astimezone(find_zone(row["timezone"])) if row["timezone"] else None,
        messages=report.fetch_conversation(call.workspace_id, contact_id, MAX_MESSAGES),
        max_messages=MAX_MESSAGES,
        executions=[
            {**execution, "next": labels.describe_next(execution, clock.now())}
            for execution in execution_rows[:MAX_EXECUTIONS]
        ],
        more_executions=len(execution_rows) > MAX_EXECUTIONS,
        tasks=contact_task.list_for_contact(call.workspace_id, contact_id, MAX_TASKS),
        may_own="admin" in call.permissions,
        keep_text_days=workspace_preferences.load_cached(call.workspace_id).keep_text_days or KEEP_TEXT_DAYS,
    )


def _fetch_suppressions(call: Caller, contact_id: str) -> dict[str, SuppressionRow]:
    return {row["channel"]: row for row in suppression.list_for_contact(call.workspace_id, contact_id)}


def _list_channels(
    contact_row: Mapping[str, Any], suppressions: Mapping[str, SuppressionRow]
) -> list[tuple[str, str | None, SuppressionRow | None]]:
    """List each channel with the contact's address and its suppression."""
    return [(channel, contact_row[field], suppressions.get(channel)) for channel, field in ADDRESS_FIELDS.items()]


@contact_pages.post("/contacts/<contact_id>")
def change(contact_id: str) -> Any:
    """Save the changed fields. Where a field is invalid, nothing is saved and the form shows the problem."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    texts, problems = contact_fields.parse_form(flask.request.form)
    originals = contact_fields.parse_originals(flask.request.form.get("was", ""))
    fields, field_problems = normalise(contact_fields.find_changes(texts, originals, row["tags"]))
    problems += field_problems
    if problems:
        return _render_page(call, row, True, texts=texts, problems=problems, originals=originals), 422
    try:
        if fields:
            contact.change(call.workspace_id, row["id"], fields, call.actor)
    except Conflict as conflict:
        problems = [Problem(conflict.path or "", conflict.message)]
        return _render_page(call, row, True, texts=texts, problems=problems, originals=originals), 409
    return layout.redirect(f"/contacts/{row['id']}", "Changes saved." if fields else "No changes.")


@contact_pages.get("/contacts/<contact_id>/channels/<any(email, sms, facebook, instagram):channel>")
def ask_about_channel(contact_id: str, channel: str) -> Any:
    """Ask for confirmation before a channel is suppressed or a suppression is lifted."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    return _render_channel(call, row, channel, [])


def _render_channel(call: Caller, row: ContactDetailRow, channel: str, problems: list[Problem]) -> Any:
    suppressions = _fetch_suppressions(call, row["id"])
    return layout.render(
        "contact_channel.html", call, contact=row, channel=channel, suppression=suppressions.get(channel),
        problems=problems,
    )  # fmt: skip


@contact_pages.post("/contacts/<contact_id>/channels/<any(email, sms, facebook, instagram):channel>")
def decide_about_channel(contact_id: str, channel: str) -> Any:
    """Suppress a channel, or lift its suppression."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    url, name = f"/contacts/{row['id']}", labels.CHANNELS[channel]
    is_lift = flask.request.form.get("suppress") == "false"
    body, problems = check(LiftReason, {"reason": read_field("reason")}) if is_lift else (None, [])
    if problems:
        return _render_channel(call, row, channel, problems), 422
    try:
        if body is not None:
            suppression.lift(call.workspace_id, row["id"], channel, call.actor, body.reason.strip())
        else:
            suppression.add(call.workspace_id, row["id"], channel, call.actor)
    except Conflict as conflict:
        return layout.redirect(url, conflict.message, bad=True)
    notice = f"{name} suppression lifted." if is_lift else f"{name} suppressed."
    return layout.redirect(url, notice)


@contact_pages.post("/contacts/<contact_id>/tasks/<task_id>")
def mark_task(contact_id: str, task_id: str) -> Any:
    """Mark a contact task as done, or reopen it."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    if not is_id(task_id):
        raise not_found("There is no task with that id.")
    done = flask.request.form.get("done") != "false"
    contact_task.mark(call.workspace_id, row["id"], task_id, done=done, actor=call.actor)
    return layout.redirect(f"/contacts/{row['id']}", "Task done." if done else "Task reopened.")


@contact_pages.get("/contacts/<contact_id>/delete")
def ask_to_delete(contact_id: str) -> Any:
    """Ask for confirmation, with the number of active executions."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    return layout.render(
        "delete_contact.html", call, contact=row, in_flight=report.count_in_flight(call.workspace_id, row["id"])
    )


@contact_pages.post("/contacts/<contact_id>/delete")
def delete(contact_id: str) -> Any:
    """Delete a contact and cancel its active executions."""
    call = layout.require_page_permission("write")
    row = _require_contact(call, contact_id)
    cancelled = operator_actions.delete_contact(call.workspace_id, row["id"], call.actor)
    cancellation = f"{cancelled} active executions cancelled" if cancelled != 1 else "1 active execution cancelled"
    outcome = cancellation if cancelled else "no active executions"
    name = labels.format_contact_name(row)
    return layout.redirect("/contacts", f'"{name}" deleted; {outcome}. Its executions stay in the list.')
