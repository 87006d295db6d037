"""The editor of a workflow: steps as a tree, a form for each, and the text beside it, which is what is saved.

Every button of the form sends the whole form: the controls of the open part and then the button's operation edit the
text, and the text is saved as the draft. A script saves in the background and replaces only parts of the page; without
it each button loads the page again. Another person's draft, or a version published in the meantime, is never
overwritten without asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.automations import require_automation
from dashboard.bodies import BODY_LIMIT
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import edit_opened, get_text, read_text
from dashboard.errors import ProblemError
from dashboard.pages import labels, layout
from dashboard.pages.editor_operations import plan_operation, read_controls
from dashboard.pages.editor_parts import build_part, find_allowed_trigger
from dashboard.pages.editor_view import EditorView
from dashboard.pages.publication import render_published, restore_line_ends
from ephemeral import workflow_cache
from models import automation
from models.database import acting_as
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.definition_text import TextCheck, get_source
from rules.json_text import dump_json
from rules.language import AUTOMATION_TYPES, PLAYBOOK, AutomationType
from rules.line_diff import list_patch_lines
from rules.problems import Problem, shorten

workflow_pages = flask.Blueprint("workflow-pages", __name__)

#: Operations of the whole form. `text` takes the text as it was typed, and leaves the controls unread; `retype` checks
#: a new automation for another type, which is fixed once it is saved.
TEXT, RETYPE, PUBLISH, OVERWRITE, DISCARD = "text", "retype", "publish", "overwrite", "discard"
TABS = ("happens", "yaml", "problems")
MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class _Edited:
    """The form's text after its operation, with its check; `unread` are controls that could not be read."""

    name: str
    text: str
    check: TextCheck
    part: str
    unread: Sequence[Problem] = field(default_factory=list)
    lines: tuple[int, int] | None = None
    variables: Sequence[tuple[str, Any]] = ()

    @property
    def problems(self) -> list[Problem]:
        """Everything that stops a publication."""
        return [*_find_name_problems(self.name), *self.unread, *self.check.problems]


@workflow_pages.post("/automations/workflows")
def create() -> Any:
    """Save the first draft of a new automation, or publish it at once."""
    call = _require_editor()
    edited = _apply_form("", read_type())
    if _read_operation() == RETYPE:
        return _render(call, None, edited)
    if _find_name_problems(edited.name):
        return _render(call, None, edited), 422
    automation_id = automation.create_draft(
        call.workspace_id, name=edited.name, type=edited.check.automation_type, draft=edited.check.document,
        actor=call.actor, source=edited.text,
    )  # fmt: skip
    row = require_automation(call.workspace_id, automation_id)
    if _read_operation() == PUBLISH:
        return _publish(call, row, edited, base_version=0, revision=row["draft_revision"])
    return _show_saved(call, row, edited)


@workflow_pages.post("/automations/<automation_id>/workflow")
def change(automation_id: str) -> Any:
    """Save the draft with the change of the button that was pressed, or publish it."""
    call = _require_editor()
    row = require_automation(call.workspace_id, automation_id)
    if row["type"] == PLAYBOOK:
        raise ProblemError(422, "This automation is a playbook, which has an editor of its own.")
    if _read_operation() == DISCARD:
        return _discard(call, row)
    edited = _apply_form(get_text(row), row["type"])
    if _find_name_problems(edited.name):
        return _render(call, row, edited), 422
    base_version, revision = _read_number("version"), _read_number("revision")
    if _read_operation() == OVERWRITE:
        base_version, revision = row["version"], row["draft_revision"]
    try:
        if _read_operation() == PUBLISH:
            return _publish(call, row, edited, base_version=base_version, revision=revision)
        _save(call, row, edited, base_version=base_version, revision=revision)
    except Conflict as conflict:
        newest = require_automation(call.workspace_id, automation_id)
        return _render(call, newest, edited, conflict=conflict, version=base_version, revision=revision), 409
    return _show_saved(call, require_automation(call.workspace_id, automation_id), edited)


