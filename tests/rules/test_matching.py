"""Which comment or message starts which automation."""

from __future__ import annotations

from typing import Any

import pytest

from rules.definition import WorkflowTrigger
from rules.matching import Match, contains_keyword, match


def build_trigger(**with_: Any) -> WorkflowTrigger:
    return WorkflowTrigger("instagram.message", None, with_)


def build_payload(text: str, **comment: Any) -> dict[str, Any]:
    return {"comment": {"text": text, **comment}} if comment else {"message": {"text": text}}


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("PRICE please", "price"), ("what's the Price?", "PRICE"), ("#price", "price"), ("price", " price "),
        ("STRASSE", "straße"), ("café", "cafe\u0301"), ("I want the price list now", "price list"), ("🔥🔥", "🔥"),
        ("hot🔥", "🔥"), ("这个价格多少", "价格"), ("ราคาเท่าไหร่", "ราคา"), ("ｐｒｉｃｅ", "price"),
        ("repriced price", "price"), ("cafe", "café"), ("CAFÉ", "cafe"), ("price   \n list", "price list"),
        ("¿PRECIÓ?", "precio"), ("İNDİRİM", "indirim"), ("INDIRIM", "ındırım"), ("smørrebrød", "smorrebrod"),
        ("Ελληνικά", "ελληνικα"), ("ёлка", "елка"), ("pri\u200bce", "price"), ("pri\u00adce", "price"), ("❤️", "❤"),
        ("ما هو السعر؟", "سعر"), ("سعر", "السعر"), ("والسعر كم", "السعر"), ("بالسعر", "سعر"), ("للسعر", "سعر"),
        ("السِّعْر", "سعر"), ("ســـعر", "سعر"), ("أحمد", "احمد"), ("על המחיר", "המחיר"), ("価格を教えて", "価格"),
        ("ｶﾀﾛｸﾞください", "カタログ"), ("가격이 얼마예요", "가격"), ("ﬁnd", "find"), ("price2go price", "price"),
    ],
)  # fmt: skip
def test_a_keyword_matches_whole_words_in_any_case(text: str, keyword: str) -> None:
    assert contains_keyword(text, keyword)


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("repriced", "price"), ("prices", "price"), ("enterprise", "price"), ("", "price"), ("price", ""),
        ("pri ce", "price"), ("हिन्दी", "हिन"), ("각", "가"), ("قسعر", "سعر"), ("ابالسعر", "سعر"), ("له", "الله"),
        ("ばす", "はす"), ("price_list", "list price"), ("\u200b", "price"), ("price", "\u200b"),
    ],
)  # fmt: skip
def test_a_keyword_does_not_match_within_another_word(text: str, keyword: str) -> None:
    assert not contains_keyword(text, keyword)


@pytest.mark.parametrize(
    ("with_", "text", "how"),
    [
        ({}, "anything", Match.ANY),
        ({"keywords": ["price", "cost"]}, "the cost?", Match.KEYWORD),
        ({"keywords": ["price"]}, "hello", Match.NO),
        ({"keywords": []}, "hello", Match.ANY),
        ({"default": True}, "hello", Match.DEFAULT),
        ({"keywords": ["price"], "default": True}, "hello", Match.DEFAULT),
        ({"keywords": ["price"], "default": True}, "price", Match.KEYWORD),
        ({"default": False}, "hello", Match.ANY),
    ],
)
def test_a_message_matches_by_its_keywords(with_: dict[str, Any], text: str, how: Match) -> None:
    assert match(build_trigger(**with_), build_payload(text)) is how


def test_a_comment_matches_only_on_the_triggers_posts() -> None:
    post_trigger = build_trigger(posts=["m-1", "m-2"], keywords=["price"])
    assert match(post_trigger, build_payload("price", media_id="m-2")) is Match.KEYWORD
    assert match(post_trigger, build_payload("price", media_id=3)) is Match.NO
    assert match(post_trigger, build_payload("hello", media_id="m-1")) is Match.NO
    assert match(build_trigger(posts=["m-1"]), build_payload("hello", media_id="m-1")) is Match.ANY


@pytest.mark.parametrize("payload", [{}, {"comment": None}, {"comment": 5}, {"message": {"text": ["price"]}}])
def test_a_malformed_payload_matches_no_keyword(payload: dict[str, Any]) -> None:
    assert match(build_trigger(keywords=["price"]), payload) is Match.NO
    assert match(build_trigger(posts=["m"]), payload) is Match.NO
