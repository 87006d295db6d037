"""Access to every API route and page, from the table in docs/security.md, and isolation of tenants.

The routes come from the OpenAPI document and from the application's URL map, so that a new route needs a row. All tests
share one application and two workspaces: rejected requests must change nothing, and accepted ones name missing objects,
so that no test affects another.
"""

from __future__ import annotations

import base64
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import flask
import psycopg2
import pytest
from werkzeug.test import TestResponse

import settings
from dashboard import create_app, disconnect
from models import api_key, database
from models.api_key import SCOPES
from models.ids import new_id
from tests.dashboard import tenants
from tests.dashboard.producers import PASSWORD, definition
from tests.dashboard.route_table import (
    OPEN,
    ROLES,
    Route,
    list_application_routes,
    read_openapi_routes,
    read_table,
)
from tests.dashboard.tenants import PARAMETER_VALUES, UNKNOWN_ID, Caller, Tenant, compute_fingerprint
from tests.dashboard.test_every_route import BODIES
from tests.support.servers import run_sql
from tests.support.waiting import eventually

ROUTES = read_table()
GUARDED = [route for route in ROUTES if route.is_guarded]
OTHERS_OBJECTS = [route for route in GUARDED if route.other_tenant == "404"]
OWN_RESPONSES = [route for route in GUARDED if route.other_tenant == "own"]
#: Bulk actions only count, so that every test finds the same objects. A key grants its own scopes.
BODIES_HERE = {**BODIES, "Bulk": {"dryRun": True}, "NewKey": {"name": "n", "scopes": ["admin"]}}
#: Form fields for forms that would not reach the object without them.
FORMS = {
    "/automations/{automation_id}/test": {"sample": "1"},
    # The correct password, so that it is no failed sign-in, and a new one that is rejected.
    "/account/password": {"old": PASSWORD, "new": "short"},
}
#: The permissions that the bodies grant; callers cannot grant what they lack.
GRANTED_SCOPES = {"POST /api/invitations": {"read"}, "PATCH /api/members/{member_id}": {"read"}}
#: Requests that name a workspace, where each person has only one, or a contact that does not exist.
_WITHOUT_OBJECT = {
    "/account/workspace", "/api/contacts/{contact_id}/merge", "/automations/{automation_id}/experiment",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/end-experiment",
}  # fmt: skip
#: Paths whose own request comes last, because it removes the objects.
_FINAL_SUFFIXES = ("/delete", "/sign-out")


@dataclass
class World:
    """Alice's and Charlie's workspaces, and all callers."""

    app: flask.Flask
    connection: Any
    alice: Tenant
    charlie: Tenant
    #: The SQL that hashes a workspace's rows.
    statement: str
    #: The OpenAPI document, and its operations by method and path.
    document: dict[str, Any]
    operations: dict[tuple[str, str], dict[str, Any]]
    #: Callers without access: no credentials, an unknown key, another scheme, a revoked key.
    strangers: list[Caller]
    keys: list[Caller]
    people: list[Caller]
    #: Charlie's program with all scopes, and Charlie in a browser.
    others: list[Caller]

    def state(self) -> dict[str, str]:
        """The hash of Alice's rows."""
        return compute_fingerprint(self.connection, self.statement, self.alice)

    def build_request(self, route: Route) -> dict[str, Any]:
        """A body that matches the schema of the route."""
        if route.is_api:
            name = tenants.find_body_name(self.operations.get((route.method, route.path), {}))
            return {} if name is None else {"json": self._build_body(name)}
        return {"data": FORMS.get(route.path, {})} if route.method == "POST" else {}

    def _build_body(self, name: str) -> dict[str, Any]:
        """The body of this schema. Only Alice's own automation can be tracked."""
        own = {"workflowId": self.alice.objects["automation_id"]} if name == "ReportedExecution" else {}
        return {**BODIES_HERE[name], **own}

    @property
    def owner(self) -> Caller:
        """Alice in a browser."""
        return next(person for person in self.people if person.role == "owner" and person.has_token)

    @property
    def program(self) -> Caller:
        """Alice's program with all scopes."""
        return next(key for key in self.keys if key.scopes == set(SCOPES))


