"""Every route that changes something writes an entry of the audit log, or stands here with the reason why not."""

from __future__ import annotations

from typing import Any

from settings import ROOT
from tests.dashboard import tenants
from tests.dashboard.producers import PASSWORD
from tests.dashboard.route_table import Route, read_table
from tests.dashboard.tenants import Caller, Tenant
from tests.dashboard.test_route_access import World, world

__all__ = ["world"]

CHANGING = [route for route in read_table() if route.is_guarded and route.method != "GET"]

_READS = "reads only: POST carries what a query cannot"
_PRODUCER = "a producer's request, stored as a trigger with its source; it changes no setting"
_REPORT = "a report of what a browser executed, stored as an execution; it changes no setting"
_DRAFT = "a draft runs nothing; its publication has an entry"
#: Routes without an entry.
WITHOUT_ENTRY = {
    "POST /api/ai-automations/{automation_id}/monitor": _READS,
    "POST /api/workspaces/{workspace_id}/automations/validate": _READS,
    "POST /api/workspaces/{workspace_id}/automations/draft-from-description": _READS,
    "POST /api/workspaces/{workspace_id}/automations/edit": _READS,
    "POST /api/workspaces/{workspace_id}/automations/variables": _READS,
    "POST /api/workspaces/{workspace_id}/automations/{automation_id}/what-would-happen": _READS,
    "POST /automations/workflows/forecast": _READS,
    "PUT /api/workspaces/{workspace_id}/automations/{automation_id}/draft": _DRAFT,
    "DELETE /api/workspaces/{workspace_id}/automations/{automation_id}/draft": _DRAFT,
    "POST /api/workspaces/{workspace_id}/automations/{automation_id}/versions/{version}/restore": _DRAFT,
    "POST /automations/check": _READS,
    "POST /automations/describe": _READS,
    "POST /automations/{automation_id}/preview": "a signed address of the operator's page for ten minutes",
    "POST /automations/{automation_id}/versions/{version}/restore": _DRAFT,
    "POST /failures/dry-run": _READS,
    "POST /contacts/import/rejected": "returns the rows of the page as a file",
    "POST /account/zone": "a cookie of this browser: how it shows times",
    "POST /api/track-execution": _REPORT,
    "POST /api/track-executions": _REPORT,
    "POST /api/triggers": _PRODUCER,
    "POST /api/triggers/batch": _PRODUCER,
    "POST /api/automations/{automation_id}/trigger": _PRODUCER,
    "POST /automations/{automation_id}/test": _PRODUCER,
}
#: Routes whose objects this walk has no longer, or whose form needs more; another test looks for their entry.
SHOWN_ELSEWHERE = {
    "POST /api/workspaces/{workspace_id}/automations/{automation_id}/publish": "test_drafts.py",
    "POST /account/password": "test_account_page.py",
    "POST /account/workspace": "test_account_page.py",
    "POST /contacts/{contact_id}/erase": "test_contact_privacy.py",
    "POST /contacts/{contact_id}/merge": "test_contact_privacy.py",
    "POST /api/contacts/{contact_id}/merge": "test_contact_privacy.py",
    "POST /automations/{automation_id}/playbook": "test_playbook_editor.py",
    "POST /automations/{automation_id}/workflow": "test_workflow_editor.py",
    "POST /automations/{automation_id}/versions/move": "test_version_moves.py",
    "POST /api/workspaces/{workspace_id}/automations/{automation_id}/in-flight/move": "test_version_moves.py",
    "POST /automations/{automation_id}/experiment": "test_experiments.py",
    "POST /api/workspaces/{workspace_id}/automations/{automation_id}/end-experiment": "test_experiments.py",
    "POST /api/executions/{execution_id}/cancel": "the page's button in this walk takes the same action",
    "POST /api/executions/{execution_id}/retry": "tests/tasks/test_operators.py",
    "POST /api/executions/{execution_id}/stop-follow-ups": "tests/tasks/test_follow_ups.py",
    "POST /api/messages/{message_id}/review": "tests/tasks/test_reviews.py",
    "POST /executions/{execution_id}/messages/{message_id}/{approve,reject}": "tests/tasks/test_reviews.py",
    "POST /test-runs/{run_id}/cancel": "the API's test runs write `test_run.started` and `test_run.cancelled`",
    "POST /failures/{retry,discard,sent,resend,look_up}": "tests/tasks/test_bulk.py",
    "POST /api/providers/{name}/try": "tests/tasks/test_pauses.py",
    "POST /pauses/provider/{name}/try": "tests/tasks/test_pauses.py",
}
_WORKFLOW = """
trigger: {type: contact.created}
steps:
  - {id: hello, action: send_email, with: {subject: Hello, body: Hello there}}
"""
#: Requests that change something, where the examples of the other tests do not.
REQUESTS: dict[str, dict[str, Any]] = {
    "PUT /api/workspaces/{workspace_id}/automations/{automation_id}": {"name": "Renamed again"},
    "PUT /api/settings/switches": {"statsInApi": False},
    "PUT /api/settings/channels/{provider}": {"settings": {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/a"}},
    "POST /settings/channels/{provider}": {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/b"},
    "PATCH /api/members/{member_id}": {"role": "operator"},
    "POST /settings/members/{member_id}/role": {"role": "operator"},
    "POST /api/executions/retry": {},
    "POST /api/executions/cancel": {},
    "POST /api/executions/discard": {},
    "POST /api/messages/lookup": {},
    "POST /api/messages/resolve": {"as": "sent"},
    "POST /api/contacts/import": {"csv": "email\nnew@example.com", "confirm": True},
    "POST /api/contacts/{contact_id}/suppressions": {"channel": "sms"},
    "POST /api/suppressions": {"channel": "email", "address": "new@example.com"},
    "POST /api/suppressions/lift": {"channel": "email", "address": "new@example.com", "reason": "asked"},
    "POST /api/suppressions/import": {"csv": "address\nnew@example.com"},
    "POST /suppressions/new": {"channel": "email", "address": "new@example.com"},
    "POST /suppressions/lift": {"channel": "email", "address": "new@example.com", "reason": "asked"},
    "POST /suppressions/import": {"csv": "address\nnew@example.com"},
    "POST /settings/sender": {"name": "Shop", "address": "hello@example.com"},
    "POST /settings/delivery": {"whenUnknown": "resend"},
    "POST /settings/retention": {"keepDays": "30"},
    "POST /settings/keys": {"name": "n", "scope": "read"},
    "POST /settings/site-keys": {"name": "n", "origins": "https://shop.example"},
    "POST /settings/invitations": {"email": "new@example.com", "role": "viewer"},
    "POST /account/name": {"name": "Another name"},
    "POST /contacts/new": {"email": "another@example.com"},
    "POST /contacts/{contact_id}": {"firstName": "Another"},
    "POST /contacts/import": {"csv": "email\nlast@example.com", "confirm": "1", "previewed": "email"},
    "POST /automations/new": {"name": "New", "type": "workflow", "text": _WORKFLOW, "enabled": "1"},
    "POST /automations/playbooks": {"name": "New playbook", "version": "0"},
    "POST /automations/workflows": {"name": "New workflow", "type": "workflow", "text": _WORKFLOW},
    "POST /automations/{automation_id}/edit": {"name": "Edited", "text": _WORKFLOW, "version": "1"},
    "POST /account/password": {"old": PASSWORD, "new": "short"},
}


def _count_entries(world: World, tenant: Tenant) -> int:
    with world.connection.cursor() as cursor:
        cursor.execute("select count(*) from audit where workspace_id = %s", (tenant.workspace_id,))
        return int(cursor.fetchone()[0])


def _choose_caller(world: World, route: Route) -> tuple[Caller, Tenant]:
    """A program changes Alice's objects, a person Charlie's."""
    return (world.program, world.alice) if route.is_api else (world.others[1], world.charlie)


def _count_new_entries(world: World, route: Route) -> tuple[int, list[int]]:
    """Call the route in each of its spellings; return how many entries it wrote, and the statuses."""
    caller, tenant = _choose_caller(world, route)
    request = world.build_request(route)
    if str(route) in REQUESTS:
        request = {"json" if route.is_api else "data": REQUESTS[str(route)]}
    before = _count_entries(world, tenant)
    addresses = route.build_addresses(tenants.build_parameter_values(route.path, tenant.objects))
    statuses = [caller.open(route.method, address, **request).status_code for address in addresses]
    return _count_entries(world, tenant) - before, statuses


def _order(route: Route) -> tuple[bool, bool, bool, bool, int]:
    """What needs an open question comes first, what removes an object last, a bulk action after single ones."""
    return (
        not route.path.endswith(("/lookup", "/look-up")),
        route.path.endswith("/erase"),
        route.method == "DELETE",
        route.path.endswith(("/delete", "/revoke", "/sign-out")),
        -len(route.path),
    )


def test_every_changing_route_writes_an_entry_or_has_its_reason(world: World) -> None:
    silent, talking = [], []
    for route in sorted(CHANGING, key=_order):
        entries, statuses = _count_new_entries(world, route)
        if entries == 0 and str(route) not in {**WITHOUT_ENTRY, **SHOWN_ELSEWHERE}:
            silent.append(f"{route} {statuses}")
        if entries and str(route) in WITHOUT_ENTRY:
            talking.append(str(route))
    assert silent == []
    assert talking == []


def test_the_lists_name_routes_that_exist() -> None:
    route_names = {str(route) for route in CHANGING}
    assert {*WITHOUT_ENTRY, *SHOWN_ELSEWHERE, *REQUESTS} <= route_names


#: The files of `workers/commands` that change nothing of a workspace's settings or data in a person's name.
WITHOUT_ACTOR = {
    "dashboard": "serves", "scheduler": "serves", "worker": "serves", "sandbox": "serves", "up": "starts",
    "down": "stops", "restart": "restarts", "prepare": "the first start: Beckon itself", "migrate": "the schema",
    "demo": "a producer's requests", "trigger": "a producer's request", "doctor": "reads", "execution": "reads",
    "status": "reads", "verify": "reads", "runs": "counts anew what is stored",
}  # fmt: skip


def test_every_command_that_changes_something_names_its_actor() -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "workers" / "commands").glob("*.py")}
    del files["__init__"]
    without_actor = {name for name, source in files.items() if "current_actor" not in source}
    assert without_actor <= set(WITHOUT_ACTOR)
    assert set(WITHOUT_ACTOR) <= set(files)
