"""One execution: the path it took, its story in time, its messages, and what may be done to it now."""

from __future__ import annotations

from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api.executions import Review
from dashboard.bodies import check
from dashboard.errors import not_found
from dashboard.pages import labels, layout, remedies, timeline
from dashboard.pages.path import build_path
from models.database import Row
from models.errors import Conflict
from models.ids import is_id
from models.reports import executions as report
from models.reports.filters import ExecutionFilters
from tasks.operators import actions as operator_actions
from tasks.operators import reviews

execution_pages = flask.Blueprint("execution-pages", __name__)

_IN_FLIGHT = ("pending", "running", "waiting")
#: Seconds ahead within which a waiting execution is watched as one in motion.
_SOON_SECONDS = 90
#: What cannot be taken back is asked about first: the question, what follows, and the answer.
_QUESTIONS = {
    "cancel": (
        "Cancel this execution?",
        "What was sent stays sent; nothing more is sent. It ends as cancelled and cannot be resumed.",
        "Cancel the execution",
    ),
    "discard": (
        "Discard this failure?",
        "It ends as cancelled, is not tried again, and leaves the list of failures. Its story stays.",
        "Discard",
    ),
    "stop-follow-ups": (
        "Send no more follow-ups?",
        "What was sent stays sent. This execution ends after what it is doing now; others are not touched.",
        "Stop the follow-ups",
    ),
}
_QUESTIONS_ABOUT_MESSAGES = {
    "resend": (
        "Send the message once more?",
        "The provider may have taken it the first time: then the contact gets it twice. Look there first.",
        "Send it again",
    ),
    "discard": (
        "Discard the message and its execution?",
        "It is not sent again, even if it never left; the execution ends as cancelled.",
        "Discard both",
    ),
}


@execution_pages.get("/executions/<execution_id>")
def show(execution_id: str) -> Any:
    """The whole page, or for htmx the part that changes."""
    call = layout.require_page_permission()
    execution = _require_execution(call, execution_id)
    template = "execution_live.html" if layout.is_fragment() else "execution.html"
    return layout.render(template, call, **_build_context(call, execution))


def _require_execution(call: Caller, execution_id: str) -> Row:
    execution = report.fetch_detail(call.workspace_id, execution_id) if is_id(execution_id) else None
    if execution is None:
        raise not_found("There is no execution by that id.")
    return execution


def _require_execution_with_message(call: Caller, execution_id: str, message_id: str) -> Row:
    execution = _require_execution(call, execution_id)
    if message_id not in {message["id"] for message in execution["messages"]}:
        raise not_found("There is no message by that id.")
    return execution


def _build_context(call: Caller, execution: Row) -> dict[str, Any]:
    now = clock.now()
    background = report.fetch_background(call.workspace_id, execution["id"]) or {}
    return {
        "execution": execution,
        "background": background,
        "trouble": labels.find_current_error(execution),
        "remedy": remedies.find_remedy(execution),
        "next": labels.describe_next(execution, now),
        "path": build_path(background.get("definition"), execution),
        "story": timeline.build_timeline(execution),
        "parts": timeline.build_time_shares(execution, now),
        "total_seconds": ((execution["finished_at"] or now) - execution["created_at"]).total_seconds(),
        "retries": sum(len(step["failures"]) for step in execution["steps"]),
        "in_motion": _is_in_motion(execution, now),
        "may": _actions_for_status(execution),
        "to_review": next((message for message in execution["messages"] if message["status"] == "review"), None),
        "unknown": next((message for message in execution["messages"] if message["status"] == "outcome_unknown"), None),
    }


def _is_in_motion(execution: Row, now: Any) -> bool:
    """Whether it may change within moments, so that the page looks again every two seconds."""
    if execution["status"] in ("pending", "running"):
        return True
    at = labels.goes_on_at(execution)
    return bool(execution["status"] == "waiting" and at and (at - now).total_seconds() < _SOON_SECONDS)


def _actions_for_status(execution: Row) -> set[str]:
    """What its status allows an operator to do."""
    allowed = {"cancel"} if execution["status"] in _IN_FLIGHT else set()
    error = labels.find_current_error(execution)
    is_unknown = error is not None and error["class"] == "unknown_outcome"
    if execution["stage"] == "failed" and not is_unknown:
        allowed.add("retry")
    if execution["status"] == "failed":
        allowed.add("discard")
    if execution["status"] in _IN_FLIGHT and execution["follow_up"]["max"]:
        allowed.add("stop-follow-ups")
    return allowed


