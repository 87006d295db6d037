"""Automations: versions, toggles, clocks and deletion."""

from __future__ import annotations

from typing import Any

import pytest

from models import automation
from models.audit import SYSTEM
from models.database import acting_as, row, value
from models.refusals import InvalidDefinition, NotThere


def definition(trigger: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "trigger": trigger or {"type": "contact.created"},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hi", "body": "Hi"}}],
    }


def create(workspace_id: str, **given: Any) -> automation.Publication:
    facts = {"name": "Welcome", "type": "workflow", "definition": definition(), "actor": SYSTEM, **given}
    return automation.create(workspace_id, **facts)


def stored(workspace_id: str, automation_id: str) -> dict[str, Any]:
    with acting_as(workspace_id):
        found = row("select * from automations where id = %s", (automation_id,))
    assert found is not None
    return found


def due(workspace_id: str, automation_id: str) -> Any:
    with acting_as(workspace_id):
        return value("select next_at from automation_schedules where automation_id = %s", (automation_id,))


def test_a_new_automation_has_published_its_first_version(as_dashboard: None, alices: str) -> None:
    made = create(alices)
    assert made.version == 1
    assert stored(alices, made.automation_id)["trigger_type"] == "contact.created"


def test_every_publication_is_one_version_more_and_keeps_those_before(as_dashboard: None, alices: str) -> None:
    made = create(alices)
    automation.save_draft(alices, made.automation_id, {"half": "done"})
    again = automation.publish(alices, made.automation_id, definition({"type": "manual"}), SYSTEM)
    assert again.version == 2
    assert [one["version"] for one in automation.versions(alices, made.automation_id)] == [2, 1]
    now = stored(alices, made.automation_id)
    assert (now["trigger_type"], now["draft"]) == ("manual", None)


def test_a_hook_gets_its_secret_once_and_a_new_one_ends_the_old(as_dashboard: None, alices: str) -> None:
    made = create(alices, definition=definition({"type": "hook"}))
    assert made.hook_token is not None
    assert automation.find_hook(made.hook_token) == (alices, made.automation_id)
    again = automation.publish(alices, made.automation_id, definition({"type": "hook"}), SYSTEM)
    assert again.hook_token is None
    renewed = automation.new_hook_token(alices, made.automation_id, SYSTEM)
    assert automation.find_hook(made.hook_token) is None
    assert automation.find_hook(renewed) == (alices, made.automation_id)


def test_a_schedule_is_due_at_its_next_tick_until_it_is_published_away(as_dashboard: None, alices: str) -> None:
    made = create(alices, definition=definition({"type": "schedule", "with": {"cron": "0 9 * * *"}}))
    assert due(alices, made.automation_id).hour == 9
    automation.publish(alices, made.automation_id, definition(), SYSTEM)
    assert due(alices, made.automation_id) is None


def test_a_deleted_automation_is_gone_and_cancels_in_the_same_transaction(as_dashboard: None, alices: str) -> None:
    made = create(alices, definition=definition({"type": "hook"}))
    assert made.hook_token is not None
    assert automation.delete(alices, made.automation_id, SYSTEM, lambda: 3) == 3
    assert automation.find_hook(made.hook_token) is None
    with pytest.raises(NotThere):
        automation.toggle(alices, made.automation_id, True, SYSTEM)


def test_what_cannot_be_cancelled_is_not_deleted(as_dashboard: None, alices: str) -> None:
    made = create(alices)

    def refuse() -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        automation.delete(alices, made.automation_id, SYSTEM, refuse)
    assert stored(alices, made.automation_id)["deleted_at"] is None


def test_another_workspace_can_change_nothing(as_dashboard: None, alices: str, charlies: str) -> None:
    made = create(alices)
    with pytest.raises(NotThere):
        automation.publish(charlies, made.automation_id, definition(), SYSTEM)
    with pytest.raises(NotThere):
        automation.rename(charlies, made.automation_id, "Mine", SYSTEM)
    assert automation.versions(charlies, made.automation_id) == []


def test_a_change_that_changes_nothing_is_not_written_down(as_dashboard: None, alices: str) -> None:
    made = create(alices)
    automation.toggle(alices, made.automation_id, True, SYSTEM)
    automation.rename(alices, made.automation_id, "Welcome", SYSTEM)
    with acting_as(alices):
        assert value("select count(*) from audit where action in ('automation.enabled', 'automation.renamed')") == 0


def test_a_workflow_that_cannot_be_valid_is_never_published(as_dashboard: None, alices: str) -> None:
    wrong = {**definition(), "steps": [{"id": "x", "action": "send_fax"}]}
    with pytest.raises(InvalidDefinition):
        create(alices, definition=wrong)
    made = create(alices)
    with pytest.raises(InvalidDefinition, match="send_fax"):
        automation.publish(alices, made.automation_id, wrong, SYSTEM)
    assert stored(alices, made.automation_id)["version"] == 1
    with acting_as(alices):
        assert value("select count(*) from automations") == 1
