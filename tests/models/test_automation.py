"""Automations: versions, toggles, schedules and deletion."""

from __future__ import annotations

from typing import Any

import pytest

from models import automation
from models.audit import SYSTEM
from models.database import acting_as
from models.errors import Conflict, InvalidDefinition, NotFound
from models.queries import fetch_value
from models.reports import automations as report
from tests.support.rows import fetch_row


def build_definition(trigger: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "trigger": trigger or {"type": "contact.created"},
        "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hi", "body": "Hi"}}],
    }


def create(workspace_id: str, **overrides: Any) -> automation.Publication:
    fields = {"name": "Welcome", "type": "workflow", "definition": build_definition(), "actor": SYSTEM, **overrides}
    return automation.create(workspace_id, **fields)


def save_draft(workspace_id: str, automation_id: str, document: Any, seen_draft: Any = None) -> Any:
    return automation.save_draft(workspace_id, automation_id, document, SYSTEM, base_version=1, seen_draft=seen_draft)


def fetch_automation(workspace_id: str, automation_id: str) -> dict[str, Any]:
    with acting_as(workspace_id):
        row = fetch_row("select * from automations where id = %s", (automation_id,))
    assert row is not None
    return row


def fetch_next_at(workspace_id: str, automation_id: str) -> Any:
    with acting_as(workspace_id):
        return fetch_value("select next_at from automation_schedules where automation_id = %s", (automation_id,))


def test_a_new_automation_has_a_published_first_version(as_dashboard: None, alices: str) -> None:
    publication = create(alices)
    assert publication.version == 1
    assert fetch_automation(alices, publication.automation_id)["trigger_type"] == "contact.created"


def test_every_publication_adds_a_version_and_keeps_older_ones(as_dashboard: None, alices: str) -> None:
    publication = create(alices)
    save_draft(alices, publication.automation_id, {"half": "done"})
    second = automation.publish(
        alices, publication.automation_id, build_definition({"type": "manual"}), SYSTEM, note="By hand"
    )
    assert second.version == 2
    row = report.find(alices, publication.automation_id)
    assert row is not None
    assert [version_row["note"] for version_row in row["versions"]] == ["By hand", None]
    assert [version_row["version"] for version_row in row["versions"]] == [2, 1]
    assert (row["trigger_type"], row["draft"], row["draft_saved_at"]) == ("manual", None, None)
    assert report.find_version(alices, publication.automation_id, 1) == build_definition()
    assert report.find_version(alices, publication.automation_id, 3) is None


def test_a_draft_is_saved_only_over_the_draft_and_version_that_its_author_saw(as_dashboard: None, alices: str) -> None:
    automation_id = create(alices).automation_id
    first = save_draft(alices, automation_id, {"half": "done"})
    with pytest.raises(Conflict, match="Beckon saved another draft in the meantime"):
        save_draft(alices, automation_id, {"other": "text"})
    second = save_draft(alices, automation_id, {"more": "done"}, seen_draft=first)
    assert save_draft(alices, automation_id, None, seen_draft=second) is None
    with pytest.raises(Conflict, match="The draft was discarded in the meantime"):
        save_draft(alices, automation_id, {"half": "done"}, seen_draft=second)
    automation.publish(alices, automation_id, build_definition(), SYSTEM)
    with pytest.raises(Conflict, match="Version 2 was published in the meantime"):
        save_draft(alices, automation_id, {"half": "done"})
    assert fetch_automation(alices, automation_id)["draft"] is None


def test_a_new_automation_may_begin_as_a_draft_that_is_off(as_dashboard: None, alices: str) -> None:
    automation_id = automation.create_draft(alices, name="Sale", type="workflow", draft={"half": "done"}, actor=SYSTEM)
    row = report.find(alices, automation_id)
    assert row is not None
    assert (row["enabled"], row["version"], row["definition"], row["draft_saved_by"]) == (False, 0, None, "Beckon")
    assert automation.publish(alices, automation_id, build_definition(), SYSTEM, expected_version=0).version == 1


def test_a_hook_token_is_returned_once_and_a_new_one_replaces_it(as_dashboard: None, alices: str) -> None:
    publication = create(alices, definition=build_definition({"type": "hook"}))
    assert publication.hook_token is not None
    assert automation.find_hook(publication.hook_token) == (alices, publication.automation_id)
    second = automation.publish(alices, publication.automation_id, build_definition({"type": "hook"}), SYSTEM)
    assert second.hook_token is None
    renewed = automation.renew_hook_token(alices, publication.automation_id, SYSTEM)
    assert automation.find_hook(publication.hook_token) is None
    assert automation.find_hook(renewed) == (alices, publication.automation_id)


def test_a_schedule_is_due_at_its_next_time_until_a_publication_removes_it(as_dashboard: None, alices: str) -> None:
    publication = create(alices, definition=build_definition({"type": "schedule", "with": {"cron": "0 9 * * *"}}))
    assert fetch_next_at(alices, publication.automation_id).hour == 9
    automation.publish(alices, publication.automation_id, build_definition(), SYSTEM)
    assert fetch_next_at(alices, publication.automation_id) is None


def test_deleting_an_automation_cancels_in_the_same_transaction(as_dashboard: None, alices: str) -> None:
    publication = create(alices, definition=build_definition({"type": "hook"}))
    assert publication.hook_token is not None
    assert automation.delete(alices, publication.automation_id, SYSTEM, lambda: 3) == 3
    assert automation.find_hook(publication.hook_token) is None
    with pytest.raises(NotFound):
        automation.toggle(alices, publication.automation_id, True, SYSTEM)


def test_an_automation_is_not_deleted_if_cancelling_fails(as_dashboard: None, alices: str) -> None:
    publication = create(alices)

    def fail_to_cancel() -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        automation.delete(alices, publication.automation_id, SYSTEM, fail_to_cancel)
    assert fetch_automation(alices, publication.automation_id)["deleted_at"] is None


def test_another_workspace_can_change_nothing(as_dashboard: None, alices: str, charlies: str) -> None:
    publication = create(alices)
    with pytest.raises(NotFound):
        automation.publish(charlies, publication.automation_id, build_definition(), SYSTEM)
    with pytest.raises(NotFound):
        automation.rename(charlies, publication.automation_id, "Mine", SYSTEM)


def test_a_change_without_effect_is_not_audited(as_dashboard: None, alices: str) -> None:
    publication = create(alices)
    automation.toggle(alices, publication.automation_id, True, SYSTEM)
    automation.rename(alices, publication.automation_id, "Welcome", SYSTEM)
    with acting_as(alices):
        assert (
            fetch_value("select count(*) from audit where action in ('automation.enabled', 'automation.renamed')") == 0
        )


def test_an_invalid_workflow_is_never_published(as_dashboard: None, alices: str) -> None:
    wrong = {**build_definition(), "steps": [{"id": "x", "action": "send_fax"}]}
    with pytest.raises(InvalidDefinition):
        create(alices, definition=wrong)
    publication = create(alices)
    with pytest.raises(InvalidDefinition, match="send_fax"):
        automation.publish(alices, publication.automation_id, wrong, SYSTEM)
    assert fetch_automation(alices, publication.automation_id)["version"] == 1
    with acting_as(alices):
        assert fetch_value("select count(*) from automations") == 1
