"""Each invariant is true of what the application writes, and is reported as broken when somebody breaks it by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from models import contact_matching, database, limits, retention, trigger, verification, workspace
from models.database import WritesRefused, acting_as, changed, value
from models.ids import new_id
from models.invariants import INVARIANTS
from models.ledger import Ledger
from models.progress import STATE, CountRun, Progress
from models.trigger import NewExecution, NewTrigger

DEFINITION = '{"trigger": {"type": "contact.created"}, "rules": {"daily_limit": 1}, "steps": []}'


def broken(workspace_id: str | None = None) -> set[str]:
    return {one.name for one in verification.verify(workspace_id) if not one.holds}


class World:
    """One execution of Alice's, as it stands right after its trigger; `finish` takes it to a sent message."""

    def __init__(self, workspace_id: str, *, test: bool = False) -> None:
        self.workspace_id = workspace_id
        self.automation_id, self.version_id = new_id(), new_id()
        self.trigger_id, self.execution_id, self.message_id = new_id(), new_id(), new_id()
        self.test = test
        with acting_as(workspace_id):
            changed(
                "insert into automations (id, workspace_id, name, type, version, version_id, trigger_type) "
                "values (%s, %s, 'Welcome', 'workflow', 1, %s, 'contact.created')",
                (self.automation_id, workspace_id, self.version_id),
            )
            changed(
                "insert into workflow_versions (id, workspace_id, automation_id, version, definition, published_by) "
                "values (%s, %s, %s, 1, %s, 'Alice')",
                (self.version_id, workspace_id, self.automation_id, DEFINITION),
            )
            bob = contact_matching.match(workspace_id, [(None, {"email": f"{new_id()}@example.com"})])[0]
            assert isinstance(bob, dict)
            self.contact_id = bob["id"]
            trigger.take_keys(workspace_id, {"key-1": (b"hash", self.trigger_id)})
            answer = {
                "contactId": self.contact_id,
                "executions": [{"executionId": self.execution_id, "automationId": self.automation_id}],
            }
            made = NewTrigger(self.trigger_id, "contact.created", "api", self.contact_id, {}, test, "key-1", answer)
            started = NewExecution(
                self.execution_id, self.automation_id, self.version_id, 1, self.trigger_id, self.contact_id, test,
                "sending",
            )  # fmt: skip
            trigger.insert(workspace_id, [made], [started])

    def finish(self) -> None:
        """Claim it, reserve a place, send, complete: what a worker would record."""
        if not self.test:
            today = value("select beckon_now()::date")
            limits.reserve(self.execution_id, 0, self.workspace_id, self.automation_id, self.contact_id, today, 1, None)
        ledger = Ledger("worker", 30)
        try:
            claimed = ledger.claim(self.execution_id)
            assert claimed is not None
            assert ledger.record(self._progress(claimed))
        finally:
            ledger.close()

    def _progress(self, claimed: dict[str, Any]) -> Progress:
        at = claimed["claimed_at"]
        way = ["checking", "eligible", "ready_to_send", "sending", "sent", "completed"]
        state = {name: claimed[name] for name in STATE}
        counted = None if self.test else CountRun(new_id(), "main_dm", at)
        state.update(run_kind=counted and counted.kind)
        state.update(status="succeeded", stage="completed", stage_since=at, finished_at=at, due_at=None)
        whole = {"execution_id": self.execution_id, "step_id": "hello", "round": 0}
        return Progress(
            self.execution_id,
            claimed["fence"],
            state,
            run=counted,
            stages=[
                {"execution_id": self.execution_id, "from_stage": a, "from_ms": 0, "stage": b, "entered_at": at}
                for a, b in itertools.pairwise(way)
            ],
            steps=[{**whole, "action": "send_email", "status": "succeeded", "attempts": 1, "failures": []}],
            messages=[
                {
                    **whole, "id": self.message_id, "key": f"{self.execution_id}:hello:0", "channel": "email",
                    "automation_id": self.automation_id, "contact_id": self.contact_id, "provider": "mailgun",
                    "sandbox": True, "test": self.test, "to_address": "bob@example.com", "body": "Hi", "look_ups": 0,
                    "format": "text", "status": "sent", "provider_message_id": "1@mailgun", "resends": 0,
                    "sent_at": at, "created_at": at, "updated_at": at,
                }
            ],
        )  # fmt: skip

    def __call__(self, sql: str, **more: Any) -> None:
        """Change something by hand; `%(e)s` is the execution, `%(a)s` the automation and so on."""
        told = {
            "e": self.execution_id, "a": self.automation_id, "t": self.trigger_id, "m": self.message_id,
            "w": self.workspace_id, "new": new_id(), **more,
        }  # fmt: skip
        assert changed(sql, told) > 0, sql


