"""An owner who is no superuser and does not pass by row security: migrations, functions, retention, verification, the
demo, dumps and restores work all the same, whichever way the two roles came to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from house.test_migrations import UPS

import servers as real
import settings
from models import (
    api_key,
    automation,
    contact_matching,
    database,
    demo,
    migrations,
    retention,
    run,
    session,
    user,
    verification,
    workspace,
)  # fmt: skip
from models.audit import SYSTEM
from models.database import acting_as, changed, connection, transaction, value

#: How the owner may hold the two roles: what is said before, and whether it sees rows with the roles' policies.
WAYS = {
    "makes the roles": ("alter role {owner} createrole", False),
    "was granted them as documented": (
        "grant beckon_app, beckon_service to {owner} with inherit false, set true",
        False,
    ),
    "was granted them as usual": ("grant beckon_app, beckon_service to {owner}", True),
    "inherits nothing": ("alter role {owner} noinherit; grant beckon_app, beckon_service to {owner}", False),
}


@dataclass(frozen=True)
class Owned:
    """A database, by its owner's URL and the server's superuser's."""

    url: str
    admin: str
    inherits: bool

    @property
    def owner(self) -> str:
        return self.url.split("//")[1].split("@")[0]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of these tests' own, because roles are the whole server's: its superuser's URL."""
    own = real.TestServers()
    try:
        own.start(postgres=True, valkey=False)
        admin = real.with_database(own.servers.database_url, "postgres")
        real.run_sql(admin, *(f"drop role {name}" for name in real.ROLES))
        yield admin
    finally:
        own.stop()


def make_roles(server: str) -> None:
    """Make the two roles where no owner has made them yet."""
    for name in real.ROLES:
        with suppress(psycopg2.errors.DuplicateObject):
            real.run_sql(server, f"create role {name} nologin")


# In this order: who makes the roles comes before who is granted them.
@pytest.fixture(scope="module", params=list(WAYS), ids=[way.replace(" ", "-") for way in WAYS])
def owned(request: pytest.FixtureRequest, server: str) -> Iterator[Owned]:
    """A migrated database of such an owner, with a shop in it."""
    way, inherits = WAYS[request.param]
    owner = f"shop_{list(WAYS).index(request.param)}"
    if request.param != "makes the roles":
        make_roles(server)
    real.run_sql(
        server,
        f"create role {owner} login nosuperuser nobypassrls", way.format(owner=owner),
        f"create database {owner} owner {owner}",
    )  # fmt: skip
    url = real.with_user(real.with_database(server, owner), owner)
    assert migrations.migrate(url) == [up.name.removesuffix(".up.sql") for up in UPS]
    yield Owned(url, server, inherits)
    database.db.close_all()


@pytest.fixture
def as_service(owned: Owned) -> Iterator[None]:
    database.open_pool(owned.url, "beckon_service", 4)
    yield
    database.db.close_all()


@pytest.fixture
def as_dashboard(owned: Owned) -> Iterator[None]:
    yield
    database.db.close_all()


