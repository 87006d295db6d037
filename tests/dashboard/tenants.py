"""Two workspaces with one object of every kind that a route names, and their callers.

A new kind of id in a path needs an object here: `Tenant.objects` has one for each path parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import clock
import settings
from dashboard import browser_script
from dashboard.access import COOKIE
from models import (
    api_key,
    audit,
    automation,
    database,
    invitation,
    operation,
    pause,
    session,
    site_key,
    suppression,
    test_run,
    user,
    workspace,
)  # fmt: skip
from models.audit import SYSTEM, AuditActor
from models.database import acting_as
from models.ids import new_id
from models.queries import execute
from models.selection import select_one
from models.user import Membership
from tests.dashboard import example_executions
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.route_table import ROLES

#: Values of path parameters that are not ids.
PARAMETER_VALUES = {
    "action": "cancel", "channel": "email", "filename": "beckon.css", "kind": "provider", "name": "mailgun",
    "provider": "slack", "token": "nothing", "version": "1", "script": browser_script.find_current_name(),
}  # fmt: skip
#: Values of the parameter `name`, where it is neither a provider nor a queue.
NAMES_BY_RESOURCE = {"queues": "sending", "providers": "mailgun", "pauses": "telnyx", "switches": "run_tracking"}
#: An id of no object.
UNKNOWN_ID = "01a00000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Caller:
    """A program with a key, or a person with a cookie, with or without its CSRF token."""

    name: str
    client: FlaskClient
    headers: dict[str, str] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()
    role: str = ""
    #: Whether requests that change something carry the CSRF token.
    has_token: bool = True

    def open(self, method: str, address: str, **request: Any) -> TestResponse:
        """Send a request."""
        headers = {**self.headers, **request.pop("headers", {})}
        return self.client.open(address, method=method, headers=headers, **request)


@dataclass
class Tenant:
    """A workspace, its objects by path parameter, and a word that occurs in each of its texts."""

    name: str
    workspace_id: str
    canary: str
    objects: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids of its objects."""
        return [text for name, text in self.objects.items() if name.endswith("_id")]


def create_tenant(name: str) -> Tenant:
    """A workspace with one object of every kind. Requires the service connection."""
    workspace_id = workspace.create(name, f"{name}-canary")
    tenant = Tenant(name, workspace_id, f"{name}-canary")
    tenant.objects = {**PARAMETER_VALUES, "workspace_id": workspace_id}
    with acting_as(workspace_id):
        _create_objects(tenant)
    return tenant


def _create_objects(tenant: Tenant) -> None:
    workspace_id, canary = tenant.workspace_id, tenant.canary
    definition = {
        "trigger": {"type": "hook"},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": canary, "body": canary}}],
    }
    published = automation.create(workspace_id, name=canary, type="workflow", definition=definition, actor=SYSTEM)
    producer, workflow = Producer(None, workspace_id, ""), {"id": published.automation_id}  # type: ignore[arg-type]
    contact_id = example_executions.create_contact(producer, canary, email=f"{canary}@example.com", tags=[canary])
    failure = {"error_message": canary, "contact_id": contact_id}
    execution_id = example_executions.create_failed(producer, workflow, error_class="unknown_outcome", **failure)
    written = {"contact_id": contact_id, "body": canary, "to_address": f"{canary}@example.com"}
    message_id = example_executions.create_message(
        producer, workflow, execution_id, status="outcome_unknown", **written
    )
    example_executions.create_failed(producer, workflow, **failure)
    suppression.add(workspace_id, contact_id, "email", SYSTEM)
    pause.start("provider", "telnyx", workspace_id)
    person = user.create(f"{canary}@example.com", canary, PASSWORD)
    user.join(workspace_id, person, "viewer")
    invited = invitation.create(workspace_id, f"invited-{canary}@example.com", "viewer", SYSTEM)
    key = api_key.issue(workspace_id, canary, ["read"])
    audit.record(workspace_id, SYSTEM, "key.issued", "key", key.id, {"name": canary})
    tenant.objects |= {
        "automation_id": published.automation_id,
        "contact_id": contact_id,
        "execution_id": execution_id,
        "message_id": message_id,
        "task_id": _create_task(workspace_id, contact_id, execution_id, canary),
        "run_id": _create_test_run(workspace_id, canary),
        "operation_id": _create_operation(workspace_id, execution_id, canary),
        "key_id": key.id,
        "site_key_id": site_key.issue(workspace_id, canary, ["https://shop.example"]).id,
        "member_id": person,
        "invitation_id": invited.id,
    }
    tenant.objects["tracked_execution_id"] = _create_tracked_execution(workspace_id, published.automation_id, canary)
    received_id = _create_received_message(workspace_id, contact_id, canary)
    tenant.objects["possible_opt_out_id"] = _create_possible_opt_out(workspace_id, contact_id, received_id)
    _create_run(tenant)


