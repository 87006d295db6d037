"""One execution: its workflow, timeline and messages, and the actions that its status allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api.executions import Review
from dashboard.bodies import check
from dashboard.errors import not_found
from dashboard.pages import labels, layout, remedies, timeline
from dashboard.pages.path import build_path
from models import workspace_preferences
from models.audit import AuditActor
from models.checks.text_retention import KEEP_TEXT_DAYS
from models.errors import Conflict
from models.execution_filters import ExecutionFilters
from models.ids import is_id
from models.reports import executions as report
from models.reports.executions import ExecutionDetail, ExecutionOrigin
from models.reports.overview import list_automation_names
from models.tables.workspaces import RetryVersion
from providers.registry import SENDERS
from rules.stages import IN_FLIGHT
from tasks.operators import actions as operator_actions
from tasks.operators import bulk, reviews

execution_pages = flask.Blueprint("execution-pages", __name__)
#: A waiting execution that resumes within so many seconds counts as active.
_SOON_SECONDS = 90
#: Irreversible actions ask first: the question, the consequence, the label of the button.
_QUESTIONS = {
    "cancel": (
        "Cancel this execution?",
        "Messages already sent are not recalled; no more are sent. A cancelled execution cannot be resumed.",
        "Cancel execution",
    ),
    "discard": (
        "Discard this execution?",
        "It ends as cancelled, is not retried, and leaves the list of failures. Its timeline stays.",
        "Discard execution",
    ),
    "stop-follow-ups": (
        "Stop follow-ups?",
        "Messages already sent are not recalled. This execution ends after its current step; others are not affected.",
        "Stop follow-ups",
    ),
}
_QUESTIONS_ABOUT_MESSAGES = {
    "resend": (
        "Resend this message?",
        "If the provider accepted the first attempt, the contact gets it twice. Check the provider's log first.",
        "Resend message",
    ),
    "discard": (
        "Discard the message and its execution?",
        "The message is not sent again, even if it was never sent. The execution ends as cancelled.",
        "Discard message and execution",
    ),
}


@execution_pages.get("/executions/<execution_id>")
def show(execution_id: str) -> Any:
    """The page, or for htmx its live fragment."""
    call = layout.require_page_permission()
    execution = _require_execution(call, execution_id)
    template = "execution_live.html" if layout.is_fragment() else "execution.html"
    return layout.render(template, call, **_build_context(call, execution))


def _require_execution(call: Caller, execution_id: str) -> ExecutionDetail:
    execution = report.fetch_detail(call.workspace_id, execution_id) if is_id(execution_id) else None
    if execution is None:
        raise not_found("There is no execution with that id.")
    return execution


def _require_execution_with_message(call: Caller, execution_id: str, message_id: str) -> ExecutionDetail:
    execution = _require_execution(call, execution_id)
    if message_id not in {message["id"] for message in execution["messages"]}:
        raise not_found("There is no message with that id.")
    return execution


def _name_not_chosen(call: Caller, origin: ExecutionOrigin | None) -> list[dict[str, str]]:
    """The automations that left the event to others, with their names."""
    others = (origin and origin["not_chosen"]) or []
    names = list_automation_names(call.workspace_id, [other["automationId"] for other in others]) if others else {}
    return [
        {**other, "name": names[other["automationId"]]["name"]} for other in others if other["automationId"] in names
    ]


def _build_context(call: Caller, execution: ExecutionDetail) -> dict[str, Any]:
    now = clock.now()
    origin = report.fetch_origin(call.workspace_id, execution["id"])
    return {
        "execution": execution,
        "keep_text_days": workspace_preferences.load_cached(call.workspace_id).keep_text_days or KEEP_TEXT_DAYS,
        "origin": origin or {},
        "not_chosen": _name_not_chosen(call, origin),
        "error": labels.find_current_error(execution),
        "remedy": remedies.find_remedy(execution),
        "next": labels.describe_next(execution, now),
        "path": build_path(origin and origin["definition"], execution),
        "timeline": timeline.build_timeline(execution),
        "time_shares": timeline.build_time_shares(execution, now),
        "total_seconds": ((execution["finished_at"] or now) - execution["created_at"]).total_seconds(),
        "retries": sum(len(step["failures"]) for step in execution["steps"]),
        "is_active": _is_active(execution, now),
        "actions": _actions_for_status(execution),
        "can_look_up": any(
            message["status"] == "outcome_unknown" and SENDERS[message["provider"]].can_reconcile
            for message in execution["messages"]
        ),
        "review_message": next((message for message in execution["messages"] if message["status"] == "review"), None),
        "unknown_message": next(
            (message for message in execution["messages"] if message["status"] == "outcome_unknown"), None
        ),
    }


def _is_active(execution: ExecutionDetail, now: Any) -> bool:
    """Whether it may change soon, so that the page refreshes every two seconds."""
    if execution["status"] in ("pending", "running"):
        return True
    at = labels.find_resume_time(execution)
    return bool(execution["status"] == "waiting" and at and (at - now).total_seconds() < _SOON_SECONDS)


def _actions_for_status(execution: ExecutionDetail) -> set[str]:
    """The actions that its status allows."""
    allowed = {"cancel"} if execution["status"] in IN_FLIGHT else set()
    error = labels.find_current_error(execution)
    is_unknown = error is not None and error["class"] == "unknown_outcome"
    if execution["stage"] == "failed" and not is_unknown and not execution["retry_queued"]:
        allowed.add("retry")
    if execution["status"] == "failed":
        allowed.add("discard")
    if execution["status"] in IN_FLIGHT and execution["follow_up"]["max"]:
        allowed.add("stop-follow-ups")
    return allowed


@execution_pages.get("/executions/<execution_id>/<any(cancel, discard, 'stop-follow-ups'):action>")
def ask_about_action(execution_id: str, action: str) -> Any:
    """Ask for confirmation before an execution or its follow-ups end."""
    call = layout.require_page_permission("write")
    return _render_question(call, _require_execution(call, execution_id), _QUESTIONS[action])


def _render_question(call: Caller, execution: ExecutionDetail, texts: tuple[str, str, str]) -> flask.Response:
    question, consequence, button = texts
    return layout.render(
        "ask_about_execution.html", call, execution=execution, question=question, consequence=consequence, button=button
    )


@execution_pages.post("/executions/<execution_id>/<any(retry, cancel, discard, 'stop-follow-ups'):action>")
def act(execution_id: str, action: str) -> Any:
    """Retry, cancel or discard an execution, or stop its follow-ups."""
    call = layout.require_page_permission("write")
    execution = _require_execution(call, execution_id)
    actions = {
        "retry": _retry,
        "cancel": operator_actions.cancel_execution,
        "discard": _discard,
        "stop-follow-ups": operator_actions.stop_follow_ups,
    }
    notices = {
        "retry": "Execution resumes at its failed step.",
        "cancel": "Execution cancelled.",
        "discard": "Execution discarded.",
        "stop-follow-ups": "Follow-ups stopped.",
    }
    return _act_and_redirect(
        execution, notices[action], lambda: actions[action](call.workspace_id, execution["id"], call.actor)
    )


def _act_and_redirect(execution: ExecutionDetail, notice: str, action: Callable[[], None]) -> Any:
    """Run an operator action and redirect to the execution, with the notice or with the reason of a conflict."""
    url = f"/executions/{execution['id']}"
    try:
        action()
    except Conflict as conflict:
        return layout.redirect(url, conflict.message, bad=True)
    return layout.redirect(url, notice)


def _retry(workspace_id: str, execution_id: str, actor: AuditActor) -> None:
    version: RetryVersion = "current" if flask.request.form.get("version") == "current" else "original"
    operator_actions.retry_execution(workspace_id, execution_id, actor, version)


def _discard(workspace_id: str, execution_id: str, actor: AuditActor) -> None:
    filters = ExecutionFilters(q=execution_id)
    result = bulk.act_on_matching(workspace_id, "discard", filters, actor, dry_run=False)
    if not result["discarded"]:
        raise Conflict("Only a failed execution can be discarded.")


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(approve, reject):decision>")
def review(execution_id: str, message_id: str, decision: str) -> Any:
    """Approve or reject a message that waits for review; the form carries its text, which may be edited."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    # Forms send line ends as CRLF.
    text = flask.request.form.get("body", "").replace("\r\n", "\n")
    payload, problems = check(Review, {"decision": decision, **({"body": text} if decision == "approve" else {})})
    if payload is None:
        fault = "; ".join(f"The text {problem.message}" for problem in problems)
        return layout.redirect(f"/executions/{execution['id']}", fault, bad=True)
    if decision == "approve":
        return _act_and_redirect(
            execution,
            "Message approved.",
            lambda: reviews.approve(call.workspace_id, message_id, call.actor, payload.body),
        )
    return _act_and_redirect(
        execution,
        "Message rejected. The execution continues without it.",
        lambda: reviews.reject(call.workspace_id, message_id, call.actor),
    )


@execution_pages.get("/executions/<execution_id>/messages/<message_id>/<any(resend, discard):decision>")
def ask_about_message(execution_id: str, message_id: str, decision: str) -> Any:
    """Ask for confirmation before a message of unknown outcome is resent or discarded."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    return _render_question(call, execution, _QUESTIONS_ABOUT_MESSAGES[decision])


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/look-up")
def look_up(execution_id: str, message_id: str) -> Any:
    """Ask the provider now about a message of unknown outcome."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    return _act_and_redirect(
        execution,
        "Look-up requested. The answer appears in the timeline.",
        lambda: operator_actions.look_up_message(call.workspace_id, message_id, call.actor),
    )


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(sent, resend, discard):decision>")
def resolve(execution_id: str, message_id: str, decision: str) -> Any:
    """Resolve a message of unknown outcome."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    notices = {
        "sent": "Message marked as sent. The execution continues with its next step.",
        "resend": "Message queued to be sent again.",
        "discard": "Message and execution discarded.",
    }
    return _act_and_redirect(
        execution,
        notices[decision],
        lambda: operator_actions.resolve_message(call.workspace_id, message_id, decision, call.actor),  # type: ignore[arg-type]
    )
