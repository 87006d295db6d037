"""`beckon doctor`: each problem is named with its remedy, and no secret is ever shown."""

from __future__ import annotations

import json
import os
from contextlib import closing

import pytest
import redis

import settings as settings_module
from models import migrations, pause
from models.queries import execute
from settings import VARIABLES
from tasks.health.measurement import measure
from tasks.health.parts import BAD_STATES
from tests.support.servers import TestServers, run_sql, with_database, with_user
from workers import diagnostics, home
from workers.diagnostics import START_REMEDY


@pytest.fixture
def run_doctor(database_urls, redis_url, clean, beckon):
    """Run `beckon doctor` while only the two servers run; returns its checks by name."""

    def run(**environ):
        nowhere = {"BECKON_PORT": "1", "BECKON_SANDBOX_PORT": "2"}
        report = json.loads(beckon("doctor", "--json", code=1, **nowhere, **environ).stdout)
        return {check["name"]: check for check in report["checks"]}

    return run


def test_running_parts_are_ok_and_stopped_parts_have_a_remedy(run_doctor):
    checks = run_doctor()
    for name in ("home", "postgresql", "redis", "migrations", "beckon_app", "beckon_service", "clock"):
        assert checks[name]["status"] == "ok", checks[name]
    for name in ("dashboard", "sandbox"):
        assert (checks[name]["status"], checks[name]["remedy"]) == ("problem", START_REMEDY)
        assert "no copy runs on" in checks[name]["detail"]
    for name in ("queue:executions", "queue:sending", "leader"):
        assert checks[name]["status"] == "problem"
        assert "`beckon up`" in checks[name]["remedy"]
    assert "No worker on the queue sending" in checks["queue:sending"]["detail"]
    assert (checks["disk"]["status"], checks["pending"]["status"]) == ("ok", "ok")


def test_unreachable_servers_are_named_and_the_rest_is_still_checked(run_doctor):
    checks = run_doctor(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", REDIS_URL="redis://127.0.0.1:1")
    assert checks["postgresql"]["status"] == checks["redis"]["status"] == "problem"
    assert "DATABASE_URL" in checks["postgresql"]["remedy"]
    assert "mailgun" in checks


@pytest.fixture
def evicting_redis():
    """A separate server: the policy applies to the whole server, and other tests use the shared one."""
    own = TestServers()
    try:
        own.start(postgres=False, valkey=True)
        with closing(redis.Redis.from_url(own.servers.redis_url)) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        yield own.servers.redis_url
    finally:
        own.stop()


def test_an_evicting_redis_and_an_unmigrated_database_are_problems(run_doctor, evicting_redis):
    never_migrated = with_database(os.environ["DATABASE_URL"], "postgres")
    checks = run_doctor(DATABASE_URL=never_migrated, REDIS_URL=evicting_redis)
    assert "set its maxmemory-policy to noeviction" in checks["redis"]["remedy"]
    assert "0001_tenants" in checks["migrations"]["detail"]


def test_a_partial_configuration_is_a_problem_and_none_is_a_note(run_doctor):
    checks = run_doctor(TELNYX_API_KEY="KEY", BECKON_CLOCK_OFFSET="3600")
    assert (checks["telnyx"]["status"], checks["telnyx"]["remedy"]) == ("problem", "set TELNYX_MESSAGING_PROFILE_ID")
    assert (checks["mailgun"]["status"], checks["mailgun"]["remedy"]) == (
        "note", "set MAILGUN_API_KEY and MAILGUN_DOMAIN",
    )  # fmt: skip
    assert checks["clock"]["status"] == "note"


def test_every_setting_is_explained_and_no_secret_shown():
    settings = settings_module.load()
    descriptions = diagnostics.describe_settings(
        settings.replace(mailgun_api_key="very secret", mailgun_domain="mg.example")
    )
    by_name = {description.name: description for description in descriptions}
    assert list(by_name) == [variable.name for variable in VARIABLES]
    assert all(description.explanation for description in descriptions)
    assert (by_name["MAILGUN_API_KEY"].value, by_name["MAILGUN_API_KEY"].blocks) == ("set", "e-mail")
    assert by_name["GEMINI_API_KEY"].value == "not set"
    assert by_name["MAILGUN_DOMAIN"].value == "mg.example"
    assert "very secret" not in repr(descriptions)


def test_refused_credentials_are_a_problem(alice, beckon):
    pause.start("provider", "mailgun", alice.workspace_id)
    execute("update pauses set reason = 'configuration', message = 'the key was refused', retry_at = beckon_now()")
    report = json.loads(beckon("doctor", "--json", code=1).stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert "the key was refused" in checks["email"]["detail"]
    assert checks["email"]["remedy"].startswith("Correct its credentials")
    assert report["ok"] is False


def test_the_text_output_has_settings_problems_and_remedies(alice, beckon):
    output = beckon("doctor", MAILGUN_API_KEY="very secret", code=1).stdout
    assert "MAILGUN_API_KEY" in output
    assert "Without it: no e-mail." in output
    assert "PROBLEM mailgun" in output
    assert "→ set MAILGUN_DOMAIN" in output
    assert "very secret" not in output
    assert "PROBLEM" in beckon("doctor", "--no-settings", code=1).stdout


def test_doctor_and_status_look_at_the_port_of_the_copy_on_this_home(tmp_path, monkeypatch):
    (tmp_path / "access.json").write_text('{"url": "http://127.0.0.1:8123"}')
    config = settings_module.load({"BECKON_HOME": str(tmp_path)})
    monkeypatch.delenv("BECKON_PORT", raising=False)
    assert home.use_running_port(config).local_url == "http://127.0.0.1:8123"
    monkeypatch.setenv("BECKON_PORT", "9000")
    assert home.use_running_port(config).port == config.port
    monkeypatch.delenv("BECKON_PORT")
    (tmp_path / "access.json").write_text('{"url": "https://beckon.example.com"}')
    assert home.use_running_port(config).port == config.port


def test_doctor_says_the_same_as_the_health_page(alice, beckon):
    report = json.loads(beckon("doctor", "--json", code=None).stdout)
    checks = {check["name"]: check for check in report["checks"]}
    health = measure(settings_module.load(), alice.workspace_id, deployment_owner=True)
    for part in health.parts:
        if part.name in checks:
            assert (checks[part.name]["status"] == "problem") is (part.state in BAD_STATES), part
    assert {"queue:sending", "leader", "cache", "email", "disk"} <= set(checks)


def test_a_wrong_setting_is_one_line(beckon):
    assert beckon("doctor", BECKON_PORT="eighty", code=1).stderr.startswith("beckon: BECKON_PORT: ")


OWNERS_ALONE = {"DATABASE_APP_URL": "", "DATABASE_SERVICE_URL": ""}
ROLES = ("beckon_app", "beckon_service")


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({}, "ok"),
        ({"BECKON_HOST": "::1"}, "ok"),
        ({"BECKON_HOST": "0.0.0.0"}, "note"),
        ({"BECKON_URL": "https://beckon.example.com"}, "note"),
    ],
)
def test_a_reachable_copy_with_only_the_owner_s_url_is_noted(run_doctor, where, status):
    checks = run_doctor(**OWNERS_ALONE, **where)
    for role, variable in zip(ROLES, ("DATABASE_APP_URL", "DATABASE_SERVICE_URL"), strict=True):
        assert checks[role]["status"] == status, checks[role]
        assert f"transactions act as {role}, logged in as beckon" in checks[role]["detail"]
        assert (variable in checks[role]["remedy"]) is (status == "note")