def _create_test_run(workspace_id: str, canary: str) -> str:
    run_id = test_run.create(workspace_id, AuditActor("system", None, canary))
    test_run.finish(workspace_id, run_id, "passed", [], True)
    return run_id


def _create_operation(workspace_id: str, execution_id: str, canary: str) -> str:
    actor = AuditActor("command", None, canary)
    started = operation.start(workspace_id, "retry", {"q": canary}, select_one(execution_id), actor)
    operation.record_batch(started["id"], [execution_id], [execution_id], {})
    return started["id"]


def _create_task(workspace_id: str, contact_id: str, execution_id: str, title: str) -> str:
    task_id = new_id()
    execute(
        "insert into contact_tasks (id, workspace_id, contact_id, execution_id, step_id, title) "
        "values (%s, %s, %s, %s, 'call', %s)",
        (task_id, workspace_id, contact_id, execution_id, title),
    )
    return task_id


def _create_tracked_execution(workspace_id: str, automation_id: str, canary: str) -> str:
    row_id = new_id()
    execute(
        "insert into workflow_executions (id, workspace_id, workflow_id, execution_id, status, page_url, session_id) "
        "values (%s, %s, %s, %s, 'success', %s, %s)",
        (row_id, workspace_id, automation_id, canary, f"https://shop.example/{canary}", canary),
    )
    return row_id


def _create_received_message(workspace_id: str, contact_id: str, text: str) -> str:
    row_id = new_id()
    execute(
        "insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at) "
        "values (%s, %s, %s, 'sms', %s, 'message', %s, beckon_now())",
        (row_id, workspace_id, contact_id, text, text),
    )
    return row_id


def _create_possible_opt_out(workspace_id: str, contact_id: str, received_message_id: str) -> str:
    row_id = new_id()
    execute(
        "insert into possible_opt_outs (id, workspace_id, contact_id, channel, received_message_id) "
        "values (%s, %s, %s, 'sms', %s)",
        (row_id, workspace_id, contact_id, received_message_id),
    )
    return row_id


def _create_run(tenant: Tenant) -> None:
    objects = tenant.objects
    execute(
        "insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at) "
        "values (%s, %s, %s, %s, %s, 'main_dm', %s)",
        (
            new_id(), tenant.workspace_id, objects["automation_id"], objects["contact_id"], objects["execution_id"],
            clock.now(),
        ),
    )  # fmt: skip


def build_parameter_values(route_path: str, objects: dict[str, str]) -> dict[str, str]:
    """The values of this path's parameters; `name` is an automation's id where the path requires one."""
    resource = route_path.removeprefix("/api").split("/")[1 if not route_path.startswith("/settings/") else 2]
    name = (
        objects["automation_id"]
        if resource == "automations"
        else NAMES_BY_RESOURCE.get(resource, PARAMETER_VALUES["name"])
    )
    return {**objects, "name": name}


def create_program(app: flask.Flask, tenant: Tenant, scopes: list[Any]) -> Caller:
    """A program with a new key of the tenant."""
    key = api_key.issue(tenant.workspace_id, "walk", scopes)
    headers = {"Authorization": f"Bearer {key.secret}"}
    name = f"{tenant.name}'s key with {' '.join(scopes)}"
    return Caller(name, app.test_client(use_cookies=False), headers, scopes=frozenset(scopes))


def create_people(app: flask.Flask, tenant: Tenant) -> list[Caller]:
    """A signed-in person of each role, once with the CSRF token and once without. Requires the service connection."""
    return [caller for role in ROLES for caller in _sign_in(app, tenant, role)]


