"""`beckon doctor --deployment`: each check passes on a healthy deployment and reports the problem otherwise."""

from __future__ import annotations

import json
import shutil
import socket
from contextlib import closing

import psycopg2
import pytest

import clock
from models import api_key, periodic_job, switches, user
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from tests.support.factories import HELLO, wait_until_finished
from tests.support.programs import Programs
from tests.support.waiting import eventually
from workers import deployment, embedded
from workers.deployment import DATABASE_CHECKS, check_api_response, check_page_html
from workers.deployment_log import check_errors, check_tracking
from workers.startup import read_readiness

AUTOMATION = {"id": "a", "totalRuns": 1, "lastRunAt": None, "stats": {"totalRuns": 1, "last24Hours": 1}}


@pytest.fixture
def automation_with_run(alice):
    """An automation with a run, after a successful retention."""
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    periodic_job.note_success("retention", {})
    return automation_id


@pytest.fixture
def owner(settings):
    """A cursor of the tables' owner; each statement is committed."""
    with closing(psycopg2.connect(settings.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        yield cursor


def _wait_for_quick_check(name, settings):
    """Return the check's result; repeat the check while a busy machine makes it too slow."""
    return eventually(
        lambda: (check := deployment.run_check(name, settings)) and "took" not in check.detail and check, timeout=60
    )


def test_every_check_passes_on_a_healthy_deployment(automation_with_run, settings):
    # The engine of this test does not log into the home.
    checks = {name: _wait_for_quick_check(name, settings) for name in DATABASE_CHECKS if name != "log lines"}
    assert {check.status for check in checks.values()} == {"ok"}, checks
    assert checks["run records"].detail.startswith("1 in the last 24 hours")
    assert "automation_runs_newest" in checks["indexes"].detail
    assert checks["volume"].detail.startswith("1 counted executions")


@pytest.fixture
def dashboard(settings, tmp_path):
    """The port of a dashboard process that uses the test's servers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    embedded.ensure_private_directory(settings.run)
    programs = Programs(tmp_path)
    programs.start("dashboard", BECKON_PORT=port)
    try:
        # The dashboard alone is degraded: no worker runs.
        eventually(lambda: read_readiness(settings.replace(port=int(port))).status == "degraded", timeout=60)
        yield port
    finally:
        programs.end()
        shutil.rmtree(settings.run)


def test_a_running_copy_passes_from_the_command_line(alice, automation_with_run, settings, beckon, dashboard):
    secret = api_key.issue(alice.workspace_id, "doctor").secret
    access = settings.home / "access.json"
    user.join(alice.workspace_id, user.create("ada@example.com", "Ada", "a password of hers"), "viewer")
    content = {"apiKey": secret, "workspaceId": alice.workspace_id, "email": "ada@example.com"}
    access.write_text(json.dumps(content), encoding="utf-8")
    try:
        # On a busy machine a slow response is a problem, so repeat until it is fast.
        result = eventually(
            lambda: (
                (attempt := beckon("doctor", "--deployment", code=None, BECKON_PORT=dashboard)).returncode == 0
                and attempt
            ),
            timeout=90,
        )
    finally:
        access.unlink()
    output = result.stdout
    # All checks of PostgreSQL except the log lines, plus the API and the page.
    assert output.count("  pass    ") == len(DATABASE_CHECKS) - 1 + 2, output
    assert "log lines" in output
    assert "1 automations with their stats" in output
    assert "1 cards with their runs" in output
    assert fetch_value("select count(*) from sessions") == 0


def test_where_nothing_runs_the_api_is_a_problem_with_its_remedy(automation_with_run, beckon):
    report = json.loads(beckon("doctor", "--deployment", "--json", code=1, BECKON_PORT="1").stdout)
    api = next(check for check in report["checks"] if check["name"] == "api")
    assert (api["status"], bool(api["remedy"])) == ("problem", True)
    assert next(check for check in report["checks"] if check["name"] == "page")["status"] == "note"
    assert report["settings"] == []


@pytest.mark.parametrize(
    ("name", "statement", "text"),
    [
        ("counters", "update automations set total_runs = 9", "1 violations"),
        ("counters", "update automations set hourly_runs[1] = 9", "1 violations"),
        ("duplicates", "insert into automation_runs select gen_random_uuid(), workspace_id, automation_id, contact_id, "
         "gen_random_uuid(), kind, at - interval '59 minutes' from automation_runs", "1 violations"),
        ("once each", "insert into automation_runs select gen_random_uuid(), workspace_id, automation_id, contact_id, "
         "execution_id, kind, at - interval '61 minutes' from automation_runs", "1 violations"),
        ("volume", "delete from automation_runs", "1 of 1 executions of the last hour lack their run"),
        ("run records", "update executions set run_due_at = beckon_now() - interval '2 minutes'", "1 runs could not"),
        ("retention", "update periodic_jobs set last_succeeded_at = beckon_now() - interval '3 hours'",
         "last run 3.0 h ago"),
        ("retention", "delete from periodic_jobs", "never run"),
        ("retention", "update automation_runs set at = at - interval '93 days'", "older than 90 days"),
    ],
)  # fmt: skip
def test_a_problem_in_the_rows_is_reported(automation_with_run, settings, name, statement, text):
    assert execute(statement) == 1
    check = deployment.run_check(name, settings)
    assert check.status == "problem"
    assert text in check.detail
    assert check.remedy


def test_no_run_is_missing_if_the_switch_was_changed_meanwhile(alice, automation_with_run, settings):
    execute("delete from automation_runs")
    switches.change(alice.workspace_id, {"run_tracking": False}, SYSTEM)
    switches.change(alice.workspace_id, {"run_tracking": True}, SYSTEM)
    assert deployment.run_check("volume", settings).detail.startswith("0 counted executions")


def test_a_missing_index_is_named(automation_with_run, settings, owner):
    owner.execute("alter index executions_run_due rename to lost")
    try:
        check = deployment.run_check("indexes", settings)
    finally:
        owner.execute("alter index lost rename to executions_run_due")
    assert (check.status, check.detail) == ("problem", "missing or not valid: executions_run_due")


def test_a_plan_without_the_index_is_found_by_explain(automation_with_run, settings, owner):
    owner.execute("begin; drop index automation_runs_newest; create index automation_runs_newest "
                  "on automations (id); commit")  # fmt: skip
    try:
        check = deployment.run_check("indexes", settings)
    finally:
        owner.execute(
            "begin; drop index automation_runs_newest; create index automation_runs_newest on automation_runs "
            "(workspace_id, automation_id, at desc, id desc) include (kind); commit"
        )
    assert check.status == "problem"
    assert "sequential scan of automation_runs" in check.detail


def test_a_missing_partition_is_reported_before_its_day(automation_with_run, settings, owner):
    owner.execute("select inhrelid::regclass::text from pg_inherits where inhparent = 'automation_runs'::regclass")
    today = clock.now().strftime("automation_runs_%Y_%m_%d")
    for name in [name for (name,) in owner.fetchall() if name > today and not name.endswith("default")]:
        owner.execute(f"drop table {name}")
    assert "there is no partition for tomorrow" in deployment.run_check("retention", settings).detail
    owner.execute("select ensure_run_partitions(7)")
    assert deployment.run_check("retention", settings).status == "ok"


def test_a_missing_month_of_executions_is_reported_before_it_begins(automation_with_run, settings, owner):
    owner.execute("select inhrelid::regclass::text from pg_inherits where inhparent = 'executions'::regclass")
    this_month = clock.now().strftime("executions_%Y_%m")
    for name in [name for (name,) in owner.fetchall() if name > this_month and not name.endswith("default")]:
        owner.execute(f"drop table {name}")
    assert "there is no partition for next month" in deployment.run_check("retention", settings).detail
    owner.execute("select ensure_execution_partitions(1)")
    assert deployment.run_check("retention", settings).status == "ok"


def test_slow_statistics_are_a_problem(automation_with_run, settings, monkeypatch):
    monkeypatch.setattr(deployment, "SLOW_MS", 0.0)
    assert deployment.run_check("query times", settings).status == "problem"
    assert check_api_response(settings, [AUTOMATION], 1.0).status == "problem"


def test_a_database_without_the_migration_is_a_problem_and_no_traceback(automation_with_run, settings, owner):
    owner.execute("alter table automation_runs rename to elsewhere")
    try:
        checks = {name: deployment.run_check(name, settings) for name in ("counters", "query times", "run records")}
    finally:
        owner.execute("alter table elsewhere rename to automation_runs")
    assert {check.status for check in checks.values()} == {"problem"}
    assert all("beckon migrate" in check.remedy for check in checks.values())


@pytest.mark.parametrize(
    ("automations", "status"),
    [
        ([], "ok"),
        ([AUTOMATION], "ok"),
        ([{**AUTOMATION, "totalRuns": "1"}], "problem"),
        ([{name: AUTOMATION[name] for name in ("id", "totalRuns", "stats")}], "problem"),
        ([{**AUTOMATION, "stats": {"totalRuns": 1}}], "problem"),
        ([{name: AUTOMATION[name] for name in ("id", "totalRuns", "lastRunAt")}], "note"),
    ],
)
def test_the_api_s_response_is_checked_by_its_shape(settings, automations, status):
    assert check_api_response(settings, automations, 10.0).status == status


@pytest.mark.parametrize(
    ("html", "status"),
    [
        ("", "ok"),
        ('<article class="panel card off"><span>Runs</span><svg class="spark">', "ok"),
        ('<article class="panel card"><span>Runs</span>', "problem"),
        ('<article class="panel card"><svg class="spark">', "problem"),
    ],
)
def test_the_page_is_checked_by_its_cards(html, status):
    assert check_page_html(html).status == status


def test_tracking_that_is_off_is_a_note_that_names_the_setting(automation_with_run, settings):
    off = settings.replace(run_tracking=False, stats_in_api=False)
    for name in ("run records", "volume"):
        assert "RUN_TRACKING" in deployment.run_check(name, off).detail
    assert "STATS_IN_API" in check_api_response(off, [{"id": "a", "totalRuns": 0, "lastRunAt": None}], 1.0).detail


def test_the_logs_show_tracked_runs_and_tracking_failures(settings, tmp_path):
    config = settings.replace(home=tmp_path)
    log = tmp_path / "logs" / "engine-0.log"
    log.parent.mkdir()
    tracked = {"event": "[TRACKING] Automation run tracked: a (main_dm)", "level": "info"}
    duplicate = {"event": "[TRACKING] Duplicate run skipped for user b", "level": "info"}
    now = clock.now().isoformat()
    log.write_text(
        'half a line [TRACKING]"}\n' + "\n".join(json.dumps(entry) for entry in (tracked, duplicate, duplicate))
    )
    assert check_tracking(config, 1).detail == "1 runs and 2 duplicates in the newest logs"

    failed = {"event": "[TRACKING] Runs cannot be counted now", "level": "warning", "error": "denied", "timestamp": now}
    log.write_text(json.dumps(failed))
    assert (check_tracking(config, 0).status, "denied" in check_tracking(config, 0).detail) == ("problem", True)
    log.write_text(json.dumps({**failed, "timestamp": "2020-01-01T00:00:00Z"}))
    assert check_tracking(config, 0).status == "ok"
    assert check_tracking(config, 5).status == "note"


def test_any_error_of_the_last_hour_is_a_problem_and_names_the_program(settings, tmp_path):
    config = settings.replace(home=tmp_path)
    log = tmp_path / "logs" / "dashboard.log"
    log.parent.mkdir()
    error = {
        "event": "a request failed",
        "level": "error",
        "program": "dashboard",
        "timestamp": clock.now().isoformat(),
    }
    fine = {"event": "request", "level": "info", "error": "error", "timestamp": clock.now().isoformat()}
    old = {**error, "timestamp": "2020-01-01T00:00:00Z"}
    log.write_text("\n".join(json.dumps(entry) for entry in (fine, old)) + '\n["error"]\n"level": "error"\n')
    assert check_errors(config).status == "ok"
    log.write_text(json.dumps(error))
    assert (check_errors(config).status, check_errors(config).detail) == (
        "problem", "1 in the last hour, the last by dashboard: a request failed",
    )  # fmt: skip
