"""Takes one execution from where it stands as far as it can go now: the only place that knows the order of things.

    the bell → claim (lease, fence, delivery counted) → held? → checking → step after step → waits, hands over or ends

Whoever answers a bell does everything up to and including the next outside call of its own queue's kind, and goes on in
place while the next call is of the same kind; otherwise it records where things stand and rings the next queue.
Everything between two outside calls is recorded by one write. A worker whose lease was lost leaves without a word: the
fence has already refused what it wanted to write.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import dramatiq
import structlog

import metrics
from models import message
from models.database import CONNECTION_ERRORS, transaction
from models.ledger import Answer
from providers.base import LeaseLost
from rules.definition import ACTIONS, Rules, Step, Trigger, Workflow
from rules.errors import Bug, ExecutionError, Quarantined
from tasks import quiet_steps
from tasks.bells import ring_for
from tasks.broker import ring
from tasks.channels import address_of, channel_of, is_to_contact, provider_of
from tasks.checking import check
from tasks.composing import prepare
from tasks.engine import Engine, Stopping, current, heed
from tasks.failures import fail
from tasks.follow_check import check_follow
from tasks.generation import generate
from tasks.held import held
from tasks.passage import Course, Passage
from tasks.reviews import awaits_review
from tasks.rounds import end_round, is_called_off, next_of_round
from tasks.sending import send
from tasks.shutdown import hand_on, take_back

log = structlog.get_logger(__name__)

#: Deliveries in a row that may die with nothing recorded between them (semantics, section 3).
DELIVERIES_BEFORE_QUARANTINE = 3

#: A passage that waited so long for a hand is begun anew with what is so by then.
STALE_SECONDS = 1.0

#: Stands in a passage until its workflow was read.
UNREAD = Workflow(Trigger(""), Rules(), ())

#: What does each action that speaks to the outside world.
CALLS: dict[str, Callable[[Engine, Passage, Step], Course[bool]]] = {
    "generate_message": generate,
    "send_email": send,
    "send_sms": send,
    "send_message": send,
    "reply_comment": send,
    "check_follow": check_follow,
    "call_webhook": send,
    "notify": send,
}
#: And each that does not, which answers whether the passage goes on in place.
QUIET_STEPS: dict[str, Callable[[Engine, Passage, Step], bool]] = {
    "wait": quiet_steps.wait,
    "wait_until": quiet_steps.wait_until,
    "branch": quiet_steps.branch,
    "split": quiet_steps.split,
    "stop": quiet_steps.stop,
    "update_contact": quiet_steps.update_contact,
    "create_task": quiet_steps.create_task,
}


@dramatiq.actor(actor_name="advance", queue_name="executions", max_retries=0)
def advance(execution_ids: str | list[str], queue: str, rescued: bool = False) -> None:
    """Answer the bell of an execution, or of several at once: those that are there to be taken are moved on as soon as
    a hand is free. A rescued one may have killed its worker, so it is not claimed before."""
    engine = current()
    wanted = [execution_ids] if isinstance(execution_ids, str) else execution_ids
    while wanted:
        places = engine.hands.promise(len(wanted), ahead=not rescued)
        if not places:
            # This process stops: another will take them up.
            ring(queue, wanted)
            return
        _take_up(engine, wanted[:places], queue)
        wanted = wanted[places:]


def _take_up(engine: Engine, execution_ids: list[str], queue: str) -> None:
    places = len(execution_ids)
    try:
        asked_at = time.monotonic()
        for row in engine.ledger.claim_many(execution_ids):
            # Counted from the answer, so that its idea of now is never ahead of the database's.
            passage = Passage(row, UNREAD, time.monotonic(), queue)
            engine.leases.hold(passage, asked_at)
            if engine.hands.give(passage):
                places -= 1
            else:
                hand_on(engine, [passage])
    finally:
        engine.hands.give_back(places)


def carry_on(passage: Passage) -> bool:
    """A hand's work: take the passage on until what it announces must be on record, or as far as it can go; whether
    this is all that the hands have to do with it."""
    engine = current()
    if passage.row["status_before"] == "running":
        metrics.deliveries_rescued_total.labels(kind="lease").inc()
    return _proceed(engine, passage, _go_on(engine, passage, passage.queue))


def _proceed(engine: Engine, passage: Passage, course: Course[None], announced: Answer | None = None) -> bool:
    """Begin the course, or take it up where it was left until its announcement was on record."""
    structlog.contextvars.bind_contextvars(execution_id=passage.execution_id, queue=passage.queue)
    follow: Callable[[Answer], None]
    try:
        is_over = _came_to_its_end(course, announced)
        if is_over:
            follow = engine.last_words.to(lambda recorded: _part(engine, passage, recorded))
        else:
            follow = _again(engine, passage, course)
        engine.ledger.hand_in(passage.progress(), follow)
        return is_over
    except (LeaseLost, *CONNECTION_ERRORS) as error:
        engine.leases.let_go(passage)
        _leave(passage, error)
        return True
    except BaseException:
        engine.leases.let_go(passage)
        raise


def _came_to_its_end(course: Course[None], announced: Answer | None) -> bool:
    """Go on to the end, or to the next announcement."""
    try:
        if announced is None:
            next(course)
        else:
            course.send(announced)
    except StopIteration:
        return True
    return False


def _again(engine: Engine, passage: Passage, course: Course[None]) -> Callable[[Answer], None]:
    """Has a hand take the course up again when its announcement was answered."""
    return lambda recorded: engine.hands.go_on(lambda: _proceed(engine, passage, course, recorded))


def _part(engine: Engine, passage: Passage, recorded: Answer) -> tuple[str, str] | None:
    """The passage is on record, or the execution another's: let go of it, and say who goes on."""
    try:
        heed(passage, recorded)
    except (LeaseLost, *CONNECTION_ERRORS) as error:
        _leave(passage, error)
        return None
    finally:
        engine.leases.let_go(passage)
    _count(passage)
    return (passage.handed_to, passage.execution_id) if passage.handed_to is not None else None


