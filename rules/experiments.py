"""Judges an experiment: what share of each variant's messages was replied to, how sure that is, and what is missing.

The interval is Wilson's for a proportion, at 95 %. The leader is proven once its interval lies above all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: The quantile of the normal distribution for 95 % between both ends.
Z = 1.959964


@dataclass(frozen=True)
class VariantCounts:
    """How many messages of a variant were sent, and how many of them were replied to."""

    sent: int
    replied: int


@dataclass(frozen=True)
class Judgement:
    """`leader` and `runner_up` are positions in the list of variants, None with fewer than two variants with messages.
    Unless `is_proven`, each of the two needs about `more_messages` more to be told apart, which takes `more_days` at
    their pace; both are None where the rates are equal, so that no number of messages would do."""

    is_proven: bool
    leader: int | None = None
    runner_up: int | None = None
    lead: float | None = None
    more_messages: int | None = None
    more_days: int | None = None


def compute_interval(replied: float, sent: float) -> tuple[float, float] | None:
    """Return Wilson's 95 % interval of the rate, from 0 to 1; None without messages."""
    if not sent:
        return None
    rate = replied / sent
    centre = rate + Z * Z / (2 * sent)
    margin = Z * math.sqrt(rate * (1 - rate) / sent + Z * Z / (4 * sent * sent))
    scale = 1 + Z * Z / sent
    low = 0.0 if replied <= 0 else (centre - margin) / scale
    return low, 1.0 if replied >= sent else (centre + margin) / scale


def judge(variants: Sequence[VariantCounts], days: float) -> Judgement:
    """Compare the variants of an experiment that has been running for `days`."""
    ranked = sorted(
        (number for number, variant in enumerate(variants) if variant.sent),
        key=lambda number: (-_compute_rate(variants[number]), number),
    )
    if len(ranked) < 2:
        return Judgement(is_proven=False)
    leader, runner_up = ranked[0], ranked[1]
    lead = _compute_rate(variants[leader]) - _compute_rate(variants[runner_up])
    low, _ = _require_interval(variants[leader])
    if all(low > _require_interval(variants[number])[1] for number in ranked[1:]):
        return Judgement(True, leader, runner_up, lead)
    more = _estimate_more(variants[leader], variants[runner_up])
    fewest = min(variants[leader].sent, variants[runner_up].sent)
    more_days = None if more is None or days <= 0 else math.ceil(more / (fewest / days))
    return Judgement(False, leader, runner_up, lead, more, more_days)


def _compute_rate(variant: VariantCounts) -> float:
    return variant.replied / variant.sent


def _require_interval(variant: VariantCounts) -> tuple[float, float]:
    interval = compute_interval(variant.replied, variant.sent)
    assert interval is not None
    return interval


def _estimate_more(first: VariantCounts, second: VariantCounts) -> int | None:
    """Find after how many more messages each the intervals part, if the rates stay as they are."""
    rates = sorted((_compute_rate(first), _compute_rate(second)))
    if rates[0] == rates[1]:
        return None
    fewest = min(first.sent, second.sent)
    enough = fewest
    while not _are_apart(rates, enough):
        enough *= 2
    too_few = fewest
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if _are_apart(rates, middle) else (middle, enough)
    # Where only a third variant is as good, one more will tell.
    return max(1, enough - fewest)


def _are_apart(rates: Sequence[float], sent: int) -> bool:
    lower, upper = (compute_interval(rate * sent, sent) for rate in rates)
    assert lower is not None
    assert upper is not None
    return lower[1] < upper[0]
