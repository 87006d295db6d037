"""Any order of deliveries, deaths, late records, timers and operators has one lease, at most one accepted send, and
counters that equal the rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from dramatiq import Worker
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from models.audit import SYSTEM
from models.engine.group_commit import GroupCommit
from models.errors import Conflict
from models.queries import execute
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.executions import advance
from tasks.operators import actions as operator_actions
from tasks.runtime import message_rows, moves, step_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, claim, expire_lease
from tests.support.factories import HELLO, Alice, execution, messages
from tests.support.waiting import eventually

_numbers = itertools.count(1)


class World:
    """One execution, its workers, and the messages that the provider accepted."""

    def __init__(self, engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
        self.engine, self.sandbox, self.settings = engine, sandbox, settings
        self.address = f"world-{next(_numbers)}@example.com"
        self.alice = Alice()
        self.alice.automation([*HELLO, {"id": "rest", "action": "wait", "with": {"for": "1h"}}])
        accepted = self.alice.trigger(contact={"email": self.address, "first_name": "Bob"})
        self.execution_id = accepted.executions[0]["executionId"]
        self.others = GroupCommit("another process", 30.0)
        self.late: list[ClaimedExecution] = []
        self.sent_by_dead_workers = 0

    def deliver(self) -> None:
        advance.fn(self.execution_id, "sending")
        # The lease is held until the final record is durable.
        eventually(lambda: not self.engine.leases.list_held())

    def time_passes(self) -> None:
        execute(
            "update executions set due_at = beckon_now() where id = %s and status = 'waiting' and due_at is not null",
            (self.execution_id,),
        )
        execute(
            "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
            "where execution_id = %s and status = 'running'",
            (self.execution_id,),
        )
        periodic_jobs.enqueue_due(self.settings)

    def die_at_once(self) -> None:
        if self._claim() is not None:
            expire_lease(self.execution_id)

    def deliver_while_another_holds_it(self) -> None:
        if self._claim() is None:
            return
        before = execution(self.execution_id)
        self.deliver()
        assert execution(self.execution_id) == before
        expire_lease(self.execution_id)

    def stall(self) -> None:
        """A worker claims and stalls; it records after its lease has expired."""
        claimed = self._claim()
        if claimed is not None:
            self.late.append(claimed)
            expire_lease(self.execution_id)

    def wake_the_stalled(self) -> None:
        while self.late:
            claimed = self.late.pop()
            claimed.state.update(error_class="bug", error_message="written by a worker that had lost its lease")
            moves.finish(claimed, "failed", "failed")
            if execution(self.execution_id)["fence"] != claimed.fence:
                assert self.others.record(claimed.take_record()) is False

    def die_while_sending(self) -> None:
        """A worker records a send, the provider accepts it, and the worker dies before it records the answer."""
        claimed = self._claim()
        if claimed is None:
            return
        step = claimed.workflow.steps[0]
        if claimed.stage == "checking":
            moves.enter(claimed, "eligible")
        message = claimed.messages.get(step.id)
        if step.id not in claimed.finished_outputs and (message is None or message["status"] == "pending"):
            if claimed.stage != "sending":
                moves.enter(claimed, "ready_to_send")
                moves.enter(claimed, "sending")
            step_rows.begin(claimed, step)
            message_rows.update(
                claimed, step, channel="email", provider="mailgun", sandbox=True, to_address=self.address, body="Hi",
                status="sending", sending_at=claimed.now(),
            )  # fmt: skip
            if self.others.record(claimed.take_record()):
                self.sent_by_dead_workers += 1
        expire_lease(self.execution_id)

    def cancel(self) -> None:
        self._try(lambda: operator_actions.cancel_execution(self.alice.workspace_id, self.execution_id, SYSTEM))

    def retry(self) -> None:
        self._try(lambda: operator_actions.retry_execution(self.alice.workspace_id, self.execution_id, SYSTEM))

    def mark_sent(self) -> None:
        self._resolve("sent")

    def discard(self) -> None:
        self._resolve("discard")

    def _resolve(self, as_: Any) -> None:
        for message in messages(self.execution_id):
            self._try(lambda m=message: operator_actions.resolve_message(self.alice.workspace_id, m["id"], as_, SYSTEM))

    @staticmethod
    def _try(move: Callable[[], None]) -> None:
        try:
            move()
        except Conflict:
            return

    def _claim(self) -> ClaimedExecution | None:
        row = claim(self.others, self.execution_id)
        return row and ClaimedExecution(row, self.engine.load_workflow(row["version_id"]))

    def assert_invariants(self) -> None:
        """Check the invariants after every event."""
        sent = len(self.sandbox.list_messages(provider="mailgun", to=self.address)) + self.sent_by_dead_workers
        assert sent <= 1
        assert len(messages(self.execution_id)) <= 1
        assert_consistent()


EVENTS = (
    "deliver", "time_passes", "die_at_once", "deliver_while_another_holds_it", "stall", "wake_the_stalled",
    "die_while_sending", "cancel", "retry",
    "mark_sent", "discard",
)  # fmt: skip
#: Deliveries and time occur more often than operators' actions.
LIKELY = st.lists(st.sampled_from(EVENTS + ("deliver", "time_passes", "die_while_sending") * 2), max_size=16)


@hypothesis_settings(
    max_examples=120, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=LIKELY)
def test_no_order_of_events_sends_twice_or_miscounts(
    engine: Engine, sandbox: RunningSandbox, settings: Settings, idle: Worker, events: list[str]
) -> None:
    world = World(engine, sandbox, settings)
    try:
        for event in events:
            getattr(world, event)()
            world.assert_invariants()
    finally:
        world.others.close()
