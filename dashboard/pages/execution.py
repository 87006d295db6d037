"""One execution: the path it took, its story in time, its messages, and what may be done to it now."""

from __future__ import annotations

from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api.executions import Review
from dashboard.bodies import check
from dashboard.errors import not_there
from dashboard.pages import frame, remedies, story, words
from dashboard.pages.path import path
from models.database import Row
from models.ids import is_id
from models.refusals import Conflict
from models.reports import executions as report
from models.reports.filters import ExecutionFilters
from tasks import operators, reviews

execution_pages = flask.Blueprint("execution-pages", __name__)

_IN_FLIGHT = ("pending", "running", "waiting")
#: Seconds ahead within which a waiting execution is watched as one in motion.
_SOON = 90
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
    call = frame.visitor()
    found = _found(call, execution_id)
    template = "execution_live.html" if frame.is_fragment() else "execution.html"
    return frame.render(template, call, **_facts(call, found))


def _found(call: Caller, execution_id: str) -> Row:
    found = report.detail(call.workspace_id, execution_id) if is_id(execution_id) else None
    if found is None:
        raise not_there("There is no execution by that id.")
    return found


def _found_with(call: Caller, execution_id: str, message_id: str) -> Row:
    found = _found(call, execution_id)
    if message_id not in {one["id"] for one in found["messages"]}:
        raise not_there("There is no message by that id.")
    return found


def _facts(call: Caller, found: Row) -> dict[str, Any]:
    now = clock.now()
    background = report.background(call.workspace_id, found["id"]) or {}
    return {
        "execution": found,
        "background": background,
        "trouble": words.trouble(found),
        "remedy": remedies.remedy(found),
        "next": words.next_for(found, now),
        "path": path(background.get("definition"), found),
        "story": story.tell(found),
        "parts": story.parts(found, now),
        "total_seconds": ((found["finished_at"] or now) - found["created_at"]).total_seconds(),
        "retries": sum(len(step["failures"]) for step in found["steps"]),
        "in_motion": _is_in_motion(found, now),
        "may": _allowed(found),
        "to_review": next((one for one in found["messages"] if one["status"] == "review"), None),
        "unknown": next((one for one in found["messages"] if one["status"] == "outcome_unknown"), None),
    }


def _is_in_motion(found: Row, now: Any) -> bool:
    """Whether it may change within moments, so that the page looks again every two seconds."""
    if found["status"] in ("pending", "running"):
        return True
    at = words.goes_on_at(found)
    return bool(found["status"] == "waiting" and at and (at - now).total_seconds() < _SOON)


def _allowed(found: Row) -> set[str]:
    """What its status allows an operator to do."""
    allowed = {"cancel"} if found["status"] in _IN_FLIGHT else set()
    error = words.trouble(found)
    is_unknown = error is not None and error["class"] == "unknown_outcome"
    if found["stage"] == "failed" and not is_unknown:
        allowed.add("retry")
    if found["status"] == "failed":
        allowed.add("discard")
    if found["status"] in _IN_FLIGHT and found["follow_up"]["max"]:
        allowed.add("stop-follow-ups")
    return allowed


@execution_pages.get("/executions/<execution_id>/<any(cancel, discard, 'stop-follow-ups'):action>")
def ask(execution_id: str, action: str) -> Any:
    """Ask before an execution is ended, or its follow-ups."""
    call = frame.visitor("write")
    return _question(call, _found(call, execution_id), _QUESTIONS[action])


def _question(call: Caller, found: Row, words_of_it: tuple[str, str, str]) -> flask.Response:
    question, consequence, answer = words_of_it
    return frame.render(
        "ask_about_execution.html", call, execution=found, question=question, consequence=consequence, answer=answer
    )


@execution_pages.post("/executions/<execution_id>/<any(retry, cancel, discard, 'stop-follow-ups'):action>")
def act(execution_id: str, action: str) -> Any:
    """Retry, cancel or discard this one, or send no more follow-ups of it."""
    call = frame.visitor("write")
    found = _found(call, execution_id)
    here = f"/executions/{found['id']}"
    try:
        if action == "retry":
            operators.retry_execution(call.workspace_id, found["id"], call.actor)
        elif action == "cancel":
            operators.cancel_execution(call.workspace_id, found["id"], call.actor)
        elif action == "stop-follow-ups":
            operators.stop_follow_ups(call.workspace_id, found["id"], call.actor)
        else:
            _discard(call, found["id"])
    except Conflict as conflict:
        return frame.go(here, conflict.message, bad=True)
    done = {
        "retry": "It goes on from its failed step.",
        "cancel": "It was cancelled.",
        "discard": "It was discarded.",
        "stop-follow-ups": "No more follow-ups are sent.",
    }
    return frame.go(here, done[action])


def _discard(call: Caller, execution_id: str) -> None:
    only_this = ExecutionFilters(q=execution_id)
    result = operators.act_on_matching(call.workspace_id, "discard", only_this, call.actor, dry_run=False)
    if not result["discarded"]:
        raise Conflict("Only a failed execution can be discarded.")


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(approve, reject):decision>")
def review(execution_id: str, message_id: str, decision: str) -> Any:
    """Decide about a message that waits for review; the form has its text, which may have been changed."""
    call = frame.visitor("write")
    found = _found_with(call, execution_id, message_id)
    here = f"/executions/{found['id']}"
    # A form sends its lines as the network has them, not as the text had them.
    text = flask.request.form.get("body", "").replace("\r\n", "\n")
    chosen, problems = check(Review, {"decision": decision, **({"body": text} if decision == "approve" else {})})
    if chosen is None:
        return frame.go(here, "; ".join(f"The text {problem.message}" for problem in problems), bad=True)
    try:
        if chosen.decision == "approve":
            reviews.approve(call.workspace_id, message_id, call.actor, chosen.body)
        else:
            reviews.reject(call.workspace_id, message_id, call.actor)
    except Conflict as conflict:
        return frame.go(here, conflict.message, bad=True)
    done = {"approve": "The message is sent.", "reject": "The message is not sent; the execution goes on without it."}
    return frame.go(here, done[decision])


@execution_pages.get("/executions/<execution_id>/messages/<message_id>/<any(resend, discard):decision>")
def ask_about_message(execution_id: str, message_id: str, decision: str) -> Any:
    """Ask before a message of unknown outcome is sent once more, or given up."""
    call = frame.visitor("write")
    found = _found_with(call, execution_id, message_id)
    return _question(call, found, _QUESTIONS_ABOUT_MESSAGES[decision])


@execution_pages.post("/executions/<execution_id>/messages/<message_id>/<any(sent, resend, discard):decision>")
def resolve(execution_id: str, message_id: str, decision: str) -> Any:
    """Decide about a message whose outcome is unknown."""
    call = frame.visitor("write")
    found = _found_with(call, execution_id, message_id)
    here = f"/executions/{found['id']}"
    try:
        operators.resolve_message(call.workspace_id, message_id, decision, call.actor)  # type: ignore[arg-type]
    except Conflict as conflict:
        return frame.go(here, conflict.message, bad=True)
    done = {
        "sent": "The message counts as sent; the execution goes on with its next step.",
        "resend": "The message is sent once more.",
        "discard": "The message and its execution were discarded.",
    }
    return frame.go(here, done[decision])
