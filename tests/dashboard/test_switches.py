"""The switches over HTTP: changes, switches locked by the environment, and propagation between processes."""

from __future__ import annotations

import pytest

from models import audit, switches
from models.database import acting_as
from models.queries import execute
from settings import Settings
from tasks.operators import switches as held
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually

PATH = "/api/settings/switches"
ALL_ON = {"success": True, "runTracking": True, "statsInApi": True, "executionTracking": True, "locked": []}


def test_all_switches_are_on_by_default(alice: Producer) -> None:
    assert alice.get(PATH).json == ALL_ON
    assert alice.request("PUT", PATH, json={"runTracking": False}).json == {**ALL_ON, "runTracking": False}
    assert alice.get(PATH).json == {**ALL_ON, "runTracking": False}


def test_a_workspace_changes_only_its_own_switches(alice: Producer, charlie: Producer) -> None:
    alice.request("PUT", PATH, json={"statsInApi": False})
    assert charlie.get(PATH).json == ALL_ON


def test_only_changes_are_in_the_audit_log(alice: Producer) -> None:
    alice.request("PUT", PATH, json={"runTracking": False, "statsInApi": True})
    (entry,) = audit.fetch_page(alice.workspace_id, 5)
    assert (entry["action"], entry["object_id"]) == ("switch.off", "run_tracking")


@pytest.mark.parametrize("body", [{"runTracking": "yes"}, {"runTracking": None, "surprise": True}, {"statsInApi": 1}])
def test_a_value_that_is_not_boolean_is_rejected(alice: Producer, body: object) -> None:
    assert alice.request("PUT", PATH, json=body).status_code == 422
    assert alice.get(PATH).json == ALL_ON


def test_another_process_sees_a_change_within_five_seconds(alice: Producer) -> None:
    assert switches.load_cached(alice.workspace_id).run_tracking
    # Write as another process does, without invalidating this one's cache.
    with acting_as(alice.workspace_id):
        execute("update workspaces set run_tracking = false where id = %s", (alice.workspace_id,))
    eventually(lambda: not switches.load_cached(alice.workspace_id).run_tracking, timeout=5)


class TestLockedByTheEnvironment:
    @pytest.fixture
    def config(self, config: Settings) -> Settings:
        return config.replace(stats_in_api=False)

    def test_a_switch_set_by_the_environment_is_locked(self, alice: Producer) -> None:
        assert alice.get(PATH).json == {**ALL_ON, "statsInApi": False, "locked": ["statsInApi"]}
        response = alice.request("PUT", PATH, json={"statsInApi": True, "runTracking": False})
        assert (response.status_code, response.json["errors"][0]["path"]) == (409, "statsInApi")
        assert "STATS_IN_API" in response.json["detail"]
        assert alice.get(PATH).json["runTracking"] is True

    def test_the_environment_overrides_the_rows_of_all_workspaces(self, alice: Producer, config: Settings) -> None:
        alice.create()
        assert "stats" not in alice.get(alice.automations).json["automations"][0]
        assert not held.is_on(config, alice.workspace_id, "stats_in_api")