@pytest.fixture(scope="module")
def world(database_urls: Any, clean_for_module: None, redis_url: str) -> Iterator[World]:
    app = create_app(settings.load().replace(url="http://localhost"))
    tenants.connect_as_service(app)
    alice, charlie = tenants.create_tenant("alice"), tenants.create_tenant("charlie")
    people, others = tenants.create_people(app, alice), tenants.create_people(app, charlie)
    tenants.connect_as_app(app)
    keys = [tenants.create_program(app, alice, [scope]) for scope in SCOPES]
    keys += [tenants.create_program(app, alice, [other for other in SCOPES if other != scope]) for scope in SCOPES]
    keys.append(tenants.create_program(app, alice, list(SCOPES)))
    charlies_owner = next(person for person in others if person.role == "owner" and person.has_token)
    connection = psycopg2.connect(database_urls.owner)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("set role beckon_service")
    document = app.test_client().get("/api/openapi.json").json
    yield World(
        app, connection, alice, charlie, tenants.build_fingerprint_statement(connection), document,
        read_openapi_routes(document), _build_strangers(app, alice), keys, people,
        [tenants.create_program(app, charlie, list(SCOPES)), charlies_owner],
    )  # fmt: skip
    connection.close()
    disconnect(app)
    # A feed that still reads would leak its connection into the next test.
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "feed"])
    database.db.close_all()


def _build_strangers(app: flask.Flask, alice: Tenant) -> list[Caller]:
    revoked = api_key.issue(alice.workspace_id, "revoked", SCOPES)
    assert api_key.revoke(alice.workspace_id, revoked.id)
    headers = {
        "no credentials": {},
        "an unknown key": {"Authorization": "Bearer bk_nonsense"},
        "another scheme": {"Authorization": "Basic eDp5"},
        "a revoked key": {"Authorization": f"Bearer {revoked.secret}"},
    }
    client = app.test_client(use_cookies=False)
    return [Caller(name, client, fields) for name, fields in headers.items()]


def _read_verdict(response: TestResponse) -> str:
    """The result of a request: not signed in, rejected, or accepted (whether or not the object exists)."""
    if response.status_code == 401 or (response.status_code == 302 and response.location.startswith("/sign-in")):
        return "not signed in"
    return "refused" if response.status_code == 403 else "let in"


def _expected_verdict(route: Route, caller: Caller) -> str:
    """The result that the table defines for this caller."""
    if caller.role:
        strong = ROLES.index(caller.role) >= ROLES.index(route.role)
        return "let in" if strong and (caller.has_token or route.method == "GET") else "refused"
    if not route.is_api or not caller.scopes:
        return "not signed in"
    return "let in" if {route.scope} | GRANTED_SCOPES.get(str(route), set()) <= caller.scopes else "refused"


def _find_errors(route: Route, caller: Caller, address: str, response: TestResponse) -> list[str]:
    verdict, expected = _read_verdict(response), _expected_verdict(route, caller)
    is_right = verdict == expected and response.status_code < 500
    if response.status_code == 401:
        is_right = is_right and response.headers["WWW-Authenticate"].startswith("Bearer")
    if route.is_api and expected != "let in":
        is_right = is_right and response.mimetype == "application/problem+json"
    return [] if is_right else [f"{caller.name}: {response.status_code} at {address}, not {expected}"]


def _open(caller: Caller, route: Route, address: str, **request: Any) -> TestResponse:
    """Send the request and close the response, so that streams end."""
    response = caller.open(route.method, address, **request)
    if response.mimetype == "text/event-stream":
        response.close()
    return response


def _build_unknown_values(route: Route, tenant: Tenant) -> dict[str, str]:
    """Parameter values of missing objects in this tenant's workspace."""
    return dict.fromkeys(route.parameters, UNKNOWN_ID) | {
        "workspace_id": tenant.workspace_id, "channel": PARAMETER_VALUES["channel"],
        "filename": PARAMETER_VALUES["filename"], "action": PARAMETER_VALUES["action"],
    }  # fmt: skip


# The table is complete and equals the declarations.


