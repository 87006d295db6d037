"""An owner that is no superuser and cannot bypass row security: migrations, functions, retention, verification, the
demo, dumps and restores work, however it got the two roles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

import settings
from models import api_key, automation, contact_matching, database, migrations, session, user, workspace
from models.audit import SYSTEM
from models.checks import retention, verification
from models.database import acting_as, connection, transaction
from models.demo import workspace as demo_workspace
from models.engine import runs  # fmt: skip
from models.queries import execute, fetch_value
from tests.house.test_migrations import UPS
from tests.support import servers as real

pytestmark = pytest.mark.servers

#: How the owner may get the two roles: the setup SQL, and whether it sees rows by the roles' policies.
ROLE_SETUPS = {
    "makes the roles": ("alter role {owner} createrole", False),
    "was granted them as documented": (
        "grant beckon_app, beckon_service to {owner} with inherit false, set true",
        False,
    ),
    "was granted them as usual": ("grant beckon_app, beckon_service to {owner}", True),
    "inherits nothing": ("alter role {owner} noinherit; grant beckon_app, beckon_service to {owner}", False),
}


@dataclass(frozen=True)
class OwnedDatabase:
    """A database, by its owner's URL and the server's superuser's."""

    url: str
    admin: str
    inherits: bool

    @property
    def owner(self) -> str:
        return self.url.split("//")[1].split("@")[0]


@contextmanager
def run_server() -> Iterator[str]:
    """The superuser's URL of a separate server without the two roles, because roles belong to the whole server."""
    test_servers = real.TestServers()
    try:
        test_servers.start(postgres=True, valkey=False)
        admin = real.with_database(test_servers.servers.database_url, "postgres")
        real.run_sql(admin, *(f"drop role {name}" for name in real.ROLES))
        yield admin
    finally:
        test_servers.stop()


