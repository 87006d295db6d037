"""The roles of the embedded PostgreSQL: the statements that create them, and the owner's policies.

Three roles log in: the owner `beckon`, which owns the database and everything in it, `beckon_app` and `beckon_service`.
None is a superuser or bypasses row security, and only the owner can become another role: the other two. The superuser
that created the cluster cannot log in; statements that need it run in single-user mode, while no server runs.

The statements are written by hand: they are about roles and ownership, for which peewee has no expressions, and
single-user mode reads text without parameters. They run once for each start.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2.extensions import QuotedString

from models.database import build_connection_parameters

#: The owner, and its database. The statements name it literally.
OWNER = "beckon"

#: The superuser is `beckon_setup`. In a new cluster, and in those of older versions, its name is still `beckon`.
#: PostgreSQL neither drops nor demotes a cluster's bootstrap superuser. Only another superuser can rename it.
_RENAME_SUPERUSER = """
do $$
begin
    if (select rolname from pg_roles where oid = 10) = 'beckon' then
        create role beckon_renaming superuser;
        set session authorization beckon_renaming;
        alter role beckon rename to beckon_setup;
        set session authorization beckon_setup;
        drop role beckon_renaming;
    end if;
end
$$;
"""

_CREATE_ROLE = """
do $$
begin
    if not exists (select from pg_roles where rolname = '{role}') then
        create role {role};
    end if;
end
$$;
"""

_SET_LOGIN = (
    "alter role {role} login nosuperuser nobypassrls nocreatedb nocreaterole noreplication password {password};"
)
_GRANT_TO_OWNER = "grant {role} to beckon with inherit false, set true;"
_DISABLE_SUPERUSER = "alter role beckon_setup nologin password null;"

#: A role may set its own defaults, and could thereby break every later session of its login.
_RESET_SETTINGS = """
do $$
declare
    change text;
begin
    for change in
        select format('alter role %s %s reset all', setrole::regrole,
            case when setdatabase <> 0 then format('in database %I', datname) else '' end)
        from pg_db_role_setting left join pg_database d on d.oid = setdatabase
        where setrole = '{role}'::regrole
    loop
        execute change;
    end loop;
end
$$;
"""

#: Transfers Beckon's objects from the superuser to the owner. PostgreSQL rejects `reassign owned` for that role.
REASSIGN_OWNER = """
do $$
declare
    change text;
begin
    for change in
        select format('alter schema %I owner to beckon', nspname) from pg_namespace
            where nspowner = 10 and nspname !~ '^pg_' and nspname <> 'information_schema'
        union all
        select format('alter %s %s owner to beckon',
            case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                else 'table' end, c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relowner = 10 and c.relkind in ('r', 'p', 'v', 'm', 'S')
            and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            -- A column's sequence follows its table; an extension's objects stay with the extension.
            and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')))
        union all
        select format('alter routine %s owner to beckon', p.oid::regprocedure)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where p.proowner = 10 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                and d.deptype = 'e')
        union all
        select format('alter type %s owner to beckon', t.oid::regtype)
        from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
        where t.typowner = 10 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
            and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid
                and d.deptype = 'e')
    loop
        execute change;
    end loop;
end
$$;
"""

#: Lists the databases of a cluster.
LIST_DATABASES = "select datname from pg_database;"
CREATE_DATABASE = "create database beckon owner beckon;"
SET_DATABASE_OWNER = "alter database beckon owner to beckon;"


def build_setup_statements(passwords: Mapping[str, str]) -> list[str]:
    """Return statements that let exactly the three roles log in, with these passwords. They can be run again.

    They reset the settings of the programs' roles, because a login can change its own password and settings.
    """
    logins = [role for role in passwords if role != OWNER]
    return [
        _RENAME_SUPERUSER,
        *(_CREATE_ROLE.format(role=role) for role in passwords),
        *(_SET_LOGIN.format(role=role, password=_quote(password)) for role, password in passwords.items()),
        *(_RESET_SETTINGS.format(role=role) for role in logins),
        *(_GRANT_TO_OWNER.format(role=role) for role in logins),
        _DISABLE_SUPERUSER,
    ]


def _quote(text: str) -> str:
    return QuotedString(text).getquoted().decode()


_CREATE_OWNER_POLICIES = """
do $$
declare
    secured regclass;
begin
    for secured in
        select c.oid from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity
            and not exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'owner')
    loop
        execute format('create policy owner on %s to beckon using (true) with check (true)', secured);
    end loop;
end
$$
"""


def create_owner_policies(url: str) -> None:
    """Give the owner behind `url` a policy on every table that row security hides from it.

    The person who runs the embedded server is its owner and reads every row with the URL in `access.json`.
    """
    with (
        closing(psycopg2.connect(**build_connection_parameters(url))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(_CREATE_OWNER_POLICIES)