def test_the_table_has_exactly_the_routes(world: World) -> None:
    written = [(route.method, route.path) for route in ROUTES]
    assert sorted(written) == sorted(set(list_application_routes(world.app)))
    assert set(world.operations) <= set(written)


def test_every_api_route_but_webhooks_is_in_the_openapi_document(world: World) -> None:
    api = {(route.method, route.path) for route in ROUTES if route.is_api}
    assert {path for _, path in api - set(world.operations) if not path.startswith("/api/webhooks/")} == set()


def test_the_table_has_the_scopes_and_roles_of_the_openapi_document(world: World) -> None:
    written = {(route.method, route.path): route for route in ROUTES}
    for key, operation in world.operations.items():
        security = {name: names for entry in operation["security"] for name, names in entry.items()}
        route = written[key]
        assert (route.scope, route.role if route.is_guarded else "–") == (
            security.get("apiKey", ["–"])[0],
            security.get("session", ["–"])[0],
        ), key


def test_the_table_has_only_defined_values() -> None:
    assert {route.role for route in ROUTES} <= {*ROLES, *OPEN}
    assert {route.scope for route in ROUTES} <= {*SCOPES, "–"}
    assert {route.other_tenant for route in ROUTES} <= {"404", "own", "–"}
    assert not [route for route in GUARDED if route.other_tenant == "–"]
    assert not [route for route in OWN_RESPONSES if any(parameter.endswith("_id") for parameter in route.parameters)]


# Permissions.


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_route_rejects_callers_that_the_table_does_not_allow(world: World, route: Route) -> None:
    before, errors = world.state(), []
    for caller in [*world.strangers, *world.keys, *world.people]:
        if _expected_verdict(route, caller) == "let in":
            continue
        for address in route.build_addresses(tenants.build_parameter_values(route.path, world.alice.objects)):
            errors += _find_errors(route, caller, address, _open(caller, route, address, **world.build_request(route)))
    assert not errors
    assert world.state() == before


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_route_accepts_callers_that_the_table_allows(world: World, route: Route) -> None:
    errors = []
    callers = [caller for caller in [*world.keys, *world.people] if _expected_verdict(route, caller) == "let in"]
    assert callers
    for caller in callers:
        for address in route.build_addresses(_build_unknown_values(route, world.alice)):
            errors += _find_errors(route, caller, address, _open(caller, route, address, **world.build_request(route)))
    assert not errors


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.is_guarded], ids=str)
def test_a_route_without_a_role_is_open_only_as_in_the_table(world: World, route: Route) -> None:
    stranger, before = world.strangers[0], world.state()
    values = dict.fromkeys(route.parameters, UNKNOWN_ID) | {
        "filename": PARAMETER_VALUES["filename"],
        "token": PARAMETER_VALUES["token"],
        "script": PARAMETER_VALUES["script"],
    }
    addresses = [
        address
        for workspace_id in (world.alice.workspace_id, UNKNOWN_ID)
        for address in route.build_addresses(values | {"workspace_id": workspace_id})
    ]
    for address in dict.fromkeys(addresses):
        request = {"json": {}} if route.is_api and route.method == "POST" else {}
        remote = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.9"}}
        with stranger.open(route.method, address, **request, **remote) as response:
            allowed = {
                "anyone": {200, 302, 303, 403 if route.path == "/sign-in" else 200},
                # A form of such a page needs the page's token first.
                "secret address": {
                    404 if route.is_api or route.method == "GET" or route.path.startswith("/u/") else 403
                },
                "signature": {403},
                "site key": {401},
                "allowed network": {403},
            }[route.role]
            assert response.status_code in allowed, address
            assert world.alice.canary not in (response.text if response.mimetype != "text/css" else "")
    assert world.state() == before


# Another tenant.


@pytest.mark.parametrize("route", OTHERS_OBJECTS, ids=str)
def test_another_tenants_object_is_like_a_missing_one(world: World, route: Route) -> None:
    before = world.state()
    for values in _mix_values(route, world):
        for address, absent in zip(
            route.build_addresses(values), route.build_addresses(_replace_ids(values, world.alice)), strict=True
        ):
            for caller in _list_callers(route, world.others):
                response = tenants.open_alike(
                    partial(_open, caller, route, address, **world.build_request(route)),
                    partial(_open, caller, route, absent, **world.build_request(route)),
                )
                assert response.status_code == 404, (caller.name, address)
                assert world.alice.canary not in response.text
    assert world.state() == before


