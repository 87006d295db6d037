"""Signing in under attack: strangers neither guess without bound, nor learn who exists, nor keep anybody out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
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
from tests.dashboard.cast import PASSWORD, Producer
from tests.dashboard.test_access import add_person, sign_in, token_in
from waiting import eventually

BOB, NOBODY = "bob@example.com", "nobody@example.com"


def attempt(browser: FlaskClient, email: str = BOB, password: str = "wrong", address: str = "127.0.0.1") -> Any:
    """One attempt from this address."""
    peer = {"REMOTE_ADDR": address}
    token = token_in(browser.get("/sign-in", environ_overrides=peer).text)
    fields = {"email": email, "password": password, "csrf_token": token}
    return browser.post("/sign-in", data=fields, environ_overrides=peer)


@pytest.fixture
def attack(app: flask.Flask) -> Any:
    """`attack(count, email)`: failed attempts, each by a new browser from an address of its own; their statuses."""
    addresses = (f"10.{number // 250}.{number % 250}.1" for number in range(100_000))

    def begin(count: int, email: str = BOB) -> list[int]:
        return [attempt(app.test_client(), email, address=next(addresses)).status_code for _ in range(count)]

    return begin


@pytest.fixture
def bobs(alice: Producer, client: FlaskClient) -> FlaskClient:
    """Bob's browser, that has signed in before and has not now."""
    add_person(alice.workspace_id, "operator")
    assert sign_in(client).status_code == 303
    client.delete_cookie("beckon_session")
    return client


@pytest.fixture(autouse=True)
def steep_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest delay at once, so that no test outlasts it."""
    monkeypatch.setattr(sign_ins, "DELAYS", Delays((0, 0, 0, 0, 0, 30_000)))


def counted(result: str) -> float:
    return metrics.sign_ins_total.labels(result=result)._value.get()  # type: ignore[no-any-return]


def failures_written(workspace_id: str) -> list[dict[str, Any]]:
    return [row for row in audit.page(workspace_id, 100) if row["action"] == "user.sign_in_failed"]


class TestAnAttack:
    """Strangers from ever new addresses fail on Bob's account."""

    def test_closes_the_account_to_new_browsers_for_a_bounded_time(self, bobs: FlaskClient, attack: Any) -> None:
        assert attack(6) == [401] * 5 + [429]
        new = bobs.application.test_client()
        refused = attempt(new, password=PASSWORD, address="192.0.2.1")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert f"Try again in {refused.headers['Retry-After']} s" in refused.text

    def test_keeps_nobody_out_who_has_signed_in_before(self, bobs: FlaskClient, attack: Any) -> None:
        attack(20)
        for number in range(5):
            answer = attempt(bobs, password=PASSWORD, address=f"192.0.2.{number}")
            assert answer.status_code == 303
            bobs.delete_cookie("beckon_session")
            attack(2)

    def test_keeps_nobody_out_from_an_address_that_others_share(self, bobs: FlaskClient) -> None:
        strangers = [attempt(bobs.application.test_client()).status_code for _ in range(8)]
        assert strangers[-1] == 429
        assert attempt(bobs, password=PASSWORD).status_code == 303

    def test_lets_a_new_browser_in_after_its_wait_though_it_goes_on(
        self, bobs: FlaskClient, attack: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_ins, "DELAYS", Delays((0, 0, 0, 0, 0, 2_000)))
        attack(8)
        new = bobs.application.test_client()
        assert attempt(new, password=PASSWORD, address="192.0.2.1").status_code == 429
        # A stranger takes the very moment in which the account opens.
        eventually(lambda: attack(1) == [401])
        assert attempt(new, password=PASSWORD, address="192.0.2.2").status_code == 303


