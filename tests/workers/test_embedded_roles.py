"""The embedded PostgreSQL's roles in a home of an older version after a restart: nothing is lost, every program has its
own login, and no login can gain privileges."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

import settings
from models import migrations
from tests.support import servers as real
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually
from workers import embedded, embedded_roles

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

#: The newest migration of the version that had one superuser for everything.
OLDER = "0021"
#: Objects that a user may have created beside our tables in the database of an older version.
CUSTOM_OBJECTS = """
create type colour as enum ('red', 'green');
create domain tall as integer check (value > 0);
create type pair as (a integer, b integer);
create sequence tickets;
create schema extra;
create table extra.notes (id serial primary key, colour colour, height tall);
insert into extra.notes (colour, height) values ('red', 1), ('green', 2);
create view extra.colours as select colour from extra.notes;
create materialized view extra.heights as select height from extra.notes;
create function extra.double(integer) returns integer language sql as 'select 2 * $1';
create procedure extra.nothing() language sql as 'select 1';
insert into workspaces (id, slug, name) values (gen_random_uuid(), 'alice', 'Alice''s shop');
"""


def _make_older_home(home: Path) -> None:
    """Create a home of the previous version: one superuser, as whom anyone connects without a password."""
    home.mkdir(mode=0o700)
    (home / "kept.json").write_text(json.dumps({"secret_key": "k" * 40}), encoding="utf-8")
    (home / "kept.json").chmod(0o600)
    servers = embedded.Servers(data=home, run=settings.locate_run_directory(home))
    embedded.make_cluster(servers)
    process = subprocess.Popen(
        embedded.build_postgres_command(servers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        admin = real.with_database(servers.database_url, "postgres")
        eventually(lambda: real.answers_sql(admin), timeout=30)
        real.run_sql(admin, "create database beckon")
        migrations.migrate(servers.database_url)
        real.run_sql(servers.database_url, CUSTOM_OBJECTS)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """A running copy on a home of the previous version."""
    older = tmp_path_factory.mktemp("older")
    for file in migrations.FOLDER.glob("*.sql"):
        if file.name[:4] <= OLDER:
            shutil.copy(file, older)
    instance = RunningApp(tmp_path_factory.mktemp("home") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "FOLDER", older)
        _make_older_home(instance.home)
    started = instance.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield instance
    instance.run("down")
    eventually(lambda: not instance.processes(), timeout=35)


@pytest.fixture(scope="module")
def config(app: RunningApp) -> settings.Settings:
    """The copy's settings, with the URLs of all three roles."""
    return settings.load({"BECKON_HOME": str(app.home)}, dotenv=app.home / "none")