def _mix_values(route: Route, world: World) -> Iterator[dict[str, str]]:
    """Alice's objects in all parameters, and in each single one with Charlie's objects in the others."""
    alices = tenants.build_parameter_values(route.path, world.alice.objects)
    charlies = tenants.build_parameter_values(route.path, world.charlie.objects)
    differing = [
        parameter for parameter in route.parameters if "," not in parameter and alices[parameter] != charlies[parameter]
    ]
    yield alices
    if len(differing) > 1:
        yield from ({**charlies, parameter: alices[parameter]} for parameter in differing)


def _replace_ids(values: dict[str, str], alice: Tenant) -> dict[str, str]:
    return {parameter: UNKNOWN_ID if text in alice.ids else text for parameter, text in values.items()}


def _list_callers(route: Route, callers: list[Caller]) -> list[Caller]:
    """Programs and people for the API, only people for pages."""
    return callers if route.is_api else [caller for caller in callers if caller.role]


@pytest.mark.parametrize("route", OWN_RESPONSES, ids=str)
def test_a_response_has_no_data_of_another_workspace(world: World, database_urls: Any, route: Route) -> None:
    # Charlie's own requests in other tests name Alice's objects, and his audit log repeats what they named.
    delete = f"delete from audit where workspace_id = '{world.charlie.workspace_id}'"
    run_sql(database_urls.owner, delete)
    before = world.state()
    for address in route.build_addresses(
        _build_unknown_values(route, world.charlie) | {"name": PARAMETER_VALUES["name"]}
    ):
        for caller in _list_callers(route, world.others):
            response = _open(caller, route, address, **world.build_request(route))
            assert response.status_code < 500
            assert _read_verdict(response) == "let in", address
            for text in (world.alice.canary, *world.alice.ids):
                assert text not in response.text, (caller.name, address)
    assert world.state() == before


def _next_id(row_id: str) -> str:
    """The next id, which no object has."""
    return str(uuid.UUID(int=uuid.UUID(row_id).int + 1))


def _encode_cursor(row_id: str) -> str:
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def _list_ids(tenant: Tenant, name: str) -> list[str]:
    """The ids that a field of this name may have: of its kind, or of any kind."""
    kind = {"automationId": "automation_id", "contactId": "contact_id"}.get(name)
    return [tenant.objects[kind]] if kind else [tenant.objects[name] for name in ("execution_id", "contact_id")]


def _list_id_parameters(world: World, route: Route) -> list[str]:
    parameters = world.operations.get((route.method, route.path), {}).get("parameters", [])
    names = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    if not route.is_api and route.method == "GET":
        names = ["automationId", "contactId", "cursor", "q"]
    return [name for name in names if name in ("cursor", "ids", "q") or name.endswith(("Id", "Ids"))]


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_another_tenants_id_in_a_query_is_like_a_missing_one(world: World, route: Route) -> None:
    own = tenants.build_parameter_values(route.path, world.charlie.objects)
    for name in _list_id_parameters(world, route):
        for foreign in _list_ids(world.alice, name):
            first, second = foreign, _next_id(foreign)
            if name == "cursor":
                first, second = _encode_cursor(first), _encode_cursor(second)
            for caller in _list_callers(route, world.others):
                request = world.build_request(route)
                response = tenants.open_alike(
                    *(partial(_open, caller, route, route.build_address(own), query_string={name: text}, **request)
                      for text in (first, second)),
                    ids=(first, second),
                )  # fmt: skip
                assert world.alice.canary not in response.text, (caller.name, name)


def _list_id_fields(world: World, route: Route) -> list[tuple[str, bool]]:
    """The id fields of the body, and whether each is a list."""
    schema = tenants.find_body_name(world.operations[(route.method, route.path)])
    if schema is None:
        return []
    properties = world.document["components"]["schemas"][schema]["properties"]
    names = [name for name in properties if name in ("ids", "q") or (name.endswith(("Id", "Ids")))]
    # External ids are free text and separate per workspace.
    return [(name, name.endswith("ds")) for name in names if name not in ("externalId", "facebookId", "instagramId")]


