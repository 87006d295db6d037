"""Judges the work of a workspace: what is due, what failed, and what the executions do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode

from models.reports.failure_groups import FailureGroup, UnknownCounts
from models.reports.health import EngineCounts, PendingRow, RecentFailures
from models.reports.provider_calls import Calls
from providers.registry import PROVIDERS
from rules.durations import format_rough_duration
from rules.errors import BY_CLASS
from tasks.health.clocks import describe_skew, is_skewed
from tasks.health.facts import Facts, Processes
from tasks.health.leader import judge_processor
from tasks.health.parts import Action, Part, Problem, State
from tasks.health.queues import LATE_SECONDS

#: Seconds between two sweeps of overdue retries.
RETRY_SWEEP = timedelta(seconds=300)
#: Groups of failures that the line names.
SHOWN_GROUPS = 3


def build_pending_part(facts: Facts, own: Facts, now: datetime) -> Part:
    """Build the part of the due executions. What makes them late is a problem of a queue or of the leader."""
    if not own.is_measured("pending"):
        return Part("pending", "Pending", "processor", "unknown", f"Cannot be counted: {own.reason('pending')}")
    pending: PendingRow = own.results["pending"]
    late = pending["oldest_seconds"] > LATE_SECONDS
    words = [f"due, oldest {format_rough_duration(pending['oldest_seconds'])}" if pending["count"] else "due"]
    swept_at = facts.results["successes"].get("retry") if facts.is_measured("successes") else None
    if swept_at:
        words.append(f"retry sweep {_format_age(now, swept_at)}, next {_format_next(now, swept_at + RETRY_SWEEP)}")
    return Part(
        "pending",
        "Pending",
        "processor",
        "degraded" if late else "ready",
        " · ".join(words),
        figure=f"{pending['count']:,}",
        since=now - timedelta(seconds=pending["oldest_seconds"]) if late else None,
        link="/executions/pending",
        continues=True,
    )


def _format_age(now: datetime, at: datetime) -> str:
    text = format_rough_duration((now - at).total_seconds())
    return text if text == "now" else f"{text} ago"


def _format_next(now: datetime, at: datetime) -> str:
    return f"in {format_rough_duration((at - now).total_seconds())}" if at > now + timedelta(seconds=1) else "now"


def build_failures_part(own: Facts, now: datetime) -> Part:
    """Build the part of the failures of 24 hours, and of the messages of unknown outcome."""
    if not own.is_measured("failures"):
        return Part("failures", "Failures", "processor", "unknown", f"Cannot be counted: {own.reason('failures')}")
    failures: RecentFailures = own.results["failures"]
    groups: Sequence[FailureGroup] = own.results["failure_groups"] if own.is_measured("failure_groups") else ()
    problem = _find_undecided(own)
    count = failures["last24_hours"]
    words = [describe_group(group) for group in groups[:SHOWN_GROUPS]]
    if own.is_measured("unknown") and (unknown := _count_unknown(own.results["unknown"])):
        words.append(f"{unknown:,} of unknown outcome besides")
    newest = {
        "status": "failed",
        "test": "false",
        "outcomeUnknown": "false",
        "finishedFrom": (now - timedelta(hours=24)).isoformat(),
    }
    return Part(
        "failures",
        "Failures",
        "processor",
        "ready",
        " · ".join(words) or "No failed execution in 24 h",
        since=max((group["last_at"] for group in groups), default=None),
        problems=(problem,) if problem else (),
        badge=f"{count:,} in 24 h" if count else "",
        link=f"/executions?{urlencode(newest)}",
    )


def _count_unknown(unknown: UnknownCounts) -> int:
    return unknown["undecided"] + unknown["checking"]


def describe_group(group: FailureGroup) -> str:
    """`4 Mailgun 400`."""
    provider = PROVIDERS.get(group["provider"] or "")
    error = BY_CLASS.get(group["error_class"])
    words = [provider.label if provider else "", group["code"] or (error.label if error else group["error_class"])]
    return " ".join([f"{group['count']:,}", *filter(None, words)])


def _find_undecided(own: Facts) -> Problem | None:
    if not own.is_measured("unknown"):
        return None
    unknown: UnknownCounts = own.results["unknown"]
    count = unknown["undecided"]
    if not count:
        return None
    checking = f" {unknown['checking']:,} more are being checked." if unknown["checking"] else ""
    return Problem(
        "undecided_outcomes",
        "failures",
        "warning",
        f"{count:,} {'message needs' if count == 1 else 'messages need'} a decision",
        f"Nobody knows whether {'it was' if count == 1 else 'they were'} sent, so Beckon does not resend.{checking}",
        "Check with the provider or the contact, then mark as sent, send again or discard.",
        unknown["undecided_since"],
        (Action("Decide", "/failures?failure=unknown", primary=True),),
    )


def build_executor_part(facts: Facts, own: Facts, now: datetime) -> Part:
    """Build the part of the executor: what runs, whether leases are renewed, and what finished last."""
    verdict = judge_processor(facts)
    states: dict[str, State] = {"running": "ready", "degraded": "degraded", "stopped": "failing"}
    engine: EngineCounts | None = facts.results["engine"] if facts.is_measured("engine") else None
    words = []
    if engine is not None:
        words.append(_describe_leases(engine))
    calls = own.get("calls", Calls)
    if calls and calls.finished_at:
        words.append(f"last finish {_format_age(now, calls.finished_at)}")
    processes = facts.get("processes", Processes)
    live = processes.live if processes else []
    web = [process for process in live if process.program == "dashboard"]
    skewed = [process for process in web if is_skewed(process)]
    if verdict != "running":
        words.insert(0, {"degraded": "A queue or the leader is missing", "stopped": "No worker is alive"}[verdict])
    started = [datetime.fromisoformat(process.started_at) for process in live if process.queues]
    return Part(
        "executor",
        "Executor",
        "services",
        states[verdict] if facts.is_measured("processes") else "unknown",
        " · ".join(words) or "Every queue has a worker",
        since=min(started, default=None) if verdict == "running" else None,
        problems=(describe_skew("executor", skewed),) if skewed else (),
    )


def _describe_leases(engine: EngineCounts) -> str:
    expired, running = engine["leases_expired"], engine["running"]
    if not running:
        return "nothing runs now"
    renewed = f"{(running - min(expired, running)) / running:.0%} of leases renewed"
    return f"{running:,} running · {renewed}"
