"""Has the AI write one step's text. Asking has no outside effect, so a cut-off call is simply made again.

A blocked or empty answer fails for good, unless the step has a `fallback` text.
"""

from __future__ import annotations

import structlog

import metrics
from providers import WRITERS
from providers.writing import Prompt, Written
from rules.definition import Step
from rules.errors import Blocked, ExecutionError, InvalidRequest
from rules.templating import render
from tasks.accounts import account_for
from tasks.engine import Engine
from tasks.held import held_provider
from tasks.model_settings import ModelInUse, in_use
from tasks.passage import Course, Passage
from tasks.prompts import prompt_facts, prompt_text
from tasks.writers import chosen

log = structlog.get_logger(__name__)


def generate(engine: Engine, passage: Passage, step: Step) -> Course[bool]:
    """Write the text; whether the passage goes on in place."""
    used = in_use(engine.settings, passage.row["workspace_id"])
    writer = chosen(used.settings, step)
    passage.settings = used.settings
    if held_provider(passage, writer.provider):
        return False
    prompt = _prompt(passage, step, writer.model, used)
    account = used.guard(
        account_for(
            used.settings, writer.provider, passage.row["workspace_id"], test=passage.test, demo=passage.row["demo"]
        )
    )
    passage.begin(step)
    passage.enter("generating")
    yield from engine.announce(passage)
    try:
        with passage.calling("generation", writer.provider):
            written = WRITERS[writer.provider](account, prompt)
    except (Blocked, InvalidRequest) as error:
        fallback = step.with_.get("fallback")
        if fallback is None:
            raise
        _fall_back(passage, step, fallback, error)
        return True
    _keep(passage, step, writer.provider, written)
    return True


def _fall_back(passage: Passage, step: Step, fallback: str, error: ExecutionError) -> None:
    log.info("the fallback text is used", execution_id=passage.execution_id, step=step.id, error=error.message)
    text = render(fallback, prompt_facts(passage, step))
    passage.succeed(step, {"text": text, "fallback": True, "fallbackBecause": error.message})


def _keep(passage: Passage, step: Step, provider: str, written: Written) -> None:
    passage.state["misconfigured_since"] = None
    passage.succeed(
        step,
        {
            "text": written.text,
            "model": written.model,
            "inputTokens": written.input_tokens,
            "outputTokens": written.output_tokens,
            "finishReason": written.finish_reason,
        },
    )
    metrics.ai_tokens_total.labels(model=provider, direction="input").inc(written.input_tokens)
    metrics.ai_tokens_total.labels(model=provider, direction="output").inc(written.output_tokens)


def _prompt(passage: Passage, step: Step, model: str, used: ModelInUse) -> Prompt:
    facts = prompt_facts(passage, step)
    system = step.with_.get("system")
    return Prompt(
        model=model,
        text=prompt_text(passage, step, facts),
        system=render(system, facts) if system else None,
        max_tokens=int(step.with_.get("max_tokens") or used.max_tokens or Prompt.max_tokens),
        temperature=step.with_.get("temperature", used.temperature),
    )
