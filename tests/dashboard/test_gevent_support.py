"""In the real dashboard process, a query, a hash, a mail, an import or a garbage collection blocks no other request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import gevent_support
from sandbox.server import RunningSandbox
from tests.dashboard.conftest import Workspaces
from tests.support.engine_fixtures import shared_sandbox

__all__ = ["shared_sandbox"]

ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
from gevent import monkey
monkey.patch_all()
import gc, json, os
import gevent
from dashboard import gevent_support, disconnect, load_app
from dashboard.api.contact_import import parse_csv
from dashboard.errors import ProblemError
from dashboard.pages import forms
from models import database, queries, user
from models.audit import SYSTEM
from tasks.operators import invitations

app = load_app()
app.extensions["connect"]()
frozen = gc.get_freeze_count()
left = sum(len(gc.get_objects(generation)) for generation in range(3))

WAITERS = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = " \
    "(select oid from pg_database where datname = current_database())"

def wait_for_lock():
    with database.connection():
        queries.fetch_value("select pg_advisory_xact_lock(7)::text")

def release_lock_when_all_wait():
    with database.connection(), database.transaction():
        queries.fetch_value("select pg_advisory_xact_lock(7)::text")
        waiting = [gevent.spawn(wait_for_lock) for _ in range(8)]
        while queries.fetch_value(WAITERS) < 8:
            gevent.sleep(0.005)
    gevent.joinall(waiting, raise_error=True)
    return len(waiting)

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.005)

queries = release_lock_when_all_wait()
ticking = gevent.spawn(tick)
matches = gevent_support.compute(user.password_matches, None, "password")

def ticks_during(work):
    before = ticks
    answer = work()
    return answer, ticks - before

estimated = ticks_during(lambda: forms.find_new_password_error(
    "0123456789|!$abcdefghijk" * 8, "bob@example.com", "Bob"))
mailed = ticks_during(lambda: invitations.invite(
    app.extensions["settings"], os.environ["WORKSPACE"], "dora@example.com", "viewer", SYSTEM)[1])

csv = "email,phone\\n" + "".join(
    f"a{number}@example.com,+{prefix}{number:04d}\\n"
    for number in range(500) for prefix in (1202555, 4420794600, 491511234))

def refuse():
    try:
        parse_csv('email\\n"' + "x" * 200_000, {})
    except ProblemError as error:
        return error.status

with app.test_request_context():
    imported = ticks_during(lambda: parse_csv(csv, {}).valid)
    refused = refuse()
disconnect(app)
print(json.dumps({"estimated": estimated, "mailed": mailed, "imported": imported, "refused": refused,
    "frozen": frozen, "left": left,
    "queries": queries, "ticks": ticks, "matches": matches, "cooperative": gevent_support.is_cooperative()}))
"""


@pytest.mark.parametrize(("is_cooperative", "breaks"), [(True, 4), (False, 0)])
def test_others_have_their_turn_after_every_few_items(
    monkeypatch: pytest.MonkeyPatch, is_cooperative: bool, breaks: int
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(gevent_support, "is_cooperative", lambda: is_cooperative)
    monkeypatch.setattr("gevent.sleep", pauses.append)
    assert list(gevent_support.take_turns(range(107))) == list(range(107))
    assert pauses == [0] * breaks


def test_queries_hashes_mail_imports_and_garbage_collection_do_not_block_others(
    workspaces: Workspaces, shared_sandbox: RunningSandbox
) -> None:
    shared_sandbox.clear()
    shared_sandbox.add_fault("mailgun", "slow", times=1, seconds=0.5)
    environ = {
        **os.environ, "WORKSPACE": workspaces.alice, "MAILGUN_API_KEY": "key-of-the-tests",
        "MAILGUN_DOMAIN": "mg.example.com", "MAILGUN_BASE_URL": shared_sandbox.url,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["cooperative"] is True
    # The objects that a full collection scans, compared with the frozen ones.
    assert report["left"] < report["frozen"] / 100
    # Eight queries waited for a lock that their own process held, and released.
    assert report["queries"] == 8
    assert report["ticks"] > 3
    assert report["matches"] is False
    assert report["estimated"][1] > 3
    assert report["imported"][0] == 1500
    assert report["imported"][1] > 3
    # An error is raised once, and not printed by the native thread as well.
    assert (report["refused"], "Traceback" in done.stderr) == (422, False)
    assert report["mailed"][0] is True
    # Half a second, in steps of at least five milliseconds.
    assert report["mailed"][1] > 10
