"""The common part of the text generators: the prompt, the generated text, and the retries.

Generation has no side effect, so temporary errors are retried. A response that ran out of tokens is requested once more
with a larger budget; one that was interrupted without a fault of ours is requested once more unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from providers import retries
from rules.errors import Blocked, InvalidRequest

#: A response truncated by its budget is requested once more with this many times the tokens.
BUDGET_FACTOR = 4
#: Thinking models respond slowly.
READ_SECONDS = 60.0
#: How a text ended, independent of the provider's terms.
TRUNCATED, INTERRUPTED, COMPLETE = "MAX_TOKENS", "OTHER", "STOP"


@dataclass(frozen=True)
class Prompt:
    """The request for a text. `max_tokens` limits the response, a thinking model's thoughts included."""

    model: str
    text: str
    system: str | None = None
    max_tokens: int = 1024
    temperature: float | None = None


@dataclass(frozen=True)
class GeneratedText:
    """A generated message, trimmed, and its token counts. Thoughts count as output tokens.

    `finish_reason` is the provider's own term, `outcome` one of the three constants above.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    outcome: str = COMPLETE


def generate_text(label: str, attempt: Callable[[Prompt], GeneratedText], prompt: Prompt) -> GeneratedText:
    """Generate a message, never an empty one. Raises an `ExecutionError`."""
    generated = retries.read(lambda: attempt(prompt))
    if generated.outcome == INTERRUPTED:
        generated = retries.read(lambda: attempt(prompt))
    if generated.outcome == TRUNCATED:
        prompt = replace(prompt, max_tokens=prompt.max_tokens * BUDGET_FACTOR)
        generated = retries.read(lambda: attempt(prompt))
    if generated.outcome == TRUNCATED:
        raise InvalidRequest(
            f"{label} used all of {prompt.max_tokens} tokens without finishing. Raise max_tokens of this step.",
            provider_code=generated.finish_reason,
        )
    if generated.outcome == INTERRUPTED:
        raise InvalidRequest(
            f"{label} was cut off twice ({generated.finish_reason}). Change the prompt, or give this step a fallback.",
            provider_code=generated.finish_reason,
        )
    if not generated.text:
        raise InvalidRequest(f"{label} answered without a text. Change the prompt, or give this step a fallback.")
    return generated


def build_blocked_error(label: str, subject: str, reason: str) -> Blocked:
    """Build the error of a safety filter's refusal."""
    return Blocked(
        f"{label}'s safety filter refused {subject} ({reason}). Change the prompt, or give this step a fallback.",
        provider_code=reason,
    )
