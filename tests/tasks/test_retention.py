"""Retention removes old rows in batches and changes neither counters nor executions in flight."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import psycopg2

import clock
from ephemeral.connection import get_ephemeral
from models import conversation, sample_contact, tracking_intake, workspace_preferences
from models.audit import SYSTEM
from models.checks import retention, verification
from models.engine import private_replies
from models.engine import runs as engine_runs
from models.queries import execute, fetch_value
from models.reports import runs
from rules.samples import build_contacts
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.runtime.engine import Engine
from tests.support.aging import age_executions, create_month, older
from tests.support.concurrency import assert_consistent, count_lock_waiters
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    counters,
    messages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.tracking import build_entry, store
from tests.support.waiting import eventually
from tests.support.webhooks import consume_token

WAIT_THEN_SEND = [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO]


#: The tables with rows of executions, and the columns that name them.
CHILDREN = {"executions": "id", "steps": "execution_id", "messages": "execution_id", "stage_history": "execution_id"}


def count_rows_of(table: str, execution_ids: tuple[str, ...]) -> int:
    return int(fetch_value(f"select count(*) from {table} where {CHILDREN[table]} in %s", (execution_ids,)))


def count_rows(table: str) -> int:
    return int(fetch_value(f"select count(*) from {table}"))


def test_after_ninety_days_executions_are_dropped_by_month_with_all_their_rows(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    create_month(days_ago=122)
    for _ in range(5):
        wait_until_finished(alice.trigger())
    age_executions(122)

    removed = retention.run_once()
    assert (removed["months_dropped"], removed["executions"]) == (1, 5)

    assert {table: count_rows(table) for table in ("executions", "steps", "messages", "stage_history", "triggers")} == {
        "executions": 0, "steps": 0, "messages": 0, "stage_history": 0, "triggers": 0,
    }  # fmt: skip
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 5
    assert fetch_row("select archived_executions, archived_succeeded from automations") == {
        "archived_executions": 5, "archived_succeeded": 5,
    }  # fmt: skip
    assert_consistent()


def test_a_counter_is_the_sum_of_archived_and_present_in_every_status(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    alice.automation(HELLO, trigger="skipped", rules={"tags": {"all": ["nobody"]}})
    alice.automation([{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.no }}"}}],
                     trigger="fails")  # fmt: skip
    for type_ in ("contact.created", "skipped", "fails"):
        wait_until_finished(alice.trigger(type_))
    age_executions(91)
    for type_ in ("contact.created", "skipped", "fails"):
        wait_until_finished(alice.trigger(type_))

    assert retention.run_once()["executions"] == 3
    assert_consistent()
    assert retention.run_once()["executions"] == 0
    assert_consistent()


def test_an_execution_in_flight_is_kept_at_any_age(engine: Engine) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND)
    waiting = wait_for_status(alice.trigger())
    age_executions(400)

    assert retention.run_once()["executions"] == 0
    assert (count_rows("executions"), count_rows("triggers"), count_rows("stage_history") > 0) == (1, 1, True)
    assert wait_for_status(older(waiting["id"], 400))["waiting_for"] == "time"


def test_what_is_alive_of_a_dropped_month_moves_on_with_its_rows(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND, trigger="waits")
    alice.automation(HELLO)
    part = create_month(days_ago=122)
    waiting = wait_for_status(alice.trigger("waits"))["id"]
    late, old = (wait_until_finished(alice.trigger())["id"] for _ in range(2))
    age_executions(122)
    late, old, waiting = (older(id, 122) for id in (late, old, waiting))
    execute("update executions set finished_at = beckon_now() where id = %s", (late,))
    rows_before = {table: count_rows_of(table, (late, waiting)) for table in CHILDREN}

    removed = retention.run_once()

    assert (removed["months_dropped"], removed["executions"]) == (1, 1)
    assert fetch_value("select to_regclass(%s)", (part,)) is None
    assert {row["id"] for row in fetch_rows("select id from executions_default")} == {late, waiting}
    assert {table: count_rows_of(table, (late, waiting)) for table in CHILDREN} == rows_before
    assert {table: count_rows_of(table, (old,)) for table in CHILDREN} == dict.fromkeys(CHILDREN, 0)
    assert_consistent()
    execute("update executions set finished_at = beckon_now() - interval '91 days' where id = %s", (late,))
    assert retention.run_once()["executions"] == 1
    assert_consistent()


def test_while_executions_are_read_no_month_is_dropped(engine: Engine, settings: Settings) -> None:
    create_month(days_ago=122)
    with closing(psycopg2.connect(settings.database_url)) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from executions")
        assert retention.run_once()["months_dropped"] == 0
    assert retention.run_once()["months_dropped"] == 1


def test_a_month_whose_execution_is_reopened_meanwhile_stays(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    create_month(days_ago=122)
    wait_until_finished(alice.trigger())
    age_executions(122)
    with closing(psycopg2.connect(settings.database_url)) as operator, ThreadPoolExecutor(1) as pool:
        with operator, operator.cursor() as cursor:
            cursor.execute("set local role beckon_service; lock table executions in row share mode")
            dropping = pool.submit(retention.run_once)
            eventually(count_lock_waiters)
            cursor.execute("update executions set status = 'waiting', finished_at = null, due_at = 'infinity'")
        assert dropping.result()["months_dropped"] == 0
    assert retention.run_once()["months_dropped"] == 1
    assert count_rows("executions_default") == 1
    assert fetch_value("select archived_executions from automations") == 0


def test_partitions_of_executions_are_created_a_month_ahead(engine: Engine) -> None:
    execute("select drop_partition(t, t || to_char(beckon_now() + interval '1 month', '_YYYY_MM')) "
            "from unnest(array['executions', 'steps']) t")  # fmt: skip
    assert retention.run_once()["partitions_made"] == 2
    assert retention.run_once()["partitions_made"] == 0


def test_sample_contacts_and_test_runs_are_removed_a_week_after_their_last_use(engine: Engine) -> None:
    alice = Alice()
    used, unused = sample_contact.ensure(alice.workspace_id, build_contacts(2, {}))
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger(contact_id=used, test=True, automation_id=automation_id))
    execute("update contacts set updated_at = updated_at - interval '8 days'")
    execute(
        "insert into test_runs (id, workspace_id, started_by, status, cleaned_up, finished_at) "
        "values (gen_random_uuid(), %s, 'x', 'passed', true, now() - interval '8 days')",
        (alice.workspace_id,),
    )

    removed = retention.run_once()
    assert (removed["samples"], removed["test_runs"]) == (1, 1)
    assert fetch_rows("select id from contacts") == [{"id": used}]
    age_executions(8)
    removed = retention.run_once()
    assert (removed["executions"], removed["samples"]) == (1, 1)
    assert unused != used
    assert count_rows("contacts") == 0


def test_tests_are_removed_after_a_week_and_are_not_counted(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    wait_until_finished(alice.trigger(test=True))
    real = wait_until_finished(alice.trigger())
    age_executions(8)

    assert retention.run_once()["executions"] == 1

    assert fetch_row("select id from executions") == {"id": older(real["id"], 8)}
    assert fetch_value("select archived_executions from automations") == 0
    assert_consistent()


def test_younger_rows_are_kept(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    age_executions(89)
    assert retention.run_once()["executions"] == 0
    assert count_rows("messages") == 1


def test_yesterdays_keys_are_removed_and_todays_kept(engine: Engine) -> None:
    alice = Alice()
    for key in ("old", "new"):
        alice.trigger(idempotency_key=key)
    execute("update idempotency_keys set created_at = beckon_now() - interval '25 hours' where key = 'old'")
    retention.run_once()
    assert fetch_row("select key from idempotency_keys") == {"key": "new"}


def test_rows_are_removed_in_more_than_one_batch(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    version_id = fetch_value("select version_id from automations")
    execute(
        """
        insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, status, stage,
            stage_since, queue, rung_at, created_at, finished_at)
        select gen_random_uuid(), %s, %s, %s, 1, gen_random_uuid(), 'succeeded', 'completed', beckon_now(), 'sending',
            beckon_now(), beckon_now() - interval '99 days', beckon_now() - interval '99 days'
        from generate_series(1, 2500)
        """,
        (alice.workspace_id, automation_id, version_id),
    )
    earlier = "overlay(new_id()::text placing left(lowest_id_at(created_at)::text, 13) from 1)::uuid"
    execute(f"update executions set id = {earlier}")
    execute("update automations set executions = 2500, succeeded = 2500")

    assert retention.run_once()["executions"] == 2500
    assert count_rows("executions") == 0
    assert_consistent()


def test_received_messages_are_removed_after_ninety_days(engine: Engine) -> None:
    alice = Alice()
    bob_id = str(alice.trigger().contact_id)
    for days in (89, 91):
        at = clock.now() - timedelta(days=days)
        conversation.record_received(alice.workspace_id, bob_id, "sms", f"in-{days}", kind="message", text="Hi", at=at)

    assert retention.run_once()["received"] == 1

    assert [
        message["provider_message_id"] for message in fetch_rows("select provider_message_id from received_messages")
    ] == ["in-89"]


def test_days_of_runs_older_than_ninety_days_are_dropped_and_still_counted(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        for days in (91, 100):
            cursor.execute("select to_char(beckon_now() - make_interval(days => %s), 'YYYY_MM_DD')", (days,))
            (day,) = cursor.fetchone()
            cursor.execute(
                f"create table automation_runs_{day} partition of automation_runs for values from "
                "(to_date(%s, 'YYYY_MM_DD')::timestamptz) to (to_date(%s, 'YYYY_MM_DD') + interval '1 day')",
                (day, day),
            )
        owner.commit()
    # One run without a partition of its own, two on each old day, and two that are recent enough.
    for days in (95, 91, 91, 100, 100, 89, 0):
        execute(
            "insert into automation_runs select gen_random_uuid(), %s, %s, gen_random_uuid(), gen_random_uuid(), "
            "'main_dm', beckon_now() - make_interval(days => %s)",
            (alice.workspace_id, automation_id, days),
        )
    assert engine_runs.rebuild_counters() == 1
    day = runs.fetch_last_day(alice.workspace_id, [automation_id])[automation_id]
    assert day["last24_hours"] == 1

    counts = retention.run_once()
    get_ephemeral().flushdb()

    assert runs.fetch_last_day(alice.workspace_id, [automation_id])[automation_id] == day
    assert (counts["run_days_dropped"], counts["runs"]) == (2, 5)
    assert fetch_row("select total_runs, archived_runs from automations") == {"total_runs": 7, "archived_runs": 5}
    assert count_rows("automation_runs") == 2
    assert retention.run_once()["runs"] == 0
    assert engine_runs.rebuild_counters() == 1
    assert_consistent()


def test_while_runs_are_read_no_day_is_dropped_and_none_archived_twice(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execute(
        "insert into automation_runs select gen_random_uuid(), %s, %s, gen_random_uuid(), gen_random_uuid(), "
        "'main_dm', beckon_now() - interval '99 days'",
        (alice.workspace_id, automation_id),
    )
    engine_runs.rebuild_counters()
    with closing(psycopg2.connect(settings.database_url)) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from automation_runs")
        assert retention.run_once()["runs"] == 0
    assert retention.run_once()["runs"] == 1
    assert_consistent()


def _track(alice: Alice, automation_id: str, days_ago: int, status: str) -> None:
    """Track an execution with three actions as of so many days ago."""
    entry = build_entry(alice.workspace_id, automation_id, status=status)
    at = "beckon_now() - make_interval(days => %s)"
    entry["id"] = fetch_value(
        f"select overlay(new_id()::text placing left(lowest_id_at({at})::text, 13) from 1)", (days_ago,)
    )
    store(entry)
    execute(f"update tracking_intake set received_at = {at}", (days_ago,))
    assert tracking_intake.record(1).total == 1


def test_days_of_tracked_executions_are_archived_and_dropped(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        for days in (91, 100):
            cursor.execute("set timezone = 'UTC'")
            cursor.execute("select to_char(beckon_now() - make_interval(days => %s), 'YYYY_MM_DD')", (days,))
            (day,) = cursor.fetchone()
            for table in ("workflow_executions", "analytics_events"):
                cursor.execute(
                    f"select create_partition('{table}', '{table}_{day}', to_date(%s, 'YYYY_MM_DD')::timestamptz, "
                    "(to_date(%s, 'YYYY_MM_DD') + 1)::timestamptz)",
                    (day, day),
                )
        owner.commit()
    # One without a partition of its own, two on each old day, and two that are recent enough.
    for days in (95, 91, 91, 100, 100, 89, 0):
        _track(alice, automation_id, days, "timeout" if days == 100 else "success")
    assert_consistent()

    counts = retention.run_once()

    assert {name: counts[name] for name in ("tracking_days_dropped", "tracked_executions", "tracked_ids")} == {
        "tracking_days_dropped": 2, "tracked_executions": 5, "tracked_ids": 5,
    }  # fmt: skip
    columns = "executions, archived_executions, archived_succeeded, archived_failed"
    assert fetch_row(f"select {columns} from automations") == {
        "executions": 7, "archived_executions": 5, "archived_succeeded": 3, "archived_failed": 2,
    }  # fmt: skip
    assert (count_rows("workflow_executions"), count_rows("analytics_events")) == (2, 6)
    assert count_rows("tracked_execution_ids") == 2
    assert retention.run_once()["tracked_executions"] == 0
    assert_consistent()
    assert all(finding.holds for finding in verification.verify())


def test_days_of_tracked_executions_are_dropped_however_they_are_searched(engine: Engine, settings: Settings) -> None:
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        # Large catalogs are joined by their hashes: each table's name is read, not only those of partitions.
        for way in ("nestloop", "mergejoin", "indexscan", "bitmapscan"):
            cursor.execute(f"set local enable_{way} = off")
        cursor.execute("set local role beckon_service")
        cursor.execute("select days > 0 from drop_tracking_partitions(beckon_now() + interval '3 days')")
        assert cursor.fetchone() == (True,)


def test_while_tracked_executions_are_read_no_day_is_dropped(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    _track(alice, alice.automation(HELLO), 99, "success")
    with closing(psycopg2.connect(settings.database_url)) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from workflow_executions")
        assert retention.run_once()["tracked_executions"] == 0
    assert retention.run_once()["tracked_executions"] == 1
    assert_consistent()


def test_partitions_of_tracked_executions_are_made_a_week_ahead(engine: Engine) -> None:
    retention.run_once()
    parts = fetch_rows(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "where i.inhparent in ('workflow_executions'::regclass, 'analytics_events'::regclass)"
    )
    days = {f"{clock.now() + timedelta(days=day):%Y_%m_%d}" for day in range(8)}
    expected = {f"{table}_{day}" for table in ("workflow_executions", "analytics_events") for day in days}
    assert expected <= {part["relname"] for part in parts}


def test_run_windows_are_removed_after_their_hour(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    retention.run_once()
    assert count_rows("run_windows") == 1
    execute("update run_windows set counted_at = beckon_now() - interval '61 minutes'")
    retention.run_once()
    assert count_rows("run_windows") == 0


def test_a_comment_is_removed_once_it_can_take_no_private_reply(engine: Engine) -> None:
    alice = Alice()
    for comment in ("old", "new"):
        private_replies.claim(alice.workspace_id, "instagram", comment, "key")
    execute("update private_replies set created_at = beckon_now() - interval '15 days' where comment_id = 'old'")

    assert retention.run_once()["private_replies"] == 1
    assert fetch_row("select comment_id from private_replies") == {"comment_id": "new"}


def test_a_token_is_removed_once_no_signature_can_use_it_again(engine: Engine) -> None:
    for token, hours in (("old", 10.1), ("new", 9.1)):
        consume_token(token, "mailgun/", b"body")
        execute(
            "update webhook_tokens set received_at = now() - make_interval(mins => %s) where token_hash = sha256(%s)",
            (round(hours * 60), token.encode()),
        )
    assert retention.run_once()["webhook_tokens"] == 1
    assert consume_token("new", "mailgun/", b"body") == "repeated"
    assert consume_token("old", "mailgun/", b"body") == "stored"


def test_a_workspace_that_keeps_less_loses_its_older_history_alone(engine: Engine, sandbox: RunningSandbox) -> None:
    alice, charlie = Alice(), Alice(name="charlie")
    for owner in (alice, charlie):
        owner.automation(HELLO)
        wait_until_finished(owner.trigger())
        contact_id = fetch_value("select id from contacts where workspace_id = %s", (owner.workspace_id,))
        execute(
            "insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at)"
            " values (gen_random_uuid(), %s, %s, 'sms', %s, 'message', 'hi', beckon_now() - interval '31 days')",
            (owner.workspace_id, contact_id, owner.name),
        )
    workspace_preferences.change(alice.workspace_id, "retention", {"keep_days": 30}, SYSTEM)
    age_executions(31)
    assert retention.run_once()["executions"] == 1
    for table in ("executions", "triggers", "received_messages"):
        assert fetch_value(f"select array_agg(workspace_id::text) from {table}") == [charlie.workspace_id], table
    assert_consistent()


def move_ends(days: int) -> None:
    """Move the ends of all executions by so many days."""
    execute("update executions set finished_at = finished_at + make_interval(days => %s)", (days,))


def test_texts_are_removed_after_their_own_time_and_leave_length_and_hash(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    alice.automation(WAIT_THEN_SEND, trigger="waits", name="Waits")
    finished = wait_until_finished(alice.trigger())["id"]
    waiting = wait_for_status(alice.trigger("waits"))["id"]
    (sent,) = messages(finished)
    written = steps(finished)["write"]["output"]["text"]
    conversation.record_received(
        alice.workspace_id, sent["contact_id"], "sms", "in-1", kind="message", text="Tschüss", at=clock.now()
    )
    workspace_preferences.change(alice.workspace_id, "retention", {"keep_text_days": 30}, SYSTEM)
    assert retention.run_once()["texts"] == 0
    move_ends(-31)
    execute("update received_messages set at = at - interval '31 days'")

    removed = retention.run_once()

    assert (removed["texts"], removed["received_texts"]) == (1, 1)
    (stripped,) = messages(finished)
    assert (stripped["subject"], stripped["body"], stripped["body_length"]) == (None, "", len(sent["body"]))
    assert bytes(stripped["body_hash"]) == hashlib.sha256(sent["body"].encode()).digest()
    output = steps(finished)["write"]["output"]
    assert (output["textLength"], output["textHash"]) == (len(written), hashlib.sha256(written.encode()).hexdigest())
    assert "text" not in output
    assert output["model"]
    assert fetch_row("select text, text_length from received_messages") == {"text": None, "text_length": 7}
    assert fetch_value("select status from executions where id = %s", (waiting,)) == "waiting"
    assert retention.run_once()["texts"] == 0
    move_ends(31)
    assert_consistent()


def test_texts_of_failed_executions_stay_for_a_retry_and_are_found_after_the_setting_is_lowered(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    broken = {"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.no }}"}}
    alice.automation([WRITTEN[0], broken], trigger="fails")
    alice.automation(HELLO)
    failed = wait_until_finished(alice.trigger("fails"))["id"]
    wait_until_finished(alice.trigger())
    move_ends(-20)
    assert retention.run_once()["texts"] == 0
    workspace_preferences.change(alice.workspace_id, "retention", {"keep_text_days": 7}, SYSTEM)
    assert retention.run_once()["texts"] == 1
    assert steps(failed)["write"]["output"]["text"]
    move_ends(20)
    assert_consistent()
