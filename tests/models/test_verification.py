"""Each invariant holds for the application's own data, and a manual violation of it is reported."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from models import contact_matching, database, tracking_intake, trigger, workspace
from models.checks import retention, verification
from models.checks.invariants import INVARIANTS
from models.database import ReadOnlyServer, acting_as
from models.engine import limits
from models.engine.group_commit import GroupCommit
from models.engine.records import CountRun, ExecutionRecord
from models.engine.rows import ExecutionState, list_columns
from models.ids import new_id
from models.queries import execute, fetch_value
from models.trigger import NewExecution, NewTrigger
from tests.support import tracking
from tests.support.aging import age_executions
from tests.support.concurrency import claim

DEFINITION = '{"trigger": {"type": "contact.created"}, "rules": {"daily_limit": 1}, "steps": []}'


def list_broken_invariants(workspace_id: str | None = None) -> set[str]:
    return {finding.name for finding in verification.verify(workspace_id) if not finding.holds}


class World:
    """One of Alice's executions, right after its trigger; `finish` completes it with a sent message."""

    def __init__(self, workspace_id: str, *, test: bool = False) -> None:
        self.workspace_id = workspace_id
        self.automation_id, self.version_id = new_id(), new_id()
        self.trigger_id, self.execution_id, self.message_id = new_id(), new_id(), new_id()
        self.test = test
        with acting_as(workspace_id):
            execute(
                "insert into automations (id, workspace_id, name, type, version, version_id, trigger_type) "
                "values (%s, %s, 'Welcome', 'workflow', 1, %s, 'contact.created')",
                (self.automation_id, workspace_id, self.version_id),
            )
            execute(
                "insert into workflow_versions (id, workspace_id, automation_id, version, definition, published_by) "
                "values (%s, %s, %s, 1, %s, 'Alice')",
                (self.version_id, workspace_id, self.automation_id, DEFINITION),
            )
            bob = contact_matching.match_or_create(workspace_id, [(None, {"email": f"{new_id()}@example.com"})])[0]
            assert isinstance(bob, dict)
            self.contact_id = bob["id"]
            trigger.reserve_idempotency_keys(workspace_id, {"key-1": (b"hash", self.trigger_id)})
            response = {
                "contactId": self.contact_id,
                "executions": [{"executionId": self.execution_id, "automationId": self.automation_id}],
            }
            new_trigger = NewTrigger(
                self.trigger_id, "contact.created", "api", self.contact_id, {}, test, "key-1", response
            )
            new_execution = NewExecution(
                self.execution_id, self.automation_id, self.version_id, 1, self.trigger_id, self.contact_id, test,
                "sending",
            )  # fmt: skip
            trigger.insert(workspace_id, [new_trigger], [new_execution])

    def finish(self) -> None:
        """Claim it, reserve the limit, send and complete it, as a worker records it."""
        if not self.test:
            today = fetch_value("select beckon_now()::date")
            limits.reserve_daily_limit(
                self.execution_id, 0, self.workspace_id, self.automation_id, self.contact_id, today, 1, None
            )
        group_commit = GroupCommit("worker", 30)
        try:
            row = claim(group_commit, self.execution_id)
            assert row is not None
            assert group_commit.record(self._build_record(row))
        finally:
            group_commit.close()

    def _build_record(self, row: dict[str, Any]) -> ExecutionRecord:
        at = row["claimed_at"]
        stages = ["checking", "eligible", "ready_to_send", "sending", "sent", "completed"]
        state = {name: row[name] for name in list_columns(ExecutionState)}
        run = None if self.test else CountRun(new_id(), "main_dm", at)
        state.update(run_kind=run and run.kind)
        state.update(status="succeeded", stage="completed", stage_since=at, finished_at=at, due_at=None)
        step_key = {"execution_id": self.execution_id, "step_id": "hello", "round": 0}
        return ExecutionRecord(
            self.execution_id,
            row["fence"],
            state,
            run=run,
            stages=[
                {"execution_id": self.execution_id, "from_stage": a, "from_ms": 0, "stage": b, "entered_at": at}
                for a, b in itertools.pairwise(stages)
            ],
            steps=[{**step_key, "action": "send_email", "status": "succeeded", "attempts": 1, "failures": []}],
            messages=[
                {
                    **step_key, "id": self.message_id, "key": f"{self.execution_id}:hello:0", "channel": "email",
                    "automation_id": self.automation_id, "contact_id": self.contact_id, "provider": "mailgun",
                    "sandbox": True, "test": self.test, "to_address": "bob@example.com", "body": "Hi", "look_ups": 0,
                    "format": "text", "status": "sent", "provider_message_id": "1@mailgun", "resends": 0,
                    "sent_at": at, "created_at": at, "updated_at": at,
                }
            ],
        )  # fmt: skip

    def __call__(self, sql: str, **overrides: Any) -> None:
        """Run SQL against its rows; `%(e)s` is the execution, `%(a)s` the automation and so on."""
        parameters = {
            "e": self.execution_id, "a": self.automation_id, "t": self.trigger_id, "m": self.message_id,
            "w": self.workspace_id, "new": new_id(), **overrides,
        }  # fmt: skip
        assert execute(sql, parameters) > 0, sql