def _sign_in(app: flask.Flask, tenant: Tenant, role: Any) -> list[Caller]:
    email = f"{role}@{tenant.name}.example"
    person = user.create(email, role, PASSWORD)
    user.join(tenant.workspace_id, person, role)
    token = session.start(Membership(person, email, role, tenant.workspace_id, role))
    client = app.test_client()
    client.set_cookie(COOKIE, token)
    page = client.get("/automations").text
    token_field = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
    assert token_field is not None, page
    return [
        Caller(f"{tenant.name}'s {role}", client, {"X-CSRF-Token": token_field[1]}, role=role),
        Caller(f"{tenant.name}'s {role} without a token", client, role=role, has_token=False),
    ]


def build_fingerprint_statement(connection: Any) -> str:
    """SQL that hashes all rows of a workspace by table, without the last-use times of keys and sessions.

    The rows of a partition are read through its table.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select c.table_name from information_schema.columns c join information_schema.tables t "
            "using (table_schema, table_name) where c.table_schema = 'public' and c.column_name = 'workspace_id' "
            "and t.table_type = 'BASE TABLE' and c.table_name <> 'sessions' and not exists "
            "(select from pg_inherits i where i.inhrelid = to_regclass(c.table_name)) order by 1"
        )
        parts = [
            f"select '{name}', md5(coalesce(string_agg((to_jsonb(t) - 'last_used_at')::text, '' order by "
            f"to_jsonb(t)::text), '')), count(*) from {name} t where workspace_id = %(workspace)s "
            # A read that the log names.
            "and coalesce(to_jsonb(t) ->> 'action', '') <> 'contact.exported'"
            for (name,) in cursor.fetchall()
        ]
    parts.append("select 'workspaces', md5(to_jsonb(t)::text), 1 from workspaces t where id = %(workspace)s")
    return " union all ".join(parts)


def compute_fingerprint(connection: Any, statement: str, tenant: Tenant) -> dict[str, str]:
    """The hash and the number of the tenant's rows, by table."""
    with connection.cursor() as cursor:
        cursor.execute(statement, {"workspace": tenant.workspace_id})
        return {name: f"{hashed} ({count} rows)" for name, hashed, count in cursor.fetchall()}


def normalize(response: TestResponse, *ids: str) -> str:
    """Status and body without the ids, times and numbers that differ between requests."""
    text = response.text
    for own_id in ids:
        text = text.replace(own_id, "<id>")
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ](?:[\d:.+]|%3A|%2B)+Z?", "<time>", text)
    text = re.sub(r"\b[\d.]+ (?:ms|s|min|m|h|MB|GB|TB)\b|\b\d+(?=%)|\b\d+:\d\d(?::\d\d)?\b", "<span>", text)
    text = text.replace("<span> ago", "now")
    text = re.sub(r'("\w*(?:[sS]econds|Ms)\w*"):[\d.]+', r"\1:0", text)
    # How much memory and disk are in use is drawn.
    text = re.sub(r'(class="part-used" width=)"[\d.]+"', r"\1", text)
    return f"{response.status_code} {text}"


#: Pairs of requests between which a figure may move before their difference counts.
_PAIRS = 10


def open_alike(
    open_foreign: Callable[[], TestResponse], open_missing: Callable[[], TestResponse], ids: tuple[str, ...] = ()
) -> TestResponse:
    """The response about another tenant's object, which must equal the one about a missing object, named by `ids`.

    A page also shows what is measured, such as used memory, and this may move between two requests. Then two requests
    for the same object differ too, and the pair is sent again; a difference that stays is the object's.
    """
    foreign_id, missing_id = (ids[:1], ids[1:])
    for _ in range(_PAIRS):
        response = open_foreign()
        foreign, missing = normalize(response, *foreign_id), normalize(open_missing(), *missing_id)
        if foreign == missing or normalize(open_foreign(), *foreign_id) == foreign:
            break
    assert foreign == missing
    return response


def connect_as_service(app: flask.Flask) -> None:
    """Connect as the service role, which sees all workspaces."""
    database.db.close_all()
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)


def connect_as_app(app: flask.Flask) -> None:
    """Connect as the dashboard's role."""
    database.db.close_all()
    database.open_pool(app.extensions["settings"].database_app_url, "beckon_app", 24)


def find_body_name(operation: dict[str, Any]) -> str | None:
    """The schema name of an operation's body, or None."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref")
    return reference and reference.rsplit("/", 1)[1]
