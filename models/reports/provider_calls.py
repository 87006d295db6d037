"""The newest calls of a workspace to its providers, by which Health judges them: what was sent, and what failed.

They are read from the executions that were accepted last, that sent last and that failed last: a small number of rows
by existing indexes, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from peewee import fn

import clock
from models.database import acting_as
from models.execution_filters import build_lowest_id
from models.expressions import is_any
from models.queries import fetch, fetch_value, fetch_values
from models.tables import Execution, Message, StageHistory, Step

#: Executions of each kind whose calls are read.
MAX_EXECUTIONS = 200
#: Failures of executions accepted before this are not read.
FAILURE_AGE = timedelta(hours=24)


class SendRow(TypedDict):
    """The last call of a message: when it began, and when the provider accepted it or how it failed."""

    provider: str
    sandbox: bool
    sending_at: datetime
    sent_at: datetime | None
    error_class: str | None
    error_message: str | None


class GenerationRow(TypedDict):
    """The last call of a step that generates a text."""

    status: str
    started_at: datetime
    finished_at: datetime
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Calls:
    """The newest calls of a workspace."""

    sends: list[SendRow]
    generations: list[GenerationRow]
    #: When one of these executions last finished.
    finished_at: datetime | None


def fetch_calls(workspace_id: str) -> Calls:
    """Return the last calls of the executions that were accepted, sent or failed last, without tests."""
    with acting_as(workspace_id):
        ids = sorted(_fetch_newest_ids(workspace_id))
        sends = Message.select(
            Message.provider, Message.sandbox, Message.sending_at, Message.sent_at, Message.error_class,
            Message.error_message,
        ).where(is_any(Message.execution_id, ids), Message.sending_at.is_null(False))  # fmt: skip
        generations = Step.select(
            Step.status, Step.started_at, Step.finished_at, Step.error
        ).where(
            is_any(Step.execution_id, ids), Step.action == "generate_message", Step.finished_at.is_null(False)
        )  # fmt: skip
        finished_at = Execution.select(fn.max(Execution.finished_at)).where(is_any(Execution.id, ids))
        return Calls(fetch(SendRow, sends), fetch(GenerationRow, generations), fetch_value(finished_at))


def _fetch_newest_ids(workspace_id: str) -> set[str]:
    own = Execution.select(Execution.id).where(Execution.workspace_id == workspace_id, ~Execution.test)
    failed = own.where(Execution.error_class.is_null(False), Execution.id >= build_lowest_id(clock.now() - FAILURE_AGE))
    sent = StageHistory.select(StageHistory.execution_id).where(
        StageHistory.workspace_id == workspace_id, StageHistory.stage == "sent", ~StageHistory.test
    )
    queries = (
        own.order_by(Execution.id.desc()),
        failed.order_by(Execution.id.desc()),
        sent.order_by(StageHistory.entered_at.desc()),
    )
    return {id for query in queries for id in fetch_values(query.limit(MAX_EXECUTIONS))}