def show_new(call: Caller, name: str, automation_type: AutomationType, text: str) -> flask.Response:
    """The editor of an automation that is not saved yet."""
    return _render(call, None, _open(name, text, automation_type))


def show_form(call: Caller, row: AutomationDetail) -> flask.Response:
    """The editor of an automation."""
    return _render(call, row, _open(row["name"], get_text(row), row["type"]))


def _open(name: str, text: str, automation_type: AutomationType) -> _Edited:
    part = flask.request.args.get("part", "")
    # What is stored is within the bounds of a definition, and its page opens whatever else is in progress.
    opened = edit_opened(text, automation_type, part or "steps[0]", definition=None, edits=(), is_bounded=False)
    return _Edited(name, text, opened.check, part, lines=opened.lines, variables=opened.variables)


def _require_editor() -> Caller:
    # Forms encode line ends and quotes in three characters each.
    flask.request.max_form_memory_size = BODY_LIMIT
    return layout.require_page_permission("write")


def _apply_form(original: str, automation_type: AutomationType) -> _Edited:
    """Read the form: its text with the values of its controls, and then with the operation of its button."""
    form, operation = flask.request.form, _read_operation()
    name, part = form.get("name", "").strip(), form.get("part", "")
    text = restore_line_ends(form.get("text", "").replace("\r\n", "\n"), original)
    document = _read_document(text)
    changed, unread = document, list[Problem]()
    opened = build_part(document, part) if operation != TEXT else None
    if opened is not None:
        changed, unread = read_controls(document, opened, form)
    if operation == RETYPE:
        changed = find_allowed_trigger(changed, automation_type)
    planned = plan_operation(changed, part, operation)
    done = edit_opened(
        text, automation_type, planned.part, definition=None if changed == document else changed, edits=planned.edits
    )
    return _Edited(name, done.text, done.check, planned.part, unread, done.lines, done.variables)


def _read_document(text: str) -> Any:
    """The document in a text; None where it cannot be parsed, which the text's check explains. It is not validated:
    that is done once, after the edits."""
    try:
        return read_text(text)
    except ProblemError as error:
        if error.status != 422:
            raise
        return None


def _read_operation() -> str:
    return flask.request.form.get("do", "")


def read_type() -> AutomationType:
    """The type that the form names. Raises `ProblemError` 422."""
    type_ = flask.request.form.get("type", "workflow")
    if type_ not in AUTOMATION_TYPES or type_ == PLAYBOOK:
        raise ProblemError(422, "This type of automation does not exist, or has an editor of its own.")
    return type_


def _read_number(name: str) -> int:
    """A number that the form carries; -1, which is never current, where it has none."""
    text = flask.request.form.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _save(call: Caller, row: AutomationDetail, edited: _Edited, *, base_version: int, revision: int) -> None:
    """Save name and draft. Raises `Conflict` where the form is older than what it would overwrite."""
    with acting_as(call.workspace_id):
        automation.rename(call.workspace_id, row["id"], edited.name, call.actor)
        if edited.text != get_text(row) or base_version != row["version"] or revision != row["draft_revision"]:
            document = edited.check.document
            automation.save_draft_source(
                call.workspace_id, row["id"], edited.text, document if isinstance(document, dict) else None,
                call.actor, base_version=base_version, revision=revision,
            )  # fmt: skip
    workflow_cache.invalidate(call.workspace_id)


def _publish(call: Caller, row: AutomationDetail, edited: _Edited, *, base_version: int, revision: int) -> Any:
    """Publish the text as the next version; where it has problems, save it as the draft and show them."""
    if edited.problems:
        _save(call, row, edited, base_version=base_version, revision=revision)
        return _render(call, require_automation(call.workspace_id, row["id"]), edited, refused=True), 422
    if edited.text == get_source(row["source"], row["definition"]) and base_version == row["version"]:
        _discard_unchanged(call, row, edited, revision)
        return layout.redirect(f"/automations/{row['id']}/edit", "Nothing has changed. No version was published.")
    with acting_as(call.workspace_id):
        automation.rename(call.workspace_id, row["id"], edited.name, call.actor)
        publication = automation.publish(
            call.workspace_id, row["id"], edited.check.document, call.actor, expected_version=base_version,
            expected_revision=revision, is_valid=True, source=edited.text,
            note=flask.request.form.get("note", "").strip()[:MAX_NAME_LENGTH] or None,
        )  # fmt: skip
        if flask.request.form.get("turn_on") == "true":
            automation.toggle(call.workspace_id, row["id"], True, call.actor)
    return render_published(call, publication, edited.name, edited.check.document)


