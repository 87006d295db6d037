"""Accepts triggers: finds the contact, asks every automation of that type whether it wants this one, writes it all
down in one transaction, and rings the bells after the commit.

One trigger and a thousand take the same way. A trigger that arrives by Redis takes it too, through the actor below.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from psycopg2.errors import DeadlockDetected

import clock
import metrics
from ephemeral import workflow_cache
from models import contact_matching, execution, published, trigger
from models.contact_matching import ContactRefused
from models.database import CONNECTION_ERRORS, Row, acting_as, db, driver_error
from models.ids import is_id, new_id
from models.published import Published
from models.trigger import KeyBusy, KeyUse, NewExecution, NewTrigger
from rules.conditions import holds
from rules.definition import Workflow, parse
from rules.facts import trigger_facts
from rules.matching import choose, match
from rules.plan import next_queue
from rules.problems import Problem
from tasks.bells import ring_after_commit, ring_for
from tasks.passage import NOBODY

log = structlog.get_logger(__name__)

#: How often a batch is tried that PostgreSQL chose as the victim of a deadlock.
TRIES = 5


@dataclass(frozen=True)
class TriggerRequest:
    """One validated request to start. `contact` holds normalised fields; a test ignores whether automations are on."""

    type: str
    contact_id: str | None
    contact: Mapping[str, Any] | None
    payload: Mapping[str, Any]
    automation_id: str | None = None
    test: bool = False
    idempotency_key: str | None = None
    body_hash: bytes = b""
    #: Somebody waits for this very message: default answers stay silent.
    answered: bool = False


@dataclass(frozen=True)
class Accepted:
    """What the producer is answered; `executions` is a list of {"executionId", "automationId"}."""

    trigger_id: str
    contact_id: str | None
    executions: list[dict[str, str]] = field(default_factory=list)
    duplicate: bool = False


@dataclass(frozen=True)
class Refused:
    """Why one trigger was not accepted: 404, 409 or 422, with the fields at fault."""

    status: int
    problems: list[Problem]
    #: Seconds after which the same request may succeed, if it may.
    retry_after: int | None = None


Answer = Accepted | Refused


def accept(workspace_id: str, requests: Sequence[TriggerRequest], source: str) -> list[Answer]:
    """Accept each request or say why not; what was accepted is durable when this returns.

    Raises the database's connection errors when PostgreSQL is away: then nothing was accepted.
    """
    try:
        answers = _accept(workspace_id, requests, source, TRIES)
    except KeyBusy:
        busy = Problem("idempotencyKey", "a request with this key is still being accepted, try again")
        answers = [Refused(409, [busy], retry_after=1) for _ in requests]
    _count(answers, source)
    return answers


def _accept(workspace_id: str, requests: Sequence[TriggerRequest], source: str, tries: int) -> list[Answer]:
    try:
        with acting_as(workspace_id):
            batch = _Batch(workspace_id, requests, source)
            answers = batch.accept()
            db.after_commit(batch.ring)
        return answers
    except CONNECTION_ERRORS as error:
        # Two batches that make the same contacts may wait for each other; PostgreSQL ends one, which tries again.
        if tries <= 1 or not isinstance(driver_error(error), DeadlockDetected):
            raise
        return _accept(workspace_id, requests, source, tries - 1)


def _count(answers: Sequence[Answer], source: str) -> None:
    for answer in answers:
        result = "invalid" if isinstance(answer, Refused) else "duplicate" if answer.duplicate else "accepted"
        metrics.triggers_total.labels(source=source, result=result).inc()


class _Batch:
    """One transaction's work, step by step."""

    def __init__(self, workspace_id: str, requests: Sequence[TriggerRequest], source: str) -> None:
        self.workspace_id = workspace_id
        self.requests = requests
        self.source = source
        self.answers: list[Answer | None] = [None] * len(requests)
        self.ids = [new_id() for _ in requests]
        self.triggers: list[NewTrigger] = []
        self.executions: list[NewExecution] = []

    def accept(self) -> list[Answer]:
        repeats = self._answer_repeats()
        self._match_contacts(repeats)
        for index in [index for index, answer in enumerate(self.answers) if answer is None and index not in repeats]:
            self._start(index)
        for index, first in repeats.items():
            self.answers[index] = self._again(index, first)
        trigger.insert(self.workspace_id, self.triggers, self.executions)
        self._wake_waiting()
        return [answer for answer in self.answers if answer is not None]

    def ring(self) -> None:
        families = {new.id: family(new.type) for new in self.triggers}
        for started in self.executions:
            metrics.executions_started_total.labels(trigger=families[started.trigger_id]).inc()
        ring_for([{"id": started.id, "queue": started.queue} for started in self.executions])

    def _answer_repeats(self) -> dict[int, int]:
        """Answer keys that were used before; of those used twice in this batch, who waits for whom."""
        first_of: dict[str, int] = {}
        repeats: dict[int, int] = {}
        for index, request in enumerate(self.requests):
            if request.idempotency_key is None:
                continue
            if request.idempotency_key in first_of:
                repeats[index] = first_of[request.idempotency_key]
            else:
                first_of[request.idempotency_key] = index
        keys = {key: (self.requests[index].body_hash, self.ids[index]) for key, index in first_of.items()}
        taken = trigger.take_keys(self.workspace_id, keys)
        uses = trigger.uses_of(keys.keys() - taken) if len(taken) < len(keys) else {}
        for key, index in first_of.items():
            if key not in taken:
                self.answers[index] = _used(uses.get(key), self.requests[index])
        return repeats

    def _again(self, index: int, first: int) -> Answer:
        """The answer to a key's second use in one batch: the first wins."""
        answer = self.answers[first]
        if self.requests[index].body_hash != self.requests[first].body_hash:
            return _OTHER_BODY
        if isinstance(answer, Accepted):
            return Accepted(answer.trigger_id, answer.contact_id, answer.executions, duplicate=True)
        assert answer is not None
        return answer

    def _match_contacts(self, repeats: Mapping[int, int]) -> None:
        fresh = [index for index, answer in enumerate(self.answers) if answer is None and index not in repeats]
        wanted = [(self.requests[index].contact_id, self.requests[index].contact) for index in fresh]
        untouched = {place for place, index in enumerate(fresh) if self.requests[index].test}
        self.contacts: dict[int, Row | None] = {}
        refused_keys = []
        matched = contact_matching.match(self.workspace_id, wanted, untouched)
        for index, found in zip(fresh, matched, strict=True):
            if isinstance(found, ContactRefused):
                self.answers[index] = Refused(found.status, [Problem(found.path, found.message)])
                refused_keys.append(self.requests[index].idempotency_key)
            else:
                self.contacts[index] = found
        trigger.give_back_keys([key for key in refused_keys if key is not None])

    def _start(self, index: int) -> None:
        request, contact, trigger_id = self.requests[index], self.contacts[index], self.ids[index]
        candidates = self._candidates(request)
        if candidates is None:
            self.answers[index] = Refused(404, [Problem("automationId", "no such published automation here")])
            trigger.give_back_keys([request.idempotency_key] if request.idempotency_key else [])
            return
        contact_id = contact["id"] if contact else None
        started = [
            NewExecution(
                new_id(), one.automation_id, one.version_id, one.version, trigger_id, contact_id, request.test,
                next_queue(workflow, {}),
            )
            for one, workflow in self._wanting(request, contact, candidates)
        ]  # fmt: skip
        answer = Accepted(
            trigger_id, contact_id, [{"executionId": new.id, "automationId": new.automation_id} for new in started]
        )
        self.executions.extend(started)
        self.triggers.append(
            NewTrigger(
                trigger_id, request.type, self.source, contact_id, request.payload, request.test,
                request.idempotency_key, {"contactId": contact_id, "executions": answer.executions},
            )
        )  # fmt: skip
        self.answers[index] = answer

    def _candidates(self, request: TriggerRequest) -> list[tuple[Published, Workflow]] | None:
        if request.automation_id is not None:
            one = published.one(request.automation_id) if is_id(request.automation_id) else None
            if one is None:
                return None
            starts = request.type in (one.trigger_type, "manual") and (request.test or one.enabled)
            return [(one, parse(one.definition))] if starts else []
        if request.test:
            return _parsed(published.of_type(request.type))
        return workflow_cache.get(self.workspace_id, request.type, lambda: _parsed(published.active(request.type)))

    def _wanting(
        self, request: TriggerRequest, contact: Row | None, candidates: Sequence[tuple[Published, Workflow]]
    ) -> Sequence[tuple[Published, Workflow]]:
        """The automations that want it. A test asks none of them, and by hand posts and keywords are passed over."""
        if request.test:
            return candidates
        willing = [(one, workflow) for one, workflow in candidates if _wants(one, workflow, request, contact)]
        if request.type == "manual":
            return willing
        matched = [(each, match(each[1].trigger, request.payload)) for each in willing]
        return self._rested(choose(matched, answered=request.answered), contact)

    def _rested(
        self, chosen: Sequence[tuple[Published, Workflow]], contact: Row | None
    ) -> Sequence[tuple[Published, Workflow]]:
        """Without those that have answered this contact within their cool-down."""
        waits = {one.automation_id: workflow.trigger.cooldown_seconds for one, workflow in chosen}
        waits = {automation_id: seconds for automation_id, seconds in waits.items() if seconds}
        if not waits or contact is None:
            return chosen
        cooling = execution.started_within(contact["id"], waits)
        return [(one, workflow) for one, workflow in chosen if one.automation_id not in cooling]

    def _wake_waiting(self) -> None:
        """Executions that wait for exactly this event of this contact go on; the contact was heard of."""
        events = {(new.contact_id, new.type) for new in self.triggers if new.contact_id and not new.test}
        if not events or self.source == "schedule":
            return
        woken = execution.wake_for_events(sorted(events))
        contact_matching.note_event(sorted({contact_id for contact_id, _ in events}))
        ring_after_commit(woken)


