"""What stands around every page: who visits, the summary bar, the theme, and one notice about what was just done.

A page asks `visitor` first: who is not signed in is sent to the form and back. `render` gives a template what the
frame needs; what a page says about itself it gives as facts of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, Literal, TypeVar
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

import flask

import clock
from dashboard import csrf
from dashboard.access import COOKIE, Caller, Permission, session_caller, settings, signed_in
from dashboard.bodies import Body, check
from dashboard.cookies import set_cookie
from dashboard.errors import Refusal, invalid
from dashboard.own_paths import own_path
from dashboard.pages import words
from ephemeral import heartbeats
from ephemeral.connection import ERRORS
from models import membership, pause, workspace
from models.database import Row, acting_as
from models.reports import summary as report
from rules.schedule import zone_named

#: Which look a browser asked for; none means what its system says.
THEME = "beckon_theme"
#: What the last action did, shown once.
NOTICE = "beckon_notice"

_YEAR_SECONDS = 365 * 86_400

Asked = TypeVar("Asked", bound=Body)


def visitor(permission: Permission = "read") -> Caller:
    """The signed-in visitor, who may do this. Whoever is not signed in leaves for the form."""
    if signed_in() is None:
        flask.abort(_to_sign_in())
    return session_caller(permission)


def _to_sign_in() -> flask.Response:
    if is_fragment():
        # A page that refreshes itself must not put the form into its middle.
        return flask.Response(status=401, headers={"HX-Redirect": "/sign-in"})
    page = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    answer = flask.redirect(f"/sign-in?next={quote(own_path(page, '/'))}")
    return flask.make_response(answer)


def asked(shape: type[Asked]) -> tuple[Asked, dict[str, str]]:
    """What the page's address asks for, and as it was given; empty fields are left out. Raises the refusal."""
    given = {name: text for name, text in flask.request.args.items() if text}
    chosen, problems = check(shape, given)
    if chosen is None:
        raise invalid(problems)
    return chosen, given


def is_fragment() -> bool:
    """Whether htmx asks for a part of the page."""
    return flask.request.headers.get("HX-Request") == "true"


def own(call: Caller) -> Row:
    """The visitor's workspace, read once for a request."""
    if "workspace" not in flask.g:
        flask.g.workspace = workspace.get(call.workspace_id)
    found: Row = flask.g.workspace
    return found


def zone(call: Caller) -> ZoneInfo:
    """The workspace's time zone."""
    return zone_named(own(call)["timezone"])


def midnight(call: Caller) -> datetime:
    """When the workspace's day began."""
    here = zone(call)
    return datetime.combine(clock.now().astimezone(here).date(), time.min, here).astimezone(UTC)


def render(template: str, call: Caller, **facts: Any) -> flask.Response:
    """A page or a part of one, with what every template may use."""
    token = csrf.token_for(settings().secret_key, flask.request.cookies[COOKIE])
    shown = {
        "workspace": own(call),
        "zone": zone(call),
        "now": clock.now(),
        "person": call.session,
        "workspaces": _own_workspaces,
        "may_change": "write" in call.permissions,
        "csrf_token": token,
        "here": flask.request.full_path.rstrip("?"),
        "notice": _notice(),
        "words": words,
        # Read by the templates that show it: a header of the request does not say which those are.
        "summary": lambda: _summary(call),
        **facts,
    }
    answer = flask.make_response(flask.render_template(template, **shown))
    if flask.request.cookies.get(NOTICE):
        answer.delete_cookie(NOTICE)
    return answer


def _own_workspaces() -> list[Row]:
    """The visitor's workspaces, read once for a request and only where a template shows them."""
    if "own_workspaces" not in flask.g:
        flask.g.own_workspaces = membership.of_session(flask.request.cookies[COOKIE])
    rows: list[Row] = flask.g.own_workspaces
    return rows


def _summary(call: Caller) -> dict[str, Any]:
    """The numbers of the bar, how many threads there are to run executions, and what holds them."""
    with acting_as(call.workspace_id):
        held = pause.every(call.workspace_id)
    return {"numbers": report.summary(call.workspace_id, midnight(call)), "threads": _threads(), "held": held}


def _threads() -> int | None:
    """Threads of every live worker that runs executions; None while Redis cannot say."""
    told = settings()
    sizes = {"executions": told.threads, "generation": told.io_threads, "sending": told.io_threads}
    try:
        return sum(sizes.get(queue, 0) for worker in heartbeats.workers() for queue in worker.queues)
    except ERRORS:
        return None


def theme() -> Literal["light", "dark", ""]:
    """The look that this browser asked for."""
    asked = flask.request.cookies.get(THEME)
    return asked if asked in ("light", "dark") else ""  # type: ignore[return-value]


def remember_theme(answer: Any, chosen: str) -> None:
    """Keep the look for a year; anything else than light or dark follows the system again."""
    if chosen in ("light", "dark"):
        set_cookie(answer, THEME, chosen, _YEAR_SECONDS)
    else:
        answer.delete_cookie(THEME)


def go(path: str, notice: str = "", *, bad: bool = False) -> Any:
    """Send the visitor to a page of ours after a change, with one notice about what it did."""
    answer = flask.redirect(path, 303)
    if notice:
        value = quote(("!" if bad else " ") + notice[:500])
        set_cookie(answer, NOTICE, value, 60)
    return answer


def _notice() -> dict[str, Any] | None:
    text = unquote(flask.request.cookies.get(NOTICE, ""))
    return {"bad": text[0] == "!", "text": text[1:]} if len(text) > 1 else None


def back(default: str) -> str:
    """The path in the form's `next`, if it is one of ours."""
    return own_path(flask.request.form.get("next", ""), default)


def refused(error: Refusal) -> str:
    """A refusal's words, for a notice."""
    return error.detail or "That was refused."
