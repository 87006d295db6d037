"""What every provider that writes texts has in common: the prompt, the written text, and how often one is asked for.

Writing has no outside effect, so whatever passes by itself is simply asked again. An answer that ran out of tokens is
asked for once more with a larger budget, one that broke off for no reason of ours once more as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from providers import tries
from rules.errors import Blocked, InvalidRequest

#: An answer cut short by its budget is asked for once more, with this many times the tokens.
LARGER_BUDGET = 4
#: Thinking models take their time.
READ_SECONDS = 60.0
#: How a text ended, whatever its provider calls it.
CUT_SHORT, BROKEN_OFF, WHOLE = "MAX_TOKENS", "OTHER", "STOP"


@dataclass(frozen=True)
class Prompt:
    """What to write. `max_tokens` bounds the answer, a thinking model's thoughts included."""

    model: str
    text: str
    system: str | None = None
    max_tokens: int = 1024
    temperature: float | None = None


@dataclass(frozen=True)
class Written:
    """A written message, trimmed, and what it took. Thoughts count as output tokens.

    `finish_reason` is the provider's own word, `ended` one of the three above.
    """

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    ended: str = WHOLE


def write(label: str, ask: Callable[[Prompt], Written], prompt: Prompt) -> Written:
    """Have a message written, never an empty one; raises an `ExecutionError`."""
    found = tries.read(lambda: ask(prompt))
    if found.ended == BROKEN_OFF:
        found = tries.read(lambda: ask(prompt))
    if found.ended == CUT_SHORT:
        prompt = replace(prompt, max_tokens=prompt.max_tokens * LARGER_BUDGET)
        found = tries.read(lambda: ask(prompt))
    if found.ended == CUT_SHORT:
        raise InvalidRequest(
            f"{label} used all of {prompt.max_tokens} tokens without finishing. Raise max_tokens of this step.",
            provider_code=found.finish_reason,
        )
    if found.ended == BROKEN_OFF:
        raise InvalidRequest(
            f"{label} broke off twice ({found.finish_reason}). Change the prompt, or give this step a fallback.",
            provider_code=found.finish_reason,
        )
    if not found.text:
        raise InvalidRequest(f"{label} answered without a text. Change the prompt, or give this step a fallback.")
    return found


def blocked(label: str, what: str, reason: str) -> Blocked:
    """A safety filter's no."""
    return Blocked(
        f"{label}'s safety filter refused {what} ({reason}). Change the prompt, or give this step a fallback.",
        provider_code=reason,
    )
