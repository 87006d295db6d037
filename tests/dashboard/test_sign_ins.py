"""Signing in under attack: guesses are limited, accounts cannot be enumerated, and owners are not locked out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

import clock
import metrics
import settings
from dashboard import devices, sign_in_failures
from dashboard.sign_in_failures import SignInFailures
from ephemeral import connection, sign_ins
from models import audit, database, password_reset, user, workspace
from rules.sign_in_delays import Delays
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_access import add_person, read_token, sign_in
from tests.support.waiting import eventually

BOB, NOBODY = "bob@example.com", "nobody@example.com"


def attempt(browser: FlaskClient, email: str = BOB, password: str = "wrong", address: str = "127.0.0.1") -> Any:
    """Send an attempt from this address."""
    peer = {"REMOTE_ADDR": address}
    token = read_token(browser.get("/sign-in", environ_overrides=peer).text)
    fields = {"email": email, "password": password, "csrf_token": token}
    return browser.post("/sign-in", data=fields, environ_overrides=peer)


@pytest.fixture
def attack(app: flask.Flask) -> Any:
    """`attack(count, email)`: send failed attempts, each from a new browser and address; returns the statuses."""
    addresses = (f"10.{number // 250}.{number % 250}.1" for number in range(100_000))

    def begin(count: int, email: str = BOB) -> list[int]:
        return [attempt(app.test_client(), email, address=next(addresses)).status_code for _ in range(count)]

    return begin


@pytest.fixture
def bobs_browser(alice: Producer, client: FlaskClient) -> FlaskClient:
    """Bob's browser, which is known and has no session."""
    add_person(alice.workspace_id, "operator")
    assert sign_in(client).status_code == 303
    client.delete_cookie("beckon_session")
    return client


@pytest.fixture(autouse=True)
def steep_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the longest delay from the start, so that no test outlasts it."""
    monkeypatch.setattr(sign_ins, "DELAYS", Delays((0, 0, 0, 0, 0, 30_000)))


def count_sign_ins(result: str) -> float:
    return metrics.sign_ins_total.labels(result=result)._value.get()  # type: ignore[no-any-return]


def list_failures(workspace_id: str) -> list[dict[str, Any]]:
    return [row for row in audit.fetch_page(workspace_id, 100) if row["action"] == "user.sign_in_failed"]


class TestAnAttack:
    """Failed attempts on Bob's account from many addresses."""

    def test_limits_new_browsers_for_a_bounded_time(self, bobs_browser: FlaskClient, attack: Any) -> None:
        assert attack(6) == [401] * 5 + [429]
        new = bobs_browser.application.test_client()
        refused = attempt(new, password=PASSWORD, address="192.0.2.1")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert f"Try again in {refused.headers['Retry-After']} s" in refused.text

    def test_does_not_lock_out_known_browsers(self, bobs_browser: FlaskClient, attack: Any) -> None:
        attack(20)
        for number in range(5):
            response = attempt(bobs_browser, password=PASSWORD, address=f"192.0.2.{number}")
            assert response.status_code == 303
            bobs_browser.delete_cookie("beckon_session")
            attack(2)

    def test_does_not_lock_out_a_shared_address(self, bobs_browser: FlaskClient) -> None:
        strangers = [attempt(bobs_browser.application.test_client()).status_code for _ in range(8)]
        assert strangers[-1] == 429
        assert attempt(bobs_browser, password=PASSWORD).status_code == 303

    def test_lets_a_new_browser_in_after_its_wait(
        self, bobs_browser: FlaskClient, attack: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_ins, "DELAYS", Delays((0, 0, 0, 0, 0, 2_000)))
        attack(8)
        new = bobs_browser.application.test_client()
        assert attempt(new, password=PASSWORD, address="192.0.2.1").status_code == 429
        # The attacker takes the first attempt after the delay.
        eventually(lambda: attack(1) == [401])
        assert attempt(new, password=PASSWORD, address="192.0.2.2").status_code == 303


