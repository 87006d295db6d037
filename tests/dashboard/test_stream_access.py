"""Streams end soon after their key or session, and one check serves all of them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from dashboard import csrf
from dashboard.access import permissions_for_role
from dashboard.live.feeds import ACCESS_CHECK_SECONDS, Feeds, FeedTiming
from dashboard.live.stream_access import CHECK_SECONDS, Grant, StreamAccessChecker
from models import api_key, session
from models.database import acting_as
from models.queries import execute
from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person, read_token, sign_in
from tests.support import servers as real
from tests.support.waiting import eventually


class Checks:
    """The valid grants, and the number of checks."""

    def __init__(self) -> None:
        self.count = 0
        self.revoked: set[Grant] = set()
        self.error: Exception | None = None

    def read(self, grants: Collection[Grant]) -> set[Grant]:
        self.count += 1
        if self.error is not None:
            raise self.error
        return set(grants) - self.revoked


GRANTS = [Grant(bytes([number]), "workspace", "read") for number in range(50)]


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def checker(checks: Checks) -> Iterator[StreamAccessChecker]:
    checker = StreamAccessChecker(checks.read, check_seconds=0.05)
    yield checker
    checker.close()


def test_access_ends_with_its_grant_and_others_stay_valid(checker: StreamAccessChecker, checks: Checks) -> None:
    with checker.watch(GRANTS[0]) as mine, checker.watch(GRANTS[0]) as also_mine, checker.watch(GRANTS[1]) as other:
        checks.revoked = {GRANTS[0]}
        eventually(lambda: mine.is_revoked and also_mine.is_revoked)
        assert not other.is_revoked


def test_one_check_serves_all_streams_and_none_runs_without_streams(
    checker: StreamAccessChecker, checks: Checks
) -> None:
    watched = [checker.watch(grant) for grant in GRANTS]
    for access in watched:
        access.__enter__()
    eventually(lambda: checks.count >= 3)
    assert [thread.name for thread in threading.enumerate()].count("stream-access") == 1
    for access in watched:
        access.__exit__()
    eventually(lambda: "stream-access" not in [thread.name for thread in threading.enumerate()])
    with checker.watch(GRANTS[0]) as again:
        checks.revoked = {GRANTS[0]}
        eventually(lambda: again.is_revoked)


@pytest.mark.parametrize("error", [psycopg2.OperationalError("gone"), ValueError("ours")])
def test_a_failed_check_ends_no_stream_and_is_repeated(
    checker: StreamAccessChecker, checks: Checks, error: Exception
) -> None:
    checks.error, checks.revoked = error, {GRANTS[0]}
    with checker.watch(GRANTS[0]) as access:
        eventually(lambda: checks.count >= 2)
        assert not access.is_revoked
        checks.error = None
        eventually(lambda: access.is_revoked)


def test_a_stream_ends_with_its_access_while_reading_fails(checker: StreamAccessChecker, checks: Checks) -> None:
    readable = threading.Event()
    readable.set()

    def read(_: Any) -> str:
        if not readable.is_set():
            raise psycopg2.OperationalError("gone")
        return "one"

    feeds = Feeds(read, max_watchers=9, timing=FeedTiming(frame_seconds=0.05, stream_seconds=60.0, ping_seconds=60.0))
    stream = feeds.open("a", checker.watch(GRANTS[0]))
    assert stream is not None
    next(stream)
    readable.clear()
    checks.revoked = {GRANTS[0]}
    ended = threading.Thread(target=lambda: list(stream))
    ended.start()
    ended.join(10)
    assert not ended.is_alive()
    assert feeds.watchers == 0
    feeds.close()


def test_streams_end_within_five_seconds() -> None:
    assert CHECK_SECONDS + ACCESS_CHECK_SECONDS < 5


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> FlaskClient:
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    return client


@pytest.fixture
def quick_checks(app: Any) -> None:
    """Access that is checked continuously."""
    app.extensions["stream_access"] = StreamAccessChecker(check_seconds=0.05)


def open_stream(client: FlaskClient, alice: Producer, **headers: str) -> Any:
    """An open stream of the monitor that has sent its first frame."""
    path = f"/api/ai-automations/{alice.create()['id']}/monitor"
    response = client.get(path, headers=headers, buffered=False)
    assert response.status_code == 200
    stream = response.iter_encoded()
    next(stream)
    return stream


@pytest.mark.parametrize("change", [
    "update sessions set used_at = used_at - interval '12 hours'",
    "delete from sessions",
    "delete from memberships",
])  # fmt: skip
def test_the_monitor_ends_with_the_session(quick_checks: None, bob: FlaskClient, alice: Producer, change: str) -> None:
    stream = open_stream(bob, alice)
    with acting_as(alice.workspace_id):
        assert execute(change) == 1
    # Read to the end: without a check of access the stream would last a minute.
    assert len(list(stream)) < 20
    assert bob.get("/api/contacts").status_code == 401


def test_the_monitor_ends_when_the_person_signs_out(quick_checks: None, bob: FlaskClient, alice: Producer) -> None:
    stream = open_stream(bob, alice)
    token = read_token(bob.get("/automations").text)
    assert bob.post("/sign-out", data={"csrf_token": token}).status_code == 303
    assert len(list(stream)) < 20


@pytest.mark.parametrize("change", [
    "update api_keys set revoked_at = now() where name = 'watching'",
    "update api_keys set scopes = array['track'] where name = 'watching'",
    "delete from api_keys where name = 'watching'",
])  # fmt: skip
def test_the_monitor_ends_with_the_key_or_its_scope(
    quick_checks: None, client: FlaskClient, alice: Producer, database_urls: Any, change: str
) -> None:
    key = api_key.issue(alice.workspace_id, "watching", ["read"])
    stream = open_stream(client, alice, Authorization=f"Bearer {key.secret}")
    # As the database owner: the dashboard role cannot change scopes.
    real.run_sql(database_urls.owner, change)
    assert len(list(stream)) < 20


def test_every_role_may_watch() -> None:
    for role in ("viewer", "operator", "owner"):
        assert "read" in permissions_for_role(role)  # type: ignore[arg-type]


class TestActivity:
    """User activity extends a session; automatic refreshes do not."""

    @pytest.fixture
    def idle(self, bob: FlaskClient, alice: Producer) -> FlaskClient:
        with acting_as(alice.workspace_id):
            assert execute("update sessions set used_at = used_at - interval '11 hours'") == 1
        return bob

    def is_activity_recorded(self, alice: Producer) -> bool:
        with acting_as(alice.workspace_id):
            return execute("update sessions set used_at = used_at where used_at > beckon_now() - interval '1 hour'") > 0

    @pytest.mark.parametrize("path", ["/automations", "/settings", "/api/contacts", "/executions?status=failed"])
    def test_opening_a_page_is_activity(self, idle: FlaskClient, alice: Producer, path: str) -> None:
        assert idle.get(path).status_code == 200
        assert self.is_activity_recorded(alice)

    def test_a_change_by_htmx_is_activity(self, idle: FlaskClient, alice: Producer) -> None:
        cookie = idle.get_cookie(session.COOKIE)
        assert cookie is not None
        token = csrf.derive_token(idle.application.extensions["settings"].secret_key, cookie.value)
        headers = {"HX-Request": "true", "X-CSRF-Token": token}
        assert idle.post("/automations/check", data={"text": "steps: []"}, headers=headers).status_code == 200
        assert self.is_activity_recorded(alice)

    @pytest.mark.parametrize("path", ["/summary", "/executions"])
    def test_a_refreshed_fragment_is_not_activity(self, idle: FlaskClient, alice: Producer, path: str) -> None:
        assert idle.get(path, headers={"HX-Request": "true"}).status_code == 200
        assert not self.is_activity_recorded(alice)

    def test_an_open_stream_is_not_activity(self, idle: FlaskClient, alice: Producer) -> None:
        open_stream(idle, alice).close()
        assert not self.is_activity_recorded(alice)

    def test_a_request_with_an_invalid_csrf_token_is_not_activity(self, idle: FlaskClient, alice: Producer) -> None:
        assert idle.post("/api/contacts", json={}).status_code == 403
        assert not self.is_activity_recorded(alice)

    def test_an_expired_session_redirects_to_the_form(self, idle: FlaskClient, alice: Producer) -> None:
        with acting_as(alice.workspace_id):
            execute("update sessions set used_at = used_at - interval '2 hours'")
        assert idle.get("/automations").headers["Location"] == "/sign-in?next=/automations"
        assert idle.get("/summary", headers={"HX-Request": "true"}).status_code == 401
