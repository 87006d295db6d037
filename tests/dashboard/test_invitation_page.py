"""The pages of invitations and password resets: who a link admits, and what it does not reveal."""

from __future__ import annotations

import json
import re
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

import settings
from models import database, invitation, password_reset
from models.audit import SYSTEM
from sandbox.server import RunningSandbox
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_access import add_person, read_token, sign_in
from tests.support.engine_fixtures import shared_sandbox

__all__ = ["shared_sandbox"]

NEW_PASSWORD = "unrelated lamp thursday rain"
DORA = {"name": "Dora", "password": NEW_PASSWORD}
BOB = {"email": "bob@example.com", "password": PASSWORD}


def invite(producer: Producer, email: str = "dora@example.com", role: str = "operator") -> str:
    """The path of the link that the inviter sees."""
    response = producer.post("/api/invitations", {"email": email, "role": role})
    assert response.status_code == 201, response.json
    return str(response.json["invitation"]["url"]).removeprefix("http://localhost")


def send(browser: FlaskClient, path: str, way: str, **more: Any) -> Any:
    """Submit a form of the page."""
    fields = {"csrf_token": read_token(browser.get(path).text), **more.pop("data")}
    return browser.post(f"{path}/{way}" if way else path, data=fields, **more)


def fetch_roles(producer: Producer) -> dict[str | None, str]:
    return {member["email"]: member["role"] for member in producer.get("/api/members").json["members"]}


def is_valid_link(browser: FlaskClient, path: str) -> bool:
    return browser.get(path).status_code == 200


@pytest.fixture
def browser(app: flask.Flask, workspaces: Any) -> FlaskClient:
    """A browser without a session."""
    return app.test_client()


def test_the_page_shows_workspace_inviter_and_role(alice: Producer, browser: FlaskClient) -> None:
    page = browser.get(invite(alice))
    assert page.status_code == 200
    for text in ("Alice&#39;s shop", "operator", "alice&#39;s shop", "UTC", "Create account", "Sign in and accept"):
        assert text in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


def test_a_new_person_creates_an_account_and_is_signed_in(alice: Producer, browser: FlaskClient) -> None:
    path = invite(alice)
    assert fetch_roles(alice) == {}
    response = send(browser, path, "account", data=DORA)
    assert (response.status_code, response.headers["Location"]) == (303, "/overview")
    assert fetch_roles(alice) == {"dora@example.com": "operator"}
    page = browser.get("/automations")
    assert page.status_code == 200
    assert "Dora (Operator)" in page.text
    assert not is_valid_link(browser, path)
    browser.post("/sign-out", data={"csrf_token": read_token(page.text)})
    assert sign_in(browser, "dora@example.com", NEW_PASSWORD).status_code == 303


def test_the_page_is_the_same_for_existing_and_unknown_addresses(
    alice: Producer, charlie: Producer, browser: FlaskClient
) -> None:
    add_person(charlie.workspace_id, "owner")
    pages = []
    for email in ("bob@example.com", "dora@example.com"):
        path = invite(alice, email)
        text = browser.get(path).text.replace(email, "…").replace(path, "…")
        pages.append(re.sub(r'(<time [^>]*>[^<]*|csrf_token" value="[^"]*)', "", text))
    assert pages[0] == pages[1]


def test_the_unmailed_link_creates_no_second_account_for_an_address(
    alice: Producer, charlie: Producer, browser: FlaskClient
) -> None:
    add_person(charlie.workspace_id, "viewer")
    path = invite(alice, "bob@example.com", "owner")
    response = send(browser, path, "account", data={"name": "Mallory", "password": NEW_PASSWORD})
    assert response.status_code == 409
    assert "Sign in to accept" in response.text
    assert "beckon_session" not in str(response.headers)
    assert fetch_roles(alice) == {}
    assert sign_in(browser, password=NEW_PASSWORD).status_code == 401
    assert sign_in(browser).status_code == 303
    assert "Bob (Viewer)" in browser.get("/automations").text


def test_a_person_signs_in_and_accepts(alice: Producer, charlie: Producer, browser: FlaskClient) -> None:
    add_person(charlie.workspace_id, "viewer")
    path = invite(alice, "bob@example.com", "operator")
    wrong = send(browser, path, "sign-in", data={**BOB, "password": "wrong"})
    assert (wrong.status_code, fetch_roles(alice)) == (401, {})
    unknown = send(browser, path, "sign-in", data={**BOB, "email": "nobody@example.com"})
    assert unknown.status_code == 401
    strip = lambda text: re.sub(r'value="[^"]*"', "", text)  # noqa: E731
    assert strip(unknown.text) == strip(wrong.text)
    assert send(browser, path, "sign-in", data=BOB).status_code == 303
    assert fetch_roles(alice) == {"bob@example.com": "operator"}
    assert "Bob (Operator)" in browser.get("/automations").text
    assert fetch_roles(charlie) == {"bob@example.com": "viewer"}


