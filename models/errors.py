"""Errors of a change that the request caused: the object is missing, or its state forbids the change.

The dashboard responds with 404, 409 or 422; the `beckon` command prints one line.
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.problems import Problem


class NotFound(Exception):
    """There is no such object in this workspace; the error never reveals whether another workspace has it."""

    def __init__(self, message: str = "There is nothing with that id.") -> None:
        super().__init__(message)
        self.message = message


class Conflict(Exception):
    """The object's current state forbids the change; the message names the state. `path` names the conflicting field of
    the request, if any."""

    def __init__(self, message: str, path: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        #: Seconds after which the same request may succeed, if it may.
        self.retry_after = retry_after


class InvalidDefinition(Exception):
    """The workflow is invalid and cannot be published; `problems` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
        self.problems = list(problems)
