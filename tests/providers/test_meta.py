"""Messenger and Instagram: the class of each code, replies to a comment, and the follow check."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import meta, meta_errors, responses
from providers.base import Account, Button, OutgoingMessage, Receipt
from providers.registry import SENDERS, build_sandbox_account
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    NetworkError,
    ProviderUnavailable,
    RateLimited,
    UnknownOutcome,
    WindowClosed,
)
from sandbox.server import RunningSandbox

ACCOUNT = Account("instagram", "https://graph.facebook.com/v25.0", {"META_PAGE_ACCESS_TOKEN": "hushhush-0123456789"})
CHANNELS = pytest.mark.parametrize("channel", ["facebook", "instagram"])

#: Each row of the table: code, subcode, error class, and whether it suppresses the contact.
ROWS: list[tuple[int, int | None, type[ExecutionError], bool]] = [
    *((code, None, RateLimited, False) for code in (4, 17, 32, 613, 80001, 80002, 80006)),
    (613, 1996, RateLimited, False),
    (613, 2534040, RateLimited, False),
    (190, None, ConfigurationError, False),
    (190, 458, ConfigurationError, False),
    (190, 460, ConfigurationError, False),
    (190, 463, ConfigurationError, False),
    (10, 2018278, WindowClosed, False),
    (10, 2534022, WindowClosed, False),
    (10, 2018065, WindowClosed, False),
    (3, None, ConfigurationError, False),
    (10, None, ConfigurationError, False),
    (200, None, ConfigurationError, False),
    (200, 2534041, ConfigurationError, False),
    (10, 1893063, ConfigurationError, False),
    (100, 2534029, ConfigurationError, False),
    (551, None, Blocked, True),
    (551, 1545041, Blocked, True),
    (200, 1545041, Blocked, True),
    (10, 2018108, Blocked, True),
    (100, 2534014, InvalidRequest, False),
    (100, 2018001, InvalidRequest, False),
    (100, None, InvalidRequest, False),
    (100, 33, InvalidRequest, False),
    (100, 2018047, InvalidRequest, False),
    (100, 2534001, InvalidRequest, False),
]


def classify(
    body: Any, status: int = 400, headers: dict[str, str] | None = None, effect: bool = True
) -> ExecutionError:
    response = responses.Response(status, headers or {}, json.dumps(body).encode())
    return meta_errors.classify_error(ACCOUNT, "Instagram", response, effect=effect)


def build_error(code: int, subcode: int | None = None, **more: Any) -> dict[str, Any]:
    details = {"message": "No", "type": "OAuthException", "code": code, "fbtrace_id": "Fz54k3GZrio", **more}
    return {"error": {**details, "error_subcode": subcode} if subcode else details}


def send(sandbox: RunningSandbox, channel: str, **more: Any) -> Receipt:
    fields = {"key": "exec-1/hello/0", "to": "1570000000000001", "body": "Hello Ada", **more}
    return SENDERS[channel].send(build_sandbox_account(channel, sandbox.url), OutgoingMessage(**fields))


@pytest.mark.parametrize(("code", "subcode", "expected", "suppresses"), ROWS)
@pytest.mark.parametrize("status", [400, 403, 500])
def test_every_code_has_its_class_whatever_its_status(
    code: int, subcode: int | None, expected: type[ExecutionError], suppresses: bool, status: int
) -> None:
    error = classify(build_error(code, subcode), status)

    assert type(error) is expected
    assert error.suppress_channel is suppresses
    assert error.provider_code == (f"{code}/{subcode}" if subcode else str(code))


def test_no_row_of_the_table_is_untested() -> None:
    tested = {(None if subcode == 2534001 else code, subcode) for code, subcode, _, _ in ROWS}
    assert tested == set(meta_errors.ERROR_RULES)


def test_an_unknown_subcode_has_the_class_of_its_code() -> None:
    assert isinstance(classify(build_error(190, 99)), ConfigurationError)
    assert isinstance(classify(build_error(10, 99)), ConfigurationError)


@pytest.mark.parametrize(("code", "subcode"), [(1, None), (1, 1357046), (2, None), (2, 1545133)])
def test_metas_internal_error_on_a_send_is_an_unknown_outcome(code: int, subcode: int | None) -> None:
    assert isinstance(classify(build_error(code, subcode), 500), UnknownOutcome)
    assert isinstance(classify(build_error(code, subcode), 400), UnknownOutcome)
    assert isinstance(classify(build_error(code, subcode), 500, effect=False), ProviderUnavailable)


def test_an_unknown_transient_code_is_not_a_rejection() -> None:
    assert isinstance(classify(build_error(99999, is_transient=True)), UnknownOutcome)
    assert isinstance(classify(build_error(99999)), InvalidRequest)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("100_attachment", InvalidRequest),
        ("10_window_instagram", WindowClosed),
        ("10_window_messenger", WindowClosed),
        ("190_expired", ConfigurationError),
        ("200_permissions", ConfigurationError),
        ("32_page_limit", RateLimited),
        ("4_app_limit", RateLimited),
        ("551_unavailable", Blocked),
        ("613", RateLimited),
        ("80002_instagram_buc", RateLimited),
    ],
)
def test_the_samples_of_errors_are_classified(
    sample: Callable[[str], Any], name: str, expected: type[ExecutionError]
) -> None:
    error = classify(sample(f"meta/error_{name}.json"))

    assert type(error) is expected
    assert "fbtrace_id Fz54k3GZrio" in error.message


def test_a_long_error_still_contains_the_trace_id() -> None:
    assert "fbtrace_id Fz54k3GZrio" in classify(build_error(100, message="x" * 5000)).message


@pytest.mark.parametrize("body", [[], {}, {"error": []}, {"error": {"code": "190"}}, {"error": {"code": True}}])
def test_a_malformed_error_is_classified(body: Any) -> None:
    assert isinstance(classify(body, 401), ConfigurationError)
    assert isinstance(classify(body, 404), InvalidRequest)
    assert isinstance(classify(body, 502), UnknownOutcome)


def test_a_throttle_lasts_for_the_minutes_in_the_usage_header(sample: Callable[[str], Any]) -> None:
    header = json.dumps(sample("meta/header_x_business_use_case_usage.json"))

    limited = classify(build_error(80002), headers={"X-Business-Use-Case-Usage": header})

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 19 * 60


def test_a_throttle_without_a_known_end_waits_for_a_minute() -> None:
    assert classify(build_error(613)).retry_after == meta_errors.THROTTLE_WAIT_SECONDS


@pytest.mark.parametrize(
    ("headers", "percent", "regain"),
    [
        ({}, 0, None),
        ({"X-App-Usage": '{"call_count":28,"total_time":81,"total_cputime":25}'}, 81, None),
        ({"X-Business-Use-Case-Usage": '{"1":[{"type":"pages","call_count":95}]}'}, 95, None),
        ({"X-Business-Use-Case-Usage": '{"1":[{"type":"ads_management","call_count":100}]}'}, 0, None),
        (
            {
                "X-App-Usage": '{"call_count":90}',
                "X-Business-Use-Case-Usage": '{"1":[{"type":"messenger","call_count":10,'
                '"estimated_time_to_regain_access":2}],"2":[{"type":"instagram","total_cputime":100,'
                '"estimated_time_to_regain_access":3}]}',
            },
            100,
            180,
        ),
        ({"X-App-Usage": "nonsense", "X-Business-Use-Case-Usage": "[1]"}, 0, None),
        ({"X-App-Usage": '{"call_count":"many","total_time":null}', "X-Business-Use-Case-Usage": '{"1":5}'}, 0, None),
        ({"X-Business-Use-Case-Usage": '{"1":[{"type":"pages","estimated_time_to_regain_access":NaN}]}'}, 0, None),
    ],
)
def test_the_limit_with_the_highest_usage_counts(headers: dict[str, str], percent: float, regain: float | None) -> None:
    assert meta_errors.read_usage(responses.Response(200, headers, b"{}")) == meta_errors.Usage(percent, regain)


def test_a_receipt_has_the_usage_of_the_limits(scripted_server: Callable[..., Any]) -> None:
    body = b'{"recipient_id":"1","message_id":"m1"}'

    def script(server: Any, sock: Any) -> None:
        server.read(sock)
        head = b'HTTP/1.1 200 OK\r\nX-App-Usage: {"call_count":85}\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'
        sock.sendall(head % len(body) + body)

    account = Account("facebook", scripted_server(script).url, {"META_PAGE_ACCESS_TOKEN": "x"})

    receipt = meta.FACEBOOK.send(account, OutgoingMessage("k", "1", "Hello"))

    assert receipt == Receipt("m1", {"usagePercent": 85.0, "regainSeconds": None})


def test_a_direct_message_in_messenger_is_a_response_with_our_key(sandbox: RunningSandbox) -> None:
    send(sandbox, "facebook", to="6780462125377510")

    sent = sandbox.list_messages("facebook", "6780462125377510")[0]
    assert sent["path"] == "/v25.0/100000000000001/messages"
    assert sent["headers"]["authorization"] == "***"
    assert sent["body"] == {
        "recipient": {"id": "6780462125377510"},
        "message": {"text": "Hello Ada", "metadata": "exec-1/hello/0"},
        "messaging_type": "RESPONSE",
    }


def test_instagram_sends_from_the_account_of_the_message(sandbox: RunningSandbox) -> None:
    send(sandbox, "instagram", sender="17841405726653026")

    sent = sandbox.list_messages("instagram", "1570000000000001")[0]
    assert sent["path"] == "/v25.0/17841405726653026/messages"
    assert "messaging_type" not in sent["body"]


def test_without_an_account_the_page_of_the_token_sends() -> None:
    url = meta.FACEBOOK._build_url(
        Account("facebook", "https://graph.facebook.com/v25.0/", {}), OutgoingMessage("k", "1", "x")
    )
    assert url == "https://graph.facebook.com/v25.0/me/messages"


@CHANNELS
def test_a_private_reply_goes_to_the_comment(sandbox: RunningSandbox, channel: str) -> None:
    receipt = send(sandbox, channel, to="17894227972186120", kind="private_reply")

    sent = sandbox.list_messages(channel, "17894227972186120")[0]
    assert sent["body"]["recipient"] == {"comment_id": "17894227972186120"}
    assert receipt.provider_message_id == sent["id"]


@CHANNELS
def test_a_second_private_reply_to_a_comment_counts_as_sent(sandbox: RunningSandbox, channel: str) -> None:
    send(sandbox, channel, to="17894227972186120", kind="private_reply")

    second = send(sandbox, channel, to="17894227972186120", kind="private_reply")

    assert second == Receipt(None, {"alreadySent": True})
    assert len(sandbox.list_messages(channel)) == 1


@pytest.mark.parametrize(("channel", "edge"), [("facebook", "comments"), ("instagram", "replies")])
def test_a_public_reply_is_posted_under_the_comment(sandbox: RunningSandbox, channel: str, edge: str) -> None:
    receipt = send(sandbox, channel, to="331881159596299_1735528193537632", kind="comment_reply")

    sent = sandbox.list_messages(channel, "331881159596299_1735528193537632")[0]
    assert sent["path"] == f"/v25.0/331881159596299_1735528193537632/{edge}"
    assert sent["body"] == {"message": "Hello Ada"}
    assert receipt.provider_message_id == sent["id"]


def test_an_id_is_quoted_in_the_path(sandbox: RunningSandbox) -> None:
    send(sandbox, "instagram", to="../me?x=1", kind="comment_reply")
    assert sandbox.list_messages("instagram", "../me?x=1")[0]["path"] == "/v25.0/..%2Fme%3Fx%3D1/replies"


@CHANNELS
def test_buttons_are_a_template_around_the_text(sandbox: RunningSandbox, channel: str) -> None:
    buttons = (Button("Send me the link", "SEND"), Button("Shop", url="https://example.com/"), Button("Stop"))

    send(sandbox, channel, buttons=buttons)

    message = sandbox.list_messages(channel)[0]["body"]["message"]
    assert "text" not in message
    assert message["attachment"]["payload"] == {
        "template_type": "button",
        "text": "Hello Ada",
        "buttons": [
            {"type": "postback", "title": "Send me the link", "payload": "SEND"},
            {"type": "web_url", "title": "Shop", "url": "https://example.com/"},
            {"type": "postback", "title": "Stop", "payload": "Stop"},
        ],
    }


@CHANNELS
def test_quick_replies_are_sent_beside_the_text(sandbox: RunningSandbox, channel: str) -> None:
    send(sandbox, channel, quick_replies=("I follow", "Not yet"))

    message = sandbox.list_messages(channel)[0]["body"]["message"]
    assert message["text"] == "Hello Ada"
    assert message["quick_replies"] == [
        {"content_type": "text", "title": "I follow", "payload": "I follow"},
        {"content_type": "text", "title": "Not yet", "payload": "Not yet"},
    ]


@CHANNELS
def test_an_empty_text_is_not_sent(sandbox: RunningSandbox, channel: str) -> None:
    with pytest.raises(InvalidRequest):
        send(sandbox, channel, body=" \n")
    assert sandbox.list_messages() == []


def check_follow(sandbox: RunningSandbox, person: str) -> meta.FollowStatus:
    return meta.check_follow(build_sandbox_account("instagram", sandbox.url), person)


@pytest.mark.parametrize(("person", "following"), [("1570000000000001", True), ("1570000000000002", False)])
def test_a_person_follows_or_does_not(sandbox: RunningSandbox, person: str, following: bool) -> None:
    assert check_follow(sandbox, person) == meta.FollowStatus(following)
    assert sandbox.list_messages() == []


def test_the_follow_status_is_unknown_without_a_message(sandbox: RunningSandbox) -> None:
    status = check_follow(sandbox, "a-commenter")

    assert status.following is None
    assert "consent" in (status.reason or "")


@pytest.mark.parametrize(("code", "subcode"), [(10, None), (200, None), (100, 2018001), (551, None), (230, None)])
def test_a_rejected_profile_is_unknown_rather_than_a_failure(
    sandbox: RunningSandbox, code: int, subcode: int | None
) -> None:
    sandbox.add_fault("instagram", "refused", code=code, subcode=subcode, match={"call": "look_up"})
    assert check_follow(sandbox, "1570000000000001").following is None


def test_a_profile_without_the_field_is_unknown(scripted_server: Callable[..., Any]) -> None:
    def script(server: Any, sock: Any) -> None:
        server.read(sock)
        sock.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 16\r\n\r\n{"username":"a"}')

    account = Account("instagram", scripted_server(script).url, {"META_PAGE_ACCESS_TOKEN": "x"})
    assert meta.check_follow(account, "1").following is None


@pytest.mark.parametrize("fault", ["http_500", "http_429", "reset_before"])
def test_a_profile_is_attempted_up_to_three_times(sandbox: RunningSandbox, fault: str) -> None:
    sandbox.add_fault("instagram", fault, times=2, seconds=0, match={"call": "look_up"})
    assert check_follow(sandbox, "1570000000000001").following is True


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("http_500", ProviderUnavailable),
        ("http_429", RateLimited),
        ("reset_before", NetworkError),
        ("auth", ConfigurationError),
    ],
)
def test_a_permanent_fault_is_raised(sandbox: RunningSandbox, fault: str, expected: type[ExecutionError]) -> None:
    sandbox.add_fault("instagram", fault, times=0, seconds=0, match={"call": "look_up"})
    with pytest.raises(expected):
        check_follow(sandbox, "1570000000000001")


@CHANNELS
@pytest.mark.parametrize(
    ("code", "subcode", "expected"),
    [(10, 2018278, WindowClosed), (551, 1545041, Blocked), (190, 463, ConfigurationError)],
)
def test_the_sandbox_rejects_with_the_requested_code(
    sandbox: RunningSandbox, channel: str, code: int, subcode: int, expected: type[ExecutionError]
) -> None:
    sandbox.add_fault(channel, "refused", code=code, subcode=subcode)

    with pytest.raises(expected) as error:
        send(sandbox, channel)

    assert error.value.provider_code == f"{code}/{subcode}"
    assert sandbox.list_messages() == []