@pytest.fixture
def accepted_world(alices: str) -> World:
    """A newly accepted trigger."""
    return World(alices)


@pytest.fixture
def completed_world(accepted_world: World) -> World:
    """The accepted execution, sent and completed; and a tracked one of the same automation."""
    accepted_world.finish()
    tracking.store(tracking.build_entry(accepted_world.workspace_id, accepted_world.automation_id))
    assert tracking_intake.record(1).total == 1
    return accepted_world


@pytest.fixture
def completed_test_world(alices: str) -> World:
    """A test execution that was sent and completed."""
    world = World(alices, test=True)
    world.finish()
    return world


def test_an_empty_database_has_no_violation(as_service):
    assert list_broken_invariants() == set()


def test_an_accepted_execution_has_no_violation(accepted_world):
    assert list_broken_invariants() == set()


def test_a_completed_execution_has_no_violation(completed_world, completed_test_world):
    assert list_broken_invariants() == set()


OVERDUE = "beckon_now() - interval '61 seconds'"

ANOTHER_RUN = (
    "insert into automation_runs select %(new)s, workspace_id, automation_id, contact_id, {execution}, kind, "
    "at + interval '{later}' from automation_runs where automation_id = %(a)s"
)

#: Manual changes of a finished execution: the invariant that each violates, and the SQL.
VIOLATIONS: list[tuple[str, str]] = [
    ("stages_match_statuses", "update executions set stage = 'sent' where id = %(e)s"),
    (
        "moves_are_allowed",
        "update stage_history set from_stage = 'completed' where execution_id = %(e)s and stage = 'sent'",
    ),
    ("history_is_a_path", "delete from stage_history where execution_id = %(e)s and stage = 'sent'"),
    ("history_is_a_path", "delete from stage_history where execution_id = %(e)s and stage = 'completed'"),
    ("durations_add_up", "update stage_history set from_ms = 9000 where execution_id = %(e)s and stage = 'sent'"),
    ("counters_add_up", "update automations set succeeded = succeeded + 1 where id = %(a)s"),
    ("counters_add_up", "update automations set archived_failed = 1 where id = %(a)s"),
    ("counters_add_up", "delete from workflow_executions where workflow_id = %(a)s"),
    (
        "intake_is_recorded",
        "insert into tracking_intake values (%(new)s, %(w)s, null, 'x', '{}', beckon_now() - interval '61 seconds')",
    ),
    (
        "recorded_intake_is_removed",
        "insert into tracking_intake select id, %(w)s, null, 'x', '{}' from workflow_executions",
    ),
    (
        "tracked_executions_are_unique",
        "insert into workflow_executions (id, workspace_id, workflow_id, execution_id, status) "
        "select %(new)s, workspace_id, workflow_id, execution_id, 'success' from workflow_executions",
    ),
    ("tracked_actions_are_complete", "delete from analytics_events where workflow_id = %(a)s and position = 2"),
    ("tracked_actions_are_complete", "update analytics_events set error = 'no' where workflow_id = %(a)s"),
    ("tracked_actions_are_complete", "update analytics_events set workflow_execution_id = %(new)s"),
    ("tracked_actions_are_complete", "update analytics_events set workspace_id = %(new)s"),
    ("analytics_add_up", "update analytics_changes set count = count + 1"),
    ("analytics_add_up", "delete from analytics_changes where subject = 'messages'"),
    ("analytics_add_up", "delete from steps where execution_id = %(e)s"),
    ("run_counters_add_up", "update automations set total_runs = 2 where id = %(a)s"),
    ("run_counters_add_up", "update automations set last_run_at = null where id = %(a)s"),
    ("run_counters_add_up", "update automations set hourly_runs[1] = 2 where id = %(a)s"),
    ("run_counters_add_up", "delete from automation_runs where automation_id = %(a)s"),
    ("runs_are_apart", ANOTHER_RUN.format(execution="%(new)s", later="59 minutes")),
    ("runs_are_unique", ANOTHER_RUN.format(execution="%(e)s", later="61 minutes")),
    ("messages_are_unique", "update messages set key = 'another' where id = %(m)s"),
    (
        "messages_are_unique",
        "insert into messages select (m2).* from (select json_populate_record(m, json_build_object('id', %(new)s, "
        "'key', 'twice')) as m2 from messages m where m.id = %(m)s) twice",
    ),
    (
        "executions_are_unique",
        "insert into executions select (e2).* from (select json_populate_record(e, json_build_object('id', %(new)s)) "
        "as e2 from executions e where e.id = %(e)s) twice",
    ),
    ("sending_means_running", "update messages set status = 'sending' where id = %(m)s"),
    ("sends_have_receipts", "update messages set sent_at = null where id = %(m)s"),
    ("sends_have_receipts", "update messages set provider_message_id = null where id = %(m)s"),
    ("successes_are_complete", "update steps set status = 'running' where execution_id = %(e)s"),
    ("successes_are_complete", "update steps set status = 'failed' where execution_id = %(e)s"),
    ("follow_ups_are_counted", "update executions set follow_up_count = 1 where id = %(e)s"),
    ("follow_ups_are_counted", "update executions set follow_up_count = 1, round = 1 where id = %(e)s"),
    ("limit_counts_add_up", "update limit_counts set count = 0 where automation_id = %(a)s"),
    ("limit_counts_add_up", "delete from limit_reservations where automation_id = %(a)s"),
    ("limits_hold", "update limit_counts set count = 2 where automation_id = %(a)s"),
    ("keys_have_triggers", "update idempotency_keys set trigger_id = %(new)s where workspace_id = %(w)s"),
    ("keys_have_triggers", "update triggers set idempotency_key = 'other' where id = %(t)s"),
    ("executions_have_triggers", "delete from triggers where id = %(t)s"),
    ("executions_have_triggers", "delete from workflow_versions where automation_id = %(a)s"),
    ("executions_have_triggers", "update executions set version = 2 where id = %(e)s"),
    (
        "suppressed_addresses_get_nothing",
        "insert into suppressed_addresses (id, workspace_id, channel, address, reason, created_at) select %(new)s, "
        "workspace_id, channel, to_address, 'stopped', sent_at - interval '61 seconds' from messages "
        "where id = %(m)s",
    ),
    *[
        ("contacts_are_within_limits", f"update contacts set {excess} where workspace_id = %(w)s")
        for excess in (
            "tags = array(select 't' || n from generate_series(1, 101) n)",
            "tags = array[repeat('t', 65)]",
            "attributes = jsonb_build_object('text', repeat('é', 8190))",
            "attributes = jsonb_build_object(repeat('n', 65), 1)",
            """attributes = '{"a": {"b": {"c": {"d": {}}}}}'""",
            """attributes = '{"a": [[[[]]]]}'""",
            "first_name = repeat('n', 201)",
            "username = repeat('é', 201)",
            "external_id = repeat('n', 201)",
        )
    ],
    ("rows_have_executions", "delete from executions where id = %(e)s"),
    ("responses_have_executions", "delete from executions where id = %(e)s"),
    ("responses_have_executions", "update triggers set answer = '{\"executions\": []}' where id = %(t)s"),
]


