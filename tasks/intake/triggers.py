"""Accepts triggers: matches the contact and the automations, stores everything in one transaction, then notifies.

A single trigger is a batch of one. Triggers by Redis also arrive here, from `tasks.intake.trigger_messages`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from psycopg2.errors import DeadlockDetected

import clock
import metrics
import traces
from ephemeral import workflow_cache
from models import contact_matching, execution, published, sample_contact, trigger
from models.contact_matching import ContactMatches, ContactRejection, ContactSpecs, MatchedRow
from models.database import CONNECTION_ERRORS, acting_as, db, unwrap_driver_error
from models.engine.rows import DueRow
from models.ids import is_id, new_id
from models.published import PublishedWorkflow
from models.trigger import KeyBusy, KeyUse, NewExecution, NewTrigger, Reservations
from rules.choice import Candidate, NotChosen, choose
from rules.conditions import evaluate
from rules.definition import Workflow, parse
from rules.facts import build_trigger_facts
from rules.language import PAGE_TRIGGER
from rules.matching import match
from rules.plan import find_next_queue
from rules.problems import Problem
from rules.trigger_requests import TriggerRequest
from tasks.runtime.claimed_execution import NO_CONTACT
from tasks.runtime.notifications import notify_rows

#: Its lines come with every trigger, and are written together.
log = structlog.get_logger(__name__, True)

PLAYBOOK_TRIGGERED = "playbooks run in visitors' browsers and cannot be triggered here: open a page that has the script"

#: Maximum number of attempts of a batch that PostgreSQL aborts as the victim of a deadlock.
MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class AcceptedTrigger:
    """The response to the producer; `executions` is a list of {"executionId", "automationId"}."""

    trigger_id: str
    contact_id: str | None
    executions: list[dict[str, str]] = field(default_factory=list)
    #: The automations that match and leave the event to another: {"automationId", "because"}.
    not_chosen: list[dict[str, str]] = field(default_factory=list)
    duplicate: bool = False


@dataclass(frozen=True)
class RejectedTrigger:
    """Why a trigger was rejected: 404, 409 or 422, with the invalid fields."""

    status: int
    problems: list[Problem]
    #: Seconds after which the same request may succeed, or None.
    retry_after: int | None = None


TriggerResult = AcceptedTrigger | RejectedTrigger


def accept(workspace_id: str, requests: Sequence[TriggerRequest], source: str) -> list[TriggerResult]:
    """Accept or reject each request; accepted triggers are durable when this returns, or, inside a transaction of the
    caller, once that commits. A key that another request is using rejects them all.

    Raises the database's connection errors while PostgreSQL is unavailable; nothing is accepted then.
    """
    try:
        results = _accept(workspace_id, requests, source)
    except KeyBusy:
        busy = Problem("idempotencyKey", "another request with this key is in progress: try again")
        results = [RejectedTrigger(409, [busy], retry_after=1) for _ in requests]
    count(results, source)
    return results


def accept_without_waiting(
    workspace_id: str, requests: Sequence[TriggerRequest], source: str, lock_timeout_ms: int
) -> tuple[list[TriggerResult], Callable[[], None]]:
    """Accept or reject each request in one transaction that waits for no lock longer; return the results, and the
    function that notifies for what they started.

    Raises what `accept` does, `ConcurrentInsert`, and PostgreSQL's errors of locks: nothing is accepted
    then.
    """
    with (
        contact_matching.reporting_concurrent_inserts(),
        acting_as(workspace_id, with_first=True, lock_timeout_ms=lock_timeout_ms),
    ):
        batch = _Batch(workspace_id, requests, source, is_alone=True)
        return batch.accept(), batch.notify


def _accept(workspace_id: str, requests: Sequence[TriggerRequest], source: str) -> list[TriggerResult]:
    attempt = 1
    while True:
        try:
            with acting_as(workspace_id, with_first=True):
                batch = _Batch(workspace_id, requests, source)
                results = batch.accept()
                db.after_commit(batch.notify)
            return results
        except CONNECTION_ERRORS as error:
            # Two batches that create the same contacts can deadlock; PostgreSQL aborts one, which is tried again.
            if attempt == MAX_ATTEMPTS or not isinstance(unwrap_driver_error(error), DeadlockDetected):
                raise
            attempt += 1


def count(results: Sequence[TriggerResult], source: str) -> None:
    """Count what became of triggers."""
    for result in results:
        label = "invalid" if isinstance(result, RejectedTrigger) else "duplicate" if result.duplicate else "accepted"
        metrics.triggers_total.labels(source=source, result=label).inc()


class _Batch:
    """The work of one transaction, step by step. One that is alone in its transaction (`is_alone`) can be undone as a
    whole: it waits for no key, reads the contacts with its first statement, stores them in its last round trip, and
    commits in it where it can."""

    def __init__(
        self, workspace_id: str, requests: Sequence[TriggerRequest], source: str, *, is_alone: bool = False
    ) -> None:
        self.is_alone = is_alone
        self.workspace_id = workspace_id
        self.requests = requests
        self.source = source
        self.results: list[TriggerResult | None] = [None] * len(requests)
        self.ids = [new_id() for _ in requests]
        self.triggers: list[NewTrigger] = []
        self.executions: list[NewExecution] = []
        self.started: set[tuple[str | None, str]] = set()
        self.woken: list[DueRow] = []
        #: The contacts that the first round trip read, and those that the last one stores.
        self.contact_rows: Sequence[MatchedRow] = ()
        self.unstored = ContactMatches()
        self.started_ns = time.time_ns()

    def accept(self) -> list[TriggerResult]:
        repeats = self._resolve_repeats()
        self._match_contacts(repeats)
        for index in [index for index, result in enumerate(self.results) if result is None and index not in repeats]:
            self._start(index)
        for index, first in repeats.items():
            self.results[index] = self._build_repeat(index, first)
        self.woken = trigger.insert(
            self.workspace_id, self.triggers, self.executions, self._list_awaited_events(),
            contact_calls=self.unstored.build_calls(self.workspace_id), commits=self.is_alone,
        )  # fmt: skip
        results = [result for result in self.results if result is not None]
        assert len(results) == len(self.requests)
        return results

    def notify(self) -> None:
        self._log_accepted()
        families = {new.id: classify_trigger_type(new.type) for new in self.triggers if not new.test}
        for started in self.executions:
            # Tests are not counted.
            if family := families.get(started.trigger_id):
                metrics.executions_started_total.labels(trigger=family).inc()
        if traces.is_on():
            self._record_spans()
        notify_rows(
            self.woken
            + [
                {"id": started.id, "queue": started.queue, "workspace_id": self.workspace_id}
                for started in self.executions
            ]
        )

    def _log_accepted(self) -> None:
        """Write one line for the batch, with the ids of what it accepted."""
        if not self.triggers:
            return
        log.info(
            "triggers accepted", workspace_id=self.workspace_id, source=self.source,
            trigger_ids=[new.id for new in self.triggers], execution_ids=[new.id for new in self.executions],
        )  # fmt: skip

    def _record_spans(self) -> None:
        for new in self.triggers:
            traces.record(
                f"trigger {classify_trigger_type(new.type)}", new.id, traces.derive_span_id(new.id), 0, self.started_ns,
                kind="server",
                attributes={
                    "beckon.trigger_id": new.id, "beckon.workspace_id": self.workspace_id,
                    "beckon.source": new.source, "beckon.test": new.test,
                },
            )  # fmt: skip

    def _resolve_repeats(self) -> dict[int, int]:
        """Resolve keys that were used before; return the later uses within this batch, with the index of the first."""
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
        for key, use in self._reserve(keys).items():
            index = first_of[key]
            self.results[index] = _build_used_result(use, self.requests[index])
        return repeats

    def _reserve(self, keys: Reservations) -> dict[str, KeyUse | None]:
        """Reserve keys; one that is alone reads the contacts of all requests with them, also those of repeated keys."""
        if not self.is_alone:
            return trigger.reserve_idempotency_keys(self.workspace_id, keys)
        contact_read = contact_matching.build_read(*self._list_contacts(range(len(self.requests))))
        uses, self.contact_rows = trigger.reserve_and_read(self.workspace_id, keys, contact_read)
        return uses

    def _build_repeat(self, index: int, first: int) -> TriggerResult:
        """Build the result of a key's second use in one batch: the first use wins."""
        result = self.results[first]
        if self.requests[index].body_hash != self.requests[first].body_hash:
            return _DIFFERENT_BODY
        if isinstance(result, AcceptedTrigger):
            return replace(result, duplicate=True)
        assert result is not None
        return result

    def _match_contacts(self, repeats: Mapping[int, int]) -> None:
        fresh = [index for index, result in enumerate(self.results) if result is None and index not in repeats]
        contact_specs, test_positions = self._list_contacts(fresh)
        self.contacts: dict[int, MatchedRow | None] = {}
        rejected_keys = []
        if self.is_alone:
            self.unstored = contact_matching.match(self.contact_rows, contact_specs, test_positions)
            matched = self.unstored.results
        else:
            matched = contact_matching.match_or_create(self.workspace_id, contact_specs, test_positions)
        for index, contact in zip(fresh, matched, strict=True):
            if isinstance(contact, ContactRejection):
                self.results[index] = RejectedTrigger(contact.status, [Problem(contact.path, contact.message)])
                rejected_keys.append(self.requests[index].idempotency_key)
            else:
                self.contacts[index] = contact
        samples = [contact["id"] for contact in self.contacts.values() if contact and contact["sample"]]
        if samples:
            sample_contact.open_windows(self.workspace_id, sorted(set(samples)))
        trigger.release_keys([key for key in rejected_keys if key is not None])

    def _list_contacts(self, indexes: Sequence[int]) -> tuple[ContactSpecs, set[int]]:
        """List what these requests say about their contacts, and the positions of those that leave them unchanged."""
        requests = [self.requests[index] for index in indexes]
        specs = [(request.contact_id, request.contact) for request in requests]
        return specs, {position for position, request in enumerate(requests) if request.test or request.demo}

    def _start(self, index: int) -> None:
        request, contact, trigger_id = self.requests[index], self.contacts[index], self.ids[index]
        candidates = self._find_candidates(request)
        if isinstance(candidates, RejectedTrigger):
            self.results[index] = candidates
            trigger.release_keys([request.idempotency_key] if request.idempotency_key else [])
            return
        contact_id = contact["id"] if contact else None
        selected, not_chosen = self._select_automations(request, contact, candidates)
        started = [
            NewExecution(
                new_id(), automation.automation_id, automation.version_id, automation.version, trigger_id, contact_id,
                request.test, find_next_queue(workflow, {}),
            )
            for automation, workflow in selected
        ]  # fmt: skip
        result = AcceptedTrigger(
            trigger_id, contact_id,
            [{"executionId": new.id, "automationId": new.automation_id} for new in started],
            [{"automationId": other.automation_id, "because": other.because} for other in not_chosen],
        )  # fmt: skip
        self.executions.extend(started)
        if not request.test:
            self.started.update((contact_id, new.automation_id) for new in started)
        self.triggers.append(
            NewTrigger(
                trigger_id, request.type, self.source, contact_id, request.payload, request.test,
                request.idempotency_key, _serialize_answer(result), request.loop_depth,
            )
        )  # fmt: skip
        self.results[index] = result

    def _find_candidates(self, request: TriggerRequest) -> list[tuple[PublishedWorkflow, Workflow]] | RejectedTrigger:
        if request.automation_id is not None:
            automation = published.find(request.automation_id) if is_id(request.automation_id) else None
            if automation is None:
                return RejectedTrigger(404, [Problem("automationId", "no published automation with this id")])
            if automation.is_playbook:
                return RejectedTrigger(409, [Problem("automationId", PLAYBOOK_TRIGGERED)])
            starts = request.type in (automation.trigger_type, "manual") and (request.test or automation.enabled)
            return [(automation, parse(automation.definition))] if starts else []
        if request.type == PAGE_TRIGGER:
            return RejectedTrigger(422, [Problem("type", PLAYBOOK_TRIGGERED)])
        if request.test:
            return _parse_workflows(published.list_by_trigger_type(request.type))
        return workflow_cache.get(
            self.workspace_id, request.type, lambda: _parse_workflows(published.list_active(request.type))
        )

    def _select_automations(
        self,
        request: TriggerRequest,
        contact: MatchedRow | None,
        candidates: Sequence[tuple[PublishedWorkflow, Workflow]],
    ) -> tuple[Sequence[tuple[PublishedWorkflow, Workflow]], Sequence[NotChosen]]:
        """Select the automations that start, and name the others that match. A test skips all conditions; a manual
        trigger skips posts and keywords."""
        if request.test:
            return candidates, ()
        matching = [
            (automation, workflow)
            for automation, workflow in candidates
            if _meets_condition(automation, workflow, request, contact)
        ]
        if request.type == "manual":
            return matching, ()
        choice = choose(_build_candidates(matching, request), answered=request.answered)
        selected = [candidate for candidate in matching if candidate[0].automation_id in choice.started]
        return self._exclude_cooling(selected, contact), choice.not_chosen

    def _exclude_cooling(
        self, candidates: Sequence[tuple[PublishedWorkflow, Workflow]], contact: MatchedRow | None
    ) -> Sequence[tuple[PublishedWorkflow, Workflow]]:
        """Exclude automations that were started for this contact within their cool-down."""
        cooldowns = {automation.automation_id: workflow.trigger.cooldown_seconds for automation, workflow in candidates}
        cooldowns = {automation_id: seconds for automation_id, seconds in cooldowns.items() if seconds}
        if not cooldowns or contact is None:
            return candidates
        cooling = execution.find_started_within(contact["id"], cooldowns)
        # Those that an earlier trigger of this batch starts are not inserted yet.
        cooling |= {automation_id for automation_id in cooldowns if (contact["id"], automation_id) in self.started}
        return [
            (automation, workflow) for automation, workflow in candidates if automation.automation_id not in cooling
        ]

    def _list_awaited_events(self) -> list[tuple[str, str]]:
        """The events of contacts that executions may wait for: none waits for a new contact. A schedule is no contact's
        activity."""
        if self.source == "schedule":
            return []
        return sorted(
            {
                (new.contact_id, new.type)
                for new in self.triggers
                if new.contact_id and not new.test and new.contact_id not in self.unstored.created
            }
        )


