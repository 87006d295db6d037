"""Gives the embedded PostgreSQL its roles, before the server starts.

PostgreSQL runs alone for that, in its single-user mode, which asks for no password. So the superuser has none and never
logs in. The statements are in `models/embedded_roles`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from models import embedded_roles as roles
from workers import embedded

#: Part of what tells whether a cluster's roles are up to date: counted up when `set_up` does something else.
_VERSION = 1
#: Nobody gets in without a password, and nobody but over a socket.
_HBA = "local all all scram-sha-256\n"
#: Seconds that the memory of a server that was killed may linger.
_SHARED_MEMORY_TIMEOUT_SECONDS = 20.0


def set_up(servers: embedded.Servers, passwords: Mapping[str, str]) -> None:
    """Make the roles with these passwords, and the database, in a cluster that no server runs.

    Passwords and attributes are set at each start, because a login may change some of its own. A cluster of an older
    version, in which everybody was its superuser, is handed over once with everything that is in it. Raises
    EmbeddedError.
    """
    digest = hashlib.sha256(json.dumps([_VERSION, _HBA, dict(passwords)]).encode()).hexdigest()
    marker_file = servers.cluster / "beckon_roles"
    _run_single_user(servers, "postgres", roles.build_setup_statements(passwords))
    if marker_file.is_file() and marker_file.read_text() == digest:
        return
    is_new = f'"{roles.OWNER}"' not in _run_single_user(servers, "postgres", [roles.LIST_DATABASES])
    statement = roles.CREATE_DATABASE if is_new else roles.SET_DATABASE_OWNER
    _run_single_user(servers, "postgres", [statement])
    _run_single_user(servers, roles.OWNER, [roles.REASSIGN_OWNER])
    _replace_cluster_file(servers, "pg_hba.conf", _HBA)
    # Last: whatever was interrupted before is done once more.
    _replace_cluster_file(servers, marker_file.name, digest)


def _replace_cluster_file(servers: embedded.Servers, name: str, content: str) -> None:
    """Replace a file of the cluster, whose owner it belongs to."""
    temporary_file = servers.cluster / f"{name}.new"
    temporary_file.touch(mode=0o600)
    temporary_file.write_text(content)
    _change_file_owner(temporary_file, servers.cluster.stat().st_uid)
    temporary_file.replace(servers.cluster / name)


def _change_file_owner(file: Path, user: int) -> None:
    if file.stat().st_uid != user:
        os.chown(file, user, user)


def _run_single_user(servers: embedded.Servers, database: str, statements: Sequence[str]) -> str:
    """Run statements as the superuser, without a server and so without a login; what they print."""
    # Not even a statement that fails may put a password into a log.
    settings = {**servers.postgres_options, "log_min_error_statement": "panic"}
    program = str(embedded.find_postgres_programs() / "postgres")
    command = [
        *embedded.find_unprivileged_prefix(),
        program,
        "--single",
        "-j",
        "-D",
        str(servers.cluster),
        *embedded.build_options(settings),
        database,
    ]
    script = "".join(f"{statement.strip()}\n\n" for statement in statements)
    deadline = time.monotonic() + _SHARED_MEMORY_TIMEOUT_SECONDS
    while True:
        environment = {**os.environ, "LC_ALL": "C"}
        run = subprocess.run(command, input=script, capture_output=True, text=True, check=False, env=environment)
        error_lines = [
            line for line in run.stderr.splitlines() if any(word in line for word in ("ERROR:", "FATAL:", "PANIC:"))
        ]
        if run.returncode == 0 and not error_lines:
            return run.stdout
        reason = (error_lines or run.stderr.splitlines() or ["no reason given"])[0]
        if "still in use" not in reason or time.monotonic() > deadline:
            raise embedded.EmbeddedError(f"PostgreSQL's roles cannot be made in {servers.cluster}: {reason}")
        time.sleep(0.2)
