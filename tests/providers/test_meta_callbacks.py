"""Meta's webhooks: each documented kind of event is parsed, in any envelope; anything else is ignored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import meta_callbacks
from providers.base import Callback

IG, PAGE, PERSON = "17841405726653026", "101457812431751", "1570000000000001"
MID = "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQxNDA1NzI2NjUzMDI2"


def read_callbacks(body: Any) -> list[Callback]:
    """Return the callbacks of a whole body."""
    callbacks = [meta_callbacks.read_event(event) for event in meta_callbacks.split_events(body)]
    return [callback for callback in callbacks if callback is not None]


def build_messaging(**event: Any) -> dict[str, Any]:
    """Build a webhook with one messaging event of Instagram."""
    messaging_event = {"sender": {"id": PERSON}, "recipient": {"id": IG}, "timestamp": 1569262485349, **event}
    return {"object": "instagram", "entry": [{"id": IG, "time": 1569262486134, "messaging": [messaging_event]}]}


# The handshake


def test_the_handshake_returns_the_challenge_for_our_token() -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "ours", "hub.challenge": "1158201444"}
    assert meta_callbacks.answer_challenge(query, "ours") == "1158201444"


@pytest.mark.parametrize(
    ("query", "token"),
    [
        ({"hub.mode": "subscribe", "hub.verify_token": "theirs", "hub.challenge": "1"}, "ours"),
        ({"hub.mode": "unsubscribe", "hub.verify_token": "ours", "hub.challenge": "1"}, "ours"),
        ({"hub.mode": "subscribe", "hub.verify_token": "ä", "hub.challenge": "1"}, "ours"),
        ({"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}, ""),
        ({}, "ours"),
    ],
    ids=["another token", "another mode", "no ASCII", "no token is set", "nothing"],
)
def test_the_handshake_rejects_any_other_token(query: dict[str, str], token: str) -> None:
    assert meta_callbacks.answer_challenge(query, token) is None


# The signature


def test_the_signature_is_that_of_the_raw_bytes(sample: Callable[[str], Any]) -> None:
    vector = sample("meta/signature_vector.json")
    raw, signature = vector["body"].encode(), vector["X-Hub-Signature-256"]
    assert meta_callbacks.verify(signature, raw, [vector["app_secret"]])
    assert meta_callbacks.verify(signature, raw, ["another of ours", vector["app_secret"]])
    assert not meta_callbacks.verify(signature, json.dumps(json.loads(raw)).encode(), [vector["app_secret"]])
    assert not meta_callbacks.verify(signature, raw + b" ", [vector["app_secret"]])
    for odd in (signature.upper(), signature[7:], f" {signature}", f"{signature}\n", f"{signature},{signature}",
                "sha256=" + signature[7:].upper()):  # fmt: skip
        assert not meta_callbacks.verify(odd, raw, [vector["app_secret"]])


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha1=00", "sha256=ä", "da03e5168ee0"])
def test_anything_else_is_not_a_signature(signature: str | None) -> None:
    assert not meta_callbacks.verify(signature, b"{}", ["secret"])


def test_without_a_secret_no_signature_is_valid() -> None:
    empty = "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
    assert not meta_callbacks.verify(empty, b"", [""])
    assert not meta_callbacks.verify(empty, b"", [])


# Each documented kind


@pytest.mark.parametrize(
    ("name", "kind", "text", "detail"),
    [
        ("ig_comment_changes_id", "comment", "PRICE please",
         {"username": "customer_one", "mediaId": "17918195224117851"}),
        ("ig_comment_business_login_documented", "comment", "PRICE please",
         {"username": "customer_one", "mediaId": "17918195224117851"}),
        ("ig_comment_facebook_login_documented", "comment", "PRICE please",
         {"username": "customer_one", "mediaId": "17918195224117851", "parentId": "17894227972186000",
          "adId": "120200000000000001"}),
        ("ig_live_comment", "comment", "PRICE please",
         {"username": "customer_one", "mediaId": "17918195224117851", "live": True}),
        ("ig_message_text", "replied", "PRICE", {"as": "message"}),
        ("ig_quick_reply", "replied", "I follow", {"as": "message", "payload": "FOLLOW_CHECK"}),
        ("ig_story_reply", "replied", "love it",
         {"as": "story_reply", "story": {"id": "17853000000000001", "url": "https://lookaside.example/story.jpg"}}),
        ("ig_story_mention", "replied", None,
         {"as": "story_mention",
          "attachments": [{"type": "story_mention", "url": "https://lookaside.example/mention.jpg"}]}),
        ("ig_postback", "replied", "Send me the link", {"as": "postback", "payload": "OPENING_DM_CONTINUE"}),
        ("ig_reaction", "reacted", "❤️", {"as": "reaction"}),
        ("ig_seen", "read", None, {}),
        ("ig_message_edit", "edited", "edited", {"as": "message"}),
        ("ig_message_deleted", "unsent", None, {"as": "message"}),
        ("ig_message_echo", "echo", "our own send", {}),
    ],
)  # fmt: skip
def test_a_webhook_of_instagram_is_parsed(
    sample: Callable[[str], Any], name: str, kind: str, text: str | None, detail: dict[str, Any]
) -> None:
    (callback,) = read_callbacks(sample(f"meta/{name}.json"))
    assert (callback.provider, callback.kind, callback.text) == ("instagram", kind, text)
    assert callback.address == PERSON
    assert callback.detail == {"account": IG, **detail}
    year = 2018 if kind == "comment" else 2019
    assert callback.occurred_at.year == year


@pytest.mark.parametrize(
    ("name", "kind", "text", "detail"),
    [
        ("page_message_text", "replied", "hello, world!", {"as": "message"}),
        ("page_postback", "replied", "<BUTTON_TITLE>", {"as": "postback", "payload": "<DEVELOPER_DEFINED_PAYLOAD>"}),
        ("page_feed_comment", "comment", "PRICE", {"name": "Customer", "mediaId": f"{PAGE}_331881159596299",
                                                   "parentId": f"{PAGE}_331881159596299"}),
    ],
)  # fmt: skip
def test_a_webhook_of_a_page_is_parsed(
    sample: Callable[[str], Any], name: str, kind: str, text: str, detail: dict[str, Any]
) -> None:
    body = sample(f"meta/{name}.json")
    (callback,) = read_callbacks(body)
    assert (callback.provider, callback.kind, callback.text) == ("facebook", kind, text)
    assert callback.address == "6780462125377510"
    assert callback.detail == {"account": body["entry"][0]["id"], **detail}


def test_the_three_formats_of_a_comment_are_one_event(sample: Callable[[str], Any]) -> None:
    forms = ("changes_id", "business_login_documented", "facebook_login_documented")
    callbacks = [read_callbacks(sample(f"meta/ig_comment_{form}.json"))[0] for form in forms]
    assert {(callback.event_id, callback.provider_message_id) for callback in callbacks} == {
        (f"{IG}:comment:17894227972186120", "17894227972186120")
    }


def test_an_echo_has_our_key_and_its_id() -> None:
    (echo,) = read_callbacks(
        build_messaging(
            sender={"id": IG}, recipient={"id": PERSON},
            message={"mid": "m-1", "is_echo": True, "metadata": "exec/hello/0",
                     "attachments": [{"type": "template", "payload": {"text": "Hello"}}]},
        )
    )  # fmt: skip
    assert (echo.kind, echo.provider_message_id, echo.message_key, echo.text) == (
        "echo",
        "m-1",
        "exec/hello/0",
        "Hello",
    )


@pytest.mark.parametrize("text", ["STOP", "stop.", "Unsubscribe", "Arrêt"])
def test_stop_and_equivalent_words_unsubscribe(text: str) -> None:
    (callback,) = read_callbacks(build_messaging(message={"mid": "m-1", "text": text}))
    assert (callback.kind, callback.text) == ("unsubscribed", text)


@pytest.mark.parametrize(
    "message",
    [
        {"text": "Stop", "quick_reply": {"payload": "STOP_TOUR"}},
        {"text": "stop", "reply_to": {"story": {"id": "1", "url": "https://x.test/s"}}},
        {"text": "Cancel"}, {"text": "remove"}, {"text": "stop please"},
    ],
)  # fmt: skip
def test_a_tap_and_the_carriers_words_are_replies(message: dict[str, Any]) -> None:
    (callback,) = read_callbacks(build_messaging(message={"mid": "m-1", **message}))
    assert callback.kind == "replied"


def test_a_message_of_an_unsupported_kind_is_still_a_message() -> None:
    (callback,) = read_callbacks(build_messaging(message={"mid": "m-1", "is_unsupported": True}))
    assert (callback.kind, callback.text, callback.detail["unsupported"]) == ("replied", None, True)


def test_messengers_receipts_have_message_ids_or_a_timestamp() -> None:
    delivered, seen, all_delivered = (
        read_callbacks({**build_messaging(**event), "object": "page"})[0]
        for event in (
            {"delivery": {"mids": ["m-1", "m-2"], "watermark": 1458668856253}},
            {"read": {"watermark": 1458668856253}},
            {"delivery": {"watermark": 1458668856253}},
        )
    )
    assert (delivered.kind, delivered.provider_message_id) == ("delivered", "m-1")
    assert delivered.detail["mids"] == ["m-2"]
    assert (seen.kind, seen.provider_message_id, seen.detail["until"]) == ("read", None, "1458668856253")
    assert (all_delivered.kind, all_delivered.detail["until"]) == ("delivered", "1458668856253")


def test_a_reaction_and_its_removal_have_one_id() -> None:
    put, taken = (
        read_callbacks(build_messaging(timestamp=at, reaction={"mid": MID, "action": action, "emoji": "👍"}))[0]
        for at, action in ((1569262485349, "react"), (1569262486349, "unreact"))
    )
    assert (put.kind, taken.kind) == ("reacted", "unsent")
    assert put.provider_message_id == taken.provider_message_id
    assert put.event_id != taken.event_id


@pytest.mark.parametrize(("verb", "kind"), [("add", "comment"), ("edited", "edited"), ("remove", "unsent")])
def test_a_page_reports_added_edited_and_removed_comments(sample: Callable[[str], Any], verb: str, kind: str) -> None:
    body = sample("meta/page_feed_comment.json")
    body["entry"][0]["changes"][0]["value"]["verb"] = verb
    (callback,) = read_callbacks(body)
    assert (callback.kind, callback.provider_message_id) == (kind, "331881159596299_1735528193537632")


# Ignored events


@pytest.mark.parametrize(
    "event",
    [
        {"message": {"mid": "m-1", "text": "to myself", "is_self": True}},
        {"sender": {"id": IG}, "recipient": {"id": IG}, "message": {"mid": "m-1", "text": "to myself"}},
        {"sender": {"id": IG}, "recipient": {"id": PERSON},
         "message": {"mid": "m-1", "is_echo": True, "is_deleted": True}},
        {"sender": {"id": IG}, "recipient": {"id": PERSON}, "reaction": {"mid": "m-1", "action": "react"}},
        {"sender": {"id": IG}, "recipient": {"id": PERSON}, "postback": {"mid": "m-1", "title": "ours"}},
        {"referral": {"ref": "ad", "source": "ADS"}},
        {"message": {"text": "without an id"}},
        {"message": []},
        {"sender": None, "message": {"mid": "m-1", "text": "from nobody"}},
        {},
    ],
)  # fmt: skip
def test_messages_to_ourselves_and_empty_events_are_ignored(event: dict[str, Any]) -> None:
    assert read_callbacks(build_messaging(**event)) == []


@pytest.mark.parametrize("form", ["changes_id", "business_login_documented", "facebook_login_documented"])
def test_our_own_comment_is_at_most_the_echo_of_a_reply(sample: Callable[[str], Any], form: str) -> None:
    body = json.loads(json.dumps(sample(f"meta/ig_comment_{form}.json")).replace(PERSON, IG))
    # Only this sample is a reply to another comment.
    kinds = ["echo"] if form == "facebook_login_documented" else []
    assert [callback.kind for callback in read_callbacks(body)] == kinds


@pytest.mark.parametrize("verb", ["hide", "unhide", "like", ""])
def test_moderation_of_a_comment_by_the_page_is_ignored(sample: Callable[[str], Any], verb: str) -> None:
    body = sample("meta/page_feed_comment.json")
    body["entry"][0]["changes"][0]["value"]["verb"] = verb
    assert read_callbacks(body) == []


@pytest.mark.parametrize(
    "body",
    [
        None, 5, "x", [], {}, {"object": "user", "entry": [{"id": IG, "changes": []}]},
        {"object": "instagram"}, {"object": "instagram", "entry": None}, {"object": "instagram", "entry": [5, {}]},
        {"object": ["instagram"], "entry": [{}]},
        {"object": "instagram", "entry": [{"id": True, "messaging": [{"message": {"mid": "m"}}]}]},
        {"object": "instagram", "entry": [{"id": IG, "messaging": 5, "changes": "x"}]},
        {"object": "instagram", "entry": [{"id": IG, "field": "comments", "value": []}]},
        {"object": "instagram", "entry": [{"id": IG, "changes": [{"field": ["comments"], "value": {"id": "1"}}]}]},
        {"object": "instagram", "entry": [{"id": IG, "time": 10**400, "changes": [{"field": "story_insights"}]}]},
        {"object": "page", "entry": [{"id": PAGE, "changes": [{"field": "feed", "value": {"item": "post"}}]}]},
    ],
)  # fmt: skip
def test_a_malformed_body_is_ignored(body: Any) -> None:
    assert read_callbacks(body) == []


# Envelopes


def test_a_batch_is_split_in_the_order_of_its_times() -> None:
    later, earlier = (
        build_messaging(timestamp=at, message={"mid": mid, "text": mid})
        for mid, at in (("later", 1569262485350), ("earlier", 1569262485349))
    )
    both = {"object": "instagram", "entry": [*later["entry"], *earlier["entry"]]}
    both["entry"][0]["changes"] = [
        {"field": "comments", "value": {"id": "c", "from": {"id": PERSON}, "text": "at the time of its entry"}}
    ]
    assert [callback.provider_message_id for callback in read_callbacks(both)] == ["earlier", "later", "c"]


def test_a_list_of_one_object_equals_the_object(sample: Callable[[str], Any]) -> None:
    body = sample("meta/ig_message_text.json")
    assert read_callbacks([body]) == read_callbacks(body)
    assert read_callbacks({**body, "entry": body["entry"][0]}) == read_callbacks(body)


def test_numeric_ids_become_strings() -> None:
    body = build_messaging(sender={"id": int(PERSON)}, message={"mid": 5, "text": "hi"})
    body["entry"][0]["id"] = int(IG)
    (callback,) = read_callbacks(body)
    assert (callback.address, callback.provider_message_id, callback.detail["account"]) == (PERSON, "5", IG)


def test_a_split_event_can_be_parsed_alone(sample: Callable[[str], Any]) -> None:
    """Each event is stored on its own and parsed later."""
    for name in ("ig_comment_business_login_documented", "ig_story_reply", "page_feed_comment"):
        (single,) = meta_callbacks.split_events(sample(f"meta/{name}.json"))
        assert [meta_callbacks.read_event(json.loads(json.dumps(single)))] == read_callbacks(
            sample(f"meta/{name}.json")
        )