@contextmanager
def open_cursor(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        yield cursor


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with open_cursor(url) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_data_of_an_older_version_remains_and_the_owner_sees_every_row(app, config):
    owner = app.access()["databaseUrl"]
    assert owner == config.database_url
    assert {slug for (slug,) in query(owner, "select slug from workspaces")} == {"alice", "demo"}
    assert query(owner, "select colour, height from extra.notes order by id") == [("red", 1), ("green", 2)]
    assert query(owner, "insert into extra.notes (colour, height) values ('red', 3) returning id") == [(3,)]
    assert query(owner, "select extra.double(2), nextval('tickets')") == [(4, 1)]


def test_the_owner_owns_everything_in_the_database_except_the_service_s_functions(config):
    owners = query(
        config.database_url,
        """
        select 'database', datname::text, pg_get_userbyid(datdba) from pg_database where datname = 'beckon'
        union all select 'schema', nspname, pg_get_userbyid(nspowner) from pg_namespace where nspname = 'extra'
        union all select 'relation', oid::regclass::text, pg_get_userbyid(relowner) from pg_class
            where relnamespace in ('public'::regnamespace, 'extra'::regnamespace)
        union all select 'routine', oid::regprocedure::text, pg_get_userbyid(proowner) from pg_proc
            where pronamespace in ('public'::regnamespace, 'extra'::regnamespace) and not (
                prosecdef and proowner = 'beckon_service'::regrole)
        union all select 'type', oid::regtype::text, pg_get_userbyid(typowner) from pg_type
            where typnamespace in ('public'::regnamespace, 'extra'::regnamespace)
        """,
    )
    assert len(owners) > 100
    assert [row for row in owners if row[2] != "beckon"] == []


def test_no_login_is_a_superuser_or_bypasses_row_security(config):
    roles = query(
        config.database_url,
        "select rolname, rolcanlogin, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication "
        "from pg_roles where rolname !~ '^pg_' order by 1",
    )
    assert roles == [
        ("beckon", True, False),
        ("beckon_app", True, False),
        ("beckon_service", True, False),
        ("beckon_setup", False, True),
    ]


@pytest.mark.parametrize("user", ["beckon", "beckon_setup", "beckon_app", "beckon_service", "postgres"])
@pytest.mark.parametrize("password", ["", "beckon", "wrong"])
def test_no_login_works_without_its_own_password(config, user, password):
    parts = urlsplit(config.database_url)
    url = parts._replace(netloc=f"{user}:{password}@" if password else f"{user}@").geturl()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(url)


@pytest.mark.parametrize("user", ["beckon", "beckon_setup", "beckon_app", "beckon_service"])
def test_a_program_s_password_opens_no_other_login(config, user):
    for url in (config.database_app_url, config.database_service_url, config.database_url):
        parts = urlsplit(url)
        if parts.username == user:
            continue
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(parts._replace(netloc=f"{user}:{parts.password}@").geturl())


ESCAPES = (
    "set role beckon_setup",
    "set session authorization beckon_setup",
    "alter role {me} superuser",
    "alter role {me} bypassrls",
    "alter role beckon_setup login",
    "create role mallory",
    "copy (select 1) to program 'true'",
    "create table pg_temp.t (x text); copy pg_temp.t from program 'id'",
    "create table pg_temp.t (x text); copy pg_temp.t from '{kept}'",
    "copy (select 1) to '/tmp/beckon-escape'",
    "select pg_read_file('{kept}')",
    "select pg_read_binary_file('{kept}')",
    "select pg_ls_dir('.')",
    "select lo_import('{kept}')",
    "create extension file_fdw",
    "create extension adminpack",
    "create extension dblink",
    "create function f() returns int language c as 'libc', 'system'",
    "alter system set log_statement = 'all'",
    "select rolpassword from pg_authid",
    "set session_replication_role = replica",
    "set log_statement = 'all'",
)
#: Statements that the owner may run on its own tables, and the programs may not.
OWNER_ONLY = (
    "set role beckon",
    "set session authorization beckon",
    "alter table contacts no force row level security",
    "alter table contacts disable row level security",
    "create policy all_of_it on contacts using (true)",
    "alter policy own_workspace on contacts using (true)",
    "drop policy whole on contacts",
    "create table public.mine (x int)",
    "create schema mine",
    "create extension pgcrypto",
    "alter function find_api_key(bytea) owner to beckon",
    "alter function create_partition(text, text, timestamptz, timestamptz) owner to {me}",
    "create or replace function beckon_now() returns timestamptz language sql as 'select now()'",
    "call transfer_function_ownership()",
    "select * from schema_hashes for update",
    "truncate contacts",
    "grant beckon_service to beckon_app",
)


def _assert_refused(url: str, statement: str, secrets_path: Path) -> None:
    sql = statement.format(me=urlsplit(url).username, kept=secrets_path)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(sql)
    assert refused.value.pgcode in ("42501", "0A000", "58P01"), f"{sql}: {refused.value}"


@pytest.mark.parametrize("role", ["database_app_url", "database_service_url", "database_url"])
@pytest.mark.parametrize("statement", ESCAPES)
def test_no_login_becomes_more_than_it_is(app, config, role, statement):
    _assert_refused(getattr(config, role), statement, app.home / "kept.json")


@pytest.mark.parametrize("role", ["database_app_url", "database_service_url"])
@pytest.mark.parametrize("statement", OWNER_ONLY)
def test_a_program_s_login_may_not_do_what_the_owner_may(app, config, role, statement):
    _assert_refused(getattr(config, role), statement, app.home / "kept.json")


def test_a_program_that_resets_its_role_gains_nothing(config):
    for url, other in ((config.database_app_url, "beckon_service"), (config.database_service_url, "beckon_app")):
        me = urlsplit(url).username
        with open_cursor(url) as cursor:
            cursor.execute("reset role; reset session authorization; select current_user, session_user")
            assert cursor.fetchone() == (me, me)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), open_cursor(url) as cursor:
            cursor.execute(f"set role {other}")


def test_the_dashboard_s_login_sees_no_tenant_s_rows_without_a_workspace(config):
    assert query(config.database_app_url, "select count(*) from workspaces") == [(0,)]
    assert query(config.database_service_url, "select count(*) from workspaces") == [(2,)]


def test_no_program_shows_the_url_of_another(app, config):
    passwords = {urlsplit(url).username: urlsplit(url).password for url in (
        config.database_url, config.database_app_url, config.database_service_url)}  # fmt: skip
    for program in app.status()["programs"]:
        if program["name"] in ("postgres", "redis"):
            continue
        environment = Path(f"/proc/{program['pid']}/environ").read_text(encoding="utf-8")
        visible_roles = {role for role, password in passwords.items() if str(password) in environment}
        # A fork shows what supervisord was started with: no URL. Its own environment is set afterwards.
        assert visible_roles == ({"beckon_app"} if program["name"] == "dashboard" else set()), program["name"]


