"""The experiments of the step `split`: messages sent after each variant was taken, and what became of them.

Replies are those within seven days to the newest message. Tests are in no number. What none of a variant's channels can
tell is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from models.database import acting_as
from models.expressions import is_any
from models.queries import fetch
from models.reports.analytics_filters import AnalyticsFilters
from models.reports.analytics_reader import Counted, CountRow, read_counts
from models.tables import Automation, WorkflowVersion
from rules.channels import CHANNELS
from rules.definition import Step, parse
from rules.experiments import Judgement, VariantCounts, compute_interval, judge
from rules.plan import list_arms


class VariantRow(TypedDict):
    """A variant: its name, its weight in the published version (None if it is no longer there), messages `sent`, and
    what became of them; None means not measured. `failed` includes those that were never sent, and those that bounced.

    `rate` is the share of replies of `answerable`, the messages on channels that can be answered; it and the ends of
    its Wilson 95 % interval are 0 to 1, None without such messages."""

    name: str
    weight: int | None
    sent: int
    delivered: int | None
    replied: int | None
    clicked: int | None
    failed: int
    answerable: int
    rate: float | None
    low: float | None
    high: float | None


class Experiment(TypedDict):
    """A split of an automation. `since` is the start of the first day of the period with messages. `is_running` says
    that the published version has it.

    `is_proven` says that the interval of the variant `leader` lies above all others. Until then it is "not enough yet":
    the leader and the variant `runner_up` each need about `more_messages` more, `more_days` at the pace so far; None
    where that cannot be said. `lead` is the difference of their rates, 0 to 1. All are None with fewer than two
    variants with messages.
    """

    automation_id: str
    automation_name: str
    step_id: str
    since: datetime
    is_running: bool
    variants: list[VariantRow]
    is_proven: bool
    leader: str | None
    runner_up: str | None
    lead: float | None
    more_messages: int | None
    more_days: int | None


class _DefinitionRow(TypedDict):
    id: str
    name: str
    definition: Mapping[str, Any]


def fetch_experiments(workspace_id: str, filters: AnalyticsFilters, now: datetime) -> list[Experiment] | None:
    """Return the splits with messages in the period, most messages first; None with a filter by device, page, trigger
    or status. `now` ends the pace of a period that is not over."""
    if filters.is_by_execution:
        return None
    rows = read_counts(workspace_id, filters, Counted("messages", "variant"), by="day", keys=("automation_id", "value"))
    automations = _list_definitions(workspace_id, sorted({row["automation_id"] for row in rows}))
    experiments = []
    for automation in automations:
        own = [row for row in rows if row["automation_id"] == automation["id"]]
        steps = {step.id: step for step in _walk(parse(automation["definition"]).steps)}
        for step_id in dict.fromkeys(row["value"].partition(":")[0] for row in own):
            of_step = [row for row in own if row["value"].partition(":")[0] == step_id]
            experiments.append(_build(automation, step_id, steps.get(step_id), of_step, filters, now))
    return sorted(experiments, key=lambda experiment: -sum(row["sent"] for row in experiment["variants"]))


def _list_definitions(workspace_id: str, ids: Sequence[str]) -> list[_DefinitionRow]:
    query = (
        Automation.select(Automation.id, Automation.name, WorkflowVersion.definition)
        .join(WorkflowVersion, on=WorkflowVersion.id == Automation.version_id)
        .where(Automation.workspace_id == workspace_id, is_any(Automation.id, ids))
        .order_by(Automation.id)
    )
    with acting_as(workspace_id):
        return fetch(_DefinitionRow, query)


def _walk(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for inner in list_arms(step).values():
            yield from _walk(inner)


def _build(
    automation: _DefinitionRow,
    step_id: str,
    step: Step | None,
    rows: Sequence[CountRow],
    filters: AnalyticsFilters,
    now: datetime,
) -> Experiment:
    since = max(filters.since, filters.list_edges("day")[min(row["point"] for row in rows)])
    variants = _build_variants(step, rows)
    counts = [VariantCounts(row["answerable"], row["replied"] or 0) for row in variants]
    days = (min(filters.until, now) - since) / timedelta(days=1)
    judgement = judge(counts, days)
    return {
        "automation_id": automation["id"],
        "automation_name": automation["name"],
        "step_id": step_id,
        "since": since,
        "is_running": step is not None,
        "variants": variants,
        **_name(judgement, variants),  # type: ignore[typeddict-item]
    }


def _build_variants(step: Step | None, rows: Sequence[CountRow]) -> list[VariantRow]:
    """Build the variants in the order of the document; those of earlier versions come last."""
    weights = {variant.name: variant.weight for variant in step.variants} if step else {}
    counts: dict[str, dict[str, int]] = {name: {} for name in weights}
    for row in rows:
        own = counts.setdefault(row["value"].partition(":")[2], {})
        own[row["status"]] = own.get(row["status"], 0) + row["count"]
    return [_build_variant(name, weights.get(name), own) for name, own in counts.items()]


def _build_variant(name: str, weight: int | None, counts: Mapping[str, int]) -> VariantRow:
    answerable = _count_on_channels(counts, "sent", "replied")
    replied = counts.get("replied", 0) if answerable else None
    delivered = _count_on_channels(counts, "delivered", "delivered")
    interval = compute_interval(replied or 0, answerable)
    low, high = interval or (None, None)
    return {
        "name": name,
        "weight": weight,
        "sent": counts.get("sent", 0),
        "delivered": delivered if _count_on_channels(counts, "sent", "delivered") else None,
        "replied": replied,
        "clicked": counts.get("clicked", 0) if counts.get("linked") else None,
        "failed": counts.get("failed", 0),
        "answerable": answerable,
        "rate": None if replied is None else replied / answerable,
        "low": low,
        "high": high,
    }


def _count_on_channels(counts: Mapping[str, int], kind: str, measure: str) -> int:
    """Count the messages of a kind on the channels that report the measure."""
    return sum(counts.get(f"{kind}:{channel.name}", 0) for channel in CHANNELS.values() if measure in channel.measures)


def _name(judgement: Judgement, variants: Sequence[VariantRow]) -> dict[str, Any]:
    def get_name(number: int | None) -> str | None:
        return None if number is None else variants[number]["name"]

    return {
        "is_proven": judgement.is_proven,
        "leader": get_name(judgement.leader),
        "runner_up": get_name(judgement.runner_up),
        "lead": judgement.lead,
        "more_messages": judgement.more_messages,
        "more_days": judgement.more_days,
    }
