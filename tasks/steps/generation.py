"""Generates one step's text with the model. A generation has no side effect, so an interrupted call is repeated.

A blocked or empty response is not retried: the step fails, unless it has a `fallback` text.
"""

from __future__ import annotations

import structlog

import metrics
from providers.registry import TEXT_GENERATORS
from providers.text_generation import GeneratedText, Prompt
from rules.definition import Step
from rules.errors import Blocked, ExecutionError, InvalidRequest
from rules.templating import render
from tasks.runtime import moves, step_rows
from tasks.runtime.breakers import rest_if_breaker_open
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.engine import Engine
from tasks.runtime.outside_calls import track_call
from tasks.steps.accounts import resolve_account
from tasks.steps.model_choice import choose_model
from tasks.steps.model_settings import EffectiveModelSettings, resolve_model_settings
from tasks.steps.pauses import rest_if_provider_paused
from tasks.steps.prompts import build_prompt_facts, render_prompt

log = structlog.get_logger(__name__)


def generate(engine: Engine, claimed: ClaimedExecution, step: Step) -> Continuation[bool]:
    """Generate the text; return whether the execution continues in place."""
    is_refused = claimed.state["misconfigured_since"] is not None
    effective = resolve_model_settings(engine.settings, claimed.row["workspace_id"], fresh=is_refused)
    model_choice = choose_model(effective.settings, step)
    claimed.settings = effective.settings
    if rest_if_provider_paused(claimed, model_choice.provider):
        return False
    prompt = _build_prompt(claimed, step, model_choice.model, effective)
    account = effective.guard(
        resolve_account(
            effective.settings,
            model_choice.provider,
            claimed.row["workspace_id"],
            test=claimed.test,
            demo=claimed.row["demo"],
        )
    )
    if rest_if_breaker_open(claimed, model_choice.provider):
        return False
    step_rows.begin(claimed, step)
    moves.enter(claimed, "generating")
    yield from engine.record_intent(claimed)
    try:
        with track_call(claimed, "generation", model_choice.provider):
            result = TEXT_GENERATORS[model_choice.provider](account, prompt)
    except (Blocked, InvalidRequest) as error:
        fallback = step.with_.get("fallback")
        if fallback is None:
            raise
        _use_fallback(claimed, step, fallback, error)
        return True
    _record_text(claimed, step, model_choice.provider, result)
    return True


def _use_fallback(claimed: ClaimedExecution, step: Step, fallback: str, error: ExecutionError) -> None:
    log.info("fallback text used", execution_id=claimed.execution_id, step=step.id, error=error.message)
    text = render(fallback, build_prompt_facts(claimed, step))
    step_rows.succeed(claimed, step, {"text": text, "fallback": True, "fallbackBecause": error.message})


def _record_text(claimed: ClaimedExecution, step: Step, provider: str, result: GeneratedText) -> None:
    claimed.state["misconfigured_since"] = None
    step_rows.succeed(
        claimed,
        step,
        {
            "text": result.text,
            "model": result.model,
            "inputTokens": result.input_tokens,
            "outputTokens": result.output_tokens,
            "finishReason": result.finish_reason,
        },
    )
    metrics.ai_tokens_total.labels(model=provider, direction="input").inc(result.input_tokens)
    metrics.ai_tokens_total.labels(model=provider, direction="output").inc(result.output_tokens)


def _build_prompt(claimed: ClaimedExecution, step: Step, model: str, effective: EffectiveModelSettings) -> Prompt:
    facts = build_prompt_facts(claimed, step)
    system = step.with_.get("system")
    return Prompt(
        model=model,
        text=render_prompt(claimed, step, facts),
        system=render(system, facts) if system else None,
        max_tokens=int(step.with_.get("max_tokens") or effective.max_tokens or Prompt.max_tokens),
        temperature=step.with_.get("temperature", effective.temperature),
    )
