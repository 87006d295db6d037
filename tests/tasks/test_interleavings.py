"""Whatever the order of deliveries, deaths, late writers, timers and operators: one lease, one accepted send at most,
and counters that are equal to the rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from crew import books_balance, let_lease_run_out
from dramatiq import Worker
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cast import HELLO, Alice, execution, messages
from models.audit import SYSTEM
from models.database import changed
from models.ledger import Ledger
from models.refusals import Conflict
from sandbox.server import Running
from settings import Settings
from tasks import operators, sweeps
from tasks.engine import Engine
from tasks.executions import advance
from tasks.passage import Passage
from waiting import eventually

_numbers = itertools.count(1)


class World:
    """One execution, the workers around it, and what the provider took of it."""

    def __init__(self, engine: Engine, sandbox: Running, settings: Settings) -> None:
        self.engine, self.sandbox, self.settings = engine, sandbox, settings
        self.address = f"world-{next(_numbers)}@example.com"
        self.alice = Alice()
        self.alice.automation([*HELLO, {"id": "rest", "action": "wait", "with": {"for": "1h"}}])
        accepted = self.alice.trigger(contact={"email": self.address, "first_name": "Bob"})
        self.execution_id = accepted.executions[0]["executionId"]
        self.others = Ledger("another process", 30.0)
        self.late: list[Passage] = []
        self.taken_from_the_dead = 0

    def deliver(self) -> None:
        advance.fn(self.execution_id, "sending")
        # The lease is held until the last record is durable.
        eventually(lambda: not self.engine.leases.held())

    def time_passes(self) -> None:
        changed(
            "update executions set due_at = beckon_now() where id = %s and status = 'waiting' and due_at is not null",
            (self.execution_id,),
        )
        changed(
            "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
            "where execution_id = %s and status = 'running'",
            (self.execution_id,),
        )
        sweeps.wake_due(self.settings)

    def die_at_once(self) -> None:
        if self._claimed() is not None:
            let_lease_run_out(self.execution_id)

    def deliver_while_another_holds_it(self) -> None:
        if self._claimed() is None:
            return
        before = execution(self.execution_id)
        self.deliver()
        assert execution(self.execution_id) == before
        let_lease_run_out(self.execution_id)

    def stall(self) -> None:
        """A worker claims, and will want to write when its lease is over."""
        passage = self._claimed()
        if passage is not None:
            self.late.append(passage)
            let_lease_run_out(self.execution_id)

    def wake_the_stalled(self) -> None:
        while self.late:
            passage = self.late.pop()
            passage.state.update(error_class="bug", error_message="written by a worker that had lost its lease")
            passage.finish("failed", "failed")
            if execution(self.execution_id)["fence"] != passage.fence:
                assert self.others.record(passage.progress()) is False

    def die_while_sending(self) -> None:
        """Marked as being sent, taken by the provider, and dead before the answer was written down."""
        passage = self._claimed()
        if passage is None:
            return
        step = passage.workflow.steps[0]
        if passage.stage == "checking":
            passage.enter("eligible")
        message = passage.messages.get(step.id)
        if step.id not in passage.finished and (message is None or message["status"] == "pending"):
            if passage.stage != "sending":
                passage.enter("ready_to_send")
                passage.enter("sending")
            passage.begin(step)
            passage.message(
                step, channel="email", provider="mailgun", sandbox=True, to_address=self.address, body="Hi",
                status="sending", sending_at=passage.now(),
            )  # fmt: skip
            if self.others.record(passage.progress()):
                self.taken_from_the_dead += 1
        let_lease_run_out(self.execution_id)

    def cancel(self) -> None:
        self._try(lambda: operators.cancel_execution(self.alice.workspace_id, self.execution_id, SYSTEM))

    def retry(self) -> None:
        self._try(lambda: operators.retry_execution(self.alice.workspace_id, self.execution_id, SYSTEM))

    def mark_sent(self) -> None:
        self._resolve("sent")

    def discard(self) -> None:
        self._resolve("discard")

    def _resolve(self, as_: Any) -> None:
        for message in messages(self.execution_id):
            self._try(lambda m=message: operators.resolve_message(self.alice.workspace_id, m["id"], as_, SYSTEM))

    @staticmethod
    def _try(move: Callable[[], None]) -> None:
        try:
            move()
        except Conflict:
            return

    def _claimed(self) -> Passage | None:
        row = self.others.claim(self.execution_id)
        return row and Passage(row, self.engine.workflow(row["version_id"]), time.monotonic())

    def holds(self) -> None:
        """What must be so after every event."""
        sent = len(self.sandbox.messages(provider="mailgun", to=self.address)) + self.taken_from_the_dead
        assert sent <= 1
        assert len(messages(self.execution_id)) <= 1
        books_balance()


EVENTS = (
    "deliver", "time_passes", "die_at_once", "deliver_while_another_holds_it", "stall", "wake_the_stalled",
    "die_while_sending", "cancel", "retry",
    "mark_sent", "discard",
)  # fmt: skip
#: Deliveries and time come more often than operators.
LIKELY = st.lists(st.sampled_from(EVENTS + ("deliver", "time_passes", "die_while_sending") * 2), max_size=16)


@hypothesis_settings(
    max_examples=120, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=LIKELY)
def test_no_order_of_events_sends_twice_or_miscounts(
    engine: Engine, sandbox: Running, settings: Settings, idle: Worker, events: list[str]
) -> None:
    world = World(engine, sandbox, settings)
    try:
        for event in events:
            getattr(world, event)()
            world.holds()
    finally:
        world.others.close()