@pytest.mark.parametrize("route", [route for route in GUARDED if route.is_api and route.method != "GET"], ids=str)
def test_another_tenants_id_in_a_body_is_like_a_missing_one(world: World, route: Route) -> None:
    before = world.state()
    own = tenants.build_parameter_values(route.path, world.charlie.objects)
    for name, is_list in _list_id_fields(world, route):
        body = world.build_request(route)["json"]
        body.pop("dryRun", None)
        for foreign in world.alice.ids:
            values = [[text] if is_list else text for text in (foreign, _next_id(foreign))]
            for caller in world.others:
                response = tenants.open_alike(
                    *(partial(_open, caller, route, route.build_address(own), json={**body, name: value})
                      for value in values)
                )  # fmt: skip
                assert response.status_code < 500, (caller.name, name)
                assert world.alice.canary not in response.text
    assert world.state() == before


def test_some_routes_take_ids_in_queries_and_bodies(world: World) -> None:
    queries = {str(route): _list_id_parameters(world, route) for route in GUARDED}
    assert {"automationId", "contactId", "q", "cursor"} <= set(queries["GET /api/executions"])
    changes = [route for route in GUARDED if route.is_api and route.method != "GET"]
    bodies = {str(route): [name for name, _ in _list_id_fields(world, route)] for route in changes}
    assert {"automationId", "contactId"} <= set(bodies["POST /api/triggers"])
    assert {"automationId", "contactId", "q"} <= set(bodies["POST /api/executions/cancel"])
    assert {"contactIds"} <= set(bodies["POST /api/automations/{automation_id}/trigger"])


def test_a_batch_entry_cannot_name_another_tenants_object(world: World) -> None:
    program, before = world.others[0], world.state()
    foreign = world.alice.objects
    entries = [
        {"type": "a", "automationId": foreign["automation_id"]},
        {"type": "a", "contactId": foreign["contact_id"]},
        {"type": "a", "automationId": _next_id(foreign["automation_id"])},
        {"type": "a", "contactId": _next_id(foreign["contact_id"])},
    ]
    response = program.open("POST", "/api/triggers/batch", json={"triggers": entries})
    rejected = [[error["message"] for error in entry["errors"]] for entry in response.json["rejected"]]
    assert (response.json["accepted"], len(rejected)) == (0, 4)
    assert rejected[:2] == rejected[2:]
    assert world.state() == before


def test_a_form_cannot_name_another_tenants_object(world: World) -> None:
    person, before = world.others[1], world.state()
    for action in ("retry", "cancel", "discard"):
        for name in ("automationId", "contactId", "q"):
            for foreign in world.alice.ids:
                response = person.open("POST", f"/executions/all/{action}", data={name: foreign})
                assert response.status_code in (303, 404)
    # Another test may have deleted Charlie's first automation.
    body = {"name": "Own", "type": "workflow", "definition": definition()}
    created = world.others[0].open("POST", f"/api/workspaces/{world.charlie.workspace_id}/automations", json=body)
    automation_id = created.json["automation"]["id"]
    selection = {"contactId": world.alice.objects["contact_id"], "chosen": "1"}
    response = person.open("POST", f"/automations/{automation_id}/test", data=selection)
    assert response.status_code == 303
    offered = person.open("POST", f"/automations/{automation_id}/test", data={**selection, "find": "1"})
    assert world.alice.canary not in offered.text
    assert world.state() == before


def _create_newcomer(world: World) -> Caller:
    """A program of a third workspace: what it writes stays out of Charlie's audit log, which other tests read."""
    workspace_id = new_id()
    with world.connection.cursor() as cursor:
        cursor.execute("insert into workspaces (id, slug, name) values (%s, 'dora', 'dora')", (workspace_id,))
    return tenants.create_program(world.app, tenants.Tenant("dora", workspace_id, "dora"), list(SCOPES))


