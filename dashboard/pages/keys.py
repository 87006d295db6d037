"""Settings, Keys: the workspace's API keys and site keys. A secret is shown once, right after it is created. For owners
only."""

from __future__ import annotations

from typing import Any, TypeVar

import flask

from dashboard.access import Caller, current_settings
from dashboard.api.keys import NewKey
from dashboard.api.keys import issue as issue_key
from dashboard.api.keys import revoke as revoke_key
from dashboard.api.site_keys import NewSiteKey
from dashboard.api.site_keys import issue as issue_site_key
from dashboard.api.site_keys import revoke as revoke_issued_site_key
from dashboard.bodies import Body, check
from dashboard.browser_script import find_current
from dashboard.errors import ProblemError, invalid_request, not_found
from dashboard.pages import forms, layout
from models import api_key, site_key
from models.api_key import SCOPES
from models.ids import is_id

keys_pages = flask.Blueprint("keys-pages", __name__)

PATH = "/settings/keys"

#: What each scope allows.
SCOPE_TEXTS = {
    "trigger": "Start automations",
    "track": "Record playbook executions",
    "read": "Read everything but keys, members and the audit log",
    "write": "Change automations and contacts, retry, pause",
    "admin": "Everything an owner may do",
}

Form = TypeVar("Form", bound=Body)


@keys_pages.get(PATH)
def show() -> Any:
    """The page."""
    return _render_page(layout.require_page_permission("admin"))


@keys_pages.post(PATH)
def create_key() -> Any:
    """Create an API key, and show its secret once."""
    call = layout.require_page_permission("admin")
    fields = {"name": forms.read_field("name").strip(), "scopes": flask.request.form.getlist("scope")}
    try:
        issued = issue_key(call, _parse_form(NewKey, fields))
    except ProblemError as error:
        return _render_page(call, error.status, key_fault=_format_error(error), key_form=fields)
    return _render_page(call, 201, issued={"name": fields["name"], "secret": issued.secret})


@keys_pages.post("/settings/site-keys")
def create_site_key() -> Any:
    """Create a site key."""
    call = layout.require_page_permission("admin")
    fields = {"name": forms.read_field("name").strip(), "origins": forms.read_field("origins").split()}
    try:
        issue_site_key(call, _parse_form(NewSiteKey, fields))
    except ProblemError as error:
        return _render_page(call, error.status, site_fault=_format_error(error), site_form=fields)
    return layout.redirect(PATH, f"Site key {fields['name']} created.")


@keys_pages.get(f"{PATH}/<key_id>/revoke")
def ask_to_revoke(key_id: str) -> Any:
    """Ask for confirmation before an API key is revoked."""
    call = layout.require_page_permission("admin")
    name = _find_name(call, key_id)
    return layout.render("revoke_key.html", call, kind="API key", name=name, action=flask.request.path)


@keys_pages.post(f"{PATH}/<key_id>/revoke")
def revoke(key_id: str) -> Any:
    """Revoke an API key."""
    call = layout.require_page_permission("admin")
    name = _find_name(call, key_id)
    revoke_key(call, key_id.lower())
    return layout.redirect(PATH, f"API key {name} revoked. Requests with it are refused from now on.")


@keys_pages.get("/settings/site-keys/<site_key_id>/revoke")
def ask_to_revoke_site_key(site_key_id: str) -> Any:
    """Ask for confirmation before a site key is revoked."""
    call = layout.require_page_permission("admin")
    name = _find_site_name(call, site_key_id)
    return layout.render("revoke_key.html", call, kind="site key", name=name, action=flask.request.path)


@keys_pages.post("/settings/site-keys/<site_key_id>/revoke")
def revoke_site_key(site_key_id: str) -> Any:
    """Revoke a site key."""
    call = layout.require_page_permission("admin")
    name = _find_site_name(call, site_key_id)
    revoke_issued_site_key(call, site_key_id.lower())
    return layout.redirect(PATH, f"Site key {name} revoked. Pages that use it get no playbooks from now on.")


def _find_name(call: Caller, key_id: str) -> str:
    return _choose_name({row["id"]: row["name"] for row in api_key.list_all(call.workspace_id)}, key_id)


def _find_site_name(call: Caller, key_id: str) -> str:
    return _choose_name({row["id"]: row["name"] for row in site_key.list_all(call.workspace_id)}, key_id)


def _choose_name(names: dict[str, str], key_id: str) -> str:
    if not is_id(key_id) or key_id.lower() not in names:
        raise not_found("There is no key with that id.")
    return names[key_id.lower()]


def _render_page(call: Caller, status: int = 200, **context: Any) -> flask.Response:
    page = layout.render(
        "keys.html",
        call,
        keys=api_key.list_all(call.workspace_id),
        site_keys=site_key.list_all(call.workspace_id),
        scopes={scope: SCOPE_TEXTS[scope] for scope in SCOPES if scope in call.permissions},
        url=current_settings().url,
        script=find_current(),
        **context,
    )
    page.status_code = status
    return page


def _parse_form(form: type[Form], fields: dict[str, Any]) -> Form:
    body, problems = check(form, fields)
    if body is None:
        raise invalid_request(problems)
    return body


def _format_error(error: ProblemError) -> str:
    return "; ".join(f"{problem.path} {problem.message}" for problem in error.problems) or error.detail