def _discard_unchanged(call: Caller, row: AutomationDetail, edited: _Edited, revision: int) -> None:
    """Keep the name, and no draft that equals the published version."""
    with acting_as(call.workspace_id):
        automation.rename(call.workspace_id, row["id"], edited.name, call.actor)
        if row["has_draft"]:
            automation.discard_draft(call.workspace_id, row["id"], call.actor, revision=revision)
    workflow_cache.invalidate(call.workspace_id)


def _discard(call: Caller, row: AutomationDetail) -> Any:
    try:
        automation.discard_draft(call.workspace_id, row["id"], call.actor, revision=_read_number("revision"))
    except Conflict:
        return layout.redirect(
            f"/automations/{row['id']}/edit", "Nothing was discarded: the draft has changed meanwhile.", bad=True
        )
    return layout.redirect(f"/automations/{row['id']}/edit", "Draft discarded.")


def _show_saved(call: Caller, row: AutomationDetail, edited: _Edited) -> Any:
    if layout.is_fragment():
        return _render(call, row, edited)
    return layout.redirect(f"/automations/{row['id']}/edit?part={edited.part}")


def _find_name_problems(name: str) -> list[Problem]:
    if not name:
        return [Problem("name", "must not be empty")]
    too_long = len(name) > MAX_NAME_LENGTH
    return [Problem("name", f"must have at most {MAX_NAME_LENGTH} characters")] if too_long else []


def _render(call: Caller, row: AutomationDetail | None, edited: _Edited, **context: Any) -> flask.Response:
    document = edited.check.document
    is_valid = isinstance(document, dict) and not edited.check.problems
    warnings = list_warnings(call.workspace_id, document, row["id"] if row else None) if is_valid else []
    variables = [(name, shorten(str(sample), 40)) for name, sample in edited.variables]
    conflict = context.get("conflict")
    return layout.render(
        "workflow_form.html" if layout.is_fragment() else "workflow_editor.html",
        call,
        **{
            "automation": row,
            "name": edited.name,
            "type": edited.check.automation_type,
            "types": labels.TYPES,
            "text": edited.text,
            "edit": EditorView(document, edited.check.automation_type, edited.part, edited.problems, warnings),
            "problems": edited.problems,
            "warnings": warnings,
            "version": row["version"] if row else 0,
            "revision": row["draft_revision"] if row else 0,
            "draft_saved_at": _get_saved_time(row),
            "variables": variables,
            "state": dump_json(_build_state(edited, variables)),
            "note": flask.request.form.get("note", ""),
            "tab": _read_tab(),
            "conflict": None,
            "refused": False,
            "other_changes": list_patch_lines(edited.text, get_text(row), 2) if conflict and row else [],
            **context,
        },
    )


def _build_state(edited: _Edited, variables: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What the script shows beside the text: the open part's lines and variables, and the problems with their lines."""
    problems = [
        {"line": problem.line, "message": problem.message, "severity": "error"} for problem in edited.check.problems
    ]
    return {
        "lines": edited.lines,
        "problems": problems,
        "variables": [{"name": name, "value": sample} for name, sample in variables],
    }


def _get_saved_time(row: AutomationDetail | None) -> datetime | None:
    return row["draft_saved_at"] if row and row["has_draft"] else None


def _read_tab() -> str:
    tab = flask.request.form.get("tab") or flask.request.args.get("tab", "")
    return tab if tab in TABS else TABS[0]