def test_another_tenants_address_is_available(world: World) -> None:
    program, canary, before = _create_newcomer(world), world.alice.canary, world.state()
    for fields in ({"externalId": canary}, {"email": f"{canary}@example.com"}):
        response = program.open("POST", "/api/contacts", json={**fields, "firstName": "Ada"})
        assert response.status_code in (200, 201)
        contact = response.json["contact"]
        assert contact["id"] != world.alice.objects["contact_id"]
        assert contact["tags"] == []
    key = {"Idempotency-Key": "order-1"}
    assert program.open("POST", "/api/triggers", json={"type": "a"}, headers=key).status_code == 202
    assert world.state() == before
    assert world.program.open("POST", "/api/triggers", json={"type": "b"}, headers=key).status_code == 202


# Bypassing a guard.

#: Spellings of a path that a proxy or a router may treat as equal.
PATH_VARIANTS = {
    "a slash at the end": lambda path: path + "/",
    "upper case": str.upper,
    "a double slash at the start": lambda path: "/" + path,
    "double slashes": lambda path: path.replace("/", "//"),
    "an encoded slash": lambda path: path[0] + path[1:].replace("/", "%2F"),
    "a dot": lambda path: "/." + path,
    "two dots": lambda path: "/healthz/.." + path,
    "static": lambda path: "/static/.." + path,
    "a parameter": lambda path: path + ";a=b",
    "a suffix": lambda path: path + ".json",
    "a space": lambda path: path + " ",
    "a zero": lambda path: path + "\x00",
    "backslashes": lambda path: path.replace("/", "\\"),
}


def _build_variant_params() -> list[Any]:
    """Two spellings per route, so that all occur; the long test run uses all for each route."""
    names = list(PATH_VARIANTS)
    pairs = [(route, [names[2 * turn % len(names)], names[(2 * turn + 1) % len(names)]])
             for turn, route in enumerate(GUARDED)]  # fmt: skip
    short = [pytest.param(*pair, id=str(pair[0])) for pair in pairs]
    return short + [pytest.param(route, names, id=f"{route} in full", marks=pytest.mark.slow) for route in GUARDED]


@pytest.mark.parametrize(("route", "names"), _build_variant_params())
def test_no_spelling_of_a_path_bypasses_its_guard(world: World, route: Route, names: list[str]) -> None:
    stranger, before = world.strangers[0], world.state()
    path = route.build_address(tenants.build_parameter_values(route.path, world.alice.objects))
    for name in names:
        build_variant = PATH_VARIANTS[name]
        with stranger.open(
            route.method, "/", environ_overrides={"PATH_INFO": build_variant(path)}, **world.build_request(route)
        ) as response:
            assert response.status_code in (301, 302, 307, 308, 401, 404, 405), name
            if response.status_code != 401 and "Location" in response.headers:
                assert response.location.startswith(("/sign-in", "http://localhost/")), name
            assert world.alice.canary not in response.text
    assert world.state() == before


OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


@pytest.mark.parametrize("route", [route for route in GUARDED if route.method != "GET"], ids=str)
def test_no_header_or_field_overrides_the_method(world: World, route: Route) -> None:
    before = world.state()
    address = route.build_address(tenants.build_parameter_values(route.path, world.alice.objects))
    headers = dict.fromkeys(OVERRIDES, route.method)
    has_get = any((other.method, other.path) == ("GET", route.path) for other in ROUTES)
    for caller in [world.program] * route.is_api + [world.owner]:
        response = _open(caller, replace(route, method="GET"), f"{address}?_method={route.method}", headers=headers)
        assert has_get or response.status_code in (404, 405), caller.name
    assert world.state() == before
    reader = next(key for key in world.keys if key.scopes == {"read"})
    headers = dict.fromkeys(OVERRIDES, "GET")
    for caller in (*world.strangers, reader, *(person for person in world.people if not person.has_token)):
        response = _open(caller, route, address, headers=headers, **world.build_request(route))
        assert _expected_verdict(route, caller) == "let in" or _read_verdict(response) != "let in", caller.name
    if route.scope != "read":
        assert world.state() == before


