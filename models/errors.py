"""Why a change was not made, when the asker is at fault: it is not there, or it is not in the state for it.

The dashboard answers these as 404, 409 and 422, the `beckon` command as one line.
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.problems import Problem


class NotFound(Exception):
    """No such object in this workspace; whether another workspace has it is never said."""

    def __init__(self, message: str = "There is nothing here by that id.") -> None:
        super().__init__(message)
        self.message = message


class Conflict(Exception):
    """The object exists, but its present state forbids the change; the message says which state. `path` names the
    field of the request that collides, if one does."""

    def __init__(self, message: str, path: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        #: Seconds after which the same request may succeed, if it may.
        self.retry_after = retry_after


class InvalidDefinition(Exception):
    """A workflow that cannot be valid, and so cannot be published; `problems` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
        self.problems = list(problems)
