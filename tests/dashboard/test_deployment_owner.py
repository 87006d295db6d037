"""Permissions of the deployment owner: machine names, counts of all workspaces, protection from lock-out."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from flask.testing import FlaskClient

import clock
import settings
from ephemeral import heartbeats
from models import api_key, database, leadership, user
from tasks.runtime.broker import QUEUES, read_queue_depths
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_access import read_token, sign_in

#: The fields of a queue that count the messages of all workspaces.
DEPTHS = ("ready", "delayed", "unacked", "dead")


@pytest.fixture
def run_as_service(workspaces: Any) -> Iterator[Any]:
    """Run a function with the service connection, which sees all workspaces."""

    def run(work: Any) -> Any:
        environment = settings.load()
        database.db.close_all()
        database.open_pool(environment.database_service_url, "beckon_service", 8)
        result = work()
        database.db.close_all()
        database.open_pool(environment.database_app_url, "beckon_app", 8)
        return result

    return run


@pytest.fixture
def root(alice: Producer, run_as_service: Any) -> Producer:
    """The program with the key of access.json, in Alice's workspace."""
    key = run_as_service(lambda: api_key.issue(alice.workspace_id, "access.json", deployment_owner=True))
    return Producer(alice.client, alice.workspace_id, key.secret)


@pytest.fixture
def running_processes(alice: Producer, charlie: Producer, run_as_service: Any) -> None:
    """A worker of every queue, a scheduler leader, and a queued message of Charlie."""
    heartbeats.record(QUEUES, clock.now())

    assert run_as_service(leadership.take)
    charlie.create()
    charlie.post("/api/triggers", {"type": "contact.created", "contact": {"externalId": "c"}})
    assert read_queue_depths()["sending"]["ready"] == 1


def test_the_deployment_owners_key_sees_processes_and_all_counts(running_processes: None, root: Producer) -> None:
    health = root.get("/api/health").json
    here = (socket.gethostname(), os.getpid())
    assert [(worker["host"], worker["pid"]) for worker in health["processor"]["workers"]] == [here]
    assert (health["processor"]["leader"]["host"], health["processor"]["leader"]["pid"]) == here
    assert health["cache"]["capacity"] > 0
    depths = {queue["name"]: queue["ready"] for queue in root.get("/api/queues").json["queues"]}
    assert depths["sending"] == 1


def test_every_other_key_sees_null_instead(running_processes: None, alice: Producer) -> None:
    processor = alice.get("/api/health").json["processor"]
    (worker,) = processor["workers"]
    assert (worker["host"], worker["pid"]) == (None, None)
    assert set(worker["queues"]) == set(QUEUES)
    assert (processor["leader"]["host"], processor["leader"]["pid"]) == (None, None)
    assert processor["status"] == "running"
    redis = alice.get("/api/health").json["redis"]
    assert (redis["usedBytes"], redis["limitBytes"]) == (None, None)
    for queue in alice.get("/api/queues").json["queues"]:
        assert [queue[name] for name in DEPTHS] == [None] * 4
        assert queue["workers"] == 1


@pytest.mark.parametrize("path", ["/api/health", "/api/queues", "/summary", "/automations", "/executions", "/settings"])
def test_no_response_names_the_machine_to_an_ordinary_owner(
    running_processes: None, alice: Producer, client: FlaskClient, run_as_service: Any, path: str
) -> None:
    run_as_service(lambda: user.join(alice.workspace_id, user.create("bob@example.com", "Bob", PASSWORD), "owner"))
    sign_in(client)
    response = client.get(path)
    assert response.status_code == 200
    for name in (socket.gethostname(), str(os.getpid()), str(settings.load().home)):
        assert f">{name}<" not in response.text
        assert f'"{name}"' not in response.text


def test_the_first_owner_sees_deployment_fields_in_a_session(
    running_processes: None, alice: Producer, client: FlaskClient, run_as_service: Any
) -> None:
    def join() -> None:
        deployment_owner = user.create("bob@example.com", "Bob", PASSWORD, deployment_owner=True)
        user.join(alice.workspace_id, deployment_owner, "owner")

    run_as_service(join)
    sign_in(client)
    assert client.get("/api/health").json["processor"]["workers"][0]["pid"] == os.getpid()


def test_a_key_created_by_a_deployment_owner_is_an_ordinary_one(running_processes: None, root: Producer) -> None:
    key = root.post("/api/keys", {"name": "n", "scopes": ["read", "admin"]}).json["key"]
    assert key["deploymentOwner"] is False
    other = Producer(root.client, root.workspace_id, key["secret"])
    assert other.get("/api/health").json["processor"]["workers"][0]["host"] is None


def test_an_ordinary_owner_cannot_lock_the_deployment_owner_out(alice: Producer, root: Producer) -> None:
    keys = {key["name"]: key for key in alice.get("/api/keys").json["keys"]}
    assert keys["access.json"]["deploymentOwner"] is True
    assert alice.request("DELETE", f"/api/keys/{keys['access.json']['id']}").status_code == 403
    assert root.get("/api/contacts").status_code == 200
    assert root.request("DELETE", f"/api/keys/{keys['access.json']['id']}").status_code == 200
    assert root.get("/api/contacts").status_code == 401


