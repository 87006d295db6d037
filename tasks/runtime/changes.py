"""The changes of a claimed execution since its last record, as values: they reach the database with the next record.

Changes only collect here: `moves` adds stages, `step_rows` and `message_rows` add rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, cast

from models.engine.records import CountRun, Effect, ExecutionRecord
from models.engine.rows import ExecutionState, MessageRow, RecipientRow, StageMove, StepRow

_RowType = TypeVar("_RowType", ExecutionState, StepRow, MessageRow)


@dataclass(slots=True)
class Changes:
    """What one record will contain besides the state: steps and messages by step id, the others in their order."""

    stages: list[StageMove] = field(default_factory=list)
    steps: dict[str, StepRow] = field(default_factory=dict)
    messages: dict[str, MessageRow] = field(default_factory=dict)
    recipients: list[RecipientRow] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    #: The step that is counted as the execution's run.
    run: CountRun | None = None

    @property
    def makes_progress(self) -> bool:
        """Whether the execution entered a stage or finished a step."""
        return bool(self.stages) or any(step["status"] in ("succeeded", "skipped") for step in self.steps.values())

    def build_record(self, execution_id: str, fence: int, state: ExecutionState) -> ExecutionRecord:
        """Build the record of these changes and of `state`."""
        return ExecutionRecord(
            execution_id,
            fence,
            _drop_nulls(state),
            stages=self.stages,
            steps=[_drop_nulls(step) for step in self.steps.values()],
            messages=[_drop_nulls(message) for message in self.messages.values()],
            recipients=self.recipients,
            effects=self.effects,
            run=self.run,
        )


def _drop_nulls(row: _RowType) -> _RowType:
    """Copy a row without nulls: a field that is not named is recorded as null."""
    return cast(_RowType, {name: value for name, value in row.items() if value is not None})