def test_a_person_who_is_signed_in_accepts_an_invitation_of_another_address(
    alice: Producer, charlie: Producer, browser: FlaskClient
) -> None:
    add_person(charlie.workspace_id, "viewer")
    sign_in(browser)
    former = browser.get_cookie("beckon_session")
    path = invite(alice, "robert@example.com", "operator")
    assert "Accept as bob@example.com" in browser.get(path).text
    assert send(browser, path, "accept", data={}).status_code == 303
    assert fetch_roles(alice) == {"bob@example.com": "operator"}
    assert "Alice&#39;s shop" in browser.get("/automations").text
    assert former is not None
    browser.set_cookie("beckon_session", former.value)
    assert browser.get("/api/contacts").status_code == 401


def test_a_person_without_a_workspace_can_accept(alice: Producer, charlie: Producer, browser: FlaskClient) -> None:
    add_person(charlie.workspace_id, "viewer")
    member = charlie.get("/api/members").json["members"][0]["id"]
    charlie.request("DELETE", f"/api/members/{member}")
    assert sign_in(browser).status_code == 401
    assert send(browser, invite(alice, "bob@example.com"), "sign-in", data=BOB).status_code == 303
    assert fetch_roles(alice) == {"bob@example.com": "operator"}


def test_a_member_who_accepts_again_changes_nothing(alice: Producer, browser: FlaskClient) -> None:
    add_person(alice.workspace_id, "owner")
    path = invite(alice, "alias@example.com", "viewer")
    response = send(browser, path, "sign-in", data=BOB)
    assert response.status_code == 409
    assert "already a member of Alice&#39;s shop" in response.text
    assert fetch_roles(alice) == {"bob@example.com": "owner"}


def create_dead_links(alice: Producer, browser: FlaskClient) -> dict[str, str]:
    """The path of an invalid link, by reason."""
    used, revoked, replaced = invite(alice, "a@example.com"), invite(alice, "b@example.com"), invite(alice)
    send(browser, used, "account", data=DORA)
    browser.delete_cookie("beckon_session")
    invite(alice)
    for row in alice.get("/api/invitations").json["invitations"]:
        if row["email"] == "b@example.com":
            alice.request("DELETE", f"/api/invitations/{row['id']}")
    return {
        "used": used, "revoked": revoked, "replaced": replaced, "unknown": f"/invitations/{'A' * 43}",
        "short": "/invitations/x", "long": f"/invitations/{'A' * 4000}", "strange": "/invitations/%00%ff'--",
    }  # fmt: skip


def test_every_invalid_link_gets_the_same_page(alice: Producer, browser: FlaskClient) -> None:
    responses = {}
    for why, path in create_dead_links(alice, browser).items():
        page = browser.get(path)
        assert page.headers["Referrer-Policy"] == "no-referrer", why
        responses[why] = (page.status_code, page.text)
    assert {status for status, _ in responses.values()} == {404}
    assert len(set(responses.values())) == 1


@pytest.mark.parametrize("way", ["account", "sign-in", "accept"])
def test_an_invalid_link_accepts_nothing(alice: Producer, browser: FlaskClient, way: str) -> None:
    add_person(alice.workspace_id, "viewer")
    paths = create_dead_links(alice, browser)
    living = invite(alice, "living@example.com")
    token = read_token(browser.get(living).text)
    before = fetch_roles(alice)
    for why, path in paths.items():
        response = browser.post(f"{path}/{way}", data={"csrf_token": token, **BOB, **DORA})
        assert response.status_code == 404, why
        assert response.headers["Referrer-Policy"] == "no-referrer", why
    assert fetch_roles(alice) == before


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "short"}, "at least 12"),
        ({"password": "password1234"}, "too easy"),
        ({"password": "dora@example.com"}, "too easy"),
        ({"password": "Wolpertinger-Xyq", "name": "Xyq Wolpertinger"}, "too easy"),
        ({"password": "lamp rain " * 30}, "at most 256"),
        ({"name": " "}, "Enter a name"),
        ({"name": "x" * 201}, "one line"),
        ({"name": "a\nb"}, "one line"),
    ],
)
def test_an_invalid_password_or_name_keeps_the_link_valid(
    alice: Producer, browser: FlaskClient, fields: dict[str, str], words: str
) -> None:
    path = invite(alice)
    response = send(browser, path, "account", data={**DORA, **fields})
    assert response.status_code == 422
    assert words in response.text
    (password_field,) = re.findall(r'<input name="password"[^>]*minlength[^>]*>', response.text)
    assert "value" not in password_field
    assert is_valid_link(browser, path)