@pytest.fixture
def begun(alices: str) -> World:
    """A trigger that was just accepted."""
    return World(alices)


@pytest.fixture
def done(begun: World) -> World:
    """The same, sent and completed."""
    begun.finish()
    return begun


@pytest.fixture
def tested(alices: str) -> World:
    """A test execution that was sent and completed."""
    world = World(alices, test=True)
    world.finish()
    return world


def test_an_empty_database_breaks_nothing(as_service):
    assert broken() == set()


def test_what_was_just_accepted_breaks_nothing(begun):
    assert broken() == set()


def test_what_was_sent_and_completed_breaks_nothing(done, tested):
    assert broken() == set()


LATE = "beckon_now() - interval '61 seconds'"

ANOTHER_RUN = (
    "insert into automation_runs select %(new)s, workspace_id, automation_id, contact_id, {execution}, kind, "
    "at + interval '{later}' from automation_runs where automation_id = %(a)s"
)

#: By hand, to a finished execution: what breaks, and how.
BREAKS: list[tuple[str, str]] = [
    ("status_and_stage", "update executions set stage = 'sent' where id = %(e)s"),
    (
        "allowed_moves",
        "update stage_history set from_stage = 'completed' where execution_id = %(e)s and stage = 'sent'",
    ),
    ("history_is_a_path", "delete from stage_history where execution_id = %(e)s and stage = 'sent'"),
    ("history_is_a_path", "delete from stage_history where execution_id = %(e)s and stage = 'completed'"),
    ("durations_add_up", "update stage_history set from_ms = 9000 where execution_id = %(e)s and stage = 'sent'"),
    ("counters", "update automations set succeeded = succeeded + 1 where id = %(a)s"),
    ("counters", "update automations set archived_failed = 1 where id = %(a)s"),
    ("run_counters", "update automations set total_runs = 2 where id = %(a)s"),
    ("run_counters", "update automations set last_run_at = null where id = %(a)s"),
    ("run_counters", "update automations set hourly_runs[1] = 2 where id = %(a)s"),
    ("run_counters", "delete from automation_runs where automation_id = %(a)s"),
    ("runs_are_apart", ANOTHER_RUN.format(execution="%(new)s", later="59 minutes")),
    ("one_run", ANOTHER_RUN.format(execution="%(e)s", later="61 minutes")),
    ("one_message", "update messages set key = 'another' where id = %(m)s"),
    (
        "one_message",
        "insert into messages select (m2).* from (select json_populate_record(m, json_build_object('id', %(new)s, "
        "'key', 'twice')) as m2 from messages m where m.id = %(m)s) twice",
    ),
    (
        "one_execution",
        "insert into executions select (e2).* from (select json_populate_record(e, json_build_object('id', %(new)s)) "
        "as e2 from executions e where e.id = %(e)s) twice",
    ),
    ("sending_is_held", "update messages set status = 'sending' where id = %(m)s"),
    ("sent_is_on_record", "update messages set sent_at = null where id = %(m)s"),
    ("sent_is_on_record", "update messages set provider_message_id = null where id = %(m)s"),
    ("success_is_whole", "update steps set status = 'running' where execution_id = %(e)s"),
    ("success_is_whole", "update steps set status = 'failed' where execution_id = %(e)s"),
    ("follow_ups_are_counted", "update executions set follow_up_count = 1 where id = %(e)s"),
    ("follow_ups_are_counted", "update executions set follow_up_count = 1, round = 1 where id = %(e)s"),
    ("limit_counts", "update limit_counts set count = 0 where automation_id = %(a)s"),
    ("limit_counts", "delete from limit_reservations where automation_id = %(a)s"),
    ("limits_hold", "update limit_counts set count = 2 where automation_id = %(a)s"),
    ("keys_have_answers", "update idempotency_keys set trigger_id = %(new)s where workspace_id = %(w)s"),
    ("keys_have_answers", "update triggers set idempotency_key = 'other' where id = %(t)s"),
    ("executions_have_roots", "delete from triggers where id = %(t)s"),
    ("executions_have_roots", "delete from workflow_versions where automation_id = %(a)s"),
    ("executions_have_roots", "update executions set version = 2 where id = %(e)s"),
    ("nothing_is_left_over", "delete from executions where id = %(e)s"),
    ("answers_are_kept", "delete from executions where id = %(e)s"),
    ("answers_are_kept", "update triggers set answer = '{\"executions\": []}' where id = %(t)s"),
]


@pytest.mark.parametrize(("name", "by_hand"), BREAKS, ids=lambda text: text[:60])
def test_what_is_broken_by_hand_is_reported(done, name, by_hand):
    done(by_hand)
    assert name in broken()


