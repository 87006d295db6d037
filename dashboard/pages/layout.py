"""What every page shares: the signed-in caller, the summary bar, the theme, and one notice about the last action.

A page calls `require_page_permission` first, which redirects to the sign-in form where nobody is signed in. `render`
adds the layout's context to the page's own.
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
from dashboard.errors import invalid_request
from dashboard.own_paths import ensure_own_path
from dashboard.pages import display_zone, labels, navigation
from ephemeral import heartbeats
from ephemeral.connection import ERRORS
from models import membership, pause, workspace
from models.database import acting_as
from models.membership import OwnWorkspaceRow
from models.pause import PausedRow
from models.reports import summary as report
from models.workspace import WorkspaceRow
from rules.schedule import find_zone
from tasks.runtime.broker import EXECUTION_QUEUES

#: The theme that the browser selected; no cookie means the system theme.
THEME = "beckon_theme"
#: The result of the last action, shown once.
NOTICE = "beckon_notice"

_YEAR_SECONDS = 365 * 86_400

Schema = TypeVar("Schema", bound=Body)


def require_page_permission(permission: Permission = "read") -> Caller:
    """The signed-in caller, who has `permission`. Without a session it redirects to the sign-in form."""
    if find_session() is None:
        flask.abort(_redirect_to_sign_in())
    return require_session_permission(permission)


def _redirect_to_sign_in() -> flask.Response:
    if _is_from_htmx():
        # A fragment must not be replaced by the form: htmx navigates the whole page.
        return flask.Response(status=401, headers={"HX-Redirect": "/sign-in"})
    page = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    response = flask.redirect(f"/sign-in?next={quote(ensure_own_path(page, '/'))}")
    return flask.make_response(response)


def parse_query(schema: type[Schema]) -> tuple[Schema, dict[str, str]]:
    """The query, parsed and as sent; empty fields are left out. Raises `ProblemError` 422."""
    params = {name: text for name, text in flask.request.args.items() if text}
    form, problems = check(schema, params)
    if form is None:
        raise invalid_request(problems)
    return form, params


def is_fragment() -> bool:
    """Whether htmx requests a fragment of the page; it says so where it selects from the full page."""
    return _is_from_htmx() and flask.request.headers.get("HX-Request-Type") != "full"


def _is_from_htmx() -> bool:
    return flask.request.headers.get("HX-Request") == "true"


def load_workspace(call: Caller) -> WorkspaceRow:
    """The caller's workspace, read once per request."""
    if "workspace" not in flask.g:
        flask.g.workspace = workspace.get(call.workspace_id)
    row: WorkspaceRow = flask.g.workspace
    return row


def load_zone(call: Caller) -> ZoneInfo:
    """The zone in which this page shows times."""
    return display_zone.resolve_zone(load_workspace(call)["timezone"])


def start_of_day(call: Caller) -> datetime:
    """The start of today in the workspace's time zone, in UTC."""
    zone = find_zone(load_workspace(call)["timezone"])
    return datetime.combine(clock.now().astimezone(zone).date(), time.min, zone).astimezone(UTC)


def render(template: str, call: Caller, **context: Any) -> flask.Response:
    """A page or a fragment, with the context that every template has."""
    token = csrf.derive_token(current_settings().secret_key, flask.request.cookies[COOKIE])
    full_context = {
        "workspace": load_workspace(call),
        "zone": load_zone(call),
        "now": clock.now(),
        "person": call.session,
        "workspaces": _load_own_workspaces,
        "may_change": "write" in call.permissions,
        "csrf_token": token,
        "here": flask.request.full_path.rstrip("?"),
        "notice": _read_notice(),
        "labels": labels,
        # Functions: only templates that show the frame read them.
        "summary": lambda: load_summary(call),
        "badges": lambda: navigation.count_badges(call, load_summary(call)),
        "places": navigation.list_places(call),
        "place_keys": navigation.assign_keys(),
        **context,
    }
    response = flask.make_response(flask.render_template(template, **full_context))
    if flask.request.cookies.get(NOTICE):
        response.delete_cookie(NOTICE)
    return response


def _load_own_workspaces() -> list[OwnWorkspaceRow]:
    """The caller's workspaces, read once per request and only where a template shows them."""
    if "own_workspaces" not in flask.g:
        flask.g.own_workspaces = membership.list_workspaces_for_session(flask.request.cookies[COOKIE])
    rows: list[OwnWorkspaceRow] = flask.g.own_workspaces
    return rows


def load_summary(call: Caller) -> dict[str, Any]:
    """What the summary bar shows, read once per request."""
    if "summary" not in flask.g:
        flask.g.summary = _read_summary(call)
    bar: dict[str, Any] = flask.g.summary
    return bar


def _read_summary(call: Caller) -> dict[str, Any]:
    """The counts of the summary bar, the number of worker threads, and the pauses with what waits for their end."""
    with acting_as(call.workspace_id):
        pauses = pause.list_all(call.workspace_id)
        counts = report.fetch_summary(call.workspace_id, start_of_day(call))
        rows = [_describe_pause(call, row) for row in pauses]
    return {"counts": counts, "threads": _count_threads(), "pauses": rows}


def _describe_pause(call: Caller, row: PausedRow) -> dict[str, Any]:
    """A pause with its name for filters, and how many executions wait for its end."""
    name = f"{row['kind']}:{row['name']}"
    return {**row, "held_by": name, "waiting": report.count_held(call.workspace_id, name)}


def _count_threads() -> int | None:
    """The threads of all live workers that run executions; None while Redis is unavailable."""
    try:
        pools = [worker.pools for worker in heartbeats.list_workers()]
    except ERRORS:
        return None
    return sum(pool.size for named in pools for queue, pool in named.items() if queue in EXECUTION_QUEUES)


def read_theme() -> Literal["light", "dark", ""]:
    """The theme that the browser selected; empty for the system theme."""
    value = flask.request.cookies.get(THEME)
    return value if value in ("light", "dark") else ""  # type: ignore[return-value]


def remember_theme(response: Any, theme: str) -> None:
    """Store the theme for a year; any value but light and dark selects the system theme."""
    if theme in ("light", "dark"):
        set_cookie(response, THEME, theme, _YEAR_SECONDS)
    else:
        response.delete_cookie(THEME)


def redirect(path: str, notice: str = "", *, bad: bool = False) -> Any:
    """Redirect to a page after a change, with a notice about the result; `bad` marks it as an error."""
    response = flask.redirect(path, 303)
    if notice:
        value = quote(("!" if bad else " ") + notice[:500])
        set_cookie(response, NOTICE, value, 60)
    return response


def _read_notice() -> dict[str, Any] | None:
    text = unquote(flask.request.cookies.get(NOTICE, ""))
    return {"bad": text[0] == "!", "text": text[1:]} if len(text) > 1 else None


def read_next_path(default: str) -> str:
    """The path in the form's `next` where it is a path of this site, else `default`."""
    return ensure_own_path(flask.request.form.get("next", ""), default)
