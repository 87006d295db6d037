"""The comparison of route access: a difference that stays fails it, and a figure that moves does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from tests.dashboard.tenants import open_alike


def answer_with(texts: Iterable[str]) -> Callable[[], TestResponse]:
    """A request whose responses have these texts, one after another."""
    remaining = iter(texts)
    request = EnvironBuilder().get_request()
    return lambda: TestResponse([next(remaining).encode()], "404 NOT FOUND", Headers(), request)


def test_equal_responses_are_sent_once() -> None:
    assert open_alike(answer_with(["Not found"]), answer_with(["Not found"])).text == "Not found"


def test_a_figure_that_moved_between_two_requests_is_compared_again() -> None:
    used = ["Used 10", "Used 11", "Used 12", "Used 12"]
    assert open_alike(answer_with(used), answer_with(["Used 11", "Used 12"])).text == "Used 12"


def test_a_difference_that_stays_is_found() -> None:
    with pytest.raises(AssertionError):
        open_alike(answer_with(itertools.repeat("Not yours")), answer_with(itertools.repeat("Not found")))


def test_a_difference_beside_a_figure_that_moves_is_found() -> None:
    foreign = (f"Not yours {number}" for number in itertools.count())
    missing = (f"Not found {number}" for number in itertools.count())
    with pytest.raises(AssertionError):
        open_alike(answer_with(foreign), answer_with(missing))


def test_the_ids_that_the_requests_name_are_no_difference() -> None:
    ids = ("foreign", "missing")
    assert open_alike(answer_with(["No foreign"]), answer_with(["No missing"]), ids).status_code == 404
