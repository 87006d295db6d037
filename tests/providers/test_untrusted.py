"""Untrusted times are parsed only in the documented formats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from providers.meta_callbacks import get_meta_timestamp
from providers.untrusted import parse_timestamp

AT = datetime.fromtimestamp(1529006854, UTC)


@pytest.mark.parametrize("value", [1529006854, 1529006854.0, "1529006854", "1529006854.000", "2018-06-14T20:07:34Z"])
def test_a_documented_time_is_parsed(value: Any) -> None:
    assert parse_timestamp(value) == AT


@pytest.mark.parametrize(
    "value",
    [None, True, "", "nan", "inf", "1_529_006_854", "+1529006854", " 1529006854", "1529006854 ", "1.5e9", "0x5b22",
     "\u0661529006854", "2018-06-14T20:07:34", float("nan"), float("inf"), 10**400, [], {}],
)  # fmt: skip
def test_anything_else_is_not_a_time(value: Any) -> None:
    assert parse_timestamp(value) is None


@pytest.mark.parametrize("value", [1529006854000, "1529006854000", 1529006854])
def test_metas_times_are_seconds_or_milliseconds(value: Any) -> None:
    assert get_meta_timestamp({"time": value}, "time") == AT


@pytest.mark.parametrize("value", [True, "1.529e12", " 1529006854000", "nan", 10**400, "1" * 30])
def test_metas_other_numbers_are_not_times(value: Any) -> None:
    assert get_meta_timestamp({"time": value}, "time") is None