def classify_trigger_type(trigger_type: str) -> str:
    """Return the family of a trigger type, so that no name chosen by a user becomes a metrics label."""
    prefix = trigger_type.split(".")[0]
    if trigger_type == "contact.inactive":
        return "inactive"
    return prefix if prefix in ("manual", "hook", "schedule", "page", "instagram", "facebook") else "event"


_DIFFERENT_BODY = RejectedTrigger(409, [Problem("idempotencyKey", "this key was already used with another body")])


def _build_used_result(use: KeyUse | None, request: TriggerRequest) -> TriggerResult:
    if use is None:
        busy = Problem("idempotencyKey", "another request with this key has just ended: try again")
        return RejectedTrigger(409, [busy], retry_after=1)
    if use.body_hash != request.body_hash:
        return _DIFFERENT_BODY
    return AcceptedTrigger(
        use.trigger_id, use.answer["contactId"], use.answer["executions"],
        # Triggers of the previous version have none.
        use.answer.get("notChosen", []), duplicate=True,
    )  # fmt: skip


def _serialize_answer(result: AcceptedTrigger) -> dict[str, object]:
    """What a repeated key is answered with, beside the trigger's id."""
    return {"contactId": result.contact_id, "executions": result.executions, "notChosen": result.not_chosen}


def _build_candidates(
    workflows: Sequence[tuple[PublishedWorkflow, Workflow]], request: TriggerRequest
) -> list[Candidate]:
    return [
        Candidate(
            item.automation_id, workflow.trigger, match(workflow.trigger, request.payload), exclusive=item.exclusive
        )
        for item, workflow in workflows
    ]


def _parse_workflows(automations: Sequence[PublishedWorkflow]) -> list[tuple[PublishedWorkflow, Workflow]]:
    return [(automation, parse(automation.definition)) for automation in automations]


def _meets_condition(
    automation: PublishedWorkflow, workflow: Workflow, request: TriggerRequest, contact: MatchedRow | None
) -> bool:
    if workflow.trigger.where is None:
        return True
    facts = build_trigger_facts(
        contact=contact or NO_CONTACT,
        payload=request.payload,
        automation={"id": automation.automation_id, "name": automation.automation_name},
        now=clock.now(),
    )
    return evaluate(workflow.trigger.where, facts)
