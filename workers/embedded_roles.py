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
_LEFTOVERS_SECONDS = 20.0


def set_up(servers: embedded.Servers, passwords: Mapping[str, str]) -> None:
    """Make the roles with these passwords, and the database, in a cluster that no server runs.

    Passwords and attributes are set at each start, because a login may change some of its own. A cluster of an older
    version, in which everybody was its superuser, is handed over once with everything that is in it. Raises
    EmbeddedError.
    """
    digest = hashlib.sha256(json.dumps([_VERSION, _HBA, dict(passwords)]).encode()).hexdigest()
    done = servers.cluster / "beckon_roles"
    _run_alone(servers, "postgres", roles.set_up(passwords))
    if done.is_file() and done.read_text() == digest:
        return
    is_new = f'"{roles.OWNER}"' not in _run_alone(servers, "postgres", [roles.DATABASES])
    own = roles.MAKE_DATABASE if is_new else roles.OWN_DATABASE
    _run_alone(servers, "postgres", [own])
    _run_alone(servers, roles.OWNER, [roles.HAND_OVER])
    _write_inside(servers, "pg_hba.conf", _HBA)
    # Last: whatever was interrupted before is done once more.
    _write_inside(servers, done.name, digest)


def _write_inside(servers: embedded.Servers, name: str, content: str) -> None:
    """Replace a file of the cluster, whose owner it belongs to."""
    half_written = servers.cluster / f"{name}.new"
    half_written.touch(mode=0o600)
    half_written.write_text(content)
    _own_file(half_written, servers.cluster.stat().st_uid)
    half_written.replace(servers.cluster / name)


def _own_file(file: Path, user: int) -> None:
    if file.stat().st_uid != user:
        os.chown(file, user, user)


def _run_alone(servers: embedded.Servers, database: str, statements: Sequence[str]) -> str:
    """Run statements as the superuser, without a server and so without a login; what they print."""
    # Not even a statement that fails may put a password into a log.
    settings = {**servers.postgres_options, "log_min_error_statement": "panic"}
    program = str(embedded.postgres_programs() / "postgres")
    command = [
        *embedded.unprivileged(),
        program,
        "--single",
        "-j",
        "-D",
        str(servers.cluster),
        *embedded.options(settings),
        database,
    ]
    script = "".join(f"{statement.strip()}\n\n" for statement in statements)
    deadline = time.monotonic() + _LEFTOVERS_SECONDS
    while True:
        environment = {**os.environ, "LC_ALL": "C"}
        run = subprocess.run(command, input=script, capture_output=True, text=True, check=False, env=environment)
        wrong = [
            line for line in run.stderr.splitlines() if any(word in line for word in ("ERROR:", "FATAL:", "PANIC:"))
        ]
        if run.returncode == 0 and not wrong:
            return run.stdout
        reason = (wrong or run.stderr.splitlines() or ["no reason given"])[0]
        if "still in use" not in reason or time.monotonic() > deadline:
            raise embedded.EmbeddedError(f"PostgreSQL's roles cannot be made in {servers.cluster}: {reason}")
        time.sleep(0.2)
