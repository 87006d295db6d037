"""Which automations answer the same comments or messages."""

from __future__ import annotations

from typing import Any

import pytest

from rules.definition import WorkflowTrigger
from rules.overlaps import AnsweringAutomation, Relation, list_overlaps


def build(
    number: str, type_: str = "instagram.message", *, exclusive: bool = True, **with_: Any
) -> AnsweringAutomation:
    return AnsweringAutomation(number, f"Number {number}", WorkflowTrigger(type_, None, with_), exclusive)


def relate(own: AnsweringAutomation, other: AnsweringAutomation) -> list[Relation]:
    return [overlap.relation for overlap in list_overlaps(own, [own, other])]


@pytest.mark.parametrize(
    ("own", "other", "relation"),
    [
        (build("1", keywords=["Price"]), build("2", keywords=["cost", "price "]), ["answers"]),
        (build("1", keywords=["café"]), build("2", keywords=["CAFE"]), ["answers"]),
        (build("1", keywords=["price"]), build("2", keywords=["refund"]), []),
        (build("1"), build("2", keywords=["price"]), ["yields"]),
        (build("1", default=True), build("2", keywords=["price"]), []),
        (build("1", default=True), build("2", default=True), ["answers"]),
        (build("1", default=True), build("2"), ["answers"]),
        (build("1", keywords=["a"], default=True), build("2", keywords=["b"], default=True), ["answers"]),
        (build("1", "instagram.comment", posts=["p"]), build("2", "instagram.comment", posts=["q"]), []),
        (build("1", "instagram.comment", posts=["p"]), build("2", "instagram.comment", posts=["q", "p"]), ["answers"]),
        (build("1", "instagram.comment"), build("2", "instagram.comment", posts=["q"]), ["yields"]),
        (build("1", keywords=["price"], exclusive=False), build("2", keywords=["price"]), ["both"]),
        (build("1"), build("2", "facebook.message"), []),
        (build("1", "order.paid"), build("2", "order.paid"), []),
    ],
)
def test_two_automations_overlap_by_posts_and_keywords(
    own: AnsweringAutomation, other: AnsweringAutomation, relation: list[Relation]
) -> None:
    opposite = {"answers": "yields", "yields": "answers", "both": "both"}
    assert relate(own, other) == relation
    assert relate(other, own) == [opposite[name] for name in relation]
