"""What every provider that writes texts has in common: the prompt, the written text, and how often one is asked for.

Writing has no outside effect, so whatever passes by itself is simply asked again. An answer that ran out of tokens is
asked for once more with a larger budget, one that broke off for no reason of ours once more as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from providers import retries
from rules.errors import Blocked, InvalidRequest

#: An answer cut short by its budget is asked for once more, with this many times the tokens.
BUDGET_FACTOR = 4
#: Thinking models take their time.
READ_SECONDS = 60.0
#: How a text ended, whatever its provider calls it.
TRUNCATED, INTERRUPTED, COMPLETE = "MAX_TOKENS", "OTHER", "STOP"


@dataclass(frozen=True)
class Prompt:
    """What to write. `max_tokens` bounds the answer, a thinking model's thoughts included."""

    model: str
    text: str
    system: str | None = None
    max_tokens: int = 1024
    temperature: float | None = None


@dataclass(frozen=True)
class GeneratedText:
    """A written message, trimmed, and what it took. Thoughts count as output tokens.

    `finish_reason` is the provider's own word, `ended` one of the three above.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    outcome: str = COMPLETE


def generate_text(label: str, attempt: Callable[[Prompt], GeneratedText], prompt: Prompt) -> GeneratedText:
    """Have a message written, never an empty one; raises an `ExecutionError`."""
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
            f"{label} broke off twice ({generated.finish_reason}). Change the prompt, or give this step a fallback.",
            provider_code=generated.finish_reason,
        )
    if not generated.text:
        raise InvalidRequest(f"{label} answered without a text. Change the prompt, or give this step a fallback.")
    return generated


def build_blocked_error(label: str, subject: str, reason: str) -> Blocked:
    """A safety filter's no."""
    return Blocked(
        f"{label}'s safety filter refused {subject} ({reason}). Change the prompt, or give this step a fallback.",
        provider_code=reason,
    )
