"""One automation answers a comment or message: the most specific, then the oldest."""

from __future__ import annotations

from typing import Any

import pytest

from rules.choice import Candidate, NotChosen, choose
from rules.definition import WorkflowTrigger
from rules.matching import Match


def build_candidate(
    name: str, how: Match, *, exclusive: bool = True, type_: str = "instagram.comment", **with_: Any
) -> Candidate:
    return Candidate(name, WorkflowTrigger(type_, None, with_), how, exclusive)


POSTS = build_candidate("4-posts", Match.ANY, posts=["m"])
BOTH = build_candidate("5-both", Match.KEYWORD, posts=["m"])
KEYWORD = build_candidate("2-keyword", Match.KEYWORD)
NEWER_KEYWORD = build_candidate("3-keyword", Match.KEYWORD)
EVERY = build_candidate("1-every", Match.ANY)
DEFAULT = build_candidate("0-default", Match.DEFAULT)
OTHER = build_candidate("6-other", Match.NO, posts=["m"])


@pytest.mark.parametrize(
    ("candidates", "started"),
    [
        ([EVERY, KEYWORD, POSTS, BOTH], "5-both"),
        ([EVERY, KEYWORD, POSTS], "4-posts"),
        ([EVERY, NEWER_KEYWORD, KEYWORD], "2-keyword"),
        ([EVERY, OTHER], "1-every"),
        ([EVERY, DEFAULT], "0-default"),
        ([DEFAULT, KEYWORD], "2-keyword"),
    ],
)
def test_the_most_specific_automation_answers_then_the_oldest(candidates: list[Candidate], started: str) -> None:
    assert choose(candidates, answered=False).started == {started}
    assert choose(candidates[::-1], answered=False).started == {started}


def test_the_others_that_match_are_named_with_the_reason() -> None:
    assert choose([EVERY, NEWER_KEYWORD, KEYWORD, DEFAULT, OTHER], answered=False).not_chosen == [
        NotChosen("1-every", "less_specific"),
        NotChosen("3-keyword", "newer"),
    ]


def test_one_that_is_not_exclusive_starts_beside_the_one_that_answers() -> None:
    beside = build_candidate("7-beside", Match.KEYWORD, posts=["m"], exclusive=False)
    choice = choose([EVERY, beside, KEYWORD], answered=False)
    assert choice.started == {"2-keyword", "7-beside"}
    assert choice.not_chosen == [NotChosen("1-every", "less_specific")]
    assert choose([beside], answered=False).started == {"7-beside"}


def test_all_that_match_any_other_event_start() -> None:
    first, second = (build_candidate(name, Match.ANY, type_="order.paid") for name in "ab")
    assert choose([first, second], answered=False).started == {"a", "b"}
    assert choose([first, second], answered=False).not_chosen == ()


def test_a_default_does_not_start_if_a_keyword_matches_or_a_wait_was_answered() -> None:
    beside = build_candidate("7-beside", Match.DEFAULT, exclusive=False)
    assert choose([beside, KEYWORD], answered=False).started == {"2-keyword"}
    assert choose([beside, EVERY], answered=True).started == {"1-every"}
    assert choose([DEFAULT], answered=True).started == set()
