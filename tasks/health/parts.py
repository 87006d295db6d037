"""What Health says: parts with their measured states, and problems with what they mean and what to do.

A part is `ready` only when it was measured so: one without an answer within its deadline is `failing` or `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Group = Literal["processor", "services", "stores"]
State = Literal["ready", "degraded", "failing", "paused", "not_configured", "unknown"]
#: `critical`: something does not work. `warning`: it works, and somebody should look. `notice`: an operator decided it.
Severity = Literal["critical", "warning", "notice"]
Status = Literal["ok", "degraded", "down"]

#: What to do about a program that does not work, told by a copy that runs.
RESTART_REMEDY = "`beckon status` says whether the program is stopped or hangs. `beckon up` restarts one that ends."
#: Severities, worst first.
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "notice")
#: The states that make a copy degraded.
BAD_STATES = frozenset({"degraded", "failing", "unknown"})


@dataclass(frozen=True)
class Action:
    """A button of a problem: a link (`get`), or a form that changes something (`post`). One is the remedy."""

    label: str
    path: str
    method: Literal["get", "post"] = "get"
    primary: bool = False
    #: Whether it leads to a provider's own site.
    external: bool = False


@dataclass(frozen=True)
class Problem:
    """Something that an operator must know: since when, what it means, and what to do."""

    #: Stable while the problem lasts, such as `no_worker:sending`.
    key: str
    #: The name of its part.
    part: str
    severity: Severity
    title: str
    meaning: str
    remedy: str
    since: datetime | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Part:
    """One line of Health: a part, its state and what was measured."""

    name: str
    label: str
    group: Group
    state: State
    #: What was measured, in a line; `figure` is its beginning, shown stronger.
    detail: str
    figure: str = ""
    #: What serves it, such as the provider's name, or what it is.
    note: str = ""
    #: How long it has been in this state; None where nobody knows.
    since: datetime | None = None
    #: How much of its limit is used, where there is one.
    gauge: tuple[float, float] | None = None
    problems: tuple[Problem, ...] = ()
    #: A short text in place of the state's name, such as `9 in 24 h`.
    badge: str = ""
    #: The page behind the numbers.
    link: str | None = None
    #: Whether the detail continues the sentence of the figure.
    continues: bool = False

    @property
    def separator(self) -> str:
        """What stands between the figure and the detail."""
        if not self.figure or not self.detail:
            return ""
        return " " if self.continues else " · "

    @property
    def text(self) -> str:
        """The whole line of what was measured."""
        return f"{self.figure}{self.separator}{self.detail}"

    @property
    def problem(self) -> Problem | None:
        """The worst problem of this part."""
        return sort_problems(self.problems)[0] if self.problems else None


@dataclass(frozen=True)
class MissingSetting:
    """A required setting without a value: what it blocks, and the page of Settings for it."""

    variable: str
    #: The service, as in the API.
    blocks: str
    #: What does not work without it, in words.
    meaning: str
    #: Where to set it: a path of this site and its name.
    path: str
    place: str
    #: Whether something in use needs it.
    needed: bool


def sort_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems worst first; of equal ones the oldest first, those without a time last."""
    return tuple(
        sorted(
            problems,
            key=lambda problem: (
                SEVERITIES.index(problem.severity),
                problem.since is None,
                problem.since.timestamp() if problem.since else 0.0,
                problem.key,
            ),
        )
    )


def judge_status(parts: Iterable[Part], *, is_down: bool) -> Status:
    """Return the status of the whole: `down` when nothing can be processed, `degraded` when a part does not work."""
    if is_down:
        return "down"
    return "degraded" if any(part.state in BAD_STATES for part in parts) else "ok"
