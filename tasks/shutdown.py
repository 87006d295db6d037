"""How a worker that was told to stop parts with what it holds: nothing is lost and nothing is sent twice.

The thread inside the call knows nothing of it: whatever it wants to record afterwards is refused, because the
execution is no longer running under its fence.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rules.errors import UnknownOutcome
from tasks.broker import ring
from tasks.channels import provider_of
from tasks.engine import Engine
from tasks.failures import fail
from tasks.passage import Passage

#: Calls that are made again by whoever goes on: they ask and change nothing outside.
WITHOUT_EFFECT = frozenset({"generation", "follow_check"})
#: Between two looks at what is still in flight.
LOOK_AGAIN_SECONDS = 0.05


def hand_on(engine: Engine, passages: Sequence[Passage]) -> None:
    """Leave what was claimed and not begun to other processes."""
    for passage in passages:
        passage.hand_over(passage.queue)
        _hand_over_now(engine, passage)
        engine.leases.let_go(passage)


def part_with_everything(engine: Engine, sends_get_seconds: float) -> None:
    """Hand back at once what has no effect, give sends so many seconds, and call the rest of unknown outcome."""
    deadline = time.monotonic() + sends_get_seconds
    while held := engine.leases.held():
        for passage in held:
            if passage.call in WITHOUT_EFFECT:
                hand_back(engine, passage)
        if time.monotonic() > deadline or not any(passage.call != HANDED_BACK for passage in held):
            break
        time.sleep(LOOK_AGAIN_SECONDS)
    for passage in engine.leases.held():
        give_up(engine, passage)


#: Stands in `Passage.call` once another process may go on.
HANDED_BACK = "handed back"


def hand_back(engine: Engine, passage: Passage) -> None:
    """Leave a call that has no effect to another process; nothing where its hand has gone on meanwhile."""
    if take_back(passage):
        _hand_over_now(engine, passage)


def take_back(passage: Passage) -> bool:
    """Leave the outside call that was announced to another process; False where its step makes none."""
    step = passage.step
    if step is None or step.queue is None:
        return False
    passage.put_off(step)
    if step.id in passage.messages:
        passage.message(step, status="pending", sending_at=None)
    if passage.stage == "generating":
        passage.enter(passage.base_stage)
    elif passage.stage == "sending":
        passage.enter("ready_to_send")
    passage.hand_over(step.queue)
    return True


def give_up(engine: Engine, passage: Passage) -> None:
    """A send did not end in time, so nobody knows what became of it."""
    if passage.step is None or passage.call != "sending":
        return
    error = UnknownOutcome("Beckon was stopped while this message was being sent, before the answer came.")
    fail(engine.settings, passage, passage.step, error, provider_of(engine.settings, passage, passage.step))
    _last_word(engine, passage)


def _hand_over_now(engine: Engine, passage: Passage) -> None:
    if _last_word(engine, passage) and passage.handed_to is not None:
        ring(passage.handed_to, [passage.execution_id])


def _last_word(engine: Engine, passage: Passage) -> bool:
    passage.call = HANDED_BACK
    recorded = engine.ledger.record(passage.progress())
    if recorded:
        passage.recorded()
    return recorded
