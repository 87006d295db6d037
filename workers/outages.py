"""Says why a part does not answer, since when, and what to do: stopped, hung, refused and absent are four things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rules.server_faults import SIGHTINGS, ServerFault, classify_error, describe_remedy
from settings import Settings
from workers import home, supervision
from workers.supervision import Program

#: `absent`: no copy runs on this home.
Fault = Literal["absent"] | ServerFault

#: The states of a program that runs, or is about to: a restart takes a second.
_AT_WORK = frozenset({"RUNNING", "STARTING"})


@dataclass(frozen=True)
class Outage:
    """What was seen of a part that does not answer, and the remedy."""

    fault: Fault
    detail: str
    remedy: str


def explain_program(config: Settings, program: str, error: str) -> Outage:
    """Explain why a program of this copy does not answer, from `error` and from what supervisord says of it."""
    pid = home.find_running_pid(config.home)
    seen = _find(config, program) if pid else None
    return describe_program(classify_error(error), error, seen, pid, config)


def explain_postgres(config: Settings, error: BaseException) -> str:
    """Explain in one line why PostgreSQL does not answer, and what to do."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    seen = (
        explain_program(config, "postgres", reason)
        if config.embedded_database
        else describe_server("DATABASE_URL", reason)
    )
    return f"PostgreSQL does not answer ({reason}): {seen.remedy}"


def _find(config: Settings, name: str) -> Program | None:
    try:
        programs = supervision.Remote(config.run).list_programs()
    except supervision.UNREACHABLE:
        return None
    return next((program for program in programs if program.name == name), None)


def describe_program(fault: Fault, error: str, program: Program | None, pid: int | None, config: Settings) -> Outage:
    """Describe the outage of a program; `pid` is that of `beckon up`, and `program` what supervisord says."""
    if pid is None:
        return Outage("absent", f"no copy runs on {config.home}: {error}", "start Beckon with `beckon up`")
    if program is None:
        remedy = f"see {config.home}/logs/supervisord.log; `beckon down`, then `beckon up`"
        return Outage("hung", f"`beckon up` runs (process {pid}), but supervisord does not answer: {error}", remedy)
    if program.state != "RUNNING":
        remedy = f"see {program.log}; `beckon up` tries to start it again every few seconds"
        return Outage("stopped", f"{describe_state(program)}: {error}", remedy)
    if fault == "refused":
        return Outage(fault, f"{describe_state(program)}, and refuses: {error}", f"see {program.log}")
    remedy = f"see {program.log}; `kill -CONT {program.pid}` continues a stopped process; one that ends is restarted"
    return Outage("hung", f"{describe_state(program)}, but does not answer: {error}", remedy)


def describe_server(variable: str, error: str, since: str = "") -> Outage:
    """Describe the outage of a server that is not the copy's own; `variable` has its URL, and `since` is when a running
    copy first saw it."""
    fault = classify_error(error)
    seen = f"{SIGHTINGS[fault]}{f', since {since}' if since else ''}: {error}"
    return Outage(fault, seen, describe_remedy(fault, variable))


def describe_state(program: Program) -> str:
    """`engine-0 is running since 2026-12-01 14:05:00 UTC`, with what the kernel says of a process that a signal
    stopped: it does not say since when."""
    if is_suspended(program):
        return f"{program.name} is stopped by a signal"
    since = f" since {program.since_at:%Y-%m-%d %H:%M:%S} UTC" if program.since_at else ""
    return f"{program.name} is {program.state.lower()}{since}"


def is_suspended(program: Program) -> bool:
    """Whether the program's process is stopped by a signal, so that it does nothing though it runs."""
    try:
        return Path(f"/proc/{program.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def list_idle(config: Settings, programs: list[Program]) -> list[Program]:
    """Return the programs that should run and do nothing: stopped, given up on, or stopped by a signal."""
    used = {
        "postgres": config.embedded_database,
        "redis": config.embedded_redis,
        "sandbox": config.sandbox != "off",
    }
    return [
        program
        for program in programs
        if used.get(program.name, True) and (program.state not in _AT_WORK or is_suspended(program))
    ]


def describe_idle(program: Program) -> str:
    """Describe a program that should run and does nothing, and where to look."""
    return f"{describe_state(program)}: see {program.log}"