class TestTheDeviceCookie:
    """It is good for one account, its present password, and few guesses."""

    def test_is_out_of_reach_of_scripts_and_lasts_half_a_year(self, bobs: FlaskClient) -> None:
        answer = attempt(bobs, password=PASSWORD)
        cookie = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(devices.COOKIE))
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert f"Max-Age={180 * 86_400}" in cookie
        assert "Secure" not in cookie

    def test_is_not_set_by_a_failure(self, bobs: FlaskClient) -> None:
        new = bobs.application.test_client()
        attempt(new)
        assert new.get_cookie(devices.COOKIE) is None

    def test_guesses_no_more_than_a_few_passwords(self, bobs: FlaskClient, attack: Any) -> None:
        attack(10)
        statuses = [attempt(bobs, address=f"192.0.2.{number}").status_code for number in range(12)]
        assert statuses == [401] * 5 + [429] * 7

    def test_shares_its_limit_with_its_copies(self, bobs: FlaskClient, attack: Any) -> None:
        attack(10)
        cookie = bobs.get_cookie(devices.COOKIE)
        assert cookie is not None
        statuses = []
        for number in range(8):
            thief = bobs.application.test_client()
            thief.set_cookie(devices.COOKIE, cookie.value)
            statuses.append(attempt(thief, address=f"192.0.2.{number}").status_code)
        assert statuses == [401] * 5 + [429] * 3

    def test_of_one_account_is_of_no_use_for_another(self, bobs: FlaskClient, alice: Producer, attack: Any) -> None:
        add_person(alice.workspace_id, "owner", "alice@example.com")
        attack(6, "alice@example.com")
        answer = attempt(bobs, "alice@example.com", PASSWORD, "192.0.2.1")
        assert answer.status_code == 429

    def test_of_two_people_who_share_a_browser_is_good_for_both(
        self, bobs: FlaskClient, alice: Producer, attack: Any
    ) -> None:
        add_person(alice.workspace_id, "owner", "alice@example.com")
        assert attempt(bobs, "Alice@Example.com", PASSWORD).status_code == 303
        bobs.delete_cookie("beckon_session")
        attack(8)
        attack(8, "alice@example.com")
        assert attempt(bobs, BOB, PASSWORD, "192.0.2.1").status_code == 303
        bobs.delete_cookie("beckon_session")
        assert attempt(bobs, "alice@example.com", PASSWORD, "192.0.2.2").status_code == 303

    def test_ends_with_the_password(self, bobs: FlaskClient, attack: Any) -> None:
        as_service(lambda: user.set_password(str(user.id_of(BOB)), "another password"))
        attack(8)
        assert attempt(bobs, password="another password", address="192.0.2.1").status_code == 429

    def test_ends_after_half_a_year(self, bobs: FlaskClient, attack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        attack(8)
        monkeypatch.setattr(clock, "OFFSET_SECONDS", 181 * 86_400.0)
        assert attempt(bobs, password=PASSWORD, address="192.0.2.1").status_code == 429

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
    def test_that_was_changed_is_none(self, bobs: FlaskClient, attack: Any, change: Any) -> None:
        attack(8)
        cookie = bobs.get_cookie(devices.COOKIE)
        assert cookie is not None
        forger = bobs.application.test_client()
        forger.set_cookie(devices.COOKIE, change(cookie.value))
        assert attempt(forger, password=PASSWORD, address="192.0.2.1").status_code == 429

    def test_that_another_secret_signed_is_none(self, bobs: FlaskClient, attack: Any) -> None:
        app = bobs.application
        attack(8)
        app.extensions["settings"] = replace(app.extensions["settings"], secret_key="another secret key " * 3)
        assert attempt(bobs, password=PASSWORD, address="192.0.2.1").status_code == 429

    def test_remembers_five_accounts_at_most(self, app: flask.Flask) -> None:
        accounts = [user.Account(str(number), f"{number}@example.com", "", "hash") for number in range(7)]
        value = ""
        for account in accounts:
            with app.test_request_context(headers={"Cookie": f"{devices.COOKIE}={value}"}):
                answer = flask.make_response("")
                devices.remember(answer, account)
                value = answer.headers["Set-Cookie"].split(";")[0].partition("=")[2]
        with app.test_request_context(headers={"Cookie": f"{devices.COOKIE}={value}"}):
            good = [devices.device_id(account) is not None for account in accounts]
        assert good == [False] * 2 + [True] * 5


class TestOtherPages:
    """The page of an invitation and the change of a password take and give the device cookie, and count failures."""

    @pytest.fixture
    def invitation(self, charlie: Producer) -> str:
        """The path of a link to Charlie's workspace."""
        answer = charlie.post("/api/invitations", {"email": "dora@example.com", "role": "viewer"})
        return str(answer.json["invitation"]["url"]).removeprefix("http://localhost")

    def send(self, browser: FlaskClient, path: str, page: str, address: str = "192.0.2.1", **fields: str) -> Any:
        peer = {"REMOTE_ADDR": address}
        token = token_in(browser.get(page, environ_overrides=peer).text)
        return browser.post(path, data={"csrf_token": token, **fields}, environ_overrides=peer)

    def accept(self, browser: FlaskClient, path: str, **fields: str) -> Any:
        return self.send(browser, f"{path}/sign-in", path, **{"email": BOB, "password": PASSWORD, **fields})

    def test_an_attack_keeps_nobody_from_accepting_who_has_signed_in_before(
        self, bobs: FlaskClient, attack: Any, invitation: str
    ) -> None:
        attack(20)
        assert self.accept(bobs.application.test_client(), invitation).status_code == 429
        assert self.accept(bobs, invitation).status_code == 303

    def test_a_browser_that_accepts_has_signed_in_before(self, bobs: FlaskClient, attack: Any, invitation: str) -> None:
        new = bobs.application.test_client()
        assert self.accept(new, invitation, password="wrong").status_code == 401
        assert new.get_cookie(devices.COOKIE) is None
        assert self.accept(new, invitation).status_code == 303
        new.delete_cookie("beckon_session")
        attack(8)
        assert attempt(new, password=PASSWORD, address="192.0.2.9").status_code == 303

    def test_a_browser_that_creates_an_account_has_signed_in_before(
        self, app: flask.Flask, attack: Any, invitation: str
    ) -> None:
        new, password = app.test_client(), "unrelated lamp thursday rain"
        answer = self.send(new, f"{invitation}/account", invitation, name="Dora", password=password)
        assert answer.status_code == 303
        new.delete_cookie("beckon_session")
        attack(8, "dora@example.com")
        assert attempt(new, "dora@example.com", password, "192.0.2.9").status_code == 303

    def test_a_browser_that_changes_the_password_has_signed_in_with_the_new_one(
        self, bobs: FlaskClient, attack: Any
    ) -> None:
        new = "unrelated lamp thursday rain"
        assert attempt(bobs, password=PASSWORD, address="192.0.2.1").status_code == 303
        attack(8)
        assert self.send(bobs, "/account/password", "/account", old=PASSWORD, new=new).status_code == 303
        bobs.delete_cookie("beckon_session")
        assert attempt(bobs, password=new, address="192.0.2.9").status_code == 303

    def test_a_browser_that_resets_the_password_has_signed_in_with_the_new_one(
        self, bobs: FlaskClient, attack: Any
    ) -> None:
        path = f"/password-resets/{as_service(lambda: password_reset.issue(BOB, audit.SYSTEM))}"
        new, password = bobs.application.test_client(), "unrelated lamp thursday rain"
        assert self.send(new, path, path, password=password).status_code == 200
        attack(8)
        assert attempt(new, password=password, address="192.0.2.9").status_code == 303

    def test_failures_are_counted_and_written_as_those_of_the_form(
        self, bobs: FlaskClient, alice: Producer, invitation: str
    ) -> None:
        before = counted("failed")
        self.accept(bobs.application.test_client(), invitation, password="wrong")
        attempt(bobs, password=PASSWORD, address="192.0.2.1")
        self.send(bobs, "/account/password", "/account", old="wrong", new="unrelated lamp thursday rain")
        bobs.application.extensions["sign_in_failures"].close()
        assert counted("failed") - before == 2
        assert len(failures_written(alice.workspace_id)) == 2

    def test_a_password_that_changes_while_the_person_signs_in_is_no_proof_any_more(
        self, bobs: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        matches = user.password_matches

        def change_meanwhile(*arguments: Any) -> bool:
            answer = matches(*arguments)
            as_service(lambda: user.set_password(str(user.id_of(BOB)), "another password"))
            return answer

        monkeypatch.setattr(user, "password_matches", change_meanwhile)
        answer = attempt(bobs, password=PASSWORD)
        assert (answer.status_code, bobs.get_cookie("beckon_session")) == (409, None)
        assert "Sign in again" in answer.text


class TestAnUnknownAccount:
    """Nothing says whether an account exists."""

    def test_gets_the_same_answers_words_and_delays(self, bobs: FlaskClient, attack: Any) -> None:
        assert [attack(1) + attack(1, NOBODY) for _ in range(6)] == [[401, 401]] * 5 + [[429, 429]]
        pages = []
        for number, email in enumerate((BOB, NOBODY)):
            browser = bobs.application.test_client()
            answer = attempt(browser, email, address=f"192.0.2.{number}")
            text = answer.text.replace(email, "").replace(token_in(answer.text), "")
            cookies = [one.split("=")[0] for one in answer.headers.getlist("Set-Cookie")]
            wait = int(answer.headers["Retry-After"])
            pages.append((answer.status_code, text.replace(f"{wait} s", ""), sorted(answer.headers.keys()), cookies))
            assert 1 <= wait <= 30
        assert pages[0] == pages[1]

    @pytest.mark.parametrize(
        "email", [BOB, NOBODY, "", "x" * 400, "b\x00b@example.com", "BOB@EXAMPLE.COM", " bob@example.com "]
    )
    def test_costs_one_hash_and_no_write_in_the_request(
        self, bobs: FlaskClient, monkeypatch: pytest.MonkeyPatch, email: str
    ) -> None:
        hashed = []
        monkeypatch.setattr(user, "password_matches", lambda *arguments: hashed.append(arguments))
        bobs.application.extensions["sign_in_failures"].close()
        written = []
        monkeypatch.setattr(sign_in_failures.SignInFailures, "add", lambda *arguments: written.append(arguments))
        assert attempt(bobs.application.test_client(), email).status_code == 401
        assert (len(hashed), len(written)) == (1, 1)

    def test_is_limited_by_every_spelling_alike(self, app: flask.Flask) -> None:
        spellings = ["Bob@example.com", " bob@example.com", "BOB@EXAMPLE.COM", "bob@EXAMPLE.com\t", "bOb@example.com"]
        for number, email in enumerate(spellings):
            assert attempt(app.test_client(), email, address=f"192.0.2.{number}").status_code == 401
        assert attempt(app.test_client(), BOB, address="192.0.2.9").status_code == 429

    def test_that_is_too_long_is_wrong_like_any_other(self, bobs: FlaskClient) -> None:
        app = bobs.application
        assert attempt(app.test_client(), BOB, PASSWORD + " " * 1000).status_code == 401
        assert attempt(app.test_client(), "x" * 100_000, "y" * 100_000).status_code == 401


class TestWhatIsWritten:
    """Failures of accounts that exist stand in the audit log of every workspace of the person, but not each of many."""

    def test_a_failure_with_its_address(self, bobs: FlaskClient, alice: Producer) -> None:
        attempt(bobs.application.test_client(), address="192.0.2.7")
        row = eventually(lambda: failures_written(alice.workspace_id))[0]
        assert row["detail"] == {"address": "192.0.2.7", "attempts": 1}
        assert (row["object_kind"], row["actor_kind"]) == ("user", "system")

    def test_a_success_with_its_address(self, bobs: FlaskClient, alice: Producer) -> None:
        attempt(bobs, password=PASSWORD, address="192.0.2.7")
        newest = audit.page(alice.workspace_id, 1)[0]
        assert (newest["action"], newest["detail"]) == ("user.signed_in", {"address": "192.0.2.7"})

    def test_in_every_workspace_of_the_person_and_in_no_other(
        self, bobs: FlaskClient, alice: Producer, charlie: Producer
    ) -> None:
        person = as_service(lambda: user.id_of(BOB))
        as_service(lambda: user.join(charlie.workspace_id, person, "viewer"))
        others = as_service(lambda: workspace.create("others", "Others"))
        attempt(bobs.application.test_client())
        bobs.application.extensions["sign_in_failures"].close()
        written = [len(failures_written(one)) for one in (alice.workspace_id, charlie.workspace_id, others)]
        assert written == [1, 1, 0]

    def test_a_flood_in_a_few_rows_that_say_how_many_there_were(self, bobs: FlaskClient, alice: Producer) -> None:
        failures: SignInFailures = bobs.application.extensions["sign_in_failures"]
        for number in range(500):
            failures.add(BOB, f"192.0.2.{number % 200}")
        failures.close()
        assert len(failures_written(alice.workspace_id)) == 5
        failures._limits = sign_ins.ProcessLimits()
        failures.add(BOB, "192.0.2.1")
        failures.close()
        assert failures_written(alice.workspace_id)[0]["detail"]["attempts"] == 496

    def test_nothing_of_an_unknown_account(self, bobs: FlaskClient, alice: Producer) -> None:
        before = len(audit.page(alice.workspace_id, 100))
        attempt(bobs.application.test_client(), NOBODY)
        bobs.application.extensions["sign_in_failures"].close()
        assert len(audit.page(alice.workspace_id, 100)) == before

    def test_each_attempt_counts_in_the_metric_by_what_became_of_it(self, bobs: FlaskClient, attack: Any) -> None:
        before = {result: counted(result) for result in ("succeeded", "failed", "limited")}
        attack(7)
        attack(1, NOBODY)
        attempt(bobs, password=PASSWORD)
        after = {result: counted(result) - count for result, count in before.items()}
        assert after == {"succeeded": 1, "failed": 6, "limited": 2}


class TestBehindAProxy:
    """Limits and the audit log have the client's address."""

    @pytest.fixture
    def told(self, told: settings.Settings) -> settings.Settings:
        return replace(told, trusted_proxies=(ipaddress.ip_network("10.9.9.9"),))

    def forwarded(self, browser: FlaskClient, client_address: str, peer: str = "10.9.9.9") -> Any:
        headers, peers = {"X-Forwarded-For": client_address}, {"REMOTE_ADDR": peer}
        token = token_in(browser.get("/sign-in").text)
        fields = {"email": BOB, "password": "wrong", "csrf_token": token}
        return browser.post("/sign-in", data=fields, headers=headers, environ_overrides=peers)

    def test_each_client_has_a_limit_of_its_own(self, bobs: FlaskClient, alice: Producer) -> None:
        app = bobs.application
        app.extensions["settings"] = replace(app.extensions["settings"], sign_in_rate=2)
        statuses = [self.forwarded(app.test_client(), "192.0.2.1").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert self.forwarded(app.test_client(), "192.0.2.2").status_code == 401
        rows = eventually(lambda: len(rows := failures_written(alice.workspace_id)) == 3 and rows)
        assert {row["detail"]["address"] for row in rows} == {"192.0.2.1", "192.0.2.2"}

    def test_nobody_escapes_his_limit_by_claiming_addresses(self, bobs: FlaskClient) -> None:
        app = bobs.application
        app.extensions["settings"] = replace(app.extensions["settings"], sign_in_rate=2)
        claimed = [f"192.0.2.{number}" for number in range(4)]
        assert [self.forwarded(app.test_client(), one, "10.1.1.1").status_code for one in claimed] == [401] * 2 + [
            429
        ] * 2
        behind = [f"192.0.2.{number}, 198.51.100.1" for number in range(4)]
        assert [self.forwarded(app.test_client(), one).status_code for one in behind] == [401] * 2 + [429] * 2

    def test_a_whole_network_of_ipv6_is_one_client(self, bobs: FlaskClient) -> None:
        app = bobs.application
        app.extensions["settings"] = replace(app.extensions["settings"], sign_in_rate=2)
        statuses = [self.forwarded(app.test_client(), f"2001:db8::{number}").status_code for number in range(1, 5)]
        assert statuses == [401] * 2 + [429] * 2


class TestWithoutRedis:
    """The process counts for itself: it is neither open to guesses nor closed to people."""

    @pytest.fixture(autouse=True)
    def away(self, tmp_path: object, bobs: FlaskClient) -> Iterator[None]:
        told = bobs.application.extensions["settings"]
        connection.open_ephemeral(replace(told, redis_url=f"unix://{tmp_path}/gone?db=0"))
        yield
        connection.open_ephemeral(told)

    def test_attacks_are_limited_and_the_owner_gets_in(self, bobs: FlaskClient, attack: Any) -> None:
        assert attack(7) == [401] * 5 + [429] * 2
        assert attempt(bobs, password=PASSWORD, address="192.0.2.1").status_code == 303

    def test_an_address_is_limited(self, bobs: FlaskClient) -> None:
        emails = [f"{number}@example.com" for number in range(7)]
        statuses = [attempt(bobs.application.test_client(), email).status_code for email in emails]
        assert statuses == [401] * 5 + [429] * 2


def as_service(act: Any) -> Any:
    """What the dashboard may not do."""
    told = settings.load()
    database.db.close_all()
    database.open_pool(told.database_service_url, "beckon_service", 4)
    answer = act()
    database.db.close_all()
    database.open_pool(told.database_app_url, "beckon_app", 8)
    return answer