def test_the_programs_are_connected_as_themselves(config):
    def logins() -> set[tuple[Any, ...]]:
        return set(query(config.database_url, "select distinct usename from pg_stat_activity where datname = 'beckon'"))

    eventually(lambda: {("beckon_app",), ("beckon_service",)} <= logins())


def test_no_password_is_in_a_log_or_readable_by_others(app, config):
    for url in (config.database_url, config.database_app_url, config.database_service_url):
        password = str(urlsplit(url).password)
        assert not [log for log in (app.home / "logs").iterdir() if password in log.read_text(errors="replace")]
    assert (app.home / "kept.json").stat().st_mode & 0o077 == 0
    assert (app.home / "postgres" / "pg_hba.conf").stat().st_mode & 0o077 == 0


def test_security_definer_functions_belong_to_the_service_except_three(config):
    owners = query(
        config.database_url,
        "select proname, pg_get_userbyid(proowner) from pg_proc where prosecdef "
        "and pronamespace = 'public'::regnamespace and proowner <> 'beckon_service'::regrole order by 1",
    )
    names = ("analyze_contacts", "analyze_executions", "create_partition", "drop_partition")
    assert owners == [(name, "beckon") for name in names]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> embedded.Servers:
    """A new cluster without roles."""
    directory = tmp_path_factory.mktemp("r", numbered=True)
    directory.chmod(0o700)
    (directory / "data").mkdir(mode=0o700)
    servers = embedded.Servers(data=directory / "data", run=directory / "run", postgres_options=real.FAST)
    embedded.make_cluster(servers)
    return servers


PASSWORDS = {"beckon": "owner", "beckon_app": "app", "beckon_service": "service"}


@contextmanager
def run_postgres(servers: embedded.Servers) -> Iterator[str]:
    process = subprocess.Popen(
        embedded.build_postgres_command(servers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"postgresql://beckon:{{}}@/beckon?host={servers.run}"
    try:
        eventually(lambda: not _is_unreachable(url.format("nobody's")), timeout=30)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _is_unreachable(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError as error:
        return "password" not in str(error)
    return False


def test_lost_passwords_are_replaced_and_an_interrupted_setup_is_done_again(cluster):
    embedded_roles.set_up(cluster, PASSWORDS)
    # As if the process had died before it wrote the marker.
    (cluster.cluster / "beckon_roles").unlink()
    embedded_roles.set_up(cluster, PASSWORDS)
    with run_postgres(cluster) as url:
        assert query(url.format("owner"), "select current_user") == [("beckon",)]
    embedded_roles.set_up(cluster, {**PASSWORDS, "beckon": "another"})
    with run_postgres(cluster) as url:
        assert query(url.format("another"), "select current_user") == [("beckon",)]
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(url.format("owner"))


LOCKS_OUT = (
    "alter role current_user password 'another'",
    "alter role current_user set search_path = 'pg_temp'",
    "alter role current_user in database beckon set row_security = off",
    "alter role current_user in database postgres set default_transaction_read_only = on",
)


@pytest.mark.parametrize("role", ["beckon_app", "beckon_service"])
def test_a_start_resets_what_a_program_s_login_changed_of_itself(cluster, role):
    embedded_roles.set_up(cluster, PASSWORDS)
    with run_postgres(cluster) as owners:
        own = owners.replace("beckon:", f"{role}:", 1).format(PASSWORDS[role])
        with open_cursor(own) as cursor:
            for statement in LOCKS_OUT:
                cursor.execute(statement)
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(own)
    embedded_roles.set_up(cluster, PASSWORDS)
    with run_postgres(cluster):
        assert query(own, "select current_user::text") == [(role,)]
        assert query(own, "select setrole::regrole::text, setconfig from pg_db_role_setting") == []


def test_a_start_keeps_what_the_owner_set_for_itself(cluster):
    embedded_roles.set_up(cluster, PASSWORDS)
    with run_postgres(cluster) as url, open_cursor(url.format("owner")) as cursor:
        cursor.execute("alter role current_user set work_mem = '7MB'")
    embedded_roles.set_up(cluster, PASSWORDS)
    with run_postgres(cluster) as url:
        assert query(url.format("owner"), "show work_mem") == [("7MB",)]


def test_a_failed_setup_of_roles_is_one_line_without_a_password(cluster):
    with pytest.raises(embedded.EmbeddedError) as refused:
        embedded_roles.set_up(cluster, {"beckon": "secret-word", "pg_refused": "secret-word"})
    assert re.search(r"pg_refused", str(refused.value))
    assert "secret-word" not in str(refused.value)
    assert "\n" not in str(refused.value)
