"""Says what would happen to a contact in an automation now, by the engine's own functions: the rules one by one, the
path, and the messages with their times.

Nothing is sent and nothing is written: the claimed execution exists in memory alone, and its record is never taken.
What cannot be known (a reply, a follow, the text of a model) is an assumption.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from models import forecast_facts, published
from models.database import acting_as
from models.engine.rows import ClaimedRow, ExecutionState, list_columns
from models.forecast_facts import ForecastFacts
from models.ids import new_id
from rules import eligibility, schedule
from rules.choice import Candidate, choose
from rules.conditions import evaluate
from rules.definition import Step, Workflow, parse
from rules.eligibility import Judgement
from rules.errors import ExecutionError
from rules.facts import build_trigger_facts
from rules.matching import match
from rules.plan import find_next_step
from rules.schedule import parse_duration
from settings import Settings
from tasks import eligibility as engine_rules
from tasks.runtime import step_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps.composing import prepare
from tasks.steps.local_steps import LOCAL_STEPS
from tasks.steps.prompts import build_prompt_facts, render_prompt

#: Seconds of processor time after which no further step is forecast.
MAX_CPU_SECONDS = 0.5
#: What stands for a text that a model would write.
_GENERATED_TEXT = "[the text that the model writes]"


@dataclass(frozen=True)
class Subject:
    """What is forecast: an automation with a workflow, published or not, and the event that starts it."""

    workspace_id: str
    automation_id: str
    name: str
    type: str
    enabled: bool
    workflow: Workflow
    payload: Mapping[str, Any]
    contact_id: str | None = None
    #: The columns of a sample contact, who is in no table.
    sample: Mapping[str, Any] | None = None
    #: The assumed output of steps, by their ids.
    assumptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Whether it leaves an event that a more specific automation answers.
    exclusive: bool = True


@dataclass(frozen=True)
class ForecastStep:
    """One step of the path: when it would begin, and what it would do."""

    id: str
    action: str
    at: datetime
    output: Mapping[str, Any] | None = None
    message: Mapping[str, Any] | None = None
    error: str | None = None
    #: What is assumed of it, because it cannot be known.
    assumed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Forecast:
    """The verdict, each rule with its measured values, and the path that would follow."""

    verdict: str
    rule: str | None
    words: str | None
    rules: list[Judgement]
    steps: list[ForecastStep]


def forecast(settings: Settings, subject: Subject) -> Forecast:
    """Forecast the first round of an execution that began now."""
    facts = forecast_facts.fetch_facts(subject.workspace_id, subject.contact_id)
    claimed = ClaimedExecution(_build_row(subject, facts), subject.workflow)
    # A step's function reads the settings of its engine, and nothing else of it.
    engine = cast(Engine, SimpleNamespace(settings=settings))
    measured = engine_rules.build_facts(engine, claimed)
    if subject.sample is not None:
        # Meta's window is open for sample contacts.
        measured = replace(measured, delivery_skip=None)
    rules = [*eligibility.judge(subject.workflow.rules, measured), *_judge_limits(claimed, subject, facts)]
    failed = next((judgement for judgement in rules if not judgement.passed), None)
    verdict = "eligible" if failed is None else "waits" if failed.until else "skipped"
    words = failed.detail["words"] if failed else None
    if failed is not None and failed.until:
        claimed.skip_time((failed.until - claimed.now()).total_seconds())
    return Forecast(verdict, failed.rule if failed else None, words, rules, _list_steps(engine, claimed, subject))


def find_answering(subject: Subject) -> dict[str, Any]:
    """Return which automations the event starts, as the intake of triggers chooses them: whether this one does, all
    that do, and those that match and leave it to them."""
    facts = forecast_facts.fetch_facts(subject.workspace_id, subject.contact_id)
    person = {"id": "", **(subject.sample or facts["contact"] or {})}
    own = (subject.automation_id, subject.name, subject.workflow, subject.exclusive)
    with acting_as(subject.workspace_id):
        others = published.list_active(subject.workflow.trigger.type)
    everyone = [own, *(
        (item.automation_id, item.automation_name, parse(item.definition), item.exclusive)
        for item in others if item.automation_id != subject.automation_id
    )]  # fmt: skip
    names, candidates = {}, []
    for automation_id, name, workflow, exclusive in everyone:
        variables = build_trigger_facts(
            contact=person, payload=subject.payload, automation={"id": automation_id, "name": name}, now=facts["now"]
        )
        if workflow.trigger.where is None or evaluate(workflow.trigger.where, variables):
            names[automation_id] = name
            found_match = match(workflow.trigger, subject.payload)
            candidates.append(Candidate(automation_id, workflow.trigger, found_match, exclusive=exclusive))
    choice = choose(candidates, answered=False)
    return {
        "starts": subject.automation_id in choice.started,
        "started": [{"automationId": key, "name": name} for key, name in names.items() if key in choice.started],
        "notChosen": [
            {"automationId": item.automation_id, "name": names[item.automation_id], "because": item.because}
            for item in choice.not_chosen
        ],
    }


def _judge_limits(claimed: ClaimedExecution, subject: Subject, facts: ForecastFacts) -> list[Judgement]:
    rules = subject.workflow.rules
    if rules.daily_limit is None and rules.contact_daily_limit is None:
        return []
    day = schedule.to_local_day(claimed.now(), facts["timezone"])
    counts = forecast_facts.count_reserved(subject.workspace_id, subject.automation_id, subject.contact_id, day)
    limits = (
        ("daily_limit", rules.daily_limit, counts[0], eligibility.build_daily_limit_skip),
        ("contact_daily_limit", rules.contact_daily_limit, counts[1], eligibility.build_contact_daily_limit_skip),
    )
    return [
        Judgement(name, count < limit, build(limit, count).detail)
        for name, limit, count, build in limits
        if limit is not None
    ]


def _list_steps(engine: Engine, claimed: ClaimedExecution, subject: Subject) -> list[ForecastStep]:
    """Follow the path. A step that fails ends it, and so does one that comes after too much work."""
    steps: list[ForecastStep] = []
    began = time.thread_time()
    while (step := find_next_step(claimed.workflow, claimed.finished_outputs)) is not None:
        at = claimed.now()
        if time.thread_time() - began > MAX_CPU_SECONDS:
            return [*steps, ForecastStep(step.id, step.action, at, error="The texts take too long to render.")]
        try:
            forecast_step = _take(engine, claimed, step, subject.assumptions.get(step.id) or {}, at)
        except ExecutionError as error:
            return [*steps, ForecastStep(step.id, step.action, at, error=str(error))]
        steps.append(forecast_step)
    return steps


def _take(
    engine: Engine, claimed: ClaimedExecution, step: Step, assumed: Mapping[str, Any], at: datetime
) -> ForecastStep:
    """Take one step in memory."""
    if step.action == "wait":
        claimed.skip_time(parse_duration(step.with_["for"]))
        return _succeed(claimed, step, at, {"until": claimed.now().isoformat()})
    if step.action == "wait_until":
        return _wait_until(claimed, step, assumed, at)
    if step.action in LOCAL_STEPS:
        LOCAL_STEPS[step.action](engine, claimed, step)
        return ForecastStep(step.id, step.action, at, output=claimed.steps[step.id]["output"] or {})
    if step.action == "generate_message":
        prompt = render_prompt(claimed, step, build_prompt_facts(claimed, step))
        output = {"text": _GENERATED_TEXT, **assumed}
        return replace(_succeed(claimed, step, at, output), assumed=output, message={"prompt": prompt})
    if step.action == "check_follow":
        output = {"following": "unknown", **assumed}
        return replace(_succeed(claimed, step, at, output), assumed=output)
    row = prepare(engine, claimed, step)
    names = ("channel", "to_address", "subject", "body", "format", "send_at", "detail")
    message = {name: row[name] for name in names}  # type: ignore[literal-required]
    send_at = row["send_at"]
    if send_at is not None and send_at > at:
        claimed.skip_time((send_at - at).total_seconds())
    return replace(_succeed(claimed, step, at, {}), message=message)


def _wait_until(claimed: ClaimedExecution, step: Step, assumed: Mapping[str, Any], at: datetime) -> ForecastStep:
    """Take the arm that is assumed: `then` at once, or `else` after the timeout."""
    happened = assumed.get("taken") == "then"
    if not happened and step.with_.get("timeout"):
        claimed.skip_time(parse_duration(step.with_["timeout"]))
    output = {"taken": "then", "event": step.with_["event"]} if happened else {"taken": "else", "timedOut": True}
    return replace(_succeed(claimed, step, at, output), assumed=output)


def _succeed(claimed: ClaimedExecution, step: Step, at: datetime, output: dict[str, Any]) -> ForecastStep:
    step_rows.begin(claimed, step)
    step_rows.succeed(claimed, step, output)
    return ForecastStep(step.id, step.action, at, output=output)


def _build_row(subject: Subject, facts: ForecastFacts) -> ClaimedRow:
    """Build the row that a claim would return."""
    contact = {"id": subject.contact_id or new_id(), **subject.sample} if subject.sample else facts["contact"]
    state: dict[str, Any] = dict.fromkeys(list_columns(ExecutionState))
    row = {
        **state, "id": new_id(), "workspace_id": subject.workspace_id, "automation_id": subject.automation_id,
        "version_id": new_id(), "trigger_id": new_id(), "contact_id": contact and str(contact["id"]), "test": False,
        "fence": 0, "created_at": facts["now"], "event_at": None, "follow_ups_stopped": None,
        "status_before": "pending", "turn": 0, "claimed_at": facts["now"], "sent_monotonic": time.monotonic(),
        "trigger_type": subject.workflow.trigger.type, "payload": dict(subject.payload), "loop_depth": None,
        "automation_name": subject.name, "automation_type": subject.type, "automation_enabled": subject.enabled,
        "automation_deleted": False, "automation_paused": False, "automatic_retries": True,
        "workspace_timezone": facts["timezone"], "demo": facts["demo"], "contact": contact, "steps": [],
        "messages": [], "suppressed": list(facts["suppressed"]) if subject.contact_id else [], "pauses": [],
        "breakers": [], "status": "running", "stage": "checking", "stage_since": facts["now"], "round": 0,
        "deliveries": 0,
    }  # fmt: skip
    return cast(ClaimedRow, row)