@pytest.mark.parametrize("way", ["account", "sign-in", "accept"])
def test_another_site_accepts_nothing(alice: Producer, charlie: Producer, browser: FlaskClient, way: str) -> None:
    add_person(charlie.workspace_id, "viewer")
    sign_in(browser)
    path = invite(alice)
    fields = {**DORA, **BOB}
    assert browser.post(f"{path}/{way}", data=fields).status_code == 403
    for headers in ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {"Origin": "https://evil.example"}):
        response = send(browser, path, way, data=fields, headers=headers)
        assert response.status_code == 403
        assert response.headers["Referrer-Policy"] == "no-referrer"
    assert fetch_roles(alice) == {}


def test_a_form_of_a_page_without_referrer_has_no_origin(alice: Producer, browser: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
    assert send(browser, invite(alice), "account", data=DORA, headers=headers).status_code == 303


def test_guesses_on_the_page_share_the_limits_of_sign_ins(
    alice: Producer, charlie: Producer, browser: FlaskClient
) -> None:
    add_person(charlie.workspace_id, "viewer")
    path = invite(alice)
    statuses = [send(browser, path, "sign-in", data={**BOB, "password": "x"}).status_code for _ in range(3)]
    statuses += [sign_in(browser, password="x").status_code for _ in range(2)]
    refused = send(browser, path, "sign-in", data=BOB)
    assert statuses == [401] * 5
    assert (refused.status_code, fetch_roles(alice)) == (429, {})
    assert int(refused.headers["Retry-After"]) > 0


def test_guesses_at_many_accounts_from_one_address_are_limited(alice: Producer, browser: FlaskClient) -> None:
    path = invite(alice)
    fields = [{"email": f"{number}@example.com", "password": "x"} for number in range(6)]
    assert [send(browser, path, "sign-in", data=form).status_code for form in fields] == [401] * 5 + [429]


def test_guesses_at_one_account_from_many_addresses_are_limited(alice: Producer, browser: FlaskClient) -> None:
    path = invite(alice)
    guess = {**BOB, "password": "x"}
    peers = [{"REMOTE_ADDR": f"192.0.2.{number}"} for number in range(6)]
    statuses = [send(browser, path, "sign-in", data=guess, environ_base=peer).status_code for peer in peers]
    assert statuses == [401] * 5 + [429]


def test_new_accounts_share_the_limit_of_sign_ins(alice: Producer, charlie: Producer, browser: FlaskClient) -> None:
    path = invite(alice)
    for number in range(5):
        sign_in(browser, f"{number}@example.com", "x")
    response = send(browser, path, "account", data=DORA)
    assert (response.status_code, fetch_roles(alice)) == (429, {})
    assert int(response.headers["Retry-After"]) > 0
    assert is_valid_link(browser, path)


def test_the_token_is_in_no_log_line_and_no_referrer(
    alice: Producer, browser: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    path = invite(alice)
    token = path.rsplit("/", 1)[1]
    page = browser.get(path)
    responses = [
        page, send(browser, path, "sign-in", data={**BOB, "password": "x"}), browser.post(f"{path}/account"),
        send(browser, path, "account", data=DORA), browser.get(path), browser.get("/automations"),
    ]  # fmt: skip
    logged = capsys.readouterr()
    assert "/invitations/<token>" in logged.out
    assert token not in logged.out + logged.err
    for response in responses:
        assert token not in str(response.headers)
    assert "next=" not in page.text
    assert token not in responses[-1].text
    assert token not in alice.get("/api/audit").text


def run_as_service(change: Any) -> Any:
    """Run a function with the service role."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 2)
    result = change()
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)
    return result


class TestMailedLink:
    """The mailed link."""

    @pytest.fixture
    def config(self, shared_sandbox: RunningSandbox) -> settings.Settings:
        shared_sandbox.clear()
        return settings.load().replace(mailgun_api_key="key-of-the-tests", mailgun_domain="mg.example.com",
            mailgun_base_url=shared_sandbox.url,
        )  # fmt: skip

    def find_mailed_path(self, sandbox: RunningSandbox, email: str) -> str:
        mail = sandbox.list_messages("mailgun", email)[-1]
        (url,) = re.findall(r"http://localhost(/invitations/[\w-]{43})", json.dumps(mail["body"]))
        return str(url)

    def test_an_unverified_account_loses_its_address(
        self, alice: Producer, charlie: Producer, browser: FlaskClient, app: flask.Flask, shared_sandbox: RunningSandbox
    ) -> None:
        add_person(charlie.workspace_id, "owner")
        squatter = app.test_client()
        sign_in(squatter)
        invite(alice, "bob@example.com", "viewer")
        path = self.find_mailed_path(shared_sandbox, "bob@example.com")
        response = send(browser, path, "account", data={"name": "The real Bob", "password": NEW_PASSWORD})
        assert response.status_code == 303
        assert squatter.get("/api/contacts").status_code == 401
        assert sign_in(squatter).status_code == 401
        assert fetch_roles(charlie) == {None: "owner"}
        assert fetch_roles(alice) == {"bob@example.com": "viewer"}
        assert "The real Bob (Viewer)" in browser.get("/automations").text

    def test_a_verified_account_must_sign_in(
        self, alice: Producer, charlie: Producer, browser: FlaskClient, shared_sandbox: RunningSandbox
    ) -> None:
        invite(alice)
        send(browser, self.find_mailed_path(shared_sandbox, "dora@example.com"), "account", data=DORA)
        browser.delete_cookie("beckon_session")
        invite(charlie)
        path = self.find_mailed_path(shared_sandbox, "dora@example.com")
        taken = send(browser, path, "account", data={"name": "Mallory", "password": "another lamp thursday rain"})
        assert (taken.status_code, fetch_roles(charlie)) == (409, {})
        fields = {"email": "dora@example.com", "password": NEW_PASSWORD}
        assert send(browser, path, "sign-in", data=fields).status_code == 303
        assert fetch_roles(charlie) == {"dora@example.com": "operator"}


class TestPasswordReset:
    """The link that the command prints."""

    @pytest.fixture
    def path(self, alice: Producer) -> str:
        add_person(alice.workspace_id, "operator")
        return f"/password-resets/{run_as_service(lambda: password_reset.issue('bob@example.com', SYSTEM))}"

    def test_the_person_sets_a_new_password_once(self, path: str, browser: FlaskClient, app: flask.Flask) -> None:
        elsewhere = app.test_client()
        sign_in(elsewhere)
        page = browser.get(path)
        assert (page.status_code, page.headers["Referrer-Policy"]) == (200, "no-referrer")
        response = send(browser, path, "", data={"password": NEW_PASSWORD})
        assert response.status_code == 200
        assert elsewhere.get("/api/contacts").status_code == 401
        assert browser.get(path).status_code == 404
        assert sign_in(browser).status_code == 401
        assert sign_in(browser, password=NEW_PASSWORD).status_code == 303

    def test_a_common_password_is_rejected_and_the_link_stays_valid(self, path: str, browser: FlaskClient) -> None:
        for password in ("short", "password1234", "bob@example.com"):
            assert send(browser, path, "", data={"password": password}).status_code == 422
        assert is_valid_link(browser, path)

    def test_another_site_and_an_invalid_link_set_nothing(self, path: str, browser: FlaskClient) -> None:
        assert browser.post(path, data={"password": NEW_PASSWORD}).status_code == 403
        token = read_token(browser.get(path).text)
        dead = browser.post("/password-resets/x", data={"password": NEW_PASSWORD, "csrf_token": token})
        assert dead.status_code == 404
        assert dead.headers["Referrer-Policy"] == "no-referrer"
        assert sign_in(browser).status_code == 303

    def test_the_token_is_in_no_log_line(
        self, path: str, browser: FlaskClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        send(browser, path, "", data={"password": NEW_PASSWORD})
        logged = capsys.readouterr()
        assert "/password-resets/<token>" in logged.out
        assert path.rsplit("/", 1)[1] not in logged.out + logged.err


def test_a_second_account_for_a_new_address_is_a_conflict(
    alice: Producer, charlie: Producer, browser: FlaskClient
) -> None:
    first, second = invite(alice), invite(charlie)
    assert send(browser, first, "account", data=DORA).status_code == 303
    browser.delete_cookie("beckon_session")
    assert send(browser, second, "account", data=DORA).status_code == 409
    assert invitation.find(second.rsplit("/", 1)[1]) is not None