def test_a_dead_worker_that_nobody_took_over_from_is_reported(begun):
    begun(
        "update executions set status = 'running', stage = 'checking', due_at = null, "
        f"lease_until = {LATE} where id = %(e)s"
    )
    assert "leases_are_kept" in broken()


def test_what_is_due_and_nobody_takes_is_reported(begun):
    begun(f"update executions set due_at = {LATE} where id = %(e)s")
    assert broken() == {"due_work_is_taken"}


@pytest.mark.parametrize("waiting_for", ["pause", "review", "event"])
def test_a_wait_that_nothing_can_end_is_reported(begun, waiting_for):
    begun("update executions set status = 'waiting', waiting_for = %(why)s, due_at = null where id = %(e)s",
          why=waiting_for)  # fmt: skip
    assert "waits_can_end" in broken()


def test_a_wait_for_a_pause_that_holds_is_no_violation(begun):
    begun("update executions set status = 'waiting', waiting_for = 'pause', due_at = null where id = %(e)s")
    begun("update automations set paused_at = beckon_now() where id = %(a)s")
    assert broken() == set()


@pytest.mark.parametrize(
    "by_hand",
    [
        "update messages set sandbox = false where id = %(m)s",
        "update messages set test = false where id = %(m)s",
        "update stage_history set test = false where execution_id = %(e)s",
    ],
)
def test_a_test_that_got_outside_is_reported(tested, by_hand):
    tested(by_hand)
    assert broken() == {"tests_stay_inside"}


@pytest.mark.parametrize("table", ["steps", "messages", "stage_history"])
def test_a_row_in_another_workspace_is_reported(done, charlies, table):
    done(f"update {table} set workspace_id = %(c)s where execution_id = %(e)s", c=charlies)
    assert broken() == {"tenants_are_apart"}


def test_another_workspace_s_contact_is_reported(done, charlies):
    done("update contacts set workspace_id = %(c)s where workspace_id = %(w)s", c=charlies)
    assert broken() == {"tenants_are_apart"}


def test_a_message_that_an_operator_marked_as_sent_needs_no_provider_s_id(done):
    done("update messages set provider_message_id = null where id = %(m)s")
    done("update steps set output = '{\"resolved\": true}' where execution_id = %(e)s")
    assert broken() == set()


def test_what_retention_removed_is_no_violation(done):
    done("update executions set finished_at = finished_at - interval '100 days', "
         "created_at = created_at - interval '100 days' where id = %(e)s")  # fmt: skip
    done("update triggers set created_at = created_at - interval '100 days' where id = %(t)s")
    done("update idempotency_keys set created_at = created_at - interval '100 days' where workspace_id = %(w)s")
    assert retention.run_once()["executions"] == 1
    assert broken() == set()


def test_a_violation_is_counted_and_named(done):
    done("update executions set stage = 'sent' where id = %(e)s")
    found = next(one for one in verification.verify() if one.name == "status_and_stage")
    assert (found.violations, found.examples) == (1, [done.execution_id])


def test_of_many_violations_all_are_counted_and_ten_are_named(alices):
    for _ in range(12):
        with acting_as(alices):
            changed(
                "insert into automations (id, workspace_id, name, type, failed) values (%s, %s, 'x', 'workflow', 1)",
                (new_id(), alices),
            )
    found = next(one for one in verification.verify() if one.name == "counters")
    assert (found.violations, len(found.examples)) == (12, 10)


def test_one_workspace_can_be_asked_about_alone(done, charlies):
    done("update executions set stage = 'sent' where id = %(e)s")
    assert broken(charlies) == set()
    assert "status_and_stage" in broken(workspace.by_slug("alice")["id"])


def test_the_whole_is_one_moment(done):
    findings = verification.verify()
    next(findings)
    other = database.lone_connection()
    with other.cursor() as cursor:
        cursor.execute("update automations set succeeded = 99")
    other.commit()
    other.close()
    assert {one.name for one in findings if not one.holds} == set()
    assert broken() == {"counters"}


def test_every_invariant_was_broken_by_a_test_above():
    elsewhere = {"leases_are_kept", "due_work_is_taken", "waits_can_end", "tests_stay_inside", "tenants_are_apart"}
    assert {name for name, _ in BREAKS} | elsewhere == {one.name for one in INVARIANTS}


def test_nothing_can_be_changed_while_it_is_verified(done):
    findings = verification.verify()
    next(findings)
    with pytest.raises(WritesRefused, match="read-only"):
        done("update executions set stage = 'sent' where id = %(e)s")
    findings.close()