@pytest.mark.parametrize(("name", "sql"), VIOLATIONS, ids=lambda text: text[:60])
def test_a_manual_violation_is_reported(completed_world, name, sql):
    completed_world(sql)
    assert name in list_broken_invariants()


@pytest.mark.parametrize(
    "values",
    [
        "tags = array(select repeat('é', 64 - length(n::text)) || n from generate_series(1, 100) n)",
        "attributes = jsonb_build_object('text', repeat('é', 8186))",
        """attributes = '{"a": {"b": {"c": [1.0]}}}'""",
        "first_name = repeat('é', 200), attributes = jsonb_build_object(repeat('n', 64), 1)",
    ],
)
def test_a_contact_at_its_limits_is_no_violation(completed_world, values):
    completed_world(f"update contacts set {values} where workspace_id = %(w)s")
    assert list_broken_invariants() == set()


SUPPRESS = (
    "insert into suppressed_addresses (id, workspace_id, channel, address, reason, created_at) select %(new)s, "
    "workspace_id, channel, to_address, %(reason)s, sent_at - interval '61 seconds' from messages where id = %(m)s"
)
CHANGE_DEFINITION = "update workflow_versions set definition = definition || %(change)s where automation_id = %(a)s"


def test_transactional_mail_to_who_unsubscribed_is_no_violation_unless_they_complained(completed_world):
    completed_world(SUPPRESS, reason="unsubscribed")
    assert list_broken_invariants() == {"suppressed_addresses_get_nothing"}
    completed_world(CHANGE_DEFINITION, change='{"transactional": true}')
    assert list_broken_invariants() == set()
    completed_world(SUPPRESS, reason="complained")
    assert list_broken_invariants() == {"suppressed_addresses_get_nothing"}


