"""Judges the queues by their workers' heartbeats and by what waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ephemeral.heartbeats import Process
from models.reports.pending import QueueCount
from rules.durations import format_duration, format_rough_duration
from tasks.health.clocks import describe_skew, is_skewed
from tasks.health.facts import Facts, Processes
from tasks.health.parts import RESTART_REMEDY, Action, Part, Problem, State
from tasks.runtime.broker import EXECUTION_QUEUES, QUEUES

#: A due execution that nobody has taken for this long: a warning, and a failure.
LATE_SECONDS, TOO_LATE_SECONDS = 120.0, 600.0


def build_queue_parts(
    facts: Facts,
    backlogs: Mapping[str, QueueCount],
    paused_queues: Sequence[str],
    now: datetime,
    *,
    deployment_owner: bool,
) -> list[Part]:
    """Build the part of each queue. Depths in Redis count every workspace, so only a deployment owner sees them."""
    processes = facts.get("processes", Processes)
    if processes is None:
        return [_build_unknown_queue(queue) for queue in QUEUES]
    depths = facts.get("depths", dict) if deployment_owner else None
    return [
        _build_queue(queue, processes, backlogs.get(queue), queue in paused_queues, (depths or {}).get(queue), now)
        for queue in QUEUES
    ]


def _build_unknown_queue(queue: str) -> Part:
    detail = "Heartbeats are in Redis, which does not answer or refuses them"
    return Part(f"queue:{queue}", queue.capitalize(), "processor", "unknown", detail, note="queue")


def _build_queue(
    queue: str,
    processes: Processes,
    backlog: QueueCount | None,
    paused: bool,
    depth: dict[str, int] | None,
    now: datetime,
) -> Part:
    workers = [process for process in processes.live if queue in process.queues]
    pools = [worker.pools[queue] for worker in workers if queue in worker.pools]
    size, busy = sum(pool.size for pool in pools), sum(pool.busy for pool in pools)
    problems = _find_queue_problems(queue, workers, processes, backlog, paused, now)
    return Part(
        f"queue:{queue}",
        queue.capitalize(),
        "processor",
        _judge_queue(workers, problems, paused),
        " · ".join(_describe_queue(queue, workers, bool(pools), backlog, depth)),
        figure=f"{busy} of {size} threads busy" if pools else "",
        note="queue",
        since=min((datetime.fromisoformat(worker.started_at) for worker in workers), default=None),
        gauge=(busy, size) if size else None,
        problems=problems,
        link="/queues",
    )


def _judge_queue(workers: Sequence[Process], problems: Sequence[Problem], paused: bool) -> State:
    if not workers:
        return "failing"
    if any(problem.key.startswith(("growing:", "worker_lost:")) for problem in problems):
        return "degraded"
    return "paused" if paused else "ready"


def _describe_queue(
    queue: str, workers: Sequence[Process], has_pool: bool, backlog: QueueCount | None, depth: dict[str, int] | None
) -> list[str]:
    words = [] if has_pool or not workers else ["shares the threads of executions"]
    words.append(f"{len(workers)} {'worker' if len(workers) == 1 else 'workers'}")
    if queue in EXECUTION_QUEUES:
        count, oldest = (backlog["due"], backlog["oldest_seconds"] or 0.0) if backlog else (0, 0.0)
        words.append(f"{count:,} wait, oldest {format_rough_duration(oldest)}" if count else "0 wait")
    elif depth is not None:
        words.append(f"{depth['ready']:,} wait")
    return words


def _find_queue_problems(
    queue: str,
    workers: Sequence[Process],
    processes: Processes,
    backlog: QueueCount | None,
    paused: bool,
    now: datetime,
) -> tuple[Problem, ...]:
    lost = [process for process in processes.lost if process.queues and process.queues[0] == queue]
    skewed = [process for process in workers if process.queues[0] == queue and is_skewed(process)]
    problems: list[Problem | None] = [
        _find_missing_worker(queue, processes, backlog) if not workers else _find_growth(queue, backlog, now),
        _find_lost_workers(queue, lost) if workers and lost else None,
        describe_skew(f"queue:{queue}", skewed) if skewed else None,
        _describe_paused_queue(queue) if paused else None,
    ]
    return tuple(problem for problem in problems if problem is not None)


def _find_missing_worker(queue: str, processes: Processes, backlog: QueueCount | None) -> Problem:
    seen = [datetime.fromisoformat(process.last_seen) for process in processes.lost if queue in process.queues]
    waiting = backlog["due"] if backlog else 0
    wait_text = f" {waiting:,} {'execution waits' if waiting == 1 else 'executions wait'} for it." if waiting else ""
    return Problem(
        f"no_worker:{queue}",
        f"queue:{queue}",
        "critical",
        f"No worker on the queue {queue}",
        f"Nothing takes work from this queue.{wait_text} Nothing is lost: work continues with the next worker.",
        RESTART_REMEDY,
        since=max(seen, default=None),
    )


def _find_lost_workers(queue: str, lost: Sequence[Process]) -> Problem:
    count = len(lost)
    title = f"{count} {'worker process' if count == 1 else 'worker processes'} of {queue} stopped responding"
    meaning = (
        "A process that is killed, or hangs, sends no heartbeat. Other workers take over its executions when their "
        "leases expire."
    )
    since = min(datetime.fromisoformat(process.last_seen) for process in lost)
    return Problem(f"worker_lost:{queue}", f"queue:{queue}", "warning", title, meaning, RESTART_REMEDY, since)


def _find_growth(queue: str, backlog: QueueCount | None, now: datetime) -> Problem | None:
    count, oldest = (backlog["due"], backlog["oldest_seconds"] or 0.0) if backlog else (0, 0.0)
    if oldest <= LATE_SECONDS:
        return None
    return Problem(
        f"growing:{queue}",
        f"queue:{queue}",
        "critical" if oldest > TOO_LATE_SECONDS else "warning",
        f"The queue {queue} is late by {format_rough_duration(oldest)}",
        f"{count:,} {'execution is' if count == 1 else 'executions are'} due and wait for a thread; the oldest for "
        f"{format_duration(oldest)}. The workers take less than arrives.",
        "Process them now, or add threads or worker processes (BECKON_WORKERS, BECKON_IO_THREADS).",
        since=now - timedelta(seconds=oldest),
        actions=(
            Action("Process pending automations", "/executions/pending", "post", primary=True),
            Action(
                f"View {count:,} {'execution' if count == 1 else 'executions'}", f"/executions/pending?queue={queue}"
            ),
        ),
    )


def _describe_paused_queue(queue: str) -> Problem:
    return Problem(
        f"queue_paused:{queue}",
        f"queue:{queue}",
        "notice",
        f"The queue {queue} is paused by an operator",
        "Executions of this workspace wait before their next step of this kind. Nothing is lost.",
        "Resume it when it may go on.",
        actions=(Action("Resume queue", f"/pauses/queue/{queue}/end", "post", primary=True),),
    )