def asked(url: str, sql: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetchone()
        return found and found[0]


@pytest.fixture(scope="module")
def shop(owned: Owned) -> dict[str, str]:
    """A workspace with a key, a person and a contact."""
    database.open_pool(owned.url, "beckon_service", 4)
    workspace_id = workspace.create("alice", "Alice's shop")
    user_id = user.create("alice@example.com", "Alice", "a good password of hers")
    user.join(workspace_id, user_id, "owner")
    with acting_as(workspace_id):
        person = {"email": "bob@example.com", "firstName": "Bob", "tags": ["lead"]}
        (matched,) = contact_matching.match(workspace_id, [(None, person)])
    found = {"id": workspace_id, "key": api_key.issue(workspace_id, "key").secret, "contact": str(matched["id"])}
    database.db.close_all()
    return found


def test_the_owner_has_no_power_and_sees_no_tenant_s_rows(owned, shop):
    assert asked(owned.url, "select rolsuper or rolbypassrls from pg_roles where rolname = current_user") is False
    for table in ("workspaces", "users", "contacts", "api_keys"):
        assert asked(owned.url, f"select count(*) from {table}") == (1 if owned.inherits else 0), table
    assert asked(owned.url, "set role beckon_service; select count(*) from contacts") == 1


def test_every_tenant_s_table_and_partition_is_secured_for_its_owner_too(owned):
    assert asked(
        owned.url,
        "select array_agg(c.oid::regclass::text) from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "and a.attname = 'workspace_id' where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') "
        "and not (c.relrowsecurity and c.relforcerowsecurity)",
    ) is None  # fmt: skip


def test_what_finds_whose_a_request_is_works_for_the_dashboard(owned, shop, as_dashboard):
    database.open_pool(owned.url, "beckon_app", 4)
    opened = api_key.find(shop["key"])
    assert opened is not None
    assert opened.workspace_id == shop["id"]
    member, _ = user.find_sign_in("alice@example.com")
    assert member is not None
    token = session.start(member)
    assert session.find(token) is not None
    with acting_as(shop["id"]):
        assert value("select find_contacts('bob@example.com', null, null, null, null, null, null, 5)")
        assert value("select find_contacts(null, null, null, 'lead', null, null, null, 5)")
    with connection():
        assert value("select newest_migration()") == UPS[-1].name.removesuffix(".up.sql")
        assert value("select pending from engine_facts()") == 0


def test_retention_archives_what_it_drops_and_keeps_what_is_needed(owned, shop, as_service):
    made = automation.create(
        shop["id"], name="Welcome", type="workflow", definition=demo.EXAMPLES[0].definition, actor=SYSTEM, enabled=False
    )
    with transaction():
        days = "beckon_now() - interval '100 days'"
        value(f"select create_partition('automation_runs', to_char({days}, '\"automation_runs_\"YYYY_MM_DD'), "
              f"date_trunc('day', {days}), date_trunc('day', {days}) + interval '1 day')")  # fmt: skip
        for at in (days, "beckon_now() - interval '200 days'", "beckon_now()"):
            changed(
                "insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at) "
                f"values (gen_random_uuid(), %s, %s, %s, gen_random_uuid(), 'main_dm', {at})",
                (shop["id"], made.automation_id, shop["contact"]),
            )
        changed("update automations set total_runs = 3 where id = %s", (made.automation_id,))
    counts = retention.run_once()
    assert (counts["run_days_dropped"], counts["runs"]) == (1, 2)
    with transaction():
        assert value("select archived_runs from automations where id = %s", (made.automation_id,)) == 2
        assert value("select count(*) from automation_runs") == 1
    assert run.rebuild_counters() >= 1
    assert all(finding.holds for finding in verification.verify(shop["id"], only=["run_counters"]))


def test_a_month_of_history_goes_once_its_executions_are_gone(owned, shop, as_service):
    automation.create(shop["id"], name="Old", type="workflow", definition=demo.EXAMPLES[0].definition, actor=SYSTEM)
    with transaction():
        value("select create_partition('stage_history', 'stage_history_2020_01', '2020-01-01', '2020-02-01')")
        value("select create_partition('stage_history', 'stage_history_2020_02', '2020-02-01', '2020-03-01')")
        changed(
            "insert into executions (id, workspace_id, automation_id, version, version_id, trigger_id, status, stage, "
            "stage_since, queue, rung_at, finished_at, created_at) "
            "select gen_random_uuid(), workspace_id, automation_id, version, v.id, gen_random_uuid(), 'succeeded', "
            "'completed', now(), 'sending', now(), now(), now() from workflow_versions v limit 1"
        )
        changed(
            "insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, "
            "entered_at) select id, workspace_id, automation_id, false, 'queued', 1, 'checking', '2020-01-15' "
            "from executions"
        )
        assert value("select drop_history_partitions('2021-01-01')") == 1
        assert value("select to_regclass('stage_history_2020_02')") is None
        changed("delete from executions")
        assert value("select drop_history_partitions('2021-01-01')") == 1


@pytest.mark.parametrize("call", [
    "create_partition('contacts', 'contacts_1', '2020-01-01', '2020-02-01')",
    "create_partition('stage_history', 'contacts_2', '2020-01-01', '2020-02-01')",
    "drop_partition('stage_history', 'contacts')",
    "drop_partition('automation_runs', 'automation_runs_default')",
    "drop_partition('automation_runs', 'stage_history_default')",
])  # fmt: skip
def test_partitions_are_all_that_the_owner_s_functions_make_and_drop(owned, as_service, call):
    with pytest.raises(database.peewee.PeeweeException, match="no partition"), transaction():
        value(f"select {call}")


def test_the_demo_and_the_verification_act_as_the_service(owned, shop, tmp_path):
    told = replace(
        settings.load(),
        database_url=owned.url,
        database_app_url=owned.url,
        database_service_url=owned.url,
        home=tmp_path,
    )
    assert demo.ensure_demo(told)["workspaceId"]
    database.open_pool(owned.url, "beckon_service", 4)
    findings = list(verification.verify())
    assert [one.name for one in findings if not one.holds] == []
    with transaction():
        assert value("select count(*) from workspaces where slug = 'demo'") == 1
    database.db.close_all()


def _documented_commands() -> list[str]:
    """The commands of the section Dump and restore: those that dump, and those that restore."""
    text = (settings.ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    section = text.split("### Dump and restore")[1].split("\n### ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def _run_documented(commands: str, database_url: str, folder: Path) -> None:
    programs = f"{real.programs()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        "PATH": programs, "HOME": str(folder), "BECKON_HOME": str(folder), "DATABASE_URL": database_url,
        "REDIS_URL": os.environ["REDIS_URL"], "SECRET_KEY": "k" * 40, "BECKON_ENV_FILE": str(folder / "none"),
    }  # fmt: skip
    command = ["sh", "-ec", commands]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


#: What may stand in a database that is dumped: written by a login of the programs, or by the embedded server.
IN_THE_WAY = (
    "set role beckon_app; select lo_create(0)",
    "set role beckon_app; alter default privileges grant select on tables to beckon_service",
    "set role beckon_service; alter default privileges grant select on tables to public",
    "create policy owner on contacts to current_user using (true)",
)


def test_a_dump_as_documented_has_every_row_and_is_restored_by_the_owner(owned, shop, tmp_path):
    for statement in IN_THE_WAY:
        real.run_sql(owned.url, statement)
    dump, restore = _documented_commands()
    _run_documented(dump, owned.url, tmp_path)
    restored = f"{owned.owner}_restored"
    real.run_sql(owned.admin, f"create database {restored} owner {owned.owner}")
    url = real.with_user(real.with_database(owned.admin, restored), owned.owner)
    _run_documented(restore, url, tmp_path)
    assert migrations.migrate(url) == []
    assert asked(url, "select count(*) from pg_policies where policyname = 'owner'") == 0
    assert asked(url, "select count(*) from pg_default_acl") == 0
    for table in ("workspaces", "users", "contacts", "api_keys", "automations", "stage_history", "schema_hashes"):
        count = f"set role beckon_service; select count(*) from {table}"
        assert asked(url, count) == asked(owned.url, count)
    database.open_pool(url, "beckon_app", 2)
    assert api_key.find(shop["key"]) is not None
    database.open_pool(url, "beckon_service", 2)
    retention.run_once()
    assert all(finding.holds for finding in verification.verify())
    database.db.close_all()
    assert migrations.revert(url, UPS[0].name.removesuffix(".up.sql"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations and what a test adds to them."""
    for file in migrations.FOLDER.glob("*.sql"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    return tmp_path


def test_a_migration_changes_rows_as_the_service_and_its_functions_are_handed_over(owned, shop, folder):
    (folder / "9000_all.up.sql").write_text(
        "create function find_all() returns bigint language sql security definer set search_path = public, pg_temp as "
        "'select count(*) from contacts'; set local role beckon_service; update contacts set username = 'changed'; "
        "drop function find_hook(bytea);"
    )
    (folder / "9000_all.down.sql").write_text("set local role beckon_service; drop function find_all();")
    assert migrations.migrate(owned.url) == ["9000_all"]
    assert asked(owned.url, "set role beckon_service; select count(*) from contacts where username = 'changed'") > 0
    assert (
        asked(owned.url, "select pg_get_userbyid(proowner) from pg_proc where proname = 'find_all'") == "beckon_service"
    )
    assert migrations.revert(owned.url) == ["9000_all"]


def test_an_owner_who_may_not_make_the_roles_is_told_what_to_run_in_one_line(server):
    name = f"poor_{os.getpid()}"
    make_roles(server)
    real.run_sql(server, f"create role {name} login", f"create database {name} owner {name}")
    url = real.with_user(real.with_database(server, name), name)
    with pytest.raises(migrations.MigrationRefused) as refused:
        migrations.migrate(url)
    words = str(refused.value)
    assert "\n" not in words
    remedy = words.split("as a superuser run: ")[1]
    assert remedy.endswith(f"grant beckon_app, beckon_service to {name} with inherit false, set true")
    # The roles exist on this server, so only the last part of the remedy is missing.
    real.run_sql(server, remedy.split("; ")[-1])
    assert migrations.migrate(url)
