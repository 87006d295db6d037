"""The delay before a retry doubles, varies, and obeys a provider's longer one."""

from __future__ import annotations

import pytest

from rules.retries import compute_delay_seconds


@pytest.mark.parametrize(
    ("retries", "delay"), [(0, 60.0), (1, 120.0), (2, 240.0), (5, 1920.0), (6, 3600.0), (100, 3600.0)]
)
def test_the_delay_doubles_from_a_minute_to_an_hour(retries: int, delay: float) -> None:
    assert compute_delay_seconds(retries, random_fraction=0.5) == delay


@pytest.mark.parametrize(("random_fraction", "delay"), [(0.0, 48.0), (0.25, 54.0), (1.0, 72.0)])
def test_the_delay_varies_by_a_fifth_in_both_directions(random_fraction: float, delay: float) -> None:
    assert compute_delay_seconds(0, random_fraction=random_fraction) == pytest.approx(delay)


@pytest.mark.parametrize(("retry_after", "delay"), [(None, 60.0), (10.0, 60.0), (7200.0, 7200.0)])
def test_a_providers_longer_delay_is_obeyed(retry_after: float | None, delay: float) -> None:
    assert compute_delay_seconds(0, random_fraction=0.5, retry_after=retry_after) == delay
