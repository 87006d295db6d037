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
from dashboard.access import COOKIE, Caller, Permission, current_settings, find_session, require_session_permission
from dashboard.bodies import Body, check
from dashboard.cookies import set_cookie
from dashboard.errors import ProblemError, invalid_request
from dashboard.own_paths import ensure_own_path
from dashboard.pages import labels
from ephemeral import heartbeats
from ephemeral.connection import ERRORS
from models import membership, pause, workspace
from models.database import Row, acting_as
from models.reports import summary as report
from rules.schedule import find_zone

#: Which look a browser asked for; none means what its system says.
THEME = "beckon_theme"
#: What the last action did, shown once.
NOTICE = "beckon_notice"

_YEAR_SECONDS = 365 * 86_400

Schema = TypeVar("Schema", bound=Body)


def require_page_permission(permission: Permission = "read") -> Caller:
    """The signed-in visitor, who may do this. Whoever is not signed in leaves for the form."""
    if find_session() is None:
        flask.abort(_redirect_to_sign_in())
    return require_session_permission(permission)


def _redirect_to_sign_in() -> flask.Response:
    if is_fragment():
        # A page that refreshes itself must not put the form into its middle.
        return flask.Response(status=401, headers={"HX-Redirect": "/sign-in"})
    page = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    response = flask.redirect(f"/sign-in?next={quote(ensure_own_path(page, '/'))}")
    return flask.make_response(response)


def parse_query(schema: type[Schema]) -> tuple[Schema, dict[str, str]]:
    """What the page's address asks for, and as it was given; empty fields are left out. Raises the refusal."""
    params = {name: text for name, text in flask.request.args.items() if text}
    form, problems = check(schema, params)
    if form is None:
        raise invalid_request(problems)
    return form, params


def is_fragment() -> bool:
    """Whether htmx asks for a part of the page."""
    return flask.request.headers.get("HX-Request") == "true"


def load_workspace(call: Caller) -> Row:
    """The visitor's workspace, read once for a request."""
    if "workspace" not in flask.g:
        flask.g.workspace = workspace.get(call.workspace_id)
    row: Row = flask.g.workspace
    return row


def load_zone(call: Caller) -> ZoneInfo:
    """The workspace's time zone."""
    return find_zone(load_workspace(call)["timezone"])


def start_of_day(call: Caller) -> datetime:
    """When the workspace's day began."""
    zone = load_zone(call)
    return datetime.combine(clock.now().astimezone(zone).date(), time.min, zone).astimezone(UTC)


def render(template: str, call: Caller, **facts: Any) -> flask.Response:
    """A page or a part of one, with what every template may use."""
    token = csrf.derive_token(current_settings().secret_key, flask.request.cookies[COOKIE])
    context = {
        "workspace": load_workspace(call),
        "zone": load_zone(call),
        "now": clock.now(),
        "person": call.session,
        "workspaces": _load_own_workspaces,
        "may_change": "write" in call.permissions,
        "csrf_token": token,
        "here": flask.request.full_path.rstrip("?"),
        "notice": _read_notice(),
        "words": labels,
        # Read by the templates that show it: a header of the request does not say which those are.
        "summary": lambda: _load_summary(call),
        **facts,
    }
    response = flask.make_response(flask.render_template(template, **context))
    if flask.request.cookies.get(NOTICE):
        response.delete_cookie(NOTICE)
    return response


def _load_own_workspaces() -> list[Row]:
    """The visitor's workspaces, read once for a request and only where a template shows them."""
    if "own_workspaces" not in flask.g:
        flask.g.own_workspaces = membership.list_workspaces_for_session(flask.request.cookies[COOKIE])
    rows: list[Row] = flask.g.own_workspaces
    return rows


def _load_summary(call: Caller) -> dict[str, Any]:
    """The numbers of the bar, how many threads there are to run executions, and what holds them."""
    with acting_as(call.workspace_id):
        pauses = pause.list_all(call.workspace_id)
    return {
        "numbers": report.fetch_summary(call.workspace_id, start_of_day(call)),
        "threads": _count_threads(),
        "held": pauses,
    }


def _count_threads() -> int | None:
    """Threads of every live worker that runs executions; None while Redis cannot say."""
    config = current_settings()
    sizes = {"executions": config.threads, "generation": config.io_threads, "sending": config.io_threads}
    try:
        return sum(sizes.get(queue, 0) for worker in heartbeats.list_workers() for queue in worker.queues)
    except ERRORS:
        return None


def read_theme() -> Literal["light", "dark", ""]:
    """The look that this browser asked for."""
    value = flask.request.cookies.get(THEME)
    return value if value in ("light", "dark") else ""  # type: ignore[return-value]


def remember_theme(response: Any, theme: str) -> None:
    """Keep the look for a year; anything else than light or dark follows the system again."""
    if theme in ("light", "dark"):
        set_cookie(response, THEME, theme, _YEAR_SECONDS)
    else:
        response.delete_cookie(THEME)


def redirect(path: str, notice: str = "", *, bad: bool = False) -> Any:
    """Send the visitor to a page of ours after a change, with one notice about what it did."""
    response = flask.redirect(path, 303)
    if notice:
        value = quote(("!" if bad else " ") + notice[:500])
        set_cookie(response, NOTICE, value, 60)
    return response


def _read_notice() -> dict[str, Any] | None:
    text = unquote(flask.request.cookies.get(NOTICE, ""))
    return {"bad": text[0] == "!", "text": text[1:]} if len(text) > 1 else None


def read_next_path(default: str) -> str:
    """The path in the form's `next`, if it is one of ours."""
    return ensure_own_path(flask.request.form.get("next", ""), default)


def format_problem(error: ProblemError) -> str:
    """A refusal's words, for a notice."""
    return error.detail or "That was refused."