class TestTheDeviceCookie:
    """It is valid for one account and its current password, and allows few guesses."""

    def test_is_http_only_and_lasts_180_days(self, bobs_browser: FlaskClient) -> None:
        response = attempt(bobs_browser, password=PASSWORD)
        cookie = next(header for header in response.headers.getlist("Set-Cookie") if header.startswith(devices.COOKIE))
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert f"Max-Age={180 * 86_400}" in cookie
        assert "Secure" not in cookie

    def test_is_not_set_by_a_failed_attempt(self, bobs_browser: FlaskClient) -> None:
        new = bobs_browser.application.test_client()
        attempt(new)
        assert new.get_cookie(devices.COOKIE) is None

    def test_allows_only_a_few_guesses(self, bobs_browser: FlaskClient, attack: Any) -> None:
        attack(10)
        statuses = [attempt(bobs_browser, address=f"192.0.2.{number}").status_code for number in range(12)]
        assert statuses == [401] * 5 + [429] * 7

    def test_shares_its_limit_with_its_copies(self, bobs_browser: FlaskClient, attack: Any) -> None:
        attack(10)
        cookie = bobs_browser.get_cookie(devices.COOKIE)
        assert cookie is not None
        statuses = []
        for number in range(8):
            thief = bobs_browser.application.test_client()
            thief.set_cookie(devices.COOKIE, cookie.value)
            statuses.append(attempt(thief, address=f"192.0.2.{number}").status_code)
        assert statuses == [401] * 5 + [429] * 3

    def test_is_invalid_for_another_account(self, bobs_browser: FlaskClient, alice: Producer, attack: Any) -> None:
        add_person(alice.workspace_id, "owner", "alice@example.com")
        attack(6, "alice@example.com")
        response = attempt(bobs_browser, "alice@example.com", PASSWORD, "192.0.2.1")
        assert response.status_code == 429

    def test_is_valid_for_two_people_who_share_a_browser(
        self, bobs_browser: FlaskClient, alice: Producer, attack: Any
    ) -> None:
        add_person(alice.workspace_id, "owner", "alice@example.com")
        assert attempt(bobs_browser, "Alice@Example.com", PASSWORD).status_code == 303
        bobs_browser.delete_cookie("beckon_session")
        attack(8)
        attack(8, "alice@example.com")
        assert attempt(bobs_browser, BOB, PASSWORD, "192.0.2.1").status_code == 303
        bobs_browser.delete_cookie("beckon_session")
        assert attempt(bobs_browser, "alice@example.com", PASSWORD, "192.0.2.2").status_code == 303

    def test_is_invalid_after_a_password_change(self, bobs_browser: FlaskClient, attack: Any) -> None:
        run_as_service(lambda: user.set_password(str(user.find_id(BOB)), "another password"))
        attack(8)
        assert attempt(bobs_browser, password="another password", address="192.0.2.1").status_code == 429

    def test_expires_after_180_days(
        self, bobs_browser: FlaskClient, attack: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attack(8)
        monkeypatch.setattr(clock, "OFFSET_SECONDS", 181 * 86_400.0)
        assert attempt(bobs_browser, password=PASSWORD, address="192.0.2.1").status_code == 429

    @pytest.mark.parametrize("change", [
        lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"),
        lambda value: ("0" if value[0] != "0" else "1") + value[1:],
        lambda value: value[:32] + "ffffffffff" + value[42:],
        lambda value: value.upper(),
        lambda value: value[:-1],
        lambda value: value + "0",
        lambda value: "." * 5 + value,
        lambda _: "",
        lambda _: "\u00fc.\u00fc",
        lambda _: "0" * 4000,
    ])  # fmt: skip
    def test_is_invalid_where_it_was_modified(self, bobs_browser: FlaskClient, attack: Any, change: Any) -> None:
        attack(8)
        cookie = bobs_browser.get_cookie(devices.COOKIE)
        assert cookie is not None
        forger = bobs_browser.application.test_client()
        forger.set_cookie(devices.COOKIE, change(cookie.value))
        assert attempt(forger, password=PASSWORD, address="192.0.2.1").status_code == 429

    def test_is_invalid_where_signed_with_another_secret(self, bobs_browser: FlaskClient, attack: Any) -> None:
        app = bobs_browser.application
        attack(8)
        app.extensions["settings"] = app.extensions["settings"].replace(secret_key="another secret key " * 3)
        assert attempt(bobs_browser, password=PASSWORD, address="192.0.2.1").status_code == 429

    def test_names_at_most_five_accounts(self, app: flask.Flask) -> None:
        accounts = [user.UserAccount(str(number), f"{number}@example.com", "", "hash") for number in range(7)]
        value = ""
        for account in accounts:
            with app.test_request_context(headers={"Cookie": f"{devices.COOKIE}={value}"}):
                response = flask.make_response("")
                devices.remember(response, account)
                value = response.headers["Set-Cookie"].split(";")[0].partition("=")[2]
        with app.test_request_context(headers={"Cookie": f"{devices.COOKIE}={value}"}):
            good = [devices.find_device_id(account) is not None for account in accounts]
        assert good == [False] * 2 + [True] * 5


class TestOtherPages:
    """Invitations and password changes read and set the device cookie, and count failures."""

    @pytest.fixture
    def invitation(self, charlie: Producer) -> str:
        """The path of a link to Charlie's workspace."""
        response = charlie.post("/api/invitations", {"email": "dora@example.com", "role": "viewer"})
        return str(response.json["invitation"]["url"]).removeprefix("http://localhost")

    def send(self, browser: FlaskClient, path: str, page: str, address: str = "192.0.2.1", **fields: str) -> Any:
        peer = {"REMOTE_ADDR": address}
        token = read_token(browser.get(page, environ_overrides=peer).text)
        return browser.post(path, data={"csrf_token": token, **fields}, environ_overrides=peer)

    def accept(self, browser: FlaskClient, path: str, **fields: str) -> Any:
        return self.send(browser, f"{path}/sign-in", path, **{"email": BOB, "password": PASSWORD, **fields})

    def test_an_attack_does_not_keep_a_known_browser_from_accepting(
        self, bobs_browser: FlaskClient, attack: Any, invitation: str
    ) -> None:
        attack(20)
        assert self.accept(bobs_browser.application.test_client(), invitation).status_code == 429
        assert self.accept(bobs_browser, invitation).status_code == 303

    def test_a_browser_that_accepts_is_known(self, bobs_browser: FlaskClient, attack: Any, invitation: str) -> None:
        new = bobs_browser.application.test_client()
        assert self.accept(new, invitation, password="wrong").status_code == 401
        assert new.get_cookie(devices.COOKIE) is None
        assert self.accept(new, invitation).status_code == 303
        new.delete_cookie("beckon_session")
        attack(8)
        assert attempt(new, password=PASSWORD, address="192.0.2.9").status_code == 303

    def test_a_browser_that_creates_an_account_is_known(self, app: flask.Flask, attack: Any, invitation: str) -> None:
        new, password = app.test_client(), "unrelated lamp thursday rain"
        response = self.send(new, f"{invitation}/account", invitation, name="Dora", password=password)
        assert response.status_code == 303
        new.delete_cookie("beckon_session")
        attack(8, "dora@example.com")
        assert attempt(new, "dora@example.com", password, "192.0.2.9").status_code == 303

    def test_a_browser_that_changes_the_password_stays_known(self, bobs_browser: FlaskClient, attack: Any) -> None:
        new = "unrelated lamp thursday rain"
        assert attempt(bobs_browser, password=PASSWORD, address="192.0.2.1").status_code == 303
        attack(8)
        assert self.send(bobs_browser, "/account/password", "/account", old=PASSWORD, new=new).status_code == 303
        bobs_browser.delete_cookie("beckon_session")
        assert attempt(bobs_browser, password=new, address="192.0.2.9").status_code == 303

    def test_a_browser_that_resets_the_password_is_known(self, bobs_browser: FlaskClient, attack: Any) -> None:
        path = f"/password-resets/{run_as_service(lambda: password_reset.issue(BOB, audit.SYSTEM))}"
        new, password = bobs_browser.application.test_client(), "unrelated lamp thursday rain"
        assert self.send(new, path, path, password=password).status_code == 200
        attack(8)
        assert attempt(new, password=password, address="192.0.2.9").status_code == 303

    def test_failures_are_counted_and_recorded_as_those_of_the_sign_in_form(
        self, bobs_browser: FlaskClient, alice: Producer, invitation: str
    ) -> None:
        before = count_sign_ins("failed")
        self.accept(bobs_browser.application.test_client(), invitation, password="wrong")
        attempt(bobs_browser, password=PASSWORD, address="192.0.2.1")
        self.send(bobs_browser, "/account/password", "/account", old="wrong", new="unrelated lamp thursday rain")
        bobs_browser.application.extensions["sign_in_failures"].close()
        assert count_sign_ins("failed") - before == 2
        assert len(list_failures(alice.workspace_id)) == 2

    def test_a_password_changed_during_the_sign_in_is_no_longer_accepted(
        self, bobs_browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        matches = user.password_matches

        def change_meanwhile(*arguments: Any) -> bool:
            result = matches(*arguments)
            run_as_service(lambda: user.set_password(str(user.find_id(BOB)), "another password"))
            return result

        monkeypatch.setattr(user, "password_matches", change_meanwhile)
        response = attempt(bobs_browser, password=PASSWORD)
        assert (response.status_code, bobs_browser.get_cookie("beckon_session")) == (409, None)
        assert "Sign in again" in response.text


class TestAnUnknownAccount:
    """No response reveals whether an account exists."""

    def test_gets_the_same_responses_and_delays(self, bobs_browser: FlaskClient, attack: Any) -> None:
        assert [attack(1) + attack(1, NOBODY) for _ in range(6)] == [[401, 401]] * 5 + [[429, 429]]
        pages = []
        for number, email in enumerate((BOB, NOBODY)):
            browser = bobs_browser.application.test_client()
            response = attempt(browser, email, address=f"192.0.2.{number}")
            text = response.text.replace(email, "").replace(read_token(response.text), "")
            cookies = [header.split("=")[0] for header in response.headers.getlist("Set-Cookie")]
            wait = int(response.headers["Retry-After"])
            pages.append(
                (response.status_code, text.replace(f"{wait} s", ""), sorted(response.headers.keys()), cookies)
            )
            assert 1 <= wait <= 30
        assert pages[0] == pages[1]

    @pytest.mark.parametrize(
        "email", [BOB, NOBODY, "", "x" * 400, "b\x00b@example.com", "BOB@EXAMPLE.COM", " bob@example.com "]
    )
    def test_costs_one_hash_and_no_write_in_the_request(
        self, bobs_browser: FlaskClient, monkeypatch: pytest.MonkeyPatch, email: str
    ) -> None:
        hashed = []
        monkeypatch.setattr(user, "password_matches", lambda *arguments: hashed.append(arguments))
        bobs_browser.application.extensions["sign_in_failures"].close()
        written = []
        monkeypatch.setattr(sign_in_failures.SignInFailures, "add", lambda *arguments: written.append(arguments))
        assert attempt(bobs_browser.application.test_client(), email).status_code == 401
        assert (len(hashed), len(written)) == (1, 1)

    def test_has_one_limit_for_all_spellings(self, app: flask.Flask) -> None:
        spellings = ["Bob@example.com", " bob@example.com", "BOB@EXAMPLE.COM", "bob@EXAMPLE.com\t", "bOb@example.com"]
        for number, email in enumerate(spellings):
            assert attempt(app.test_client(), email, address=f"192.0.2.{number}").status_code == 401
        assert attempt(app.test_client(), BOB, address="192.0.2.9").status_code == 429

    def test_is_rejected_like_any_other_where_it_is_too_long(self, bobs_browser: FlaskClient) -> None:
        app = bobs_browser.application
        assert attempt(app.test_client(), BOB, PASSWORD + " " * 1000).status_code == 401
        assert attempt(app.test_client(), "x" * 7_000, "y" * 7_000).status_code == 401


class TestWhatIsWritten:
    """Failures of existing accounts are in the audit log of the person's workspaces, with a limited number of rows."""

    def test_a_failure_with_its_address(self, bobs_browser: FlaskClient, alice: Producer) -> None:
        attempt(bobs_browser.application.test_client(), address="192.0.2.7")
        row = eventually(lambda: list_failures(alice.workspace_id))[0]
        assert row["detail"] == {"address": "192.0.2.7", "attempts": 1}
        assert (row["object_kind"], row["actor_kind"]) == ("user", "system")

    def test_a_success_with_its_address(self, bobs_browser: FlaskClient, alice: Producer) -> None:
        attempt(bobs_browser, password=PASSWORD, address="192.0.2.7")
        newest = audit.fetch_page(alice.workspace_id, 1)[0]
        assert (newest["action"], newest["detail"]) == ("user.signed_in", {"address": "192.0.2.7"})

    def test_only_in_the_persons_workspaces(
        self, bobs_browser: FlaskClient, alice: Producer, charlie: Producer
    ) -> None:
        person = run_as_service(lambda: user.find_id(BOB))
        run_as_service(lambda: user.join(charlie.workspace_id, person, "viewer"))
        others = run_as_service(lambda: workspace.create("others", "Others"))
        attempt(bobs_browser.application.test_client())
        bobs_browser.application.extensions["sign_in_failures"].close()
        counts = [
            len(list_failures(workspace_id)) for workspace_id in (alice.workspace_id, charlie.workspace_id, others)
        ]
        assert counts == [1, 1, 0]

    def test_a_flood_in_a_few_rows_with_the_number_of_attempts(
        self, bobs_browser: FlaskClient, alice: Producer
    ) -> None:
        failures: SignInFailures = bobs_browser.application.extensions["sign_in_failures"]
        for number in range(500):
            failures.add(BOB, f"192.0.2.{number % 200}")
        failures.close()
        assert len(list_failures(alice.workspace_id)) == 5
        failures._limits = sign_ins.ProcessLimits()
        failures.add(BOB, "192.0.2.1")
        failures.close()
        assert list_failures(alice.workspace_id)[0]["detail"]["attempts"] == 496

    def test_nothing_of_an_unknown_account(self, bobs_browser: FlaskClient, alice: Producer) -> None:
        before = len(audit.fetch_page(alice.workspace_id, 100))
        attempt(bobs_browser.application.test_client(), NOBODY)
        bobs_browser.application.extensions["sign_in_failures"].close()
        assert len(audit.fetch_page(alice.workspace_id, 100)) == before

    def test_each_attempt_is_counted_by_its_result(self, bobs_browser: FlaskClient, attack: Any) -> None:
        before = {result: count_sign_ins(result) for result in ("succeeded", "failed", "limited")}
        attack(7)
        attack(1, NOBODY)
        attempt(bobs_browser, password=PASSWORD)
        after = {result: count_sign_ins(result) - count for result, count in before.items()}
        assert after == {"succeeded": 1, "failed": 6, "limited": 2}


class TestBehindAProxy:
    """Limits and the audit log use the client's address."""

    @pytest.fixture
    def config(self, config: settings.Settings) -> settings.Settings:
        return config.replace(trusted_proxies=(ipaddress.ip_network("10.9.9.9"),))

    def send_forwarded(self, browser: FlaskClient, client_address: str, peer: str = "10.9.9.9") -> Any:
        headers, peers = {"X-Forwarded-For": client_address}, {"REMOTE_ADDR": peer}
        token = read_token(browser.get("/sign-in").text)
        fields = {"email": BOB, "password": "wrong", "csrf_token": token}
        return browser.post("/sign-in", data=fields, headers=headers, environ_overrides=peers)

    def test_each_client_has_its_own_limit(self, bobs_browser: FlaskClient, alice: Producer) -> None:
        app = bobs_browser.application
        app.extensions["settings"] = app.extensions["settings"].replace(sign_in_rate=2)
        statuses = [self.send_forwarded(app.test_client(), "192.0.2.1").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert self.send_forwarded(app.test_client(), "192.0.2.2").status_code == 401
        rows = eventually(lambda: len(rows := list_failures(alice.workspace_id)) == 3 and rows)
        assert {row["detail"]["address"] for row in rows} == {"192.0.2.1", "192.0.2.2"}

    def test_forged_addresses_do_not_escape_the_limit(self, bobs_browser: FlaskClient) -> None:
        app = bobs_browser.application
        app.extensions["settings"] = app.extensions["settings"].replace(sign_in_rate=2)
        forged = [f"192.0.2.{number}" for number in range(4)]
        assert [self.send_forwarded(app.test_client(), address, "10.1.1.1").status_code for address in forged] == [
            401
        ] * 2 + [429] * 2
        appended = [f"192.0.2.{number}, 198.51.100.1" for number in range(4)]
        assert [self.send_forwarded(app.test_client(), address).status_code for address in appended] == [401] * 2 + [
            429
        ] * 2

    def test_an_ipv6_network_is_one_client(self, bobs_browser: FlaskClient) -> None:
        app = bobs_browser.application
        app.extensions["settings"] = app.extensions["settings"].replace(sign_in_rate=2)
        statuses = [self.send_forwarded(app.test_client(), f"2001:db8::{number}").status_code for number in range(1, 5)]
        assert statuses == [401] * 2 + [429] * 2


class TestWithoutRedis:
    """The process counts attempts itself: guesses are limited, and owners sign in."""

    @pytest.fixture(autouse=True)
    def redis_down(self, tmp_path: object, bobs_browser: FlaskClient) -> Iterator[None]:
        config = bobs_browser.application.extensions["settings"]
        connection.open_ephemeral(config.replace(redis_url=f"unix://{tmp_path}/gone?db=0"))
        yield
        connection.open_ephemeral(config)

    def test_attacks_are_limited_and_the_owner_signs_in(self, bobs_browser: FlaskClient, attack: Any) -> None:
        assert attack(7) == [401] * 5 + [429] * 2
        assert attempt(bobs_browser, password=PASSWORD, address="192.0.2.1").status_code == 303

    def test_an_address_is_limited(self, bobs_browser: FlaskClient) -> None:
        emails = [f"{number}@example.com" for number in range(7)]
        statuses = [attempt(bobs_browser.application.test_client(), email).status_code for email in emails]
        assert statuses == [401] * 5 + [429] * 2


def run_as_service(work: Any) -> Any:
    """Run a function with the service role."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 4)
    result = work()
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)
    return result