def _leave(passage: Passage, because: Exception) -> None:
    """Leave quietly: the execution is no longer ours, or PostgreSQL was away for too long."""
    if isinstance(because, LeaseLost):
        log.warning("the lease was lost, leaving", execution_id=passage.execution_id)
        _save_receipts(passage)
    else:
        text = str(because).strip()
        log.warning("postgres is away for too long, leaving", execution_id=passage.execution_id, error=text)


def _go_on(engine: Engine, passage: Passage, queue: str) -> Course[None]:
    try:
        if passage.row["deliveries"] > DELIVERIES_BEFORE_QUARANTINE:
            raise Quarantined(
                f"The worker died {DELIVERIES_BEFORE_QUARANTINE} times in a row on this execution, so it is left alone."
                " Look at the log of the time, then retry it or discard it."
            )
        goes_on = _may_go_on(engine, passage, queue)
        while goes_on:
            passage.step = step = next_of_round(passage)
            if step is None:
                goes_on = end_round(engine, passage)
            else:
                goes_on = _stays_here(engine, passage, step, queue) and (yield from _do(engine, passage, step))
    except Stopping:
        take_back(passage)
    except ExecutionError as error:
        step = passage.step
        fail(engine.settings, passage, step, error, provider_of(engine.settings, passage, step) if step else None)
        _count_failure(passage, step, error)
    except (LeaseLost, *CONNECTION_ERRORS):
        raise
    except Exception as error:
        log.exception("a bug stopped an execution", execution_id=passage.execution_id)
        fail(
            engine.settings,
            passage,
            passage.step,
            Bug(f"Beckon made a mistake ({type(error).__name__}): see the log."),
            None,
        )


def _do(engine: Engine, passage: Passage, step: Step) -> Course[bool]:
    """Do one step, measured; whether the passage goes on in place."""
    began = time.monotonic()
    try:
        if step.action in CALLS:
            goes_on = yield from CALLS[step.action](engine, passage, step)
        else:
            goes_on = QUIET_STEPS[step.action](engine, passage, step)
    except ExecutionError:
        metrics.actions_total.labels(type=step.action, status="failed").inc()
        raise
    if goes_on:
        metrics.actions_total.labels(type=step.action, status=passage.steps[step.id]["status"]).inc()
        metrics.step_duration_seconds.labels(type=step.action).observe(time.monotonic() - began)
    return goes_on


def _may_go_on(engine: Engine, passage: Passage, queue: str) -> bool:
    """Whether nothing holds it and, where a round begins, the rules allow it."""
    if passage.age_seconds() > STALE_SECONDS:
        # What the claim brought with it may not be so any more.
        passage.hand_over(queue)
        return False
    try:
        passage.workflow = engine.workflow(passage.row["version_id"])
        passage.count_resolved()
        if held(passage, queue) or is_called_off(passage):
            return False
        return passage.stage != "checking" or check(engine, passage)
    except CONNECTION_ERRORS as error:
        # Nothing has happened yet: it is begun anew when the ledger has PostgreSQL back, and no death is counted.
        log.warning("postgres is away, beginning anew", execution_id=passage.execution_id, error=str(error).strip())
        passage.hand_over(queue)
        return False


def _save_receipts(passage: Passage) -> None:
    """A provider took a message, but the execution had become another's: at least nobody need wonder about it."""
    for message_id, provider_message_id in passage.accepted.items():
        with transaction():
            reopened = message.resolve_sent(message_id, provider_message_id)
        if reopened is not None:
            ring_for([reopened])


def _stays_here(engine: Engine, passage: Passage, step: Step, queue: str) -> bool:
    """Whether the step may be done by this worker; else leave it to the queue of its outside call."""
    wanted = ACTIONS[step.action].queue
    if wanted is None or wanted == queue:
        return True
    if is_to_contact(step) and passage.contact is not None and step.id not in passage.messages:
        _make_ready(engine, passage, step)
        if awaits_review(passage, step):
            return False
    if passage.stage == "generating":
        passage.enter(passage.base_stage)
    passage.hand_over(wanted)
    return False


def _make_ready(engine: Engine, passage: Passage, step: Step) -> None:
    """Write the message down before the hand-over, so that an operator sees it waiting."""
    if not address_of(passage, step) or channel_of(step) in passage.suppressed:
        return
    prepare(engine, passage, step)
    passage.enter("ready_to_send")


def _count(passage: Passage) -> None:
    if passage.state["finished_at"] is not None and not passage.test:
        metrics.executions_finished_total.labels(status=passage.state["status"]).inc()


def _count_failure(passage: Passage, step: Step | None, error: ExecutionError) -> None:
    if isinstance(error, Quarantined):
        metrics.quarantined_total.labels(reason="deliveries").inc()
    if step is None or passage.test or ACTIONS[step.action].queue != "sending":
        return
    written = passage.messages.get(step.id)
    if written is None:
        return
    outcome = "unknown" if error.error_class == "unknown_outcome" else "retryable" if error.retryable else "permanent"
    metrics.sends_total.labels(channel=written["channel"], provider=written["provider"], outcome=outcome).inc()
