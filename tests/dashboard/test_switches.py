"""The switches over HTTP: what turns, what the environment holds, and who sees it when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models import audit, switches
from models.database import acting_as, execute
from settings import Settings
from tasks.operators import switches as held
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually

PATH = "/api/settings/switches"
ALL_ON = {"success": True, "runTracking": True, "statsInApi": True, "executionTracking": True, "locked": []}


def test_all_are_on_until_somebody_turns_one(alice: Producer) -> None:
    assert alice.get(PATH).json == ALL_ON
    assert alice.request("PUT", PATH, json={"runTracking": False}).json == {**ALL_ON, "runTracking": False}
    assert alice.get(PATH).json == {**ALL_ON, "runTracking": False}


def test_a_workspace_turns_its_own_alone(alice: Producer, charlie: Producer) -> None:
    alice.request("PUT", PATH, json={"statsInApi": False})
    assert charlie.get(PATH).json == ALL_ON


def test_a_turn_is_on_the_audit_log_and_none_is_not(alice: Producer) -> None:
    alice.request("PUT", PATH, json={"runTracking": False, "statsInApi": True})
    (entry,) = audit.fetch_page(alice.workspace_id, 5)
    assert (entry["action"], entry["object_id"]) == ("switch.off", "run_tracking")


@pytest.mark.parametrize("body", [{"runTracking": "yes"}, {"runTracking": None, "surprise": True}, {"statsInApi": 1}])
def test_what_is_neither_on_nor_off_is_refused(alice: Producer, body: object) -> None:
    assert alice.request("PUT", PATH, json=body).status_code == 422
    assert alice.get(PATH).json == ALL_ON


def test_another_process_sees_a_turn_within_five_seconds(alice: Producer) -> None:
    assert switches.load_cached(alice.workspace_id).run_tracking
    # As another process would: without telling this one.
    with acting_as(alice.workspace_id):
        execute("update workspaces set run_tracking = false where id = %s", (alice.workspace_id,))
    eventually(lambda: not switches.load_cached(alice.workspace_id).run_tracking, timeout=5)


class TestHeldByTheEnvironment:
    @pytest.fixture
    def config(self, config: Settings) -> Settings:
        return replace(config, stats_in_api=False)

    def test_it_is_shown_locked_and_cannot_be_turned(self, alice: Producer) -> None:
        assert alice.get(PATH).json == {**ALL_ON, "statsInApi": False, "locked": ["statsInApi"]}
        response = alice.request("PUT", PATH, json={"statsInApi": True, "runTracking": False})
        assert (response.status_code, response.json["errors"][0]["path"]) == (409, "statsInApi")
        assert "STATS_IN_API" in response.json["detail"]
        assert alice.get(PATH).json["runTracking"] is True

    def test_it_holds_for_every_workspace_whatever_their_rows_say(self, alice: Producer, config: Settings) -> None:
        alice.create()
        assert "stats" not in alice.get(alice.automations).json["automations"][0]
        assert not held.is_on(config, alice.workspace_id, "stats_in_api")
