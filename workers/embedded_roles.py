"""Creates the roles of the embedded PostgreSQL before the server starts.

PostgreSQL runs in its single-user mode for this, which needs no password. So the superuser has none and never logs in.
The statements are in `models/embedded_roles`.
"""

from __future__ import annotations

import hashlib
import json  # a hash that must stay the same
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from models import embedded_roles as roles
from workers import embedded

#: Part of the digest that marks a cluster's roles as up to date: increase it when `set_up` changes.
_VERSION = 1
#: Connections need a password and are accepted only over a socket.
_HBA = "local all all scram-sha-256\n"
#: Seconds that the shared memory of a killed server may remain in use.
_SHARED_MEMORY_TIMEOUT_SECONDS = 20.0


def set_up(servers: embedded.Servers, passwords: Mapping[str, str]) -> None:
    """Create the roles with these passwords, and the database, in a cluster while no server runs on it.

    Passwords and attributes are set at each start, because a login may change some of its own. In a cluster of an older
    version, in which every login was the superuser, the ownership of all objects moves to the owner once. Raises
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
    # The marker comes last: an interrupted setup runs again.
    _replace_cluster_file(servers, marker_file.name, digest)


def _replace_cluster_file(servers: embedded.Servers, name: str, content: str) -> None:
    """Replace a file of the cluster; the file belongs to the cluster's owner."""
    temporary_file = servers.cluster / f"{name}.new"
    temporary_file.touch(mode=0o600)
    temporary_file.write_text(content)
    _change_file_owner(temporary_file, servers.cluster.stat().st_uid)
    temporary_file.replace(servers.cluster / name)


def _change_file_owner(file: Path, user: int) -> None:
    if file.stat().st_uid != user:
        os.chown(file, user, user)


def _run_single_user(servers: embedded.Servers, database: str, statements: Sequence[str]) -> str:
    """Run statements as the superuser, without a server and so without a login. Returns their output."""
    # A failed statement must not put a password into a log either.
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
            raise embedded.EmbeddedError(f"PostgreSQL's roles cannot be created in {servers.cluster}: {reason}")
        time.sleep(0.2)
