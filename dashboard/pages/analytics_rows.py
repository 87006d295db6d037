"""The rankings, shares and rates of the page of analytics, as rows of its templates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dashboard.pages import labels
from dashboard.pages.analytics_form import DEVICES
from dashboard.pages.analytics_texts import (
    Change,
    compare_amounts,
    find_better,
    format_count,
    format_milliseconds,
    format_rate,
)
from models.reports.analytics_executions import BreakdownRow, TopRow
from models.reports.analytics_messages import MEASURES, ChannelRow
from models.reports.analytics_steps import ActionRow, Funnel, FunnelStep
from rules.actions import ACTIONS
from rules.channels import CONTACT_CHANNELS
from rules.tallies import OTHER

#: A share of failures from which an action's is marked.
BAD_SHARE = 0.05
MEASURE_LABELS = {name: name.capitalize() for name in MEASURES}


@dataclass(frozen=True)
class RankedRow:
    """An automation or playbook: its number with its list, and its share of the first one's."""

    name: str
    type: str
    page: str
    text: str
    path: str
    change: Change | None
    rate: str
    share: float


@dataclass(frozen=True)
class ShareRow:
    """A value of a breakdown, with the page of analytics filtered by it."""

    label: str
    text: str
    path: str
    rate: str
    share: float
    filter_path: str


@dataclass(frozen=True)
class FunnelRow:
    """A step of a funnel; `depth` is the number of arms around it."""

    label: str
    note: str
    is_lossy: bool
    text: str
    path: str
    rate: str
    share: float
    depth: int = 0


@dataclass(frozen=True)
class MeasureCell:
    """A number of a channel; no text means that the channel cannot tell it."""

    label: str
    text: str | None
    change: Change | None = None
    rate: str = ""


@dataclass(frozen=True)
class ChannelLine:
    """A channel with its numbers."""

    label: str
    icon: str
    cells: list[MeasureCell]


@dataclass(frozen=True)
class ActionLine:
    """A slow action."""

    label: str
    name: str
    page: str
    icon: str
    stage: str
    p95: str
    rate: str
    is_bad: bool


def rank(rows: Sequence[tuple[TopRow, str]], status: str | None) -> list[RankedRow]:
    """The automations with the most executions, with the list of each (empty where there is none). With a status there
    are no rates."""
    most = max((row["executions"] for row, _ in rows), default=0)
    return [
        RankedRow(
            row["name"], labels.TYPES[row["type"]], f"/automations/{row['id']}", format_count(row["executions"]), path,
            compare_amounts(row["executions"], row["before"], find_better(status)),
            format_rate(None if status else row["success_rate"]), row["executions"] / most if most else 0.0,
        )
        for row, path in rows
    ]  # fmt: skip


def break_down(
    rows: Sequence[BreakdownRow] | None,
    name_value: Callable[[str | None], str],
    build_path: Callable[[str | None], str],
    build_filter_path: Callable[[str | None], str],
    status: str | None,
) -> list[ShareRow]:
    """The values of a breakdown, with the share of each of the most frequent one."""
    most = max((row["executions"] for row in rows or []), default=0)
    return [
        ShareRow(
            name_value(row["value"]), format_count(row["executions"]), build_path(row["value"]),
            "" if status else format_rate(row["success_rate"]), row["executions"] / most,
            build_filter_path(row["value"]),
        )
        for row in rows or []
        if row["executions"]
    ]  # fmt: skip


def name_device(value: str | None) -> str:
    """The label of a device."""
    return DEVICES.get(value or "", "Unknown")


def name_page(value: str | None) -> str:
    """The path of a page."""
    return "Other pages" if value == OTHER else value or "Unknown"


def name_trigger(value: str | None) -> str:
    """`instagram.comment` as `Instagram comment`; a condition of a playbook as it is."""
    if not value:
        return "Unknown"
    return value[:1].upper() + value[1:].replace(".", " ").replace("_", " ") if value.islower() else value


def name_action(action: str) -> str:
    """`reply_comment` as `Reply comment`; an action of a playbook as it is."""
    plain = action.replace("_", " ").replace("email", "e-mail").replace("sms", "SMS")
    return plain[:1].upper() + plain[1:]


def build_funnel(funnel: Funnel | None, path: str) -> list[FunnelRow]:
    """All executions, then the steps that they entered. `path` is the list of all executions."""
    if funnel is None or not funnel["executions"]:
        return []
    skipped = funnel["skipped_by_rules"]
    started = FunnelRow(
        "Started", f"{skipped:,} skipped by rules" if skipped else "", False, format_count(funnel["executions"]), path,
        "100%", 1.0,
    )  # fmt: skip
    return [started, *(_build_step(step) for step in funnel["steps"])]


def _build_step(step: FunnelStep) -> FunnelRow:
    arm = "" if step["arm"] is None else f"{step['arm']}: "
    name = name_action(step["action"]) if step["action"] else f"{step['step_id']} (earlier version)"
    lost = step["failed"]
    parts = [(lost, "failed"), (step["skipped"], "skipped"), (step["waiting"], "waiting")]
    note = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    is_lossy = lost > 0.05 * step["entered"]
    return FunnelRow(
        f"{arm}{name}", note, is_lossy, format_count(step["entered"]), "", f"{step['share']:.0%}", step["share"],
        min(step["depth"], 3),
    )  # fmt: skip


def describe_replies(funnel: Funnel | None) -> str:
    """What the messages of a funnel led to, in a sentence; empty without messages."""
    if funnel is None or not funnel["sent"]:
        return ""
    sent = f"{funnel['sent']:,} message{'' if funnel['sent'] == 1 else 's'} sent"
    if funnel["replied"] is None:
        return f"{sent}; replies are not measured on this channel."
    return f"{sent}, {funnel['replied']:,} replied to ({format_rate(funnel['replied'] / funnel['sent'])} of sent)."


def list_channels(rows: Sequence[ChannelRow] | None) -> list[ChannelLine]:
    """The channels with messages in the period."""
    return [
        ChannelLine(labels.CHANNELS.get(row["channel"], row["channel"]), _find_icon(row["channel"]), _list_cells(row))
        for row in rows or []
    ]


def _find_icon(channel: str) -> str:
    return f"channel_{channel}" if channel in CONTACT_CHANNELS else "speech"


def _list_cells(row: ChannelRow) -> list[MeasureCell]:
    measured = [
        MeasureCell(
            MEASURE_LABELS[name], None if (count := row[name]) is None else format_count(count),
            rate="" if row["rates"][name] is None else format_rate(row["rates"][name]),
        )
        for name in MEASURES
    ]  # fmt: skip
    return [MeasureCell("Sent", format_count(row["sent"]), compare_amounts(row["sent"], row["before"])), *measured]


def _find_action_icon(action: str) -> str:
    """The icon of an action. Browsers report an action of a playbook in words: `Replace Text`."""
    name = action.lower().replace(" ", "_")
    return ACTIONS[name].icon if name in ACTIONS else "flag"


def list_slowest(rows: Sequence[ActionRow] | None) -> list[ActionLine]:
    """The actions with the longest times."""
    return [
        ActionLine(
            name_action(row["action"]), row["automation_name"], f"/automations/{row['automation_id']}",
            icon := _find_action_icon(row["action"]), icon,
            format_milliseconds(row["p95_ms"]), format_rate(row["failed_share"]), row["failed_share"] >= BAD_SHARE,
        )
        for row in rows or []
    ]  # fmt: skip