@execution_pages.get("/executions/<execution_id>/<any(cancel, discard, 'stop-follow-ups'):action>")
def ask_about_action(execution_id: str, action: str) -> Any:
    """Ask before an execution is ended, or its follow-ups."""
    call = layout.require_page_permission("write")
    return _render_question(call, _require_execution(call, execution_id), _QUESTIONS[action])


def _render_question(call: Caller, execution: Row, texts: tuple[str, str, str]) -> flask.Response:
    question, consequence, button = texts
    return layout.render(
        "ask_about_execution.html", call, execution=execution, question=question, consequence=consequence, answer=button
    )


@execution_pages.post("/executions/<execution_id>/<any(retry, cancel, discard, 'stop-follow-ups'):action>")
def act(execution_id: str, action: str) -> Any:
    """Retry, cancel or discard this one, or send no more follow-ups of it."""
    call = layout.require_page_permission("write")
    execution = _require_execution(call, execution_id)
    url = f"/executions/{execution['id']}"
    try:
        if action == "retry":
            operator_actions.retry_execution(call.workspace_id, execution["id"], call.actor)
        elif action == "cancel":
            operator_actions.cancel_execution(call.workspace_id, execution["id"], call.actor)
        elif action == "stop-follow-ups":
            operator_actions.stop_follow_ups(call.workspace_id, execution["id"], call.actor)
        else:
            _discard(call, execution["id"])
    except Conflict as conflict:
        return layout.redirect(url, conflict.message, bad=True)
    done = {
        "retry": "It goes on from its failed step.",
        "cancel": "It was cancelled.",
        "discard": "It was discarded.",
        "stop-follow-ups": "No more follow-ups are sent.",
    }
    return layout.redirect(url, done[action])


def _discard(call: Caller, execution_id: str) -> None:
    filters = ExecutionFilters(q=execution_id)
    result = operator_actions.act_on_matching(call.workspace_id, "discard", filters, call.actor, dry_run=False)
    if not result["discarded"]:
        raise Conflict("Only a failed execution can be discarded.")


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(approve, reject):decision>")
def review(execution_id: str, message_id: str, decision: str) -> Any:
    """Decide about a message that waits for review; the form has its text, which may have been changed."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    url = f"/executions/{execution['id']}"
    # A form sends its lines as the network has them, not as the text had them.
    text = flask.request.form.get("body", "").replace("\r\n", "\n")
    payload, problems = check(Review, {"decision": decision, **({"body": text} if decision == "approve" else {})})
    if payload is None:
        return layout.redirect(url, "; ".join(f"The text {problem.message}" for problem in problems), bad=True)
    try:
        if payload.decision == "approve":
            reviews.approve(call.workspace_id, message_id, call.actor, payload.body)
        else:
            reviews.reject(call.workspace_id, message_id, call.actor)
    except Conflict as conflict:
        return layout.redirect(url, conflict.message, bad=True)
    done = {"approve": "The message is sent.", "reject": "The message is not sent; the execution goes on without it."}
    return layout.redirect(url, done[decision])


@execution_pages.get("/executions/<execution_id>/messages/<message_id>/<any(resend, discard):decision>")
def ask_about_message(execution_id: str, message_id: str, decision: str) -> Any:
    """Ask before a message of unknown outcome is sent once more, or given up."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    return _render_question(call, execution, _QUESTIONS_ABOUT_MESSAGES[decision])


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(sent, resend, discard):decision>")
def resolve(execution_id: str, message_id: str, decision: str) -> Any:
    """Decide about a message whose outcome is unknown."""
    call = layout.require_page_permission("write")
    execution = _require_execution_with_message(call, execution_id, message_id)
    url = f"/executions/{execution['id']}"
    try:
        operator_actions.resolve_message(call.workspace_id, message_id, decision, call.actor)  # type: ignore[arg-type]
    except Conflict as conflict:
        return layout.redirect(url, conflict.message, bad=True)
    done = {
        "sent": "The message counts as sent; the execution goes on with its next step.",
        "resend": "The message is sent once more.",
        "discard": "The message and its execution were discarded.",
    }
    return layout.redirect(url, done[decision])