def family(trigger_type: str) -> str:
    """The family of a trigger type: a name that a user chose never becomes a label."""
    prefix = trigger_type.split(".")[0]
    if trigger_type == "contact.inactive":
        return "inactive"
    return prefix if prefix in ("manual", "hook", "schedule", "page", "instagram", "facebook") else "event"


_OTHER_BODY = Refused(409, [Problem("idempotencyKey", "this key was already used with another body")])


def _used(use: KeyUse | None, request: TriggerRequest) -> Answer:
    if use is None:
        busy = Problem("idempotencyKey", "a request with this key has just ended, try again")
        return Refused(409, [busy], retry_after=1)
    if use.body_hash != request.body_hash:
        return _OTHER_BODY
    return Accepted(use.trigger_id, use.answer["contactId"], use.answer["executions"], duplicate=True)


def _parsed(found: Sequence[Published]) -> list[tuple[Published, Workflow]]:
    return [(one, parse(one.definition)) for one in found]


def _wants(one: Published, workflow: Workflow, request: TriggerRequest, contact: Row | None) -> bool:
    if workflow.trigger.where is None:
        return True
    known = trigger_facts(
        contact=contact or NOBODY,
        payload=request.payload,
        automation={"id": one.automation_id, "name": one.automation_name},
        now=clock.now(),
    )
    return holds(workflow.trigger.where, known)


def body_hash(body: Mapping[str, Any]) -> bytes:
    """Of a request without its key, so that the same key with another body is noticed."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest()