def test_mail_of_a_suppressed_topic_is_reported(completed_world):
    completed_world("insert into email_recipients select workspace_id, 'h', to_address from messages where id = %(m)s")
    completed_world(
        "insert into suppressed_topics select %(new)s, workspace_id, 'h', 'News', 'unsubscribed', "
        "sent_at - interval '61 seconds' from messages where id = %(m)s"
    )
    for topic, broken in (("Offers", set()), ("News", {"suppressed_addresses_get_nothing"})):
        completed_world(CHANGE_DEFINITION, change=f'{{"topic": "{topic}"}}')
        assert list_broken_invariants() == broken
    completed_world(CHANGE_DEFINITION, change='{"transactional": true}')
    assert list_broken_invariants() == set()


def test_an_expired_lease_that_was_not_requeued_is_reported(accepted_world):
    accepted_world(
        "update executions set status = 'running', stage = 'checking', due_at = null, "
        f"lease_until = {OVERDUE} where id = %(e)s"
    )
    assert "leases_are_current" in list_broken_invariants()


def test_a_due_execution_that_is_not_claimed_is_reported(accepted_world):
    accepted_world(f"update executions set due_at = {OVERDUE} where id = %(e)s")
    assert list_broken_invariants() == {"due_work_is_claimed"}
    (finding,) = verification.verify(only=["due_work_is_claimed"])
    assert (finding.is_late, finding.is_violated) == (True, False)


@pytest.mark.parametrize("waiting_for", ["pause", "review", "event"])
def test_a_wait_that_cannot_end_is_reported(accepted_world, waiting_for):
    accepted_world("update executions set status = 'waiting', waiting_for = %(why)s, due_at = null where id = %(e)s",
          why=waiting_for)  # fmt: skip
    assert "waits_can_end" in list_broken_invariants()