def test_an_ordinary_owner_cannot_remove_the_deployment_owner(
    alice: Producer, root: Producer, charlie: Producer, run_as_service: Any
) -> None:
    def join() -> str:
        deployment_owner = user.create("bob@example.com", "Bob", PASSWORD, deployment_owner=True)
        user.join(alice.workspace_id, deployment_owner, "owner")
        user.join(alice.workspace_id, user.create("ada@example.com", "Ada", PASSWORD), "owner")
        return deployment_owner

    deployment_owner = run_as_service(join)
    assert alice.request("DELETE", f"/api/members/{deployment_owner}").status_code == 403
    assert charlie.request("DELETE", f"/api/members/{deployment_owner}").status_code == 404
    assert root.request("DELETE", f"/api/members/{deployment_owner}").status_code == 200


@pytest.fixture
def deployment_owner(alice: Producer, run_as_service: Any) -> str:
    """The id of the deployment owner, who owns Alice's workspace; Ada is an ordinary owner of it, Eve an operator."""

    def join() -> str:
        deployment_owner = user.create("bob@example.com", "Bob", PASSWORD, deployment_owner=True)
        user.join(alice.workspace_id, deployment_owner, "owner")
        for name, role in (("ada", "owner"), ("eve", "operator")):
            user.join(alice.workspace_id, user.create(f"{name}@example.com", name, PASSWORD), role)
        return deployment_owner

    return str(run_as_service(join))


def fetch_role(alice: Producer, member_id: str) -> str | None:
    members = alice.get("/api/members").json["members"]
    return next((member["role"] for member in members if member["id"] == member_id), None)


@pytest.mark.parametrize("role", ["operator", "viewer", "owner"])
def test_an_ordinary_owner_cannot_change_the_deployment_owners_role(
    alice: Producer, root: Producer, deployment_owner: str, role: str
) -> None:
    assert alice.request("PATCH", f"/api/members/{deployment_owner}", json={"role": role}).status_code == 403
    assert fetch_role(alice, deployment_owner) == "owner"
    assert root.request("PATCH", f"/api/members/{deployment_owner}", json={"role": role}).status_code == 200
    assert fetch_role(alice, deployment_owner) == role


def test_the_page_protects_the_deployment_owner_from_ordinary_owners(
    alice: Producer, client: FlaskClient, deployment_owner: str
) -> None:
    sign_in(client, "ada@example.com")
    page = client.get("/settings/members").text
    path = f"/settings/members/{deployment_owner}"
    for address in (path, path.upper().replace("/SETTINGS/MEMBERS", "/settings/members")):
        assert address not in page
        assert client.get(f"{address}/delete").status_code == 403
        for way in ("role", "delete"):
            fields = {"csrf_token": read_token(page), "role": "viewer"}
            assert client.post(f"{address}/{way}", data=fields).status_code == 403
    assert fetch_role(alice, deployment_owner) == "owner"


def test_the_deployment_owner_can_leave_on_the_page(
    alice: Producer, client: FlaskClient, deployment_owner: str
) -> None:
    sign_in(client)
    page = client.get("/settings/members").text
    fields = {"csrf_token": read_token(page), "role": "operator"}
    assert f"/settings/members/{deployment_owner}/role" in page
    assert client.post(f"/settings/members/{deployment_owner}/role", data=fields).status_code == 303
    assert fetch_role(alice, deployment_owner) == "operator"


def test_the_dashboard_cannot_create_a_deployment_owners_key(alice: Producer) -> None:
    before = alice.get("/api/keys").json["keys"]
    with pytest.raises(peewee.ProgrammingError, match="permission denied"):
        api_key.issue(alice.workspace_id, "mine", deployment_owner=True)
    assert alice.get("/api/keys").json["keys"] == before


def test_a_pause_affects_only_its_workspace(alice: Producer, charlie: Producer) -> None:
    for path in ("/api/queues/sending", "/api/providers/mailgun"):
        assert alice.post(f"{path}/pause").status_code == 200
    listed = charlie.get("/api/queues").json
    assert listed["pauses"] == []
    assert not [queue for queue in listed["queues"] if queue["paused"]]
    assert charlie.post("/api/queues/sending/resume").status_code == 200
    assert len(alice.get("/api/queues").json["pauses"]) == 2


def test_a_page_accepts_a_session_and_no_key(alice: Producer, client: FlaskClient, run_as_service: Any) -> None:
    run_as_service(lambda: user.join(alice.workspace_id, user.create("bob@example.com", "Bob", PASSWORD), "viewer"))
    bearer = {"Authorization": f"Bearer {alice.secret}"}
    assert client.get("/automations", headers=bearer).status_code == 302
    sign_in(client)
    page = client.get("/automations", headers=bearer)
    assert page.status_code == 200
    assert "(Viewer)" in page.text
    for header in (bearer, {"Authorization": "Basic eDp5"}):
        assert client.get("/executions", headers=header).status_code == 200
        refused = client.post("/contacts/new", data={"first_name": "Ada"}, headers=header)
        assert refused.status_code == 403
        token = {"X-CSRF-Token": read_token(client.get("/automations").text)}
        assert client.post("/contacts/new", data={"first_name": "Ada"}, headers={**header, **token}).status_code == 403
