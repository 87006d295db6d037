"""Judges the scheduler that leads, and the processor as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from ephemeral.heartbeats import Process
from models import leadership
from rules.durations import format_duration
from tasks.health.clocks import describe_skew, is_skewed
from tasks.health.facts import Facts, Processes
from tasks.health.parts import RESTART_REMEDY, Part, Problem
from tasks.runtime.broker import QUEUES

ProcessorStatus = Literal["running", "degraded", "stopped"]


def judge_processor(facts: Facts) -> ProcessorStatus:
    """Return `running` when every queue has a worker and a scheduler leads, `stopped` when no worker is alive."""
    processes = facts.get("processes", Processes)
    if processes is None:
        return "degraded"
    served = {queue for process in processes.live for queue in process.queues}
    if not served:
        return "stopped"
    return "running" if served >= set(QUEUES) and is_leading(facts) else "degraded"


def is_leading(facts: Facts) -> bool:
    """Whether a scheduler leads and was seen lately."""
    leader = facts.results.get("leader")
    return isinstance(leader, dict) and abs(leader["seconds_ago"]) < leadership.LEASE_SECONDS


def build_leader_part(facts: Facts, *, deployment_owner: bool) -> Part:
    """Build the part of the scheduler that leads."""
    if not facts.is_measured("leader"):
        return Part("leader", "Leader", "processor", "unknown", "Leadership is in PostgreSQL, which does not answer")
    leader = facts.results["leader"]
    processes = facts.get("processes", Processes)
    schedulers = [process for process in processes.live if process.program == "scheduler"] if processes else []
    skewed = [process for process in schedulers if is_skewed(process)]
    skew = (describe_skew("leader", skewed),) if skewed else ()
    lost = [process for process in processes.lost if process.program == "scheduler"] if processes else []
    if not is_leading(facts):
        detail = (
            f"last heartbeat {format_duration(leader['seconds_ago'])} ago" if leader else "no scheduler has led yet"
        )
        return Part("leader", "Leader", "processor", "failing", detail, problems=(_describe_no_leader(leader), *skew))
    standby = max(0, len(schedulers) - 1)
    words = [f"heartbeat {format_duration(leader['seconds_ago'])} ago"]
    if processes:
        words.append(f"{standby} on standby" if standby else "no standby")
    return Part(
        "leader",
        "Leader",
        "processor",
        "degraded" if lost else "ready",
        " · ".join(words),
        figure=leader["host"] if deployment_owner else "",
        since=leader["since"],
        problems=(*_find_lost(lost), *skew),
    )


def _find_lost(lost: Sequence[Process]) -> tuple[Problem, ...]:
    """Return the problem of schedulers that stopped responding while another leads."""
    if not lost:
        return ()
    return (
        Problem(
            "worker_lost:leader",
            "leader",
            "warning",
            f"{len(lost)} {'scheduler' if len(lost) == 1 else 'schedulers'} stopped responding",
            "Another one leads, but fewer can take over from it.",
            RESTART_REMEDY,
            since=min(datetime.fromisoformat(process.last_seen) for process in lost),
        ),
    )


def _describe_no_leader(leader: leadership.LastLeaderRow | None) -> Problem:
    return Problem(
        "no_leader",
        "leader",
        "critical",
        "No scheduler leads",
        "Waits, retries, schedules and sweeps do not start. Nothing is lost: they continue with the next leader.",
        f"{RESTART_REMEDY} A second scheduler, on another host, takes over within 15 seconds when the first is lost.",
        since=leader["seen_at"] if leader else None,
    )