def test_a_wait_for_an_active_pause_is_no_violation(accepted_world):
    accepted_world("update executions set status = 'waiting', waiting_for = 'pause', due_at = null where id = %(e)s")
    accepted_world("update automations set paused_at = beckon_now() where id = %(a)s")
    assert list_broken_invariants() == set()


@pytest.mark.parametrize(
    "sql",
    [
        "update messages set sandbox = false where id = %(m)s",
        "update messages set test = false where id = %(m)s",
        "update stage_history set test = false where execution_id = %(e)s",
    ],
)
def test_a_test_that_left_the_sandbox_is_reported(completed_test_world, sql):
    completed_test_world(sql)
    assert list_broken_invariants() == {"tests_stay_in_sandbox"}


@pytest.mark.parametrize("table", ["steps", "messages", "stage_history"])
def test_a_row_in_another_workspace_is_reported(completed_world, charlies, table):
    completed_world(f"update {table} set workspace_id = %(c)s where execution_id = %(e)s", c=charlies)
    assert list_broken_invariants() == {"workspaces_are_separate"}


def test_another_workspace_s_contact_is_reported(completed_world, charlies):
    completed_world("update contacts set workspace_id = %(c)s where workspace_id = %(w)s", c=charlies)
    assert list_broken_invariants() == {"workspaces_are_separate"}


def test_a_message_that_an_operator_marked_as_sent_needs_no_provider_s_id(completed_world):
    completed_world("update messages set provider_message_id = null where id = %(m)s")
    completed_world("update steps set output = '{\"resolved\": true}' where execution_id = %(e)s")
    assert list_broken_invariants() == set()


def test_rows_removed_by_retention_are_no_violation(completed_world):
    age_executions(122)
    completed_world(
        "update idempotency_keys set created_at = created_at - interval '100 days' where workspace_id = %(w)s"
    )
    completed_world("update analytics_changes set at = at - interval '100 days' where not tracked")
    assert retention.run_once()["executions"] == 1
    assert list_broken_invariants() == set()


def test_a_violation_is_counted_and_named(completed_world):
    completed_world("update executions set stage = 'sent' where id = %(e)s")
    finding = next(finding for finding in verification.verify() if finding.name == "stages_match_statuses")
    assert (finding.violations, finding.examples) == (1, [completed_world.execution_id])


def test_all_violations_are_counted_and_ten_are_listed(alices):
    for _ in range(12):
        with acting_as(alices):
            execute(
                "insert into automations (id, workspace_id, name, type, failed) values (%s, %s, 'x', 'workflow', 1)",
                (new_id(), alices),
            )
    finding = next(finding for finding in verification.verify() if finding.name == "counters_add_up")
    assert (finding.violations, len(finding.examples)) == (12, 10)


def test_one_workspace_can_be_verified_alone(completed_world, charlies):
    completed_world("update executions set stage = 'sent' where id = %(e)s")
    assert list_broken_invariants(charlies) == set()
    assert "stages_match_statuses" in list_broken_invariants(workspace.find_by_slug("alice")["id"])


def test_the_verification_sees_one_snapshot(completed_world):
    findings = verification.verify()
    next(findings)
    other = database.open_dedicated_connection()
    with other.cursor() as cursor:
        cursor.execute("update automations set succeeded = 99")
    other.commit()
    other.close()
    assert {finding.name for finding in findings if not finding.holds} == set()
    assert list_broken_invariants() == {"counters_add_up"}


def test_every_invariant_was_broken_by_a_test_above():
    elsewhere = {
        "leases_are_current",
        "due_work_is_claimed",
        "waits_can_end",
        "tests_stay_in_sandbox",
        "workspaces_are_separate",
    }
    assert {name for name, _ in VIOLATIONS} | elsewhere == {invariant.name for invariant in INVARIANTS}


def test_nothing_can_be_changed_while_it_is_verified(completed_world):
    findings = verification.verify()
    next(findings)
    with pytest.raises(ReadOnlyServer, match="read-only"):
        completed_world("update executions set stage = 'sent' where id = %(e)s")
    findings.close()