@pytest.fixture(scope="module")
def bare_server() -> Iterator[str]:
    """A server for the owner that creates the roles."""
    with run_server() as admin:
        yield admin


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server where a superuser has created the roles, for the owners that are granted them."""
    with run_server() as admin:
        real.run_sql(admin, *(f"create role {name} nologin" for name in real.ROLES))
        yield admin


@pytest.fixture(scope="module", params=list(ROLE_SETUPS), ids=[name.replace(" ", "-") for name in ROLE_SETUPS])
def owned_database(request: pytest.FixtureRequest) -> Iterator[OwnedDatabase]:
    """A migrated database of such an owner."""
    setup_sql, inherits = ROLE_SETUPS[request.param]
    server = request.getfixturevalue("bare_server" if request.param == "makes the roles" else "server")
    owner = f"shop_{list(ROLE_SETUPS).index(request.param)}"
    real.run_sql(
        server,
        f"create role {owner} login nosuperuser nobypassrls", setup_sql.format(owner=owner),
        f"create database {owner} owner {owner}",
    )  # fmt: skip
    url = real.with_user(real.with_database(server, owner), owner)
    assert migrations.migrate(url) == [up.name.removesuffix(".up.sql") for up in UPS]
    yield OwnedDatabase(url, server, inherits)
    database.db.close_all()


@pytest.fixture
def as_service(owned_database: OwnedDatabase) -> Iterator[None]:
    database.open_pool(owned_database.url, "beckon_service", 4)
    yield
    database.db.close_all()


@pytest.fixture
def as_dashboard(owned_database: OwnedDatabase) -> Iterator[None]:
    yield
    database.db.close_all()


def query_value(url: str, sql: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return row and row[0]


@pytest.fixture(scope="module")
def shop(owned_database: OwnedDatabase) -> dict[str, str]:
    """A workspace with a key, a user and a contact."""
    database.open_pool(owned_database.url, "beckon_service", 4)
    workspace_id = workspace.create("alice", "Alice's shop")
    user_id = user.create("alice@example.com", "Alice", "a good password of hers")
    user.join(workspace_id, user_id, "owner")
    with acting_as(workspace_id):
        person = {"email": "bob@example.com", "firstName": "Bob", "tags": ["lead"]}
        (matched,) = contact_matching.match_or_create(workspace_id, [(None, person)])
    details = {"id": workspace_id, "key": api_key.issue(workspace_id, "key").secret, "contact": str(matched["id"])}
    database.db.close_all()
    return details


@pytest.fixture
def copied_database(owned_database: OwnedDatabase, shop: dict[str, str]) -> OwnedDatabase:
    """A copy of the database, for a test that changes its objects."""
    owner = owned_database.owner
    real.run_sql(
        owned_database.admin,
        f"drop database if exists {owner}_copy", f"create database {owner}_copy template {owner} owner {owner}",
    )  # fmt: skip
    return replace(owned_database, url=real.with_database(owned_database.url, f"{owner}_copy"))


def test_the_owner_has_no_special_power_and_sees_no_tenant_s_rows(owned_database, shop):
    assert (
        query_value(owned_database.url, "select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
        is False
    )
    for table in ("workspaces", "users", "contacts", "api_keys"):
        count = f"select count(*) from {table}"
        rows = query_value(owned_database.url, f"set role beckon_service; {count}")
        assert rows >= 1, table
        assert query_value(owned_database.url, count) == (rows if owned_database.inherits else 0), table


def test_every_tenant_s_table_and_partition_is_secured_for_its_owner_too(owned_database):
    assert query_value(
        owned_database.url,
        "select array_agg(c.oid::regclass::text) from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "and a.attname = 'workspace_id' where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') "
        "and not (c.relrowsecurity and c.relforcerowsecurity)",
    ) is None  # fmt: skip


def test_the_functions_that_identify_a_request_work_for_the_dashboard(owned_database, shop, as_dashboard):
    database.open_pool(owned_database.url, "beckon_app", 4)
    opened = api_key.find(shop["key"])
    assert opened is not None
    assert opened.workspace_id == shop["id"]
    member, _ = user.find_sign_in("alice@example.com")
    assert member is not None
    token = session.start(member)
    assert session.find(token) is not None
    with acting_as(shop["id"]):
        assert fetch_value("select find_contacts('bob@example.com', null, null, null, null, null, null, 5)")
        assert fetch_value("select find_contacts(null, null, null, 'lead', null, null, null, 5)")
    with connection():
        assert fetch_value("select newest_migration()") == UPS[-1].name.removesuffix(".up.sql")
        assert fetch_value("select pending from engine_facts()") == 0


def test_retention_archives_dropped_rows_and_keeps_needed_ones(owned_database, shop, as_service):
    publication = automation.create(
        shop["id"],
        name="Welcome",
        type="workflow",
        definition=demo_workspace.EXAMPLES[0].definition,
        actor=SYSTEM,
        enabled=False,
    )
    with transaction():
        days = "beckon_now() - interval '100 days'"
        fetch_value(f"select create_partition('automation_runs', to_char({days}, '\"automation_runs_\"YYYY_MM_DD'), "
              f"date_trunc('day', {days}), date_trunc('day', {days}) + interval '1 day')")  # fmt: skip
        for at in (days, "beckon_now() - interval '200 days'", "beckon_now()"):
            execute(
                "insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at) "
                f"values (gen_random_uuid(), %s, %s, %s, gen_random_uuid(), 'main_dm', {at})",
                (shop["id"], publication.automation_id, shop["contact"]),
            )
        execute("update automations set total_runs = 3 where id = %s", (publication.automation_id,))
    counts = retention.run_once()
    assert (counts["run_days_dropped"], counts["runs"]) == (1, 2)
    with transaction():
        assert fetch_value("select archived_runs from automations where id = %s", (publication.automation_id,)) == 2
        assert fetch_value("select count(*) from automation_runs") == 1
    assert runs.rebuild_counters() >= 1
    assert all(finding.holds for finding in verification.verify(shop["id"], only=["run_counters_add_up"]))


def test_a_month_of_history_is_dropped_after_its_executions(owned_database, shop, as_service):
    automation.create(
        shop["id"], name="Old", type="workflow", definition=demo_workspace.EXAMPLES[0].definition, actor=SYSTEM
    )
    with transaction():
        for month, lowest, upper in (
            ("2020_01", "2020-01-01Z", "2020-02-01Z"),
            ("2020_02", "2020-02-01Z", "2020-03-01Z"),
        ):
            for table in ("executions", "steps", "stage_history"):
                execute(f"select create_partition('{table}', '{table}_{month}', '{lowest}', '{upper}')")
        execute(
            "insert into executions (id, workspace_id, automation_id, version, version_id, trigger_id, status, stage, "
            "stage_since, queue, rung_at, finished_at, created_at) "
            "select lowest_id_at('2020-01-15Z'), workspace_id, automation_id, version, v.id, gen_random_uuid(), "
            "'succeeded', 'completed', now(), 'sending', now(), '2020-01-15', '2020-01-15' from workflow_versions v "
            "order by v.id limit 1"
        )
        execute(
            "insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, "
            "entered_at) select id, workspace_id, automation_id, false, 'queued', 1, 'checking', '2020-01-15' "
            "from executions"
        )
        execute(
            "update automations set executions = 1, succeeded = 1 where id in (select automation_id from executions)"
        )
        assert fetch_value("select drop_history_partitions('2021-01-01')") == 0
        assert fetch_value("select months from drop_execution_partitions('2021-01-01')") == 2
        assert fetch_value("select count(*) from executions") == 0
        assert fetch_value("select drop_history_partitions('2021-01-01')") == 2


@pytest.mark.parametrize("call", [
    "create_partition('contacts', 'contacts_1', '2020-01-01', '2020-02-01')",
    "create_partition('stage_history', 'contacts_2', '2020-01-01', '2020-02-01')",
    "drop_partition('stage_history', 'contacts')",
    "drop_partition('automation_runs', 'automation_runs_default')",
    "drop_partition('automation_runs', 'stage_history_default')",
])  # fmt: skip
def test_the_owner_s_functions_only_create_and_drop_partitions(owned_database, as_service, call):
    with pytest.raises(database.peewee.PeeweeException, match="no partition"), transaction():
        fetch_value(f"select {call}")


def test_the_demo_and_the_verification_act_as_the_service(owned_database, shop, tmp_path):
    config = settings.load().replace(
        database_url=owned_database.url,
        database_app_url=owned_database.url,
        database_service_url=owned_database.url,
        home=tmp_path,
    )
    assert demo_workspace.ensure_demo(config)["workspaceId"]
    database.open_pool(owned_database.url, "beckon_service", 4)
    findings = list(verification.verify())
    assert [finding.name for finding in findings if not finding.holds] == []
    with transaction():
        assert fetch_value("select count(*) from workspaces where slug = 'demo'") == 1
    database.db.close_all()


def _list_documented_commands() -> list[str]:
    """The commands of the section Dump and restore: dump first, then restore."""
    text = (settings.ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    section = text.split("### Dump and restore")[1].split("\n### ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def _run_documented(commands: str, database_url: str, folder: Path) -> None:
    programs = f"{real.find_programs()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        "PATH": programs, "HOME": str(folder), "BECKON_HOME": str(folder), "DATABASE_URL": database_url,
        "REDIS_URL": os.environ["REDIS_URL"], "SECRET_KEY": "k" * 40, "BECKON_ENV_FILE": str(folder / "none"),
    }  # fmt: skip
    command = ["sh", "-ec", commands]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


#: Objects that a dumped database may have, created by a login of the programs or by the embedded server.
EXISTING_OBJECTS = (
    "set role beckon_app; select lo_create(0)",
    "set role beckon_app; alter default privileges grant select on tables to beckon_service",
    "set role beckon_service; alter default privileges grant select on tables to public",
    "create policy owner on contacts to current_user using (true)",
)


def test_a_documented_dump_has_every_row_and_the_owner_restores_it(copied_database, shop, tmp_path):
    for statement in EXISTING_OBJECTS:
        real.run_sql(copied_database.url, statement)
    dump, restore = _list_documented_commands()
    _run_documented(dump, copied_database.url, tmp_path)
    restored = f"{copied_database.owner}_restored"
    real.run_sql(copied_database.admin, f"create database {restored} owner {copied_database.owner}")
    url = real.with_user(real.with_database(copied_database.admin, restored), copied_database.owner)
    _run_documented(restore, url, tmp_path)
    assert migrations.migrate(url) == []
    assert query_value(url, "select count(*) from pg_policies where policyname = 'owner'") == 0
    assert query_value(url, "select count(*) from pg_default_acl") == 0
    for table in ("workspaces", "users", "contacts", "api_keys", "automations", "stage_history", "schema_hashes"):
        count = f"set role beckon_service; select count(*) from {table}"
        assert query_value(url, count) == query_value(copied_database.url, count)
    database.open_pool(url, "beckon_app", 2)
    assert api_key.find(shop["key"]) is not None
    database.open_pool(url, "beckon_service", 2)
    retention.run_once()
    assert all(finding.holds for finding in verification.verify())
    database.db.close_all()
    assert migrations.revert(url, UPS[0].name.removesuffix(".up.sql"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of all migrations, to which a test adds its own."""
    for file in migrations.FOLDER.glob("*.sql"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    return tmp_path


def test_a_migration_changes_rows_as_the_service_and_transfers_its_functions(copied_database, folder):
    (folder / "9000_all.up.sql").write_text(
        "create function find_all() returns bigint language sql security definer set search_path = public, pg_temp as "
        "'select count(*) from contacts'; set local role beckon_service; update contacts set username = 'changed'; "
        "drop function find_hook(bytea);"
    )
    (folder / "9000_all.down.sql").write_text("set local role beckon_service; drop function find_all();")
    assert migrations.migrate(copied_database.url) == ["9000_all"]
    assert (
        query_value(
            copied_database.url, "set role beckon_service; select count(*) from contacts where username = 'changed'"
        )
        > 0
    )
    assert (
        query_value(copied_database.url, "select pg_get_userbyid(proowner) from pg_proc where proname = 'find_all'")
        == "beckon_service"
    )
    assert migrations.revert(copied_database.url) == ["9000_all"]


def test_an_owner_who_may_not_create_the_roles_gets_the_commands_in_one_line(server):
    name = f"poor_{os.getpid()}"
    real.run_sql(server, f"create role {name} login", f"create database {name} owner {name}")
    url = real.with_user(real.with_database(server, name), name)
    with pytest.raises(migrations.MigrationError) as error:
        migrations.migrate(url)
    message = str(error.value)
    assert "\n" not in message
    remedy = message.split("as a superuser run: ")[1]
    assert remedy.endswith(f"grant beckon_app, beckon_service to {name} with inherit false, set true")
    # The roles exist on this server, so only the last part of the remedy is missing.
    real.run_sql(server, remedy.split("; ")[-1])
    assert migrations.migrate(url)