@pytest.mark.parametrize("route", [route for route in GUARDED if route.method == "GET"], ids=str)
def test_head_is_guarded_as_get_is(world: World, route: Route) -> None:
    head = replace(route, method="HEAD")
    address = route.build_address(tenants.build_parameter_values(route.path, world.alice.objects))
    for caller in [*world.strangers, *world.keys[: len(SCOPES)]]:
        response = _open(caller, head, address)
        assert _read_verdict(response) == _expected_verdict(route, caller), caller.name
        assert response.data == b""
    for caller in _list_callers(route, world.others):
        if route.other_tenant == "404":
            assert _open(caller, head, address).status_code == 404


@pytest.mark.parametrize("route", list({route.path: route for route in GUARDED}.values()), ids=str)
def test_options_and_unknown_methods_do_nothing(world: World, route: Route) -> None:
    before = world.state()
    address = route.build_address(tenants.build_parameter_values(route.path, world.alice.objects))
    for caller in (world.strangers[0], world.owner):
        options = caller.open("OPTIONS", address)
        assert (options.status_code, options.data) == (200, b"")
        assert route.method in options.headers["Allow"]
        assert "Access-Control-Allow-Origin" not in options.headers
        for method in ("TRACE", "CONNECT", "PROPFIND"):
            response = caller.open("OPTIONS", address, environ_overrides={"REQUEST_METHOD": method})
            assert response.status_code == 405, method
            assert world.alice.canary not in response.text
    for caller in (world.strangers[0], *(person for person in world.people if not person.has_token)):
        lower = caller.open("OPTIONS", address, environ_overrides={"REQUEST_METHOD": route.method.lower()})
        if _expected_verdict(route, caller) != "let in":
            assert _read_verdict(lower) != "let in"
    assert world.state() == before


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/../../settings.py", "/static//etc/passwd", "/static/%2e%2e/access.py",
        "/static/..\\access.py", "/static/vendor/../../access.py", "/static/", "/static/.", "/_sandbox/messages",
        "/_sandbox", "/.env", "/access.json", "/var/access.json", "/.git/config",
    ],
)  # fmt: skip
def test_files_outside_of_static_are_not_served(world: World, path: str) -> None:
    with world.strangers[0].open("GET", "/", environ_overrides={"PATH_INFO": path}) as response:
        assert response.status_code in (404, 308)
        assert str(os.getcwd()) not in response.text


# Defence in depth.


def test_without_rls_queries_still_filter_by_workspace(
    world: World,
) -> None:
    before, errors = world.state(), []
    tenants.connect_as_service(world.app)
    for route in [*OTHERS_OBJECTS, *OWN_RESPONSES]:
        is_foreign = route.other_tenant == "404"
        values = (
            tenants.build_parameter_values(route.path, world.alice.objects)
            if is_foreign
            else _build_unknown_values(route, world.charlie)
        )
        for caller in _list_callers(route, world.others):
            response = _open(caller, route, route.build_address(values), **world.build_request(route))
            if world.alice.canary in response.text or (is_foreign and response.status_code != 404):
                errors.append(f"{response.status_code} {route}")
    tenants.connect_as_app(world.app)
    assert not errors
    assert world.state() == before


# The callers' own requests reach the objects, which proves that the tests above name existing ones. This test is last,
# because it removes the objects.


def test_the_same_requests_reach_the_callers_own_objects(world: World) -> None:
    before = world.state()
    assert not [name for name in ("executions", "messages", "contacts", "api_keys") if "(0 rows)" in before[name]]
    errors = []
    ordered = sorted(
        GUARDED,
        key=lambda route: (
            route.is_api and route.path.endswith("/erase"), route.method == "DELETE",
            route.path.endswith(_FINAL_SUFFIXES), -len(route.path),
        ),
    )  # fmt: skip
    for route in ordered:
        # A program removes Alice's objects and a person Charlie's.
        caller, tenant = (world.program, world.alice) if route.is_api else (world.others[1], world.charlie)
        address = route.build_address(tenants.build_parameter_values(route.path, tenant.objects))
        response = _open(caller, route, address, **world.build_request(route))
        if response.status_code == 404 and route.path in _WITHOUT_OBJECT:
            continue
        if response.status_code in (401, 403, 404) or response.status_code >= 500:
            errors.append(f"{response.status_code} {route.method} {address}")
    assert not errors
    assert world.state() != before