def test_a_role_s_check_shows_the_actual_role_and_login(run_doctor):
    checks = run_doctor(BECKON_HOST="0.0.0.0")
    for role in ROLES:
        assert checks[role]["status"] == "ok"
        assert checks[role]["detail"] == f"transactions act as {role}, logged in as {role}; RLS enforced"


@pytest.fixture
def own_database():
    """The owner's URL of a migrated database on a server whose roles a test may change."""
    own = TestServers()
    try:
        own.start(postgres=True, valkey=False)
        run_sql(with_database(own.servers.database_url, "postgres"), "create database beckon")
        migrations.migrate(own.servers.database_url)
        yield own.servers.database_url
    finally:
        own.stop()


def test_a_program_s_role_or_login_that_bypasses_row_security_is_a_problem(run_doctor, own_database):
    run_sql(own_database, "create role app_login superuser login", "grant beckon_app to app_login")
    run_sql(own_database, "create role service_login bypassrls login", "grant beckon_service to service_login")
    checks = run_doctor(
        DATABASE_URL=own_database,
        DATABASE_APP_URL=with_user(own_database, "app_login"),
        DATABASE_SERVICE_URL=with_user(own_database, "service_login"),
    )
    assert [checks[role]["status"] for role in ROLES] == ["problem", "problem"]
    assert [checks[role]["remedy"] for role in ROLES] == [
        "alter role app_login nosuperuser", "alter role service_login nobypassrls",
    ]  # fmt: skip

    run_sql(own_database, "alter role beckon_app superuser", "alter role beckon_service bypassrls")
    checks = run_doctor(DATABASE_URL=own_database, **OWNERS_ALONE)
    assert [checks[role]["remedy"] for role in ROLES] == [
        "alter role beckon_app nosuperuser", "alter role beckon_service nobypassrls",
    ]  # fmt: skip

    run_sql(own_database, "create role stranger login")
    checks = run_doctor(DATABASE_URL=own_database, DATABASE_APP_URL=with_user(own_database, "stranger"))
    assert checks["beckon_app"]["status"] == "problem"
    assert checks["beckon_app"]["remedy"].startswith("grant beckon_app to the user of its URL")
